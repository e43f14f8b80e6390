"""The `hf` engine: models that transformers loads, in this process, for every signal.

It is given texts and gives numbers; it knows no run directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selectit.config.settings import Settings
from selectit.engines.base import MAX_TOKENS, TEXTS_INSTALL, EngineLoader, max_tokens, texts_module
from selectit.models.files import Model
from selectit.signals.base import Engine

_FILES = {"embeddings": "encoder", "states": "encoder", "rewards": "reward", "gradients": "gradients"}


class HFLoader(EngineLoader):
    """Causal models, encoders and reward models."""

    name = noun = "hf"
    install = TEXTS_INSTALL

    def load(self, model: Model, settings: Settings, stored: Mapping[str, Any], signal: str) -> Engine:
        module = self.module(_FILES.get(signal, "engine"))
        own: dict[str, Any]
        if signal in ("embeddings", "states"):
            pooling = "weighted" if signal == "states" else settings.pooling or stored.get("pooling", "mean")
            own = {"pooling": pooling, "fused": _fused(stored), "max_tokens": _context(model, settings)}
        elif signal == "rewards":
            own = {"max_tokens": _context(model, settings)}
        else:
            own = {
                "max_tokens": max_tokens(model, settings, stored),
                "batch_tokens": settings.batch_tokens or stored.get("batch_tokens", 0),
                "overflow": settings.overflow or stored.get("overflow", "cut"),
                "fused": _fused(stored),
                "device_map": settings.device_map,
            }
        engine: Engine = module.load(
            model.path,
            dtype=stored.get("dtype", settings.dtype),
            threads=stored.get("threads"),
            trust_remote_code=settings.trust_remote_code,
            **own,
        )
        return engine

    def check_model(self, model: Model, settings: Settings, signal: str) -> None:
        self.module("completeness").check_model(model.path, settings.trust_remote_code, signal)


def _context(model: Model, settings: Settings) -> int:
    """The token limit of a model that is not asked for ratings or losses."""
    return min(int(texts_module().context_length(model.path, settings.trust_remote_code)), MAX_TOKENS)


def _fused(stored: Mapping[str, Any]) -> bool | None:
    """Whether a stored rater has compiled layers; None = it is still to be begun, and the engine decides.

    A worker that begins one knows how many threads it has, and nothing else.
    """
    return bool(stored.get("fused")) if "dtype" in stored else None


ENGINE = HFLoader()
