"""IFD of the tokens that the instruction changes, steady under noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError
from selectit.methods._base import SetMethod, check_count
from selectit.methods._losses import label_text
from selectit.numerics.segments import mean_by_row, means, means_after_first
from selectit.signals.arrays import Float32, Float64, Int64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import LossRequest


@dataclass(frozen=True, slots=True)
class Tshirt(SetMethod):
    """Token-selective IFD that stays the same under noise (T-SHIRT).

    Of each noisy copy of a row and each token of the response, d is the loss after the instruction minus the loss
    without. The S-IFD of a copy is exp(mean of d over the tokens with |d| above a threshold), 1 where there is none;
    the threshold is the (1 - ratio) percentile of |d| over all tokens of all copies of all rows. Of the rows whose mean
    IFD over the copies is below 1, the 2k with the largest mean S-IFD are taken, and of these the k with the smallest
    standard deviation of S-IFD over the copies, smallest first.

    Source: Fu et al., "T-SHIRT: Token-Selective Hierarchical Data Selection for Instruction Tuning", arXiv 2506.01317.

    Needs: the losses of a small causal model (GPT-2 in the paper) on noisy copies of each row.

    Direction: none; it chooses a set, whose rows depend on all others by the threshold.

    Cost: 62 forward passes a row of the small model: 30 noisy copies and the clean reading, with and without the
    instruction.

    Differs: the published code draws 31 copies and throws one away, stops at any failing row, and takes the larger row
    of equal ones; here rows without losses are never chosen and the smaller row comes first.

    Licence: Dynamite321/T-SHIRT has none; nothing was taken from it.

    Checked: the specification's value of S-IFD; the choice by hand.
    """

    nested: ClassVar[bool] = False  # it looks at twice the budget
    ratio: float = 0.5
    """Share of tokens above the threshold, in (0, 1]; the paper also has 0.75."""
    copies: int = 30
    """How many noisy copies of each row."""
    noise: float = 5.0
    """Size of the noise on the input embeddings: U(-1, 1) x noise / sqrt(tokens x width)."""
    seed: int = 42
    """Of the noise."""
    template: str = "plain"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise SettingsError(f"ratio is {self.ratio}", "It is a share above 0 and at most 1; the paper's is 0.5.")
        check_count("copies", self.copies, "noisy copies")
        loss_text(self.template, self.boundary, copies=self.copies, noise=self.noise, seed=self.seed)

    @property
    def needs(self) -> tuple[LossRequest, ...]:
        return (loss_text(self.template, self.boundary, copies=self.copies, noise=self.noise, seed=self.seed),)

    @property
    def label(self) -> str:
        text = label_text(self.template, self.boundary)
        return f"tshirt-r{self.ratio:g}-c{self.copies}-n{self.noise:g}-s{self.seed}-{text}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows, the steadiest first; fewer where fewer have an IFD below 1."""
        selective, difficulty = self._copies(signals)
        mean, deviation = selective.mean(axis=0), selective.std(axis=0)
        eligible = np.flatnonzero(difficulty.mean(axis=0) < 1)
        best = eligible[np.argsort(-mean[eligible], kind="stable")][: 2 * budget]
        best.sort()
        return best[np.argsort(deviation[best], kind="stable")][:budget]

    def _copies(self, signals: Signals) -> tuple[Float64, Float64]:
        """(copies, N) S-IFD and IFD of each noisy copy; NaN where there are no losses."""
        losses = signals.losses
        given, alone = losses.given[1:], losses.alone[1:]
        threshold = _threshold(given - alone, self.ratio)
        selective = np.empty((len(given), len(signals.rows)))
        difficulty = np.empty_like(selective)
        for copy in range(len(given)):
            difference = given[copy].astype(np.float64) - alone[copy]
            items = _selective(difference, losses.start, threshold)
            selective[copy] = mean_by_row(items, losses.row, len(signals.rows))
            ratio = np.exp(means(given[copy], losses.start) - means_after_first(alone[copy], losses.start))
            difficulty[copy] = mean_by_row(ratio, losses.row, len(signals.rows))
        return selective, difficulty


METHOD = Tshirt


def _threshold(difference: Float32, ratio: float) -> float:
    """The (1 - ratio) percentile of the sizes, between two values by a straight line; NaN where there is none."""
    np.abs(difference, out=difference)
    present = difference[~np.isnan(difference)]
    return float(np.quantile(present, 1 - ratio, overwrite_input=True)) if len(present) else np.nan


def _selective(difference: Float64, start: Int64, threshold: float) -> Float64:
    """(I,) exp of the mean over the tokens above the threshold; NaN for an item without tokens."""
    above = np.abs(difference) > threshold  # a first token without a loss is not above
    shares = means(above.astype(np.float64), start)
    sums = means(np.where(above, difference, 0.0), start)
    return np.exp(np.divide(sums, shares, out=np.where(np.isnan(shares), np.nan, 0.0), where=shares > 0))
