"""The data sets of an experiment without the rows that its evaluation asks about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.settings import Settings
from selectit.errors import DataError, RunError
from selectit.evaluation.evaluate import find_refusal
from selectit.evaluation.heldout import read_last_answers
from selectit.evaluation.suites import choose_protocols
from selectit.experiments.settings import Experiment, merge_settings
from selectit.filters.overlap import QuestionSet, find_overlaps
from selectit.runs.output import write_rows
from selectit.runs.run import Run
from selectit.runs.source import create
from selectit.selection.questions import read_benchmark


@dataclass(frozen=True, slots=True)
class CleanData:
    """A data set without what the evaluation asks about."""

    name: str
    """The data set's."""
    run: Run
    """The run directory that all choices from it share."""
    path: str
    suffix: str
    """Of a file in the same format, with the point."""
    source: str
    """sha256 of the data before anything was left out."""
    rows: int
    left_out: int
    """Rows that share a question with the evaluation."""
    unknown: tuple[str, ...]
    """Benchmarks whose questions could not be read, so that nothing was compared with them."""


def clean_data(experiment: Experiment, folder: Path) -> dict[str, CleanData]:
    """Leave the rows out that the evaluation asks about; the same again where nothing has changed.

    By `Choice.source`: '' is the experiment's own data, which is in the folder itself; others are in FOLDER/data.
    """
    asked = _read_questions(experiment)
    found = {"": _leave_out(experiment.data, experiment.settings, folder, *asked)}
    for choice in experiment.choices:
        if choice.source not in found:
            home = folder / "data" / choice.source
            found[choice.source] = _leave_out(choice.data, merge_settings(experiment, choice), home, *asked)
    return found


def _read_questions(experiment: Experiment) -> tuple[list[QuestionSet], list[str]]:
    """What the evaluation asks, and benchmarks whose questions can't be read; nothing without decontamination."""
    if not experiment.decontaminate:
        return [], []
    evaluation = experiment.evaluation
    protocols = choose_protocols(evaluation.suite, evaluation.task, heldout=bool(evaluation.heldout))
    tasks = [protocol.task for protocol in protocols if not find_refusal(protocol.task, evaluation)]
    known = {task: read_benchmark(task, evaluation.data_dir) for task in tasks}
    heldout = [(Path(path).name, read_last_answers(path, evaluation)) for path in evaluation.heldout]
    found = [QuestionSet(name, [each.instruction for each in answers]) for name, answers in heldout]
    found += [each for each in known.values() if each is not None]
    return found, [task for task, each in known.items() if each is None]


def _leave_out(
    data: str, settings: Settings, home: Path, asked: Sequence[QuestionSet], unknown: Sequence[str]
) -> CleanData:
    whole = _create_run(settings, data, home / "source")
    suffix = str(whole.manifest["suffix"])
    samples = (each for start, stop in whole.part_ranges() for each in whole.samples(start, stop))
    out = set(find_overlaps(samples, asked)) if asked else set()
    if len(out) == whole.rows:
        raise DataError(f"every row of {data} is asked in the evaluation", "Evaluate on other data.")
    path = data
    if out:
        path = str(home / f"clean{suffix}")
        with _of_this_experiment(home):
            write_rows(whole, Path(path), np.setdiff1d(np.arange(whole.rows), sorted(out)), None, force=False)
    return CleanData(
        name=str(whole.manifest["data"]),
        run=_create_run(settings, path, home / "run"),
        path=path,
        suffix=suffix,
        source=str(whole.manifest["identity"]["sha256"]),
        rows=whole.rows - len(out),
        left_out=len(out),
        unknown=tuple(unknown),
    )


def _create_run(settings: Settings, data: str, folder: Path) -> Run:
    with _of_this_experiment(folder.parent):
        return create(data, dataclasses.replace(settings, run=str(folder)))


@contextmanager
def _of_this_experiment(folder: Path) -> Iterator[None]:
    try:
        yield
    except RunError as error:
        raise RunError(
            f"{folder} holds another experiment: {error.message}", "Name another folder with --out."
        ) from error
