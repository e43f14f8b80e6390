"""A small sample rated with the real engine, to see how long that takes and how much memory.

Its ratings are thrown away: what is measured never decides a stored number.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines import memory
from selectit.engines.loading import load_engine
from selectit.errors import EngineError, SettingsError
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.files import write_table
from selectit.runs.sums import Place
from selectit.signals.arrays import FLAG_TRUNCATED, Int64
from selectit.signals.base import Engine
from selectit.signals.ratings import RatesLabels, RatingBatch
from selectit.signals.requests import RatingPrompt

_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes; None = can't be measured on this system or for this engine."""

    weights: int | None
    """Parameters times the bytes of the type they are held in."""
    reading: int | None
    """What reading the sample, and the longest text, took of this process's memory beyond the loaded model."""
    peak: int | None
    """Most that this process held, loading too."""
    accelerator: int | None
    """Most that torch held on a CUDA device meanwhile."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Which answers are rated."""

    samples: Sequence[Sample]
    """All that there are to draw from."""
    halves: tuple[Int64, ...]
    """Places in `samples`: one or two lots that are rated and timed apart; none is empty."""
    longest: int
    """Place of the longest, which is rated untimed, for the memory that it takes."""

    @property
    def number(self) -> int:
        """How many answers are timed."""
        return sum(map(len, self.halves))


@dataclass(frozen=True, slots=True)
class Half:
    """One half of the sample, rated under every prompt."""

    places: Int64
    seconds: float
    batches: list[RatingBatch]


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of rating the sample."""

    settings: Mapping[str, str | int]
    """The engine's, resolved."""
    parameters: int
    load_seconds: float
    halves: tuple[Half, ...]
    other: Half | None
    """The first half in the other layout."""
    memory: Memory

    def tables(self, samples: Sequence[Sample], prompt: RatingPrompt) -> list[pa.Table]:
        """The ratings of each half under each prompt as they would be stored."""
        return [
            prompt.table(rated, prompt.answer(rated, batch))
            for half in self.halves
            for rated in [[samples[place] for place in half.places]]
            for batch in half.batches
        ]

    def added(self, counted: Int64) -> int:
        """Tokens that the engine puts around each text, of which `counted` (by place) were found in it.

        That is special tokens and the chat template; an engine that gives no lengths is taken to add none.
        """
        found = [
            int(tokens - counted[place])
            for half in self.halves
            for place, tokens, flags in zip(half.places, half.batches[0].tokens, half.batches[0].flags, strict=True)
            if tokens and not flags & FLAG_TRUNCATED
        ]
        return int(np.median(found)) if found else 0


def measure(
    model: Model,
    settings: Settings,
    stored: Mapping[str, str | int],
    prompts: Sequence[RatingPrompt],
    other: Sequence[RatingPrompt],
    drawn: Drawn,
    progress: Progress,
) -> Trial:
    """Load a model and rate the sample with it.

    Args:
        model: is loaded and closed again.
        settings: as for `load_engine`.
        stored: as for `load_engine`.
        prompts: all are asked.
        other: the same in another layout, asked about the first half; empty = none.
        drawn: the sample.
        progress: counts every rating.

    Raises:
        ModelError: the model can't be loaded, or the labels aren't single tokens.
        EngineError: the whole of a half failed.
    """
    memory.reset_peak()
    began = time.perf_counter()
    engine = load_engine(model, settings, stored)
    load_seconds = time.perf_counter() - began
    loading_peak = memory.peak()
    longest, halves = drawn.samples[drawn.longest], drawn.halves
    total = 2 + len(prompts) * (drawn.number + len(halves[0]) * bool(other))
    progress.start(f"measuring {model.name}", total, 0)
    try:
        if not isinstance(engine, RatesLabels):
            raise SettingsError(f"the engine {engine.settings['engine']} gives no ratings", "Use --engine hf.")
        engine.rate(prompts[:1], [drawn.samples[halves[0][0]]], progress.advance)  # what is done once is done now
        memory.reset_peak()
        before = memory.used()
        engine.rate(prompts[:1], [longest], progress.advance)
        rated = tuple(_half(engine, prompts, drawn.samples, places, progress) for places in halves)
        use = measure_memory(engine, before, loading_peak)
        turned = _half(engine, other, drawn.samples, halves[0], progress) if other else None
        return Trial(dict(engine.settings), engine.parameters, load_seconds, rated, turned, use)
    finally:
        progress.finish()
        engine.close()


def part_bytes(tables: Sequence[pa.Table]) -> tuple[float, float]:
    """Bytes of a part of answers as such, and of each answer in it, from two parts that are written and removed."""
    one, all_ = tables[0], pa.concat_tables(tables)
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for table in (one, all_):
            path = Path(folder) / "part.parquet"
            write_table(path, table, Place("0" * 16, path.name))
            sizes.append(path.stat().st_size)
    each = (sizes[1] - sizes[0]) / max(len(all_) - len(one), 1)
    return sizes[0] - each * len(one), each


def _half(
    engine: RatesLabels,
    prompts: Sequence[RatingPrompt],
    samples: Sequence[Sample],
    places: Int64,
    progress: Progress,
) -> Half:
    began = time.perf_counter()
    batches = engine.rate(prompts, [samples[place] for place in places], progress.advance)
    seconds = time.perf_counter() - began
    for batch in batches:
        refuse_failed(batch.errors)
    return Half(places, seconds, batches)


def refuse_failed(errors: Sequence[str | None]) -> None:
    """Raise EngineError where all answers of one or more have an error: their time says nothing."""
    if all(errors):
        raise EngineError(
            f"all {len(errors)} answers of the sample failed: {errors[0]}", "Mend the cause and plan again."
        )


def measure_memory(engine: Engine, before: int | None, loading_peak: int | None) -> Memory:
    """What the engine has taken since `memory.reset_peak`, when `before` was in use.

    Args:
        engine: loaded.
        before: bytes; None = can't be measured.
        loading_peak: most that the process held until then.
    """
    peak = memory.peak()
    each = _BYTES.get(str(engine.settings.get("dtype")))
    return Memory(
        weights=engine.parameters * each if each and engine.parameters else None,
        reading=None if peak is None or before is None else max(peak - before, 0),
        peak=None if peak is None or loading_peak is None else max(peak, loading_peak),
        accelerator=memory.accelerator_peak(),
    )
