"""From what a method needs to the signals it reads: collected where a model may be loaded, else from the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from selectit import executors
from selectit.collect import Progress, count_tokens
from selectit.config import Settings
from selectit.errors import RunError, SettingsError
from selectit.models import Model
from selectit.ratings import Rater, engine_of, find_rater, models_in, named_rater, slug, stored_columns, units
from selectit.run import Run, numbers
from selectit.schema import (
    FLAG_TRUNCATED,
    EmbeddedText,
    Embeddings,
    Field,
    Float32,
    Int64,
    Judgements,
    Losses,
    LossText,
    Method,
    Question,
    Rewards,
    RewardText,
    Signals,
)
from selectit.works import Work, signal_of

ENCODER = "minilm"
_CANNOT = {"vllm": ("losses", "judgements"), "server": ("losses",)}
"""Signals that an engine does not give. Encoders and reward models are loaded here whatever the engine is."""

Resolve = Callable[[str, Settings], Model]
"""From a model's name to the model, under settings whose engine is known."""


Answered = tuple[Rater, tuple[Work, ...]]
"""A model, and the works that it has answered for a method."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Signals, and who gave them; `config` names the models for the stored scores."""

    signals: Signals
    answered: tuple[Answered, ...]
    config: dict[str, Any]


def works_of(method: Method) -> list[Work]:
    """What a method asks of models but ratings, which come with prompts."""
    kinds = (LossText, EmbeddedText, Question, RewardText)
    return [need for need in method.needs if isinstance(need, kinds)]


def check(method: Method, settings: Settings) -> None:
    """Raise SettingsError where the settings name no model, or no engine, for what a method asks."""
    for work in works_of(method):
        _check_judge(method, work, _asked_model(work, settings))
        signal = signal_of(work)
        if signal in _CANNOT.get(settings.engine or "", ()):
            raise SettingsError(
                f"the engine {settings.engine} gives no {signal}",
                "Use --engine hf for this method: it loads the model here.",
            )
    if "tokens" in method.needs:
        _tokenizer_name(settings)


def collect(run: Run, method: Method, settings: Settings, resolve: Resolve, progress: Progress) -> None:
    """Collect what a method asks of models but ratings, where it is not there yet."""
    for work in works_of(method):
        name, signal = _asked_model(work, settings), signal_of(work)
        here = _with_engine(run, settings, name, signal)
        model = resolve(name, here)
        enough = _enough(run, find_rater(run, model.digest, here, signal), work)
        executors.rate(run, [model], [enough], here, progress)


def _enough(run: Run, rater: Rater | None, work: Work) -> Work:
    """The work, or one that was answered before and holds all of it: losses of the response alone too."""
    if rater is not None and isinstance(work, LossText) and not work.both:
        whole = replace(work, both=True)
        if all(unit.path.exists() for unit in units(run, rater, [whole])):
            return whole
    return work


def _with_engine(run: Run, settings: Settings, name: str, signal: str) -> Settings:
    """The settings with the engine for a signal: encoders and reward models are always on this machine."""
    engine = settings.engine or engine_of(run, [name], signal)
    local = signal in ("embeddings", "rewards") and engine in _CANNOT
    tokenizer = None if signal == "judgements" else settings.tokenizer  # a judge has none, with or without the option
    return replace(settings, engine="hf" if local else engine, tokenizer=tokenizer)


def _tokenizer_name(settings: Settings) -> str:
    if len(settings.model) != 1:
        raise SettingsError("tokens are counted by one model's tokenizer", "Name it with --model.")
    return settings.model[0]


def _check_judge(method: Method, work: Work, judge: str) -> None:
    """Let a method that asks for one judge refuse another before it is asked."""
    check = getattr(method, "check_judge", None)
    if check is not None and isinstance(work, Question):
        check(judge)


def gather(run: Run, method: Method, settings: Settings, resolve: Resolve, progress: Progress) -> Gathered:
    """The stored signals of a method but ratings; only tokens are counted here where they are missing.

    Raises:
        RunError: a signal is missing; it says how to collect it.
    """
    signals = Signals(run.basic_rows())
    answered: list[Answered] = []
    config: dict[str, Any] = {}
    for need in method.needs:
        if need == "tokens":
            here = _with_engine(run, settings, _tokenizer_name(settings), "ratings")
            model = resolve(_tokenizer_name(settings), here)
            signals = replace(signals, stored_tokens=count_tokens(run, model, here, progress))
            config["tokenizer"] = f"{slug(model.name)}-{model.digest[:8]}"
        elif need == "texts":
            signals = replace(signals, stored_texts=tuple(run.samples(0, run.rows)))
        elif isinstance(need, Field):
            signals = replace(signals, stored_field=field_of(run, need.name))
    for work in works_of(method):
        rater = _stored(run, work, settings)
        enough = _enough(run, rater, work)
        answered.append((rater, (enough,)))
        config[signal_of(work)] = rater.path.name
        signals = _loaded(run, rater, enough, signals)
    return Gathered(signals, tuple(answered), config)


