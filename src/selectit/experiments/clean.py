"""The data sets of an experiment without the rows that its evaluation asks about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config import Settings
from selectit.errors import DataError, RunError
from selectit.evaluation.job import refusal
from selectit.evaluation.suites import chosen
from selectit.experiments.decontamination import contaminated, questions
from selectit.experiments.settings import Experiment, settings_for
from selectit.output import write_rows
from selectit.run import PART_ROWS, Run, create


@dataclass(frozen=True, slots=True)
class Clean:
    """A data set without what the evaluation asks about."""

    name: str
    """The data set's."""
    home: Path
    """Its folder in the experiment's."""
    settings: Settings
    """How it is read."""
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

    @property
    def run(self) -> Path:
        """The run directory that all choices from it share."""
        return self.home / "run"

    def opened(self) -> Run:
        """The run directory, begun where it is not there. Raises RunError where it is of other data."""
        return _run_in(self.settings, self.path, self.run)


def cleaned(experiment: Experiment, folder: Path) -> dict[str, Clean]:
    """Leave the rows out that the evaluation asks about; the same again where nothing has changed.

    By `Choice.source`: '' is the experiment's own data, which is in the folder itself; others are in FOLDER/data.
    """
    asked = _asked(experiment)
    found = {"": _cleaned(experiment.data, experiment.settings, folder, *asked)}
    for choice in experiment.choices:
        if choice.source not in found:
            home = folder / "data" / choice.source
            found[choice.source] = _cleaned(choice.data, settings_for(experiment, choice), home, *asked)
    return found


def _asked(experiment: Experiment) -> tuple[list[str], list[str]]:
    """What the evaluation asks, and benchmarks whose questions can't be read; nothing without decontamination."""
    if not experiment.decontaminate:
        return [], []
    evaluation = experiment.evaluation
    protocols = chosen(evaluation.suite, evaluation.task, heldout=bool(evaluation.heldout))
    tasks = [protocol.task for protocol in protocols if not refusal(protocol.task, evaluation)]
    return questions(evaluation, tasks)


def _cleaned(data: str, settings: Settings, home: Path, asked: Sequence[str], unknown: Sequence[str]) -> Clean:
    run = _run_in(settings, data, home / "source")
    clean = Clean(
        name=str(run.manifest["data"]),
        home=home,
        settings=settings,
        path=data,
        suffix=str(run.manifest["suffix"]),
        source=str(run.manifest["identity"]["sha256"]),
        rows=run.rows,
        left_out=0,
        unknown=tuple(unknown),
    )
    starts = range(0, run.rows, PART_ROWS)
    samples = (each for start in starts for each in run.samples(start, min(start + PART_ROWS, run.rows)))
    out = contaminated(samples, asked) if asked else set()
    if len(out) == run.rows:
        raise DataError(f"every row of {data} is asked in the evaluation", "Evaluate on other data.")
    if not out:
        return clean
    path = home / f"clean{clean.suffix}"
    rows = np.setdiff1d(np.arange(run.rows), sorted(out))
    with _of_this_experiment(home):
        write_rows(run, path, rows, None, force=False)
    return dataclasses.replace(clean, path=str(path), rows=len(rows), left_out=len(out))


def _run_in(settings: Settings, data: str, folder: Path) -> Run:
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
