"""Making cells: one after another here, or side by side on Ray's workers."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selectit.errors import RunError
from selectit.experiments.cell import Chosen, ExperimentFolder, choose_rows, make_cell, read_outcome
from selectit.experiments.outcomes import Outcome
from selectit.experiments.settings import Cell
from selectit.inference import execute
from selectit.inference.shared_folder import wait_until_seen
from selectit.progress import Progress, Silent
from selectit.runs.run import open_run

log = logging.getLogger(__name__)


def make_cells(place: ExperimentFolder, cells: Sequence[Cell], progress: Progress) -> list[Outcome]:
    """The outcomes of the cells, in their order: read where they are stored, else made now."""
    found = {cell.name: read_outcome(place, cell) for cell in cells}
    todo = [cell for cell in cells if found[cell.name] is None]
    if place.experiment.settings.executor == "local":
        for number, cell in enumerate(todo, start=len(cells) - len(todo) + 1):
            log.info("%d of %d: %s", number, len(cells), cell.name)
            found[cell.name] = make_cell(place, cell, choose_rows(place, cell, progress), progress)
    elif todo:
        _make_side_by_side(place, todo, progress)
        wait_until_seen([place.outcome_file(cell) for cell in todo])
        found |= {cell.name: read_outcome(place, cell) for cell in todo}
    return [outcome for outcome in found.values() if outcome is not None]  # none is: every cell is made now


@dataclass(frozen=True, slots=True)
class _ChosenCell:
    """A cell whose rows are chosen."""

    place: ExperimentFolder
    cell: Cell
    chosen: Chosen
    here: Path
    """Where the command was typed: the experiment's paths are seen from there."""


def _make_side_by_side(place: ExperimentFolder, cells: Sequence[Cell], progress: Progress) -> None:
    """Choose all rows first, as signals are shared and are themselves collected on the workers; then make the cells."""
    here = Path.cwd()
    tasks = [_ChosenCell(place, cell, choose_rows(place, cell, progress), here) for cell in cells]
    run = open_run(place.clean.run.path.absolute())
    made = execute.call_for_each(_make_on_worker, tasks, place.experiment.settings, run)
    for number, task in enumerate(made, start=1):
        log.info("%d of %d done: %s", number, len(tasks), task.cell.name)


def _make_on_worker(task: _ChosenCell) -> None:
    """Make a cell on a worker. Its outcome is read from the shared folder."""
    if not task.here.is_dir():
        raise RunError(
            f"{os.uname().nodename} has no folder {task.here}",
            "Type the command in a folder that all machines share.",
        )
    os.chdir(task.here)
    make_cell(task.place, task.cell, task.chosen, Silent())
