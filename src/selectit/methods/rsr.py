"""How far a response is from what the model would say, and yet how well the model follows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.methods._base import check_count
from selectit.methods._losses import LossMethod
from selectit.numerics.segments import sums_by_row
from selectit.signals.arrays import Float64, Signals


@dataclass(frozen=True, slots=True)
class Rsr(LossMethod):
    """The responses that are news to the model and that it could have said (rank-surprisal ratio, RSR).

    RSR = Σ min(rank, clip) / Σ -log p over the tokens of the response, after its instruction; the rank of a token is 1
    + the number of tokens that the model holds for more likely. A low one means tokens that are improbable, so that
    there is something to learn, and still among the first that the model thinks of.

    Source: "rank-surprisal ratio", ACL 2026, arXiv 2601.14249; UmeanNever/RankSurprisalRatio@1c908ee:rsr_cal.py.

    Needs: the losses of the model that will be tuned.

    Direction: lower = better; the score is minus the RSR, which lies above 0.

    Cost: 1 forward pass a row; none where the run has the losses of another method under the same template.

    Differs: the published code leaves out a row without a response and does not count it, here it has no score. The
    token that ends a response is no part of it, and the answers of a conversation are pooled, as there. A model that is
    loaded in half precision has more equal logits, which count as the better rank.

    Licence: UmeanNever/RankSurprisalRatio, MIT; nothing was taken from it.

    Checked: ranks, losses and values of the published code on given logits; the specification's value.
    """

    clip: int = 100
    """Ranks above it count as it."""
    template: str = "chat"
    """`chat`, the model's chat template, as the authors; `alpaca`, its prompt for rows with an input or that for rows
    without; or `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""

    def __post_init__(self) -> None:
        check_count("clip", self.clip, "ranks")
        LossMethod.__post_init__(self)

    @property
    def label(self) -> str:
        return f"rsr-c{self.clip}-{self.text_label}"

    def score(self, signals: Signals) -> Float64:
        """(N,) minus the RSR; NaN where a response has no losses."""
        return -self.parts(signals)["rsr"]

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """The RSR, the mean of the clipped ranks and the mean surprisal in nats.

        The RSR of a whole data set is the mean of the second over the mean of the third, not the mean of the first.
        """
        losses = signals.losses
        ranks, tokens = sums_by_row(np.minimum(losses.rank, self.clip), losses, len(signals.rows))
        surprisal, _ = sums_by_row(losses.given[0], losses, len(signals.rows))
        return {
            "rsr": ranks / np.maximum(surprisal, 1e-12),
            "mean_rank": ranks / tokens,
            "surprisal": surprisal / tokens,
        }


METHOD = Rsr
