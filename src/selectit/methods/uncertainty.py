"""How undecided a model is while it reads the response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods._losses import LossMethod
from selectit.numerics.segments import least, mean_by_row, means
from selectit.signals.arrays import Float64, Losses, Signals

MEASURES = ("entropy", "least-confidence", "margin", "least-margin")


@dataclass(frozen=True, slots=True)
class Uncertainty(LossMethod):
    """The responses at whose tokens the model is least decided (classic active learning).

    Over the tokens of the response, after its instruction: `entropy` is the mean of -Σ p log p, `least-confidence` the
    mean of 1 - p1, `margin` minus the mean of p1 - p2, `least-margin` minus the smallest p1 - p2, where p1 and p2 are
    the two largest probabilities.

    Source: the survey of Qin et al., arXiv 2408.02085, and the acquisition rules beside DiverseEvol (Wu et al., arXiv
    2311.08182).

    Needs: the losses of a causal model.

    Direction: higher = less decided = keep.

    Cost: 1 forward pass a row; none where the run has the losses of `ifd`.

    Differs: DiverseEvol's code takes least confidence and margin of logits, which have no common scale; here they are
    of probabilities.

    Licence: OFA-Sys/DiverseEvol has none; nothing was taken from it.

    Checked: entropy against the specification's value; all against whole distributions written out.
    """

    measure: str = "entropy"
    """`entropy`, `least-confidence`, `margin` or `least-margin`."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise SettingsError(f"uncertainty has no measure {self.measure!r}", nearest(self.measure, MEASURES))
        LossMethod.__post_init__(self)

    @property
    def label(self) -> str:
        return f"uncertainty-{self.measure}-{self.text_label}"

    def score(self, signals: Signals) -> Float64:
        """(N,) scores; NaN where there are no losses. A row of several responses has the mean of their scores."""
        losses = signals.losses
        return mean_by_row(self._items(losses), losses.row, len(signals.rows))

    def _items(self, losses: Losses) -> Float64:
        if self.measure == "entropy":
            return means(losses.entropy, losses.start)
        if self.measure == "least-confidence":
            return 1 - means(losses.largest, losses.start)
        margin = losses.largest.astype(np.float64) - losses.second
        return -(means if self.measure == "margin" else least)(margin, losses.start)


METHOD = Uncertainty
