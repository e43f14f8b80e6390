"""Running an experiment: choose, tune, evaluate, cell by cell; what is done is not done again.

OUT/clean.*            the data without the rows that the evaluation asks about (only where there are any)
OUT/run/               the run directory: every signal once, for all choices
OUT/subsets/           the chosen rows in the data's own format
OUT/models/<cell>/     while a cell is under way; kept with keep_models
OUT/evaluations/       part by part, as `selectit eval` stores them
OUT/cells/<cell>.json  what came of it: a cell with this file is finished
OUT/results.{md,csv,tex,html} and OUT/figures/
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit import api, training
from selectit import methods as method_files
from selectit.collect import Progress, Silent
from selectit.errors import DataError, RunError
from selectit.evaluation.job import evaluate, refusal
from selectit.evaluation.suites import chosen
from selectit.experiments import report
from selectit.experiments.decontamination import contaminated, questions
from selectit.experiments.identity import fingerprint
from selectit.experiments.search import check_search, search
from selectit.experiments.settings import Cell, Experiment, cells, searches, selecting
from selectit.experiments.tables import Outcome, Scored
from selectit.gather import works_of
from selectit.output import write_rows
from selectit.rating import prompts_of_run
from selectit.run import PART_ROWS, Run, create, read_json, write_json
from selectit.scoring import budget_of, parts_of, prompts_asked_by, rates_pairs, with_inner
from selectit.works import passes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clean:
    """The data without what the evaluation asks about."""

    path: str
    source: str
    """sha256 of the data before anything was left out."""
    rows: int
    left_out: int
    """Rows that share a question with the evaluation."""
    unknown: tuple[str, ...]
    """Benchmarks whose questions could not be read, so that nothing was compared with them."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What an experiment came to."""

    out: Path
    clean: Clean
    outcomes: tuple[Outcome, ...]
    report: str
    """The tables in Markdown, as in OUT/results.md."""

    @property
    def page(self) -> Path | None:
        """OUT/results.html; None without the extra `report`."""
        path = self.out / "results.html"
        return path if path.is_file() else None


def experiment(experiment: Experiment, out: str | Path, progress: Progress | None = None) -> Finished:
    """Run all cells that are not finished, and write the tables, figures and page.

    Args:
        experiment: from `settings.load`.
        out: the experiment's folder. Typed again, it goes on where it was; one experiment a folder.
        progress: told what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    check_search(experiment)
    progress = progress or Silent()
    with _locked(folder):
        clean = _clean(experiment, folder)
        every = cells(experiment)
        outcomes = []
        for number, cell in enumerate(every, start=1):
            log.info("%d of %d: %s", number, len(every), cell.name)
            outcomes.append(_outcome(experiment, cell, folder, clean, progress))
        tried, best = search(experiment, lambda cell: _outcome(experiment, cell, folder, clean, progress))
        known = [(each.line, each.seed) for each in outcomes]
        outcomes += [each for each in tried if (each.line, each.seed) not in known]
        notes = [*_notes(experiment, clean), *(each.text for each in best)]
        text = report.write(folder, Path(experiment.data).name, notes, outcomes, experiment.choices)
    return Finished(folder, clean, tuple(outcomes), text)


def plan(experiment: Experiment, out: str | Path) -> list[str]:
    """What the experiment will do and what of it is done, as lines of text.

    Reads the data into the experiment's folder, and asks no model.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        clean = _clean(experiment, folder)
    run = create(clean.path, dataclasses.replace(experiment.settings, run=str(folder / "run")))
    every = cells(experiment)
    lines = [f"{run.rows:,} rows, {clean.left_out:,} left out since the evaluation asks about them"]
    seconds: list[float] = []
    pending = 0
    for cell in every:
        done = folder / "cells" / f"{cell.name}.json"
        facts = read_json(done) if done.is_file() else None
        if facts is not None:
            seconds.append(facts["train_seconds"] + facts["eval_seconds"])
        pending += facts is None
        rows = 0 if cell.choice is None else _rows_of(experiment, cell, run)
        steps = _steps(experiment, rows)
        lines.append(f"  {cell.name}: {'done' if facts else f'{rows:,} rows, {steps:,} training steps'}")
    trials = experiment.search.trials * len(searches(experiment))
    if trials:
        pending += trials
        lines.append(
            f"  searched: at most {trials} cells more, of {experiment.search.low} to {experiment.search.high} %"
        )
    passes = _passes(experiment, every, run)
    lines.append(f"ratings and other signals: at most {passes:,} forward passes, those that choices share once")
    if seconds:
        left = pending * sum(seconds) / len(seconds)
        lines.append(f"{pending} cells left, about {left / 60:,.0f} minutes to tune and evaluate at the mean so far")
    else:
        lines.append(f"{pending} cells; their time is known when the first is done, that of rating by selectit plan")
    return lines


