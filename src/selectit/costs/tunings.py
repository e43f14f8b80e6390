"""What tuning a model costs, and what a method will do that tunes models on the way: before it is begun.

Tokens are counted on some rows, and time is measured in some steps.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.settings import Settings
from selectit.costs.passes import SignalCost, check_sample, count_signal, draw, expect
from selectit.costs.token_counts import space_evenly
from selectit.costs.trials import try_request
from selectit.data.memory import Data
from selectit.errors import SettingsError
from selectit.inference.rate import find_model, open_or_create_run
from selectit.methods._tuning import Pass, TunedOn, tunes
from selectit.models.adapters import find_checkpoints
from selectit.models.files import Model
from selectit.procedures.follow import with_engine
from selectit.procedures.tuned import check_trainings, choose_recipe, find_base
from selectit.progress import Progress, Silent
from selectit.runs.run import Run
from selectit.selection.resolve import resolve
from selectit.selection.spec import MethodSpec, list_requests
from selectit.signals.requests import GradientRequest, Request
from selectit.training.examples import build_examples, set_template
from selectit.training.recipes import Recipe
from selectit.training.train import Trained, train

COUNTED_ROWS = 200
"""Tokens of a row are the mean over so many, evenly spaced."""
TIMED_STEPS = 2


@dataclass(frozen=True, slots=True)
class PlannedTuning:
    """One training on the way."""

    rows: int
    """At most."""
    rows_read: int
    """The same, each time that one is read."""
    steps: int
    tokens: int
    """About: by the mean row."""


@dataclass(frozen=True, slots=True)
class TuningCost:
    """What a method that tunes models on the way will do, from the beginning."""

    run: Path
    data: str
    data_rows: int
    """Of the data."""
    rows: int
    """That all else here is about: so many like those of the data."""
    method: str
    """Its label."""
    model: str
    kept: int
    base_passes: int
    """Passes a row, before anything is tuned."""
    tuned_passes: int
    """Passes a row, of the tuned models together."""
    tunings: tuple[PlannedTuning, ...]
    row_tokens: float
    """Mean tokens of a row as it is trained on."""
    weights: int
    """Bytes of what stays of one training: the tuned model, or the checkpoints of its adapter."""
    tuning_seconds: float
    """About, by some steps."""
    signals: tuple[SignalCost, ...]
    """All that models are asked, each request once for all models; what is asked about rows is timed on some."""

    @property
    def reading_seconds(self) -> float:
        """About, of all that models are asked about rows, without loading them."""
        return sum(each.seconds for each in self.signals)

    @property
    def all_rows_seconds(self) -> float:
        """About, of one epoch on all rows."""
        return self.tuning_seconds / sum(each.rows_read for each in self.tunings) * self.rows


def plan_tuning(
    data: Data | None,
    settings: Settings,
    sample: int = 8,
    rows: int | None = None,
    progress: Progress | None = None,
) -> TuningCost:
    """What `select` with the same settings will cost, for a method that tunes models on the way.

    Writes the run directory's copy of the source and nothing else. Tunes the model for some steps and has it read some
    rows; both are thrown away. What the run holds already is not subtracted.

    Args:
        data: as for `select`.
        settings: as for `select`.
        sample: answers to ask about for the measurement, drawn evenly by length; 2 or more.
        rows: plan for so many rows like these; None = for these.
        progress: shows what is going on.

    Raises:
        SelectitError: whatever would stop the choice before it is begun, or a method that tunes nothing.
    """
    check_sample(sample)
    old = open_or_create_run(None, settings) if data is None else None
    plan = resolve(settings, old)
    method = plan.parts[0].method
    if not tunes(method) or settings.combine is not None:
        raise SettingsError(f"{settings.method} tunes no model on the way", "Plan its ratings: selectit plan.")
    run = old or open_or_create_run(data, settings)
    rows, base, progress = rows or run.rows, find_base(settings), progress or Silent()
    kept = plan.budget.count(rows)
    passes, first = _outline(plan.parts[0], rows, kept)
    recipe = choose_recipe(first)
    row_tokens = count_row_tokens(run, base, recipe, settings)
    tunings = plan_trainings(passes, row_tokens)
    checkpoints = min(first.checkpoints, tunings[0].steps)
    with rehearse(run, base, recipe, run.path / "rehearsal", settings, progress, min(checkpoints, 1)) as tuned:
        signals = tuple(_plan_reading(run, plan.parts[0], passes, rows, sample, tuned.path, progress))
        weights = count_left(tuned.path, checkpoints)
    return TuningCost(
        run=run.path,
        data=str(run.manifest["data"]),
        data_rows=run.rows,
        rows=rows,
        method=method.label,
        model=base.name,
        kept=kept,
        base_passes=sum(request.passes for request in list_requests(method)),
        tuned_passes=sum(each.passes for each in passes),
        tunings=tunings,
        row_tokens=row_tokens,
        weights=weights,
        tuning_seconds=sum(each.tokens for each in tunings) * tuned.seconds / tuned.tokens,
        signals=signals,
    )


def _outline(spec: MethodSpec, rows: int, kept: int) -> tuple[list[Pass], TunedOn]:
    """The passes of a method that tunes, and the first model that it tunes. Raises SettingsError without one."""
    assert tunes(spec.method)
    found = spec.method.outline(rows, kept)
    passes = [dataclasses.replace(each, request=each.request.towards(spec.target)) for each in found]
    first = next((each.model for each in passes if each.model is not None), None)
    if first is None:
        raise SettingsError(f"{spec.settings.method} has nothing to tune on so few rows", "Keep more with --keep.")
    check_trainings(passes)
    return passes, first


def count_left(rehearsed: Path, checkpoints: int) -> int:
    """Bytes of weights that a training leaves, by a rehearsed one: of so many checkpoints like its one; 0 = no such."""
    files = (rehearsed / "checkpoints").rglob("*") if checkpoints else rehearsed.rglob("*.safetensors")
    return max(checkpoints, 1) * sum(file.stat().st_size for file in files if file.is_file())


def plan_trainings(passes: Sequence[Pass], row_tokens: float = 0.0) -> tuple[PlannedTuning, ...]:
    """The trainings of a method's outline; `row_tokens` = mean tokens of a row."""
    models = {id(each.model): each.model for each in passes if each.model is not None}
    return tuple(_plan_training(each, row_tokens) for each in models.values())


