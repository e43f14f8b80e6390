"""Stored columns of a run as arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.array_types import Float32, Int64
from selectit.runs.annotators import Annotator, require, stored_columns, units
from selectit.runs.files import numbers, read_part
from selectit.runs.run import Run
from selectit.signals.arrays import FLAG_TRUNCATED, Embeddings, Judgements, Losses, Ratings, Rewards, Signals
from selectit.signals.requests import EmbeddingRequest, JudgeRequest, LossRequest, RatingPrompt, Request


def load_signal(run: Run, annotator: Annotator, request: Request, signals: Signals) -> Signals:
    """The signals with what is stored of a work. Raises RunError where units are missing."""
    if isinstance(request, LossRequest):
        return replace(signals, stored_losses=load_losses(run, annotator, request))
    if isinstance(request, EmbeddingRequest):
        return replace(signals, stored_embeddings=load_embeddings(run, annotator, request))
    if isinstance(request, JudgeRequest):
        table = stored_columns(run, annotator, request, ["row", "reply"])
        judgements = Judgements(numbers(table["row"]), tuple(table["reply"].to_pylist()), annotator.name)
        return replace(signals, stored_judgements=judgements)
    table = stored_columns(run, annotator, request, ["row", "reward"])
    return replace(signals, stored_rewards=Rewards(numbers(table["row"]), numbers(table["reward"].fill_null(np.nan))))


def load_losses(run: Run, annotator: Annotator, request: LossRequest) -> Losses:
    """The stored losses of a work. Raises RunError where units are missing."""
    names = ["given", "alone", "entropy", "largest", "second", "squares"]
    table = stored_columns(run, annotator, request, ["row", *names, "prompt_tokens", "prompt_loss", "flags"])
    flat = {name: _floats(table[name]) for name in names}
    start = np.concatenate([[0], np.cumsum(_list_lengths(table["entropy"]))])
    return Losses(
        row=numbers(table["row"]),
        start=start,
        given=_by_copy(flat["given"], start, 1 + request.copies),
        alone=_by_copy(flat["alone"], start, 1 + request.copies),
        entropy=flat["entropy"],
        largest=flat["largest"],
        second=flat["second"],
        squares=flat["squares"],
        prompt_tokens=numbers(table["prompt_tokens"].fill_null(0)),
        prompt_loss=numbers(table["prompt_loss"].fill_null(np.nan)),
        truncated=(numbers(table["flags"]) & FLAG_TRUNCATED).astype(bool),
    )


def _by_copy(values: Float32, start: Int64, copies: int) -> Float32:
    """(copies x T,) of item after item, in each copy after copy, to (copies, T)."""
    if copies == 1:
        return values[None]
    out = np.empty((copies, int(start[-1])), np.float32)
    for begin, end in zip(start[:-1].tolist(), start[1:].tolist(), strict=True):
        out[:, begin:end] = values[copies * begin : copies * end].reshape(copies, end - begin)
    return out


def load_embeddings(run: Run, annotator: Annotator, request: EmbeddingRequest) -> Embeddings:
    """The stored vectors of a work. Raises RunError where units are missing."""
    table = stored_columns(run, annotator, request, ["row", "vector"])
    lengths = _list_lengths(table["vector"])
    width = int(lengths.max(initial=0))
    vectors = np.full((len(table), width), np.nan, np.float32)
    vectors[lengths > 0] = _floats(table["vector"]).reshape(-1, width) if width else np.zeros((0, 0))
    return Embeddings(numbers(table["row"]), vectors)


def _floats(column: pa.ChunkedArray) -> Float32:
    """All numbers of a column of lists, one list after another."""
    flat = column.combine_chunks().flatten()
    return np.zeros(0, np.float32) if not len(flat) else np.asarray(np.from_dlpack(flat), np.float32)


def _list_lengths(column: pa.ChunkedArray) -> Int64:
    """(rows,) length of each list, 0 where there is none."""
    return numbers(pa.chunked_array([column.combine_chunks().value_lengths().fill_null(0)])).astype(np.int64)


def field_of(run: Run, name: str) -> tuple[str, ...]:
    """A field of each record as text; dots for fields within fields, '' where there is none."""
    return tuple(
        _at(json.loads(raw) if isinstance(raw, str) else raw, name)
        for part in run.source(["raw"])
        for raw in part["raw"].to_pylist()
    )


def _at(record: Any, name: str) -> str:
    for key in name.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return "" if record is None else str(record)


def load_ratings(run: Run, annotators: Sequence[Annotator], prompts: Sequence[RatingPrompt]) -> Ratings:
    """The stored ratings as arrays.

    Raises:
        RunError: units are missing; it says how many, and how to go on.
    """
    for annotator in annotators:
        require(run, annotator, prompts)
    columns = [[_column(run, annotator, prompt) for prompt in prompts] for annotator in annotators]
    first = columns[0][0]
    return Ratings(
        logprob=np.stack([np.stack([c.logprob for c in row], axis=1) for row in columns], axis=1),
        row=first.row,
        flags=np.stack([np.stack([c.flags for c in row], axis=1) for row in columns], axis=1),
        tokens=np.stack([np.stack([c.tokens for c in row], axis=1) for row in columns], axis=1),
        parameters=np.array([annotator.manifest["parameters"] for annotator in annotators], dtype=np.int64),
        models=tuple(annotator.name for annotator in annotators),
    )


def failures(run: Run, annotators: Sequence[Annotator], requests: Sequence[Request]) -> dict[int, str]:
    """Why rows have no rating, or other signal: row to the first reason found."""
    found: dict[int, str] = {}
    for annotator in annotators:
        for unit in units(run, annotator, requests):
            table = read_part(unit.path, ["row", "error"])
            if table["error"].null_count < len(table):
                for row, error in zip(table["row"].to_pylist(), table["error"].to_pylist(), strict=True):
                    if error:
                        found.setdefault(row, error)
    return found


@dataclass(frozen=True, slots=True)
class _Column:
    """One model under one prompt."""

    row: Int64
    logprob: Any
    flags: Any
    tokens: Any


def _column(run: Run, annotator: Annotator, prompt: RatingPrompt) -> _Column:
    names = ["row", "logprob", "flags", "tokens"]
    table = stored_columns(run, annotator, prompt, names)
    logprob = np.from_dlpack(table["logprob"].combine_chunks().flatten()).reshape(len(table), -1)
    return _Column(numbers(table["row"]), logprob, numbers(table["flags"]), numbers(table["tokens"]))
