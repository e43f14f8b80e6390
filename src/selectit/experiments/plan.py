"""What an experiment will do, what of it is done, and what the rest will cost: before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selectit.costs import plan as costs_plan
from selectit.costs.tunings import count_row_tokens, count_rows_read, count_steps, plan_trainings, rehearse
from selectit.experiments.cell import ExperimentFolder, check_cells, count_rows, lock, read_outcome
from selectit.experiments.clean import clean_data
from selectit.experiments.outcomes import Outcome
from selectit.experiments.settings import Cell, Experiment, build_trial, list_cells, list_searches
from selectit.methods._tuning import tunes
from selectit.models import resolve as model_files
from selectit.models.files import Model
from selectit.progress import Progress, Silent
from selectit.selection.resolve import resolve
from selectit.selection.spec import list_requests
from selectit.signals.requests import RatingPrompt, Request

TIMED_ANSWERS = 12


_Asked = tuple[str, str, Request]
"""About the rows of which data set (`Choice.source`) which model is asked what."""


def plan(experiment: Experiment, out: str | Path, progress: Progress | None = None) -> list[str]:
    """What the experiment will do and what of it is done, as lines of text.

    Reads the data into the experiment's folder, and measures: models are asked about some rows as each choice asks,
    each base model is tuned for a few steps, and both are thrown away. With Ray, where this machine may have no GPU,
    nothing is measured.

    Args:
        experiment: from `load.load`.
        out: the experiment's folder.
        progress: shows what is measured.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        place = ExperimentFolder(experiment, folder, clean_data(experiment, folder))
        check_cells(place)
        every = list_cells(experiment)
        done = {cell.name: outcome for cell in every if (outcome := read_outcome(place, cell)) is not None}
        lines = [
            f"{clean.name}: {clean.rows:,} rows, {clean.left_out:,} left out since the evaluation asks about them"
            for clean in place.cleans.values()
        ]
        for cell in every:
            rows = count_rows(place, cell)
            what = f"{rows:,} rows, {count_steps(experiment.recipe, rows):,} training steps"
            lines.append(f"  {cell.name}: {'done' if cell.name in done else what}")
        tried, left = _list_trials(place)
        about = experiment.search
        if list_searches(experiment):
            lines.append(f"  searched: at most {len(left)} cells more, of {about.low} to {about.high} %")
        todo = [*(cell for cell in every if cell.name not in done), *left]
        if todo:
            known = [*done.values(), *tried]
            lines += [*_cost_lines(place, todo, progress or Silent()), _describe_evaluating(todo, known)]
    return lines


