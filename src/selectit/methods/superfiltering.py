"""Instruction-Following Difficulty by perplexities of a small model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from selectit.methods.ifd import Ifd
from selectit.signals.arrays import Float64


@dataclass(frozen=True, slots=True)
class Superfiltering(Ifd):
    """IFD by a small model such as GPT-2, as a ratio of perplexities (Superfiltering).

    IFD = PPL(y|x) / PPL(y) = exp(s(y|x) - s(y)), s the mean loss of the response. A model without a token for the
    beginning has no loss for the first token of the response alone, so s(y) is the mean of one token less than s(y|x).
    A row whose IFD is not below 1 has no score and is never chosen; its IFD stands among the parts.

    Source: Li et al., "Superfiltering: Weak-to-Strong Data Filtering for Fast Instruction-Tuning", ACL 2024, arXiv
    2402.00530.

    Needs: the losses of a small causal model, with and without the instruction; GPT-2 in the paper.

    Direction: higher = harder = keep; in (0, 1).

    Cost: 2 forward passes a row, of the small model.

    Differs: the published code tokenises prompt and response together (`--param boundary=joint`), gives a row that
    failed the IFD 0, and always takes a share of 52,002 rows. Here a row that failed, is empty, or has one token only
    has no score. A response over the limit it cuts a token later in the reading alone than after the instruction, here
    in both after the same token; `--overflow refuse` gives such rows no score. Its way with diversity
    (Superfiltering.D) is another method.

    Licence: tianyi-lab/Superfiltering has none; nothing was taken from it.

    Checked: the specification's value, and by hand.
    """

    template: str = "plain"
    """`alpaca`, its prompt for rows with an input or that for rows without; or `plain`: instruction and input, each on
    lines of their own."""

    name: ClassVar[str] = "superfiltering"

    @property
    def about(self) -> str:
        """A line for the summary."""
        return "rows whose IFD is 1 or more are taken as misaligned and have no score"

    def _ratio(self, given: Float64, alone: Float64) -> Float64:
        return np.exp(given - alone)

    def _misaligned(self, ratio: Float64) -> NDArray[np.bool_]:
        return ratio >= 1


METHOD = Superfiltering
