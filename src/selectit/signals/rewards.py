"""Rewards: one number for a pair, by a model that was trained to give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from selectit.data.records import Sample
from selectit.signals.arrays import Float64, Rewards
from selectit.signals.base import Answer, Engine, OnBatch, SignalRequest, Stored


@runtime_checkable
class RewardsPairs(Engine, Protocol):
    """A loaded reward model."""

    def reward(self, samples: Sequence[Sample], on_batch: OnBatch) -> Float64:
        """(B,) the model's single output, higher is better; NaN where the text has no room."""


@dataclass(frozen=True)
class RewardRequest(SignalRequest[Rewards, RewardsPairs]):
    """The pair as the reward model was trained on it: a method names it in its `needs`."""

    signal = "rewards"
    doing = "rewarding with"
    capability = RewardsPairs
    columns = {"reward": pa.float64()}
    named_by = ("reward_model",)
    heeds = ("pooling", "unit_size")

    def ask(self, engine: RewardsPairs, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        rewards = engine.reward(samples, on_batch)
        errors = ["the text has no room" if np.isnan(reward) else None for reward in rewards]
        return Answer({"reward": list(rewards)}, errors)

    def arrays(self, stored: Stored) -> Rewards:
        return Rewards(stored.numbers("row"), stored.numbers("reward", missing=np.nan))

    @classmethod
    def unnamed(cls) -> tuple[str, str]:
        return "this method needs a reward model", "Name one with --reward-model: a hub id or a folder."

    @classmethod
    def tell(cls, described: Mapping[str, Any]) -> str:
        return "no reward" if described["reward"] is None else f"reward {described['reward']:.4g}"