def _locked(folder: Path) -> AbstractContextManager[None]:
    return Run(folder, {}).lock("experiment", f"another selectit runs the experiment in {folder}")


def _clean(experiment: Experiment, folder: Path) -> Clean:
    """Leave the rows out that the evaluation asks about; the same again where nothing has changed."""
    run = create(experiment.data, dataclasses.replace(experiment.settings, run=str(folder / "source")))
    source = str(run.manifest["identity"]["sha256"])
    if not experiment.decontaminate:
        return Clean(experiment.data, source, run.rows, 0, ())
    evaluation = experiment.evaluation
    protocols = chosen(evaluation.suite, evaluation.task, heldout=bool(evaluation.heldout))
    tasks = [protocol.task for protocol in protocols if not refusal(protocol.task, evaluation)]
    asked, unknown = questions(evaluation, tasks)
    starts = range(0, run.rows, PART_ROWS)
    samples = (each for start in starts for each in run.samples(start, min(start + PART_ROWS, run.rows)))
    out = contaminated(samples, asked)
    if len(out) == run.rows:
        raise DataError(f"every row of {experiment.data} is asked in the evaluation", "Evaluate on other data.")
    if not out:
        return Clean(experiment.data, source, run.rows, 0, tuple(unknown))
    path = folder / f"clean{run.manifest['suffix']}"
    rows = np.setdiff1d(np.arange(run.rows), sorted(out))
    try:
        write_rows(run, path, rows, None, force=False)
    except RunError as error:
        raise RunError(
            f"{folder} holds another experiment: {error.message}", "Name another folder with --out."
        ) from error
    return Clean(str(path), source, len(rows), len(out), tuple(unknown))


def _outcome(experiment: Experiment, cell: Cell, folder: Path, clean: Clean, progress: Progress) -> Outcome:
    """What came of a cell: stored, or made now."""
    path = folder / "cells" / f"{cell.name}.json"
    mark = fingerprint(experiment, cell, clean.source, clean.rows)
    if path.is_file():
        stored = read_json(path)
        if stored["fingerprint"] != mark:
            raise RunError(
                f"{path} is of the same cell with other settings", "Name another folder with --out, or remove it."
            )
        _remove(experiment, cell, folder)  # where it was killed between the two
        return _from_plain(cell, stored)
    facts = _tuned(experiment, cell, folder, clean, progress)
    model = str(facts.pop("path"))
    out = str(folder / "evaluations" / f"{cell.name}.json")
    accepted = experiment.settings.accept_terms or experiment.evaluation.accept_terms
    evaluation = dataclasses.replace(experiment.evaluation, out=out, accept_terms=accepted)
    (results,) = evaluate([model], evaluation)
    scores = {
        score.benchmark: Scored(
            metric=score.metric,
            value=score.value,
            stderr=score.stderr,
            items=[f"{p.name}/{n}" for p in results.parts if p.benchmark == score.benchmark for n in p.items],
            values=[v for p in results.parts if p.benchmark == score.benchmark for v in p.values],
        )
        for score in results.scores
    }
    seconds = sum(score.seconds for score in results.scores)
    method = "" if cell.choice is None else method_files.spelled(cell.choice.method)[0]
    outcome = Outcome(line=cell.line, method=method, seed=cell.seed, scores=scores, eval_seconds=seconds, **facts)
    write_json(path, {"fingerprint": mark, **dataclasses.asdict(outcome)})
    _remove(experiment, cell, folder)
    return outcome


