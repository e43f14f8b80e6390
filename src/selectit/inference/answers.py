"""What can be asked of a model about each pair, and the columns that the answers become.

A work is a rating prompt or one of the needs of `schema`. It decides the signal (a folder of the run), its own folder
there, what its manifest says, and which capability of an engine answers it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.data.records import Sample
from selectit.engines.base import Embeds, OnBatch, RatesLabels, RatingBatch, Replies, Rewards, ScoresText
from selectit.engines.loading import Engine
from selectit.errors import SettingsError
from selectit.runs.files import numbers
from selectit.signals.arrays import FLAG_EMPTY, FLAG_TRUNCATED
from selectit.signals.requests import (
    EmbeddingRequest,
    JudgeRequest,
    LossRequest,
    RatingPrompt,
    Request,
    RewardRequest,
    signal_of,
)

_FLOATS = pa.list_(pa.float32())
_COLUMNS = {
    "losses": [
        ("given", _FLOATS),
        ("alone", _FLOATS),
        ("entropy", _FLOATS),
        ("largest", _FLOATS),
        ("second", _FLOATS),
        ("squares", _FLOATS),
        ("prompt_tokens", pa.int64()),
        ("prompt_loss", pa.float32()),
    ],
    "embeddings": [("vector", _FLOATS)],
    "judgements": [("reply", pa.string())],
    "rewards": [("reward", pa.float64())],
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What an engine answered, and how much it was: texts that are equal are asked once and count once."""

    tables: list[pa.Table]
    """For each work, as stored: row, item, the signal, tokens, flags, error."""
    asked: int
    tokens: int


def answers(engine: Engine, requests: Sequence[Request], samples: Sequence[Sample], on_batch: OnBatch) -> Answers:
    """The engine's answers to each work about the samples; `on_batch` hears of equal texts too, as of no tokens.

    Raises:
        EngineError, ModelError: of the engine.
        SettingsError: the engine can't do that.
    """
    prompts = [request for request in requests if isinstance(request, RatingPrompt)]
    if prompts and isinstance(engine, RatesLabels):
        return _rated(engine, prompts, samples, on_batch)
    tables = [_answer(engine, request, samples, on_batch) for request in requests]
    return Answers(tables, len(samples) * len(requests), sum(int(numbers(table["tokens"]).sum()) for table in tables))


def _rated(
    engine: RatesLabels, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch
) -> Answers:
    """The ratings of each sample; what several have in common is rated once."""
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    place = np.array([seen.setdefault(tuple(p.seen(sample) for p in prompts), len(seen)) for sample in samples])
    first = np.unique(place, return_index=True)[1]
    rated = engine.rate(prompts, [samples[i] for i in first], on_batch)
    if len(first) < len(samples):
        on_batch((len(samples) - len(first)) * len(prompts), 0)
    every = [
        RatingBatch(b.logprob[place], b.tokens[place], b.flags[place], tuple(b.errors[i] for i in place)) for b in rated
    ]
    return Answers(
        [ratings_table(samples, prompt, batch) for prompt, batch in zip(prompts, every, strict=True)],
        len(first) * len(prompts),
        sum(int(batch.tokens.sum()) for batch in rated),
    )


def _answer(engine: Engine, request: Request, samples: Sequence[Sample], on_batch: OnBatch) -> pa.Table:
    if isinstance(request, LossRequest) and isinstance(engine, ScoresText):
        return _losses(samples, engine, request, on_batch)
    if isinstance(request, EmbeddingRequest) and isinstance(engine, Embeds):
        vectors = engine.embed(request, samples, on_batch)
        fine = np.isfinite(vectors).all(axis=-1) & (vectors.shape[-1] > 0)
        errors = [None if each else "no vector: the text is empty, or the numbers are not finite" for each in fine]
        values = [vector if each else None for vector, each in zip(vectors, fine, strict=True)]
        return _table(samples, "embeddings", {"vector": values}, errors)
    if isinstance(request, JudgeRequest) and isinstance(engine, Replies):
        replies = engine.reply(request, samples, on_batch)
        errors = [reply.error or None for reply in replies]
        flags = [reply.flags for reply in replies]
        return _table(samples, "judgements", {"reply": [reply.text for reply in replies]}, errors, flags)
    if isinstance(request, RewardRequest) and isinstance(engine, Rewards):
        rewards = engine.reward(samples, on_batch)
        errors = ["the text has no room" if np.isnan(reward) else None for reward in rewards]
        return _table(samples, "rewards", {"reward": list(rewards)}, errors)
    raise SettingsError(
        f"the engine {engine.settings['engine']} gives no {signal_of(request)}", "Use --engine hf for this method."
    )


def _losses(samples: Sequence[Sample], engine: ScoresText, request: LossRequest, on_batch: OnBatch) -> pa.Table:
    found = engine.losses(request, samples, on_batch)
    names = [name for name, _ in _COLUMNS["losses"]]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for each in found:
        for name in names:
            value = None if isinstance(each, str) else getattr(each, name)
            columns[name].append(value.ravel() if isinstance(value, np.ndarray) else value)
    flags = [FLAG_TRUNCATED * (not isinstance(each, str) and each.truncated) for each in found]
    tokens = [0 if isinstance(each, str) else each.prompt_tokens + each.given.shape[1] for each in found]
    errors = [each if isinstance(each, str) else None for each in found]
    return _table(samples, "losses", columns, errors, flags, tokens)


def _table(
    samples: Sequence[Sample],
    signal: str,
    columns: dict[str, list[Any]],
    errors: list[str | None],
    flags: list[int] | None = None,
    tokens: list[int] | None = None,
) -> pa.Table:
    schema = pa.schema(
        [
            ("row", pa.int64()),
            ("item", pa.int32()),
            *_COLUMNS[signal],
            ("tokens", pa.int32()),
            ("flags", pa.uint8()),
            ("error", pa.string()),
        ]
    )
    return pa.table(
        {
            "row": [sample.row for sample in samples],
            "item": [sample.item for sample in samples],
            **columns,
            "tokens": tokens or [0] * len(samples),
            "flags": flags or [0] * len(samples),
            "error": errors,
        },
        schema=schema,
    )


def ratings_table(samples: Sequence[Sample], prompt: RatingPrompt, batch: RatingBatch) -> pa.Table:
    """Ratings of samples under one prompt as they are stored."""
    empty = np.array([FLAG_EMPTY if not sample.response else 0 for sample in samples], dtype=np.uint8)
    labels = len(prompt.labels)
    return pa.table(
        {
            "row": [sample.row for sample in samples],
            "item": [sample.item for sample in samples],
            "logprob": pa.FixedSizeListArray.from_arrays(pa.array(batch.logprob.ravel(), pa.float32()), labels),
            "mass": np.exp(batch.logprob.astype(np.float64)).sum(axis=1).astype(np.float32),
            "tokens": batch.tokens.astype(np.int32),
            "flags": batch.flags | empty,
            "error": list(batch.errors),
        },
        schema=ratings_schema(labels),
    )


def ratings_schema(labels: int) -> pa.Schema:
    """Columns of one unit of ratings; `labels` is R. `flags` is a sum of the FLAG constants."""
    return pa.schema(
        [
            ("row", pa.int64()),
            ("item", pa.int32()),
            ("logprob", pa.list_(pa.float32(), labels)),
            ("mass", pa.float32()),
            ("tokens", pa.int32()),
            ("flags", pa.uint8()),
            ("error", pa.string()),
        ]
    )
