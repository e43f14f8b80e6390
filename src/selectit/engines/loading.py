"""From settings to a loaded engine. Each engine's libraries are imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from selectit.config import Settings
from selectit.engines.base import CountsTokens, Embeds, RatesLabels, Replies, Rewards, ScoresText
from selectit.errors import SettingsError
from selectit.models import Model

BATCH_TOKENS = 2048
"""Small enough for the activations to stay in a processor's cache."""
MAX_TOKENS = 4096
"""The limit of a rated text where the model's context is longer."""

Engine = RatesLabels | ScoresText | Embeds | Replies | Rewards

_INSTALL = {"hf": "pip install torch transformers accelerate"}


def load_engine(model: Model, settings: Settings, stored: Mapping[str, Any], signal: str = "ratings") -> Engine:
    """Load a model into the engine for a signal; what the settings leave open, `stored` decides where it has it."""
    if settings.engine == "fake":
        from selectit.engines.fake import FakeEngine

        return FakeEngine(model.name, settings.max_tokens or stored.get("max_tokens") or MAX_TOKENS)
    if signal == "embeddings":
        encoder: Embeds = _module("encoder").load(
            model.path,
            pooling=settings.pooling or stored.get("pooling", "mean"),
            max_tokens=min(_module("texts").context_length(model.path, settings.trust_remote_code), MAX_TOKENS),
            batch_tokens=BATCH_TOKENS,
            threads=stored.get("threads"),
            trust_remote_code=settings.trust_remote_code,
        )
        return encoder
    if signal == "rewards":
        rewards: Rewards = _module("reward").load(
            model.path,
            dtype=stored.get("dtype", "auto"),
            max_tokens=min(_module("texts").context_length(model.path, settings.trust_remote_code), MAX_TOKENS),
            threads=stored.get("threads"),
            trust_remote_code=settings.trust_remote_code,
        )
        return rewards
    engine: RatesLabels = _module("hf").load(
        model.path,
        dtype=stored.get("dtype", settings.dtype),
        max_tokens=_max_tokens(model, settings, stored),
        batch_tokens=settings.batch_tokens or stored.get("batch_tokens", BATCH_TOKENS),
        overflow=settings.overflow or stored.get("overflow", "cut"),
        threads=stored.get("threads"),
        device_map=settings.device_map,
        trust_remote_code=settings.trust_remote_code,
    )
    return engine


def load_counter(model: Model, settings: Settings) -> CountsTokens:
    """What counts tokens as a model does; loads no weights."""
    if settings.engine == "fake":
        from selectit.engines.fake import FakeEngine

        return FakeEngine(model.name, 0)
    texts = _module("texts")
    counter: CountsTokens = texts.TokenCounter(texts.load_tokenizer(model.path, settings.trust_remote_code))
    return counter


def _max_tokens(model: Model, settings: Settings, stored: Mapping[str, Any]) -> int:
    """The token limit: what was asked for or stored, else the smaller of the model's context and MAX_TOKENS."""
    asked: int | None = settings.max_tokens or stored.get("max_tokens")
    context: int = _module("texts").context_length(model.path, settings.trust_remote_code)
    if asked is not None and asked > context:
        raise SettingsError(
            f"--max-tokens is {asked}, and {model.name} reads {context} tokens at most", "Give a smaller number."
        )
    return asked or min(context, MAX_TOKENS)


def _module(name: str) -> Any:
    """A module of engines/. Raises SettingsError where what it needs is not installed."""
    try:
        return importlib.import_module(f"selectit.engines.{name}")
    except ImportError as error:
        engine = name if name in _INSTALL else "hf"
        raise SettingsError(
            f"the engine {engine} can't be loaded: {error}", f"Install it: {_INSTALL[engine]}"
        ) from error
