"""What a method's signals cost beside ratings: passes of models over the rows and the examples of a target, counted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from selectit.inference.units import Task
from selectit.runs.annotators import units
from selectit.runs.run import Run
from selectit.selection.collect import list_tasks
from selectit.selection.spec import Plan
from selectit.signals.arrays import Int64
from selectit.signals.requests import Request


@dataclass(frozen=True, slots=True)
class SignalCost:
    """What one model is asked for one signal."""

    signal: str
    model: str
    of_target: bool
    """Whether it is asked about the examples of the target; else about the rows."""
    answers: int
    """Rated answers of the rows, or examples."""
    each: int
    """Passes that one of them takes."""
    pass_name: str
    """What these are: 'forward passes'."""
    passes: int
    """Still to be made."""
    passes_done: int
    """That the run holds already."""


def count_passes(run: Run, plan: Plan, row: Int64) -> tuple[SignalCost, ...]:
    """What the methods of a plan ask of models but ratings, each request once.

    Args:
        run: the examples of a target are written into it, as `rate` would.
        plan: of methods that will score or choose.
        row: (I,) the row of every answer of the run, rising.
    """
    found = {}
    for task in list_tasks(run, dataclasses.replace(plan, rating_prompts=())):
        of_target = task.run.path != run.path
        items = np.arange(task.run.rows) if of_target else row
        for request in task.requests:
            found[of_target, task.model.digest, request] = _count(task, request, items, of_target)
    return tuple(found.values())


def _count(task: Task, request: Request, items: Int64, of_target: bool) -> SignalCost:
    annotator = task.annotator()
    stored = [] if annotator is None else [u for u in units(task.run, annotator, [request]) if u.path.exists()]
    done = sum(int(np.diff(np.searchsorted(items, (unit.start, unit.stop)))[0]) for unit in stored)
    return SignalCost(
        signal=request.signal,
        model=task.model.name,
        of_target=of_target,
        answers=len(items),
        each=request.passes,
        pass_name=request.pass_name[1],
        passes=request.passes * (len(items) - done),
        passes_done=request.passes * done,
    )
