"""Everything that a method can name in its `needs`. What is asked of a model has a file of its own for each signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selectit.signals.base import SignalRequest
from selectit.signals.embeddings import EmbeddingRequest
from selectit.signals.gains import GainRequest
from selectit.signals.gradients import GradientRequest
from selectit.signals.judgements import JudgeRequest
from selectit.signals.losses import LossRequest
from selectit.signals.ratings import RatingPrompt, Substitution
from selectit.signals.rewards import RewardRequest
from selectit.signals.states import StateRequest

__all__ = [
    "EmbeddingRequest",
    "Field",
    "GainRequest",
    "GradientRequest",
    "JudgeRequest",
    "LossRequest",
    "Need",
    "RatingPrompt",
    "Request",
    "RewardRequest",
    "ScoreOf",
    "StateRequest",
    "Substitution",
    "kinds",
]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of each record, by name (dots for fields within fields): a method names one in its `needs`."""

    name: str


@dataclass(frozen=True, slots=True)
class ScoreOf:
    """The scores of another scoring method over the same rows: a method names any number of them in its `needs`."""

    method: str
    """As typed: 'length', or with parameters 'length:unit=tokens'; 'stored:NAME' = scores that the run already has."""


Request = SignalRequest[Any, Any]
"""Whatever a model can be asked about a pair."""


Need = str | Request | Field | ScoreOf | Substitution
"""A signal that a method reads: 'ratings', 'tokens', 'texts' (the pairs themselves), or one of the types above."""


PACKAGED: tuple[type[Request], ...] = (
    RatingPrompt, LossRequest, EmbeddingRequest, StateRequest, GainRequest, GradientRequest, JudgeRequest,
    RewardRequest,
)  # fmt: skip
"""In the order in which a run tells of them."""


def kinds() -> dict[str, type[Request]]:
    """Every request class by its signal, which is a folder of the run: the packaged ones, then any that is defined."""
    return {kind.signal: kind for kind in (*PACKAGED, *SignalRequest.__subclasses__())}
