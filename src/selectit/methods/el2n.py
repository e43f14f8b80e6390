"""The size of the model's error on the response."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.methods._losses import LossMethod
from selectit.numerics.segments import mean_by_row, means
from selectit.signals.arrays import Float64, Signals


@dataclass(frozen=True, slots=True)
class El2n(LossMethod):
    """The hardest responses by the length of the error vector (EL2N).

    The mean over the tokens of the response of ‖p - onehot(y)‖₂ = sqrt(Σ p² - 2 p_y + 1), p the probabilities after the
    instruction and what came before.

    Source: Paul et al., "Deep Learning on a Data Diet", NeurIPS 2021, arXiv 2107.07075.

    Needs: the losses of a causal model: an early checkpoint of the tuning, or the model before it.

    Direction: higher = larger error = keep; in [0, √2].

    Cost: 1 forward pass a row; none where the run has the losses of `ifd`.

    Differs: the paper averages about ten networks early in their training of image classifiers; this is one model, and
    the mean over tokens is the usual way to carry it over to text. Average several runs with --combine.

    Licence: mansheej/data_diet is Apache-2.0; nothing was taken from it.

    Checked: the specification's value; against one-hot vectors written out.
    """

    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""

    @property
    def label(self) -> str:
        return f"el2n-{self.text_label}"

    def score(self, signals: Signals) -> Float64:
        """(N,) mean errors; NaN where there are no losses. A row of several responses has the mean of theirs."""
        losses = signals.losses
        gold = np.exp(-losses.given[0].astype(np.float64))
        # Rounding may take the sum of an almost certain token just below 0.
        squared = np.maximum(losses.squares - 2 * gold + 1, 0)
        return mean_by_row(means(np.sqrt(squared), losses.start), losses.row, len(signals.rows))


METHOD = El2n