def _remove(experiment: Experiment, cell: Cell, folder: Path) -> None:
    """Remove a finished cell's weights, unless they are kept."""
    if not experiment.keep_models:
        shutil.rmtree(folder / "models" / cell.name, ignore_errors=True)


def _tuned(experiment: Experiment, cell: Cell, folder: Path, clean: Clean, progress: Progress) -> dict[str, Any]:
    """Choose and tune: the model's folder, and what it took."""
    if cell.choice is None:
        nothing = dict.fromkeys(("rows", "steps", "tokens", "train_seconds", "passes", "select_seconds"), 0)
        return {"path": cell.model, "loss": None, **nothing}
    settings = selecting(experiment, cell, str(folder / "run"))
    subset = folder / "subsets" / f"{cell.name}{Path(clean.path).suffix}"
    subset.parent.mkdir(exist_ok=True)
    settings = dataclasses.replace(settings, out=str(subset), name=cell.name, force=True)
    selected = api.select(clean.path, settings, progress)
    recipe = dataclasses.replace(experiment.recipe, seed=cell.seed)
    tuned = training.train(
        selected.run,
        cell.name,
        cell.model,
        recipe,
        folder / "models" / cell.name,
        accept_terms=settings.accept_terms,
        trust_remote_code=settings.trust_remote_code,
        progress=progress,
    )
    return {
        "path": tuned.path,
        "rows": tuned.rows,
        "steps": tuned.steps,
        "tokens": tuned.tokens,
        "loss": tuned.loss,
        "train_seconds": tuned.seconds,
        "passes": selected.passes,
        "select_seconds": selected.seconds,
    }


def _from_plain(cell: Cell, stored: dict[str, Any]) -> Outcome:
    plain = {key: value for key, value in stored.items() if key != "fingerprint"}
    scores = {name: Scored(**each) for name, each in plain["scores"].items()}
    return Outcome(**{**plain, "line": cell.line, "scores": scores})


def _notes(experiment: Experiment, clean: Clean) -> list[str]:
    """What stands above the tables."""
    recipe = experiment.recipe
    by = f"{recipe.steps:,} steps each" if recipe.steps is not None else f"{recipe.epochs:g} epochs each"
    lines = [
        f"{clean.rows:,} rows of {Path(experiment.data).name}; {clean.left_out:,} left out since the evaluation asks "
        f"about them. Recipe {recipe.name}, {by}, batch {recipe.batch_size}, learning rate {recipe.learning_rate:g}."
    ]
    if clean.unknown:
        names = ", ".join(clean.unknown)
        lines.append(
            f"Not compared with the data, since their questions are not in files that are known here: {names}."
        )
    return lines


def _rows_of(experiment: Experiment, cell: Cell, run: Run) -> int:
    settings = selecting(experiment, cell, str(run.path))
    return budget_of(settings, parts_of(settings, None)).count(run.rows)


def _steps(experiment: Experiment, rows: int) -> int:
    recipe = experiment.recipe
    if not rows:
        return 0
    return recipe.steps if recipe.steps is not None else -(-int(rows * recipe.epochs) // recipe.batch_size)


def _passes(experiment: Experiment, every: Sequence[Cell], run: Run) -> int:
    """Forward passes of all signals, each choice of a model counted by itself."""
    seen, total = set(), 0
    for cell in every:
        if cell.choice is None or (cell.model, cell.choice.name) in seen:
            continue
        seen.add((cell.model, cell.choice.name))
        settings = selecting(experiment, cell, str(run.path))
        every_part = with_inner(parts_of(settings, None), None)
        works = [work for part in every_part for work in works_of(part.method)]
        rating = [part for part in every_part if rates_pairs(part.method)]
        rated = prompts_asked_by(rating, prompts_of_run(settings, None)) if rating else ()
        total += run.rows * sum(passes(work) for work in (*rated, *works))
    return total
