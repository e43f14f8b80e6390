"""A few rows that a model is asked about, to see how long that takes, what it needs and what the answers weigh.

The answers are thrown away: what is measured never decides a stored number.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from selectit.config.settings import Settings
from selectit.costs.measure import Memory, measure_memory, part_bytes, refuse_failed
from selectit.data.records import Sample
from selectit.engines import memory
from selectit.engines.loading import load_engine
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.signals.base import Engine
from selectit.signals.requests import Request


@dataclass(frozen=True, slots=True)
class SignalTrial:
    """What came of asking a model about a sample."""

    answers: int
    """Rated answers in it."""
    tokens: int
    """Of their texts; 0 = the engine does not count them."""
    seconds: float
    """Of all passes over them."""
    seconds_low: float
    """The same at the rate of the quicker half: by token, where they are counted."""
    seconds_high: float
    """The same at the rate of the slower half."""
    load_seconds: float
    """Of loading the model, and of what is done once: the gradients of a target's examples."""
    parameters: int
    """Of the model; 0 = not known."""
    bytes_each: float
    """Of one answer, stored."""
    memory: Memory


@dataclass(frozen=True, slots=True)
class _Half:
    """One half of the sample."""

    table: pa.Table
    """The answers as they would be stored."""
    tokens: int
    """0 = the engine does not count them."""
    seconds: float


def try_request(
    request: Request,
    model: Model,
    settings: Settings,
    stored: Mapping[str, str | int],
    drawn: Sequence[Sample],
    progress: Progress,
) -> SignalTrial:
    """Load a model and ask it a request about a sample.

    Args:
        request: as it would be asked.
        model: is loaded and closed again.
        settings: as for `load_engine`.
        stored: as for `load_engine`.
        drawn: the sample, shortest first: its even and odd places are the halves.
        progress: counts every answer.

    Raises:
        SelectitError: whatever would stop the asking, or every answer of a half failed.
    """
    memory.reset_peak()
    began = time.perf_counter()
    engine = load_engine(model, settings, stored, request.signal)
    progress.start(f"measuring {request.signal} with {model.name}", len(drawn) + 2, 0)
    try:
        request.ask(engine, drawn[:1], progress.advance)  # what is done once is done now
        load_seconds, loading_peak = time.perf_counter() - began, memory.peak()
        memory.reset_peak()
        before = memory.used()
        request.ask(engine, drawn[-1:], progress.advance)  # the longest, for the memory that it takes
        halves = [_ask(request, engine, half, progress) for half in (drawn[::2], drawn[1::2]) if half]
        found = measure_memory(engine, before, loading_peak)
        return _sum_up(halves, engine.parameters, load_seconds, found)
    finally:
        progress.finish()
        engine.close()


def _ask(request: Request, engine: Engine, samples: Sequence[Sample], progress: Progress) -> _Half:
    began = time.perf_counter()
    answer = request.ask(engine, samples, progress.advance)
    seconds = time.perf_counter() - began
    refuse_failed(answer.errors)
    tokens = 0 if answer.tokens is None else int(np.sum(answer.tokens))
    return _Half(request.table(samples, answer), tokens, seconds)


def _sum_up(halves: Sequence[_Half], parameters: int, load_seconds: float, found: Memory) -> SignalTrial:
    tables = [half.table for half in halves]
    answers, tokens = sum(map(len, tables)), sum(half.tokens for half in halves)
    amounts = [half.tokens if tokens else len(half.table) for half in halves]
    rates = [half.seconds / max(amount, 1) for half, amount in zip(halves, amounts, strict=True)]
    part, each = part_bytes(tables)
    return SignalTrial(
        answers=answers,
        tokens=tokens,
        seconds=sum(half.seconds for half in halves),
        seconds_low=min(rates) * sum(amounts),
        seconds_high=max(rates) * sum(amounts),
        load_seconds=load_seconds,
        parameters=parameters,
        bytes_each=each if len(tables) > 1 else part,
        memory=found,
    )
