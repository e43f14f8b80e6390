"""What a method's signals cost beside ratings: passes of models over the rows and the examples of a target.

The passes are counted; what a model on this machine is asked about the rows is measured too, on a sample.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selectit.costs.token_counts import even_by_length
from selectit.costs.trials import SignalTrial, try_request
from selectit.data.records import Sample
from selectit.engines import loading
from selectit.errors import SettingsError
from selectit.inference.units import Task
from selectit.models.files import Model
from selectit.progress import Progress
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
    of_model: bool
    """Whether that is the model that is to be tuned, which --model names; else an encoder, a judge, a reward model."""
    of_target: bool
    """Whether it is asked about the examples of the target; else about the rows."""
    answers: int
    """Rated answers of the rows, or examples."""
    each: int
    """Passes that one of them takes."""
    pass_name: str
    """What these are: 'forward passes'."""
    operations: int
    """Of a pass, for each token and parameter: `SignalRequest.operations`."""
    passes: int
    """Still to be made."""
    passes_done: int
    """That the run holds already."""
    measured: SignalTrial | None = None
    """A sample that was asked about; None where nothing is to be done, of examples, and where a server is asked."""
    seconds: float = 0.0
    """Expected, where it was measured, without loading the model."""
    seconds_low: float = 0.0
    """The same at the rate of the quicker half of the sample."""
    seconds_high: float = 0.0
    """The same at the rate of the slower half."""
    bytes: int = 0
    """Of the answers that will be written, where it was measured."""


def estimate_signals(
    run: Run, plan: Plan, row: Int64, samples: Sequence[Sample], sample: int, progress: Progress
) -> tuple[SignalCost, ...]:
    """What the methods of a plan ask of models but ratings, each request once.

    Args:
        run: the examples of a target are written into it, as `rate` would.
        plan: of methods that will score or choose.
        row: (I,) the row of every answer of the run, rising.
        samples: answers to draw a sample from.
        sample: so many are asked about.
        progress: shows what is measured.

    Raises:
        SelectitError: whatever would stop the asking.
    """
    drawn = draw(samples, sample)
    found = {}
    for task in list_tasks(run, dataclasses.replace(plan, rating_prompts=())):
        of_target = task.run.path != run.path
        items = np.arange(task.run.rows) if of_target else row
        for request in task.requests:
            cost = _count(task, request, items, of_target)
            if cost.passes and not of_target and _is_measured(task):
                cost = expect(cost, _try(task, request, drawn, progress))
            found[of_target, task.model.digest, request] = cost
    return tuple(found.values())


def check_sample(number: int) -> None:
    """Raise SettingsError where so many answers can't be measured."""
    if number < 2:
        raise SettingsError(f"--sample is {number}", "It is a number of 2 or more: its halves are compared.")


def draw(samples: Sequence[Sample], number: int) -> list[Sample]:
    """So many of the samples, or all, shortest first, drawn evenly by length."""
    lengths = np.array([len(each.instruction) + len(each.response) for each in samples])
    return [samples[place] for place in even_by_length(lengths, number)]


def expect(cost: SignalCost, trial: SignalTrial) -> SignalCost:
    """The cost with what is still to be done at the rate of a sample."""
    times = cost.passes / cost.each / trial.answers
    return dataclasses.replace(
        cost,
        measured=trial,
        seconds=times * trial.seconds,
        seconds_low=times * trial.seconds_low,
        seconds_high=times * trial.seconds_high,
        bytes=round(cost.passes / cost.each * trial.bytes_each),
    )


def _is_measured(task: Task) -> bool:
    """Whether the model is asked here: a server's time is its own, and its answers may cost money."""
    engine = loading.find(task.settings.engine or loading.DEFAULT)
    return engine.holds_weights or engine.made_up


def _try(task: Task, request: Request, drawn: Sequence[Sample], progress: Progress) -> SignalTrial:
    annotator = task.annotator()
    engine = {} if annotator is None else annotator.manifest["settings"]
    return try_request(request, task.model, task.settings, engine, drawn, progress)


def _count(task: Task, request: Request, items: Int64, of_target: bool) -> SignalCost:
    annotator = task.annotator()
    stored = [] if annotator is None else [u for u in units(task.run, annotator, [request]) if u.path.exists()]
    done = sum(int(np.diff(np.searchsorted(items, (unit.start, unit.stop)))[0]) for unit in stored)
    return count_signal(request, task.model, len(items), done, of_target=of_target)


def count_signal(request: Request, model: Model, answers: int, done: int = 0, *, of_target: bool = False) -> SignalCost:
    """The passes that a request takes about so many answers, of which `done` are there already."""
    return SignalCost(
        signal=request.signal,
        model=model.name,
        of_model="model" in request.named_by,
        of_target=of_target,
        answers=answers,
        each=request.passes,
        pass_name=request.pass_name[request.passes * answers != 1],
        operations=request.operations,
        passes=request.passes * (answers - done),
        passes_done=request.passes * done,
    )