def _asked_model(work: Work, settings: Settings) -> str:
    """The model that is asked: the one that is named, else the default where there is one. Raises SettingsError."""
    return _named(work, settings) or _default(work)


def _named(work: Work, settings: Settings) -> str | None:
    """The model that the settings name for a work."""
    if isinstance(work, EmbeddedText):
        return settings.encoder
    if isinstance(work, RewardText):
        return settings.reward_model
    if isinstance(work, Question) and settings.judge is not None:
        return settings.judge
    if len(settings.model) > 1:
        raise SettingsError(f"this method reads {signal_of(work)} of one model", "Name one with --model.")
    return next(iter(settings.model), None)


def _default(work: Work) -> str:
    if isinstance(work, EmbeddedText):
        return ENCODER
    if isinstance(work, RewardText):
        raise SettingsError("this method needs a reward model", "Name one with --reward-model: a hub id or a folder.")
    flag = "--judge or --model" if isinstance(work, Question) else "--model"
    raise SettingsError(f"this method needs a model for its {signal_of(work)}", f"Name one with {flag}.")


def _stored(run: Run, work: Work, settings: Settings) -> Rater:
    """The model whose answers to a work are stored: the one that is named, or the only one. Raises RunError."""
    signal = signal_of(work)
    name = _named(work, settings)
    if name is None:
        known = models_in(run, signal)
        if len(known) > 1:
            raise SettingsError(
                f"{run.path} has {signal} by {', '.join(known)}", "Say which with --model, --encoder or --judge."
            )
        if not known:
            raise RunError(
                f"{run.path} has no {signal}",
                f"Collect them: selectit rate --run {run.path} with this --method and a model.",
            )
        name = known[0]
    return named_rater(run, name, settings, signal)


def _loaded(run: Run, rater: Rater, work: Work, signals: Signals) -> Signals:
    if isinstance(work, LossText):
        return replace(signals, stored_losses=_losses(run, rater, work))
    if isinstance(work, EmbeddedText):
        return replace(signals, stored_embeddings=_embeddings(run, rater, work))
    if isinstance(work, Question):
        table = stored_columns(run, rater, work, ["row", "reply"])
        judgements = Judgements(numbers(table["row"]), tuple(table["reply"].to_pylist()), rater.name)
        return replace(signals, stored_judgements=judgements)
    table = stored_columns(run, rater, work, ["row", "reward"])
    return replace(signals, stored_rewards=Rewards(numbers(table["row"]), numbers(table["reward"].fill_null(np.nan))))


def _losses(run: Run, rater: Rater, work: LossText) -> Losses:
    names = ["given", "alone", "entropy", "largest", "second", "squares"]
    table = stored_columns(run, rater, work, ["row", *names, "prompt_tokens", "prompt_loss", "flags"])
    flat = {name: _floats(table[name]) for name in names}
    start = np.concatenate([[0], np.cumsum(_lengths(table["entropy"]))])
    return Losses(
        row=numbers(table["row"]),
        start=start,
        given=_by_copy(flat["given"], start, 1 + work.copies),
        alone=_by_copy(flat["alone"], start, 1 + work.copies),
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


def _embeddings(run: Run, rater: Rater, work: EmbeddedText) -> Embeddings:
    table = stored_columns(run, rater, work, ["row", "vector"])
    lengths = _lengths(table["vector"])
    width = int(lengths.max(initial=0))
    vectors = np.full((len(table), width), np.nan, np.float32)
    vectors[lengths > 0] = _floats(table["vector"]).reshape(-1, width) if width else np.zeros((0, 0))
    return Embeddings(numbers(table["row"]), vectors)


def _floats(column: pa.ChunkedArray) -> Float32:
    """All numbers of a column of lists, one list after another."""
    flat = column.combine_chunks().flatten()
    return np.zeros(0, np.float32) if not len(flat) else np.asarray(np.from_dlpack(flat), np.float32)


def _lengths(column: pa.ChunkedArray) -> Int64:
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
