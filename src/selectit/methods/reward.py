"""What a reward model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selectit.methods._base import ScoringMethod
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import RewardRequest


@dataclass(frozen=True, slots=True)
class Reward(ScoringMethod):
    """The output of a reward model, as it is.

    Source: the quality step of MoDS (Du et al., arXiv 2311.15653) and an indicator of Instruction Mining; no paper of
    its own.

    Needs: a reward model's output for each pair.

    Direction: higher = better = keep; the scale is the model's, often around 0.

    Cost: 1 forward pass a row, of the reward model.

    Differs: MoDS keeps what is above a threshold (0 for reward-model-deberta-v3-large-v2 on Alpaca): that is
    --min-score here. A row that failed has no score instead of vanishing.

    Licence: CASIA-LM/MoDS has none; nothing was taken from it.

    Checked: by hand.
    """

    needs: ClassVar[tuple[RewardRequest]] = (RewardRequest(),)

    @property
    def label(self) -> str:
        return "reward"

    def score(self, signals: Signals) -> Float64:
        """(N,) rewards, of several responses their mean; NaN where there is none."""
        return mean_by_row(signals.rewards.reward, signals.rewards.row, len(signals.rows))


METHOD = Reward
