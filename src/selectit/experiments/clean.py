"""The data of an experiment without the rows that its evaluation asks about."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.errors import DataError, RunError
from selectit.evaluation.job import refusal
from selectit.evaluation.suites import chosen
from selectit.experiments.decontamination import contaminated, questions
from selectit.experiments.settings import Experiment
from selectit.output import write_rows
from selectit.run import PART_ROWS, create


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


def cleaned(experiment: Experiment, folder: Path) -> Clean:
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