def _list_trials(place: ExperimentFolder) -> tuple[list[Outcome], list[Cell]]:
    """What searches have tried, and stand-ins of the middle size for what they may try yet."""
    experiment = place.experiment
    about = experiment.search
    tried: list[Outcome] = []
    left: list[Cell] = []
    for model, choice in list_searches(experiment):
        sizes = [build_trial(experiment, model, choice, percent) for percent in range(about.low, about.high + 1)]
        found = [outcome for cell in sizes if (outcome := read_outcome(place, cell)) is not None]
        tried += found
        left += [sizes[len(sizes) // 2]] * max(about.trials - len(found), 0)
    return tried, left


def _cost_lines(place: ExperimentFolder, todo: Sequence[Cell], progress: Progress) -> list[str]:
    """Passes, tokens, disk and time of these cells, base model by base model."""
    experiment, lines = place.experiment, []
    here = experiment.settings.executor == "local"
    asked: set[_Asked] = set()
    for model in dict.fromkeys(cell.model for cell in todo):
        own = [cell for cell in todo if cell.model == model and cell.choice is not None]
        if not own:
            continue
        rows = [count_rows(place, cell) for cell in own]
        read = [count_rows_read(experiment.recipe, number) for number in rows]
        sources = {cell.source for cell in own}
        base, recipe, settings = _find_model(experiment, model), experiment.recipe, experiment.settings
        row = {source: count_row_tokens(place.cleans[source].run, base, recipe, settings) for source in sources}
        tokens = sum(number * row[cell.source] for number, cell in zip(read, own, strict=True))
        weights = sum(file.stat().st_size for file in Path(base.path).glob("*.safetensors"))
        kept = f"{len(own)} of them are kept" if experiment.keep_models else "removed once it is evaluated"
        steps, mean = sum(count_steps(experiment.recipe, number) for number in rows), tokens / max(sum(read), 1)
        tuning = f"{steps:,} steps, about {tokens:,.0f} tokens ({mean:.0f} a row; more where long rows are chosen)"
        if here:
            with rehearse(place.clean.run, base, recipe, place.folder / "rehearsal", settings, progress) as tuned:
                speed = tuned.tokens / tuned.seconds
            tuning += f", {_time(tokens / speed)} at {speed:,.0f} tokens a second, measured"
        choosing, asked = _describe_choosing(place, own, asked, here, progress)
        lines += [
            f"{model}:",
            f"  choosing: {choosing}",
            f"  tuning: {tuning}",
            f"  disk: {weights / 1e6:,.0f} MB a tuned model, {kept}",
        ]
    return lines


def _describe_choosing(
    place: ExperimentFolder, own: Sequence[Cell], asked: set[_Asked], here: bool, progress: Progress
) -> tuple[str, set[_Asked]]:
    """What the choices of cells ask of models and has not been asked before, and all that is asked then."""
    before, seconds = asked, 0.0
    choices = [(cell.source, resolve(place.build_settings(cell))) for cell in own]
    for source, plan in sorted(choices, key=lambda each: -len(each[1].rating_prompts)):
        settings = plan.settings
        ratings: set[_Asked] = {(source, name, request) for name in settings.model for request in plan.rating_prompts}
        requests = [each for spec in plan.all_specs for each in list_requests(spec.method, spec.target)]
        rest_of: set[_Asked] = {
            (source, request.model_asked(settings), request) for request in (*requests, *plan.filters.requests)
        }
        new = (ratings | rest_of) - asked
        if here and new:
            cost = costs_plan.plan(place.cleans[source].path, settings, TIMED_ANSWERS, progress=progress)
            raters = {name for _, name, _ in new & ratings}
            signals = {(request.signal, name) for _, name, request in new & rest_of}
            seconds += sum(each.seconds for each in cost.models if each.model in raters)
            seconds += sum(each.seconds for each in cost.signals if (each.signal, each.model) in signals)
        asked = asked | new
    rated = rest = 0
    for source, _, request in asked - before:
        number = place.cleans[source].rows * request.passes
        if isinstance(request, RatingPrompt):
            rated += number
        else:
            rest += number
    most = "at most " if any(plan.settings.cascade for _, plan in choices) else ""
    time = f" ({_time(seconds)} for what is not there yet, measured)" if here and (rated or rest) else ""
    tuned = _describe_tuning(place, own)
    return f"{most}{rated:,} ratings, at most {rest:,} other passes{time}{tuned}", asked


def _describe_tuning(place: ExperimentFolder, own: Sequence[Cell]) -> str:
    """What methods that tune models on the way do while they choose for these cells; '' where there are none."""
    steps = trainings = passes = 0
    for cell in own:
        method, rows = resolve(place.build_settings(cell)).parts[0].method, place.clean_of(cell).rows
        if tunes(method):
            asked = method.outline(rows, count_rows(place, cell))
            planned = plan_trainings(asked)
            steps += sum(each.steps for each in planned)
            trainings += len(planned)
            passes += rows * sum(each.passes for each in asked)
    if not trainings:
        return ""
    return f"; on the way at most {trainings:,} trainings of {steps:,} steps and {passes:,} passes of tuned models"


def _describe_evaluating(todo: Sequence[Cell], known: Sequence[Outcome]) -> str:
    """The time to evaluate, by what each base model has taken so far."""
    seconds: dict[str, list[float]] = {}
    for outcome in known:
        seconds.setdefault(outcome.line[0], []).append(outcome.eval_seconds)
    unknown = [cell for cell in todo if cell.model not in seconds]
    if unknown:
        return f"evaluating {len(todo):,} cells: the time is known when the first of each base model is done"
    left = sum(float(np.mean(seconds[cell.model])) for cell in todo)
    return f"evaluating {len(todo):,} cells: {_time(left)}, as those that are done took"


def _find_model(experiment: Experiment, model: str) -> Model:
    return model_files.resolve(model, accept_terms=experiment.settings.accept_terms)


def _time(seconds: float) -> str:
    return f"about {seconds / 60:,.1f} minutes"
