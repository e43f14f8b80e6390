"""Instruction-Following Difficulty by perplexities of a small model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError, nearest
from selectit.methods.ifd import Ifd
from selectit.signals.arrays import Float64
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import Need

CUTS = ("same", "published")


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

    Differs: the published code gives a row that failed the IFD 0, and always takes a share of 52,002 rows. Here a row
    that failed, is empty, or has one token only has no score. Prompt and response are tokenised together, as there;
    where the response then has more tokens alone than after the instruction, its first ones do not count here. A
    response over the limit of a model without a token for the beginning it cuts a token later in the reading alone than
    after the instruction (`--param cut=published`), here in both after the same token; `--overflow refuse` gives such
    rows no score. Its way with diversity (Superfiltering.D) is another method.

    Licence: tianyi-lab/Superfiltering has none; nothing was taken from it.

    Checked: the specification's value, and by hand.
    """

    template: str = "plain"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    cut: str = "same"
    """A response over the limit ends in both readings after the `same` token, or as `published`: alone a token later
    where the model has no token for the beginning."""

    name: ClassVar[str] = "superfiltering"

    def __post_init__(self) -> None:
        if self.cut not in CUTS:
            raise SettingsError(f"superfiltering has no cut {self.cut!r}", nearest(self.cut, CUTS))
        Ifd.__post_init__(self)

    @property
    def needs(self) -> tuple[Need, ...]:
        return (loss_text(self.template, self.boundary, shifted=self.cut == "published"),)

    @property
    def label(self) -> str:
        return f"superfiltering-{self.text_label}" + ("-published-cut" if self.cut == "published" else "")

    @property
    def about(self) -> str:
        """A line for the summary."""
        return "rows whose IFD is 1 or more are taken as misaligned and have no score"

    def _ratio(self, given: Float64, alone: Float64) -> Float64:
        return np.exp(given - alone)

    def _misaligned(self, ratio: Float64) -> NDArray[np.bool_]:
        return ratio >= 1


METHOD = Superfiltering
