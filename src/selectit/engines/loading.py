"""From settings to a loaded engine. Each engine's libraries are imported when it is asked for."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from selectit.config.settings import Settings
from selectit.engines.base import CountsTokens, Embeds, RatesLabels, Replies, Rewards, ScoresText
from selectit.errors import SettingsError
from selectit.models.files import Model

MAX_TOKENS = 4096
"""The limit of a rated text where the model's context is longer."""


Engine = RatesLabels | ScoresText | Embeds | Replies | Rewards
_INSTALL = {
    "hf": "pip install torch transformers accelerate",
    "server": "pip install httpx2",
    "vllm": "pip install 'vllm>=0.32' (without a GPU: see docs/engines.md)",
}


def check_server(settings: Settings, chat: bool) -> None:
    """Raise SettingsError where a server's options don't go together with the engine, which is known by now."""
    if settings.engine != "server":
        for name in ("base_url", "tokenizer", "concurrency", "missing_label"):
            if getattr(settings, name) is not None:
                flag = "--" + name.replace("_", "-")
                raise SettingsError(
                    f"{flag} is for a server, and the engine is {settings.engine}", "Give --engine server."
                )
        return
    if settings.base_url is None:
        raise SettingsError("the engine server needs an address", "Give --base-url, as http://localhost:8000/v1.")
    if chat and not settings.tokenizer:
        raise SettingsError("--chat needs the model's chat template", "Name the model's tokenizer with --tokenizer.")


def load_engine(model: Model, settings: Settings, stored: Mapping[str, Any], signal: str = "ratings") -> Engine:
    """Load a model into the engine for a signal; what the settings leave open, `stored` decides where it has it."""
    if settings.engine == "fake":
        from selectit.engines.fake import FakeEngine

        return FakeEngine(model.name, settings.max_tokens or stored.get("max_tokens") or MAX_TOKENS)
    if signal == "embeddings":
        encoder: Embeds = _module("hf.encoder").load(
            model.path,
            pooling=settings.pooling or stored.get("pooling", "mean"),
            dtype=stored.get("dtype", settings.dtype),
            fused=_fused(stored),
            max_tokens=min(_module("texts").context_length(model.path, settings.trust_remote_code), MAX_TOKENS),
            threads=stored.get("threads"),
            trust_remote_code=settings.trust_remote_code,
        )
        return encoder
    if signal == "rewards":
        rewards: Rewards = _module("hf.reward").load(
            model.path,
            dtype=stored.get("dtype", settings.dtype),
            max_tokens=min(_module("texts").context_length(model.path, settings.trust_remote_code), MAX_TOKENS),
            threads=stored.get("threads"),
            trust_remote_code=settings.trust_remote_code,
        )
        return rewards
    if settings.engine == "vllm":
        if signal != "ratings":
            raise SettingsError(f"vllm gives no {signal}, only ratings", "Use --engine hf for this method.")
        return _load_vllm(model, settings, stored)
    if settings.engine == "server":
        if signal == "judgements":
            return _load_judge(model, settings)
        if signal != "ratings":
            raise SettingsError(
                f"a server gives no {signal}, only ratings and judgements",
                "Use --engine hf for this method: it loads the model here.",
            )
        return _load_server(model, settings, stored)
    engine: RatesLabels = _module("hf.engine").load(
        model.path,
        dtype=stored.get("dtype", settings.dtype),
        max_tokens=_max_tokens(model, settings, stored),
        batch_tokens=settings.batch_tokens or stored.get("batch_tokens", 0),
        overflow=settings.overflow or stored.get("overflow", "cut"),
        threads=stored.get("threads"),
        fused=_fused(stored),
        device_map=settings.device_map,
        trust_remote_code=settings.trust_remote_code,
    )
    return engine


def _fused(stored: Mapping[str, Any]) -> bool | None:
    """Whether a stored rater has compiled layers; None = it is still to be begun, and the engine decides.

    A worker that begins one knows how many threads it has, and nothing else.
    """
    return bool(stored.get("fused")) if "dtype" in stored else None


def _load_vllm(model: Model, settings: Settings, stored: Mapping[str, Any]) -> RatesLabels:
    engine: RatesLabels = _module("vllm").load(
        model.path,
        dtype=stored.get("dtype", settings.dtype),
        max_tokens=_max_tokens(model, settings, stored, made=1),
        batch_tokens=settings.batch_tokens or stored.get("batch_tokens", 0),
        overflow=settings.overflow or stored.get("overflow", "cut"),
        engine_param=settings.engine_param or json.loads(stored.get("engine_param", "{}")),
        trust_remote_code=settings.trust_remote_code,
    )
    return engine


def _load_server(model: Model, settings: Settings, stored: Mapping[str, Any]) -> RatesLabels:
    server = _module("server.engine")
    texts = _module("texts") if model.path else None
    context, parameters = texts.about(model.path, settings.trust_remote_code) if texts is not None else (None, 0)
    engine: RatesLabels = server.load(
        model.name,
        base_url=settings.base_url,
        tokenizer_path=model.path,
        tokenizer_name=stored.get("tokenizer", settings.tokenizer or ""),
        context=context,
        max_tokens=settings.max_tokens or stored.get("max_tokens"),
        overflow=settings.overflow or stored.get("overflow"),
        missing_label=settings.missing_label or stored.get("missing_label", "nan"),
        concurrency=settings.concurrency or server.CONCURRENCY,
        parameters=parameters,
        trust_remote_code=settings.trust_remote_code,
    )
    return engine


def _load_judge(model: Model, settings: Settings) -> Replies:
    check_server(settings, chat=False)
    server = _module("server.engine")
    judge: Replies = server.load_judge(
        model.name, base_url=settings.base_url, concurrency=settings.concurrency or server.CONCURRENCY
    )
    return judge


def load_counter(model: Model, settings: Settings) -> CountsTokens:
    """What counts tokens as a model does; loads no weights."""
    if settings.engine == "fake":
        from selectit.engines.fake import FakeEngine

        return FakeEngine(model.name, 0)
    if not model.path:
        raise SettingsError(f"{model.name} has no tokenizer here to count with", "Name it with --tokenizer.")
    texts = _module("texts")
    counter: CountsTokens = texts.TokenCounter(texts.load_tokenizer(model.path, settings.trust_remote_code))
    return counter


def _max_tokens(model: Model, settings: Settings, stored: Mapping[str, Any], made: int = 0) -> int:
    """The token limit: what was asked for or stored, else the smaller of the model's context and MAX_TOKENS.

    `made` tokens of the context are for what the engine lets the model write.
    """
    asked: int | None = settings.max_tokens or stored.get("max_tokens")
    context: int = _module("texts").context_length(model.path, settings.trust_remote_code) - made
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
        engine = name.partition(".")[0] if name != "texts" else "hf"
        raise SettingsError(
            f"the engine {engine} can't be loaded: {error}", f"Install it: {_INSTALL[engine]}"
        ) from error
