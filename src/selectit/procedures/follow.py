"""Following a method that tunes a model on the way, from pass to pass: each is answered once and read ever after."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from selectit.config.settings import Settings
from selectit.data.examples import Example
from selectit.engines import loading
from selectit.errors import RunError
from selectit.inference import execute
from selectit.inference.rate import find_model
from selectit.inference.units import Task
from selectit.jsonable import digest_of
from selectit.methods._tuning import Pairs, Pass, TunedOn, TuningScoringMethod
from selectit.models.files import Model
from selectit.procedures.tuned import TunedModel, find_base, locate_tuned, tune
from selectit.progress import Progress
from selectit.runs.annotators import Annotator
from selectit.runs.run import Run
from selectit.runs.source import create_pairs_run
from selectit.runs.stored import load_arrays
from selectit.runs.targets import open_target_run
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import GradientRequest, Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AnsweredPass:
    """A pass that was answered, now or before."""

    run: Run
    """Where the answers are stored: the run itself, or that of some pairs, or of a target's examples, inside it."""
    within: str
    """Where that is in the run: 'answers/<digest>/run/', 'targets/<digest>/run/'; '' = the run itself."""
    annotator: Annotator
    request: Request
    tuned: TunedModel | None
    """The model that answered; None = one that was not tuned here."""


@dataclass(frozen=True, slots=True)
class Followed(Generic[T]):
    """What a method returned at last, and the passes that it took."""

    result: T
    passes: tuple[AnsweredPass, ...]


def follow(
    run: Run,
    steps: Generator[Pass, Any, T],
    rows: Int64,
    settings: Settings,
    progress: Progress,
    *,
    asks: bool,
    target: Sequence[Example] = (),
) -> Followed[T]:
    """Answer each pass of a method until it returns.

    Args:
        run: where the answers are stored, and the tuned models.
        steps: of the method.
        rows: the rows of the run that the method's numbers of rows count.
        settings: which name the model that is tuned.
        progress: shows what is going on.
        asks: whether models are tuned and asked; else all is there already.
        target: the examples that the method chooses towards.

    Raises:
        RunError: an answer is missing, and nothing is asked.
        SelectitError: as of `train` and `do_units`.
    """
    base, answered, arrays = find_base(settings), list[AnsweredPass](), None
    located: dict[TunedOn, TunedModel] = {}
    while True:
        try:
            wanted = steps.send(arrays)
        except StopIteration as end:
            return Followed(end.value, tuple(answered))
        tuned = None if wanted.model is None else locate_tuned(run, wanted.model, rows, base, located)
        place = _open_place(run, wanted, rows, target)
        annotator, request = _answer(run, place, wanted.request.towards(target), tuned, settings, progress, asks=asks)
        within = "" if place is run else f"{place.path.relative_to(run.path).as_posix()}/"
        answered.append(AnsweredPass(place, within, annotator, request, tuned))
        arrays = load_arrays(place, [annotator], [request])
        if place is run:
            arrays = _of_rows(run, request, arrays, rows)


def follow_scoring(
    run: Run, method: TuningScoringMethod, signals: Signals, settings: Settings, progress: Progress, *, asks: bool
) -> Followed[Signals]:
    """From the signals of all rows that the method needs to those that it scores; as of `follow`."""
    return follow(run, method.steps(signals), np.arange(run.rows), settings, progress, asks=asks)


def _open_place(run: Run, wanted: Pass, rows: Int64, target: Sequence[Example]) -> Run:
    """The run of what a pass asks about: the run itself, or one inside it."""
    if wanted.of_target:
        return open_target_run(run, target)
    return run if wanted.pairs is None else open_pairs_run(run, wanted.pairs, rows)


def open_pairs_run(run: Run, pairs: Pairs, rows: Int64) -> Run:
    """The run of some rows with other responses inside a run, answers/<digest>/run: written where it is not there."""
    chosen = rows[pairs.rows]
    samples = {each.row: each for each in run.samples_at(np.sort(chosen))}  # of several answers the last stays
    own = [samples[row] for row in chosen.tolist()]
    responses = [each.response for each in own] if pairs.responses is None else pairs.responses
    made = [
        {"prompt": sample.instruction, "completion": response} for sample, response in zip(own, responses, strict=True)
    ]
    return create_pairs_run(run.path / "answers" / digest_of(made)[:16], made)


def _answer(
    run: Run,
    place: Run,
    request: Request,
    tuned: TunedModel | None,
    settings: Settings,
    progress: Progress,
    *,
    asks: bool,
) -> tuple[Annotator, Request]:
    """Who has answered a request about the rows of `place`, and which request that is: at checkpoints it names them.

    Where the answer is missing a model is tuned and asked.
    """
    settings = with_engine(settings, request)
    model = find_model(request.model_asked(settings), settings) if tuned is None else tuned.asked
    if tuned is not None and not tuned.is_finished:
        if not asks:
            raise _missing(run, request, model)
        tune(run, tuned, settings, progress)
    if tuned is not None and tuned.checkpoints:
        assert isinstance(request, GradientRequest)  # nothing else is read at checkpoints
        request = request.at(tuned.list_checkpoints())
    task = Task(place, model, (request,), settings)
    annotator = task.annotator()
    if asks and (annotator is None or task.pending(task.units(annotator))):
        if tuned is not None:
            tune(run, tuned, settings, progress)  # its weights may be gone
        (annotator,) = execute.do_units(place, [model], task.requests, task.settings, progress)
    elif annotator is None:
        raise _missing(run, request, model)
    return annotator, request


def _missing(run: Run, request: Request, model: Model) -> RunError:
    return RunError(
        f"{run.path} has no {request.signal} by {model.name}",
        "Type selectit select with the data, this --run, --method, --keep and --model: it tunes that model.",
    )


def with_engine(settings: Settings, request: Request) -> Settings:
    """The settings with the engine that is asked, and without the tokenizer of another model."""
    return replace(settings, engine=loading.engine_for(settings.engine or loading.DEFAULT, request), tokenizer=None)


def _of_rows(run: Run, request: Request, arrays: Any, rows: Int64) -> Any:
    """What is stored of some rows, as if there were no others."""
    if len(rows) == run.rows:
        return arrays
    return Signals(run.basic_rows(), {request.signal: arrays}).take(rows).stored[request.signal]
