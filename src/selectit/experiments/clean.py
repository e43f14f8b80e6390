"""The data of an experiment without the rows that its evaluation asks about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.errors import DataError, RunError
from selectit.evaluation.job import refusal
from selectit.evaluation.suites import chosen
from selectit.experiments.decontamination import contaminated, questions
from selectit.experiments.settings import Experiment
from selectit.output import write_rows
from selectit.run import PART_ROWS, Run, create


@dataclass(frozen=True, slots=True)
class Clean:
    """The data without what the evaluation asks about."""

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


def cleaned(experiment: Experiment, folder: Path) -> Clean:
    """Leave the rows out that the evaluation asks about; the same again where nothing has changed."""
    run = run_in(experiment, experiment.data, folder / "source")
    source, suffix = str(run.manifest["identity"]["sha256"]), str(run.manifest["suffix"])
    if not experiment.decontaminate:
        return Clean(experiment.data, suffix, source, run.rows, 0, ())
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
        return Clean(experiment.data, suffix, source, run.rows, 0, tuple(unknown))
    path = folder / f"clean{suffix}"
    rows = np.setdiff1d(np.arange(run.rows), sorted(out))
    with _of_this_experiment(folder):
        write_rows(run, path, rows, None, force=False)
    return Clean(str(path), suffix, source, len(rows), len(out), tuple(unknown))


def run_in(experiment: Experiment, data: str, folder: Path) -> Run:
    """The run directory of the data in the experiment's folder. Raises RunError where it is of other data."""
    with _of_this_experiment(folder.parent):
        return create(data, dataclasses.replace(experiment.settings, run=str(folder)))


@contextmanager
def _of_this_experiment(folder: Path) -> Iterator[None]:
    try:
        yield
    except RunError as error:
        raise RunError(
            f"{folder} holds another experiment: {error.message}", "Name another folder with --out."
        ) from error
