"""Following a method that tunes a model on the way, from pass to pass: each is answered once and read ever after."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from selectit.config.settings import Settings
from selectit.engines import loading
from selectit.errors import RunError
from selectit.inference import execute
from selectit.inference.units import Task
from selectit.methods._tuning import Pass, TuningScoringMethod
from selectit.procedures.tuned import TunedModel, find_base, locate_tuned, tune
from selectit.progress import Progress
from selectit.runs.annotators import Annotator
from selectit.runs.run import Run
from selectit.runs.stored import load_arrays
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AnsweredPass:
    """A pass that was answered, now or before."""

    annotator: Annotator
    request: Request
    tuned: TunedModel


@dataclass(frozen=True, slots=True)
class Followed(Generic[T]):
    """What a method returned at last, and the passes that it took."""

    result: T
    passes: tuple[AnsweredPass, ...]


def follow(
    run: Run, steps: Generator[Pass, Any, T], rows: Int64, settings: Settings, progress: Progress, *, asks: bool
) -> Followed[T]:
    """Answer each pass of a method until it returns.

    Args:
        run: where the answers are stored, and the tuned models.
        steps: of the method.
        rows: the rows of the run that the method's numbers of rows count.
        settings: which name the model that is tuned.
        progress: shows what is going on.
        asks: whether models are tuned and asked; else all is there already.

    Raises:
        RunError: an answer is missing, and nothing is asked.
        SelectitError: as of `train` and `do_units`.
    """
    base, answered, arrays = find_base(settings), list[AnsweredPass](), None
    while True:
        try:
            wanted = steps.send(arrays)
        except StopIteration as end:
            return Followed(end.value, tuple(answered))
        tuned = locate_tuned(run, wanted.model, rows, base)
        annotator = _answer(run, wanted.request, tuned, settings, progress, asks=asks)
        answered.append(AnsweredPass(annotator, wanted.request, tuned))
        arrays = _of_rows(run, wanted.request, load_arrays(run, [annotator], [wanted.request]), rows)


def follow_scoring(
    run: Run, method: TuningScoringMethod, signals: Signals, settings: Settings, progress: Progress, *, asks: bool
) -> Followed[Signals]:
    """From the signals of all rows that the method needs to those that it scores; as of `follow`."""
    return follow(run, method.steps(signals), np.arange(run.rows), settings, progress, asks=asks)


def _answer(
    run: Run, request: Request, tuned: TunedModel, settings: Settings, progress: Progress, *, asks: bool
) -> Annotator:
    """Who has answered a request about all rows: the tuned model, which is tuned and asked where that is missing."""
    task = Task(run, tuned.model, (request,), _with_engine(settings, request))
    annotator = task.annotator()
    if asks and (annotator is None or not tuned.is_finished or task.pending(task.units(annotator))):
        tune(run, tuned, settings, progress)
        (annotator,) = execute.do_units(run, [tuned.model], task.requests, task.settings, progress)
    if annotator is None or not tuned.is_finished:
        raise RunError(
            f"{run.path} has no {request.signal} by {tuned.model.name}",
            "Type selectit select with the data, this --run, --method, --keep and --model: it tunes that model.",
        )
    return annotator


def _with_engine(settings: Settings, request: Request) -> Settings:
    """The settings with the engine that is asked, and without the tokenizer of another model."""
    return replace(settings, engine=loading.engine_for(settings.engine or loading.DEFAULT, request), tokenizer=None)


def _of_rows(run: Run, request: Request, arrays: Any, rows: Int64) -> Any:
    """What is stored of some rows, as if there were no others."""
    if len(rows) == run.rows:
        return arrays
    return Signals(run.basic_rows(), {request.signal: arrays}).take(rows).stored[request.signal]