def _plan_training(model: TunedOn, row_tokens: float) -> PlannedTuning:
    recipe, rows = choose_recipe(model), len(model.rows)
    read = count_rows_read(recipe, rows)
    return PlannedTuning(rows, read, count_steps(recipe, rows), round(read * row_tokens))


def count_rows_read(recipe: Recipe, rows: int) -> int:
    """Rows that all steps of a training read."""
    return recipe.steps * recipe.batch_size if recipe.steps is not None else round(rows * recipe.epochs)


def count_steps(recipe: Recipe, rows: int) -> int:
    """Steps of a training on so many rows."""
    return -(-count_rows_read(recipe, rows) // recipe.batch_size) if rows else 0


def count_row_tokens(run: Run, model: Model, recipe: Recipe, settings: Settings) -> float:
    """Mean tokens of a row as it is trained on."""
    from selectit.engines.texts import load_tokenizer  # with transformers, and the time that it takes to import

    tokenizer = load_tokenizer(model.path, settings.trust_remote_code)
    set_template(tokenizer, recipe.template)
    found = build_examples(run, space_evenly(run.rows, COUNTED_ROWS), tokenizer, recipe.max_tokens)
    return float(np.mean([len(each.ids) for each in found]))


@contextmanager
def rehearse(
    run: Run, model: Model, recipe: Recipe, folder: Path, settings: Settings, progress: Progress, checkpoints: int = 0
) -> Iterator[Trained]:
    """Some steps of a training on a few rows, by the function that tunes, in a folder that goes at the end."""
    size = recipe.batch_size if recipe.accelerate else min(recipe.batch_size, 2 * recipe.micro_batch)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield train(
            run.path,
            space_evenly(run.rows, TIMED_STEPS * size),
            model.name,
            dataclasses.replace(recipe, steps=TIMED_STEPS, batch_size=size),
            folder,
            accept_terms=settings.accept_terms,
            trust_remote_code=settings.trust_remote_code,
            keep_checkpoints=checkpoints,
            progress=progress,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _plan_reading(
    run: Run,
    spec: MethodSpec,
    passes: Sequence[Pass],
    rows: int,
    sample: int,
    rehearsed: Path,
    progress: Progress,
) -> Iterator[SignalCost]:
    """What models are asked, each request about rows measured once: tuned ones are the rehearsed one.

    An answer at several checkpoints counts as so many answers.
    """
    asked = [Pass(request, None) for request in list_requests(spec.method, spec.target)] + [*passes]
    drawn = draw(run.samples_at(space_evenly(run.rows, COUNTED_ROWS)), sample)
    for request in dict.fromkeys(each.request for each in asked if each.passes):
        own = [each for each in asked if each.request == request]
        here = with_engine(spec.settings, request)
        if all(each.model is not None for each in own):
            model, question = _ask_rehearsed(find_base(spec.settings), request, rehearsed)
        else:
            model, question = find_model(request.model_asked(here), here), request
        counts = [(each.passes, rows if each.pairs is None else len(each.pairs.rows)) for each in own]
        answers = sum(each * number for each, number in counts) // request.passes
        trial = try_request(question, model, here, {}, drawn, progress)
        yield expect(count_signal(request, model, answers), trial)
    for each in passes:
        if each.of_target:
            cost = count_signal(each.request, find_base(spec.settings), len(spec.target), of_target=True)
            yield dataclasses.replace(cost, each=each.each, passes=each.each * cost.answers)


def _ask_rehearsed(base: Model, request: Request, rehearsed: Path) -> tuple[Model, Request]:
    """What is loaded and asked in place of a tuned model: the rehearsed one, or its base at its one checkpoint."""
    checkpoints = rehearsed / "checkpoints"
    if not checkpoints.is_dir():
        return dataclasses.replace(base, path=str(rehearsed)), request
    assert isinstance(request, GradientRequest)  # nothing else is read at checkpoints
    return base, request.at(find_checkpoints(str(checkpoints)))
