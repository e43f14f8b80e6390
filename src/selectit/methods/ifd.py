"""Instruction-Following Difficulty as Cherry LLM has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from selectit.methods._losses import LossMethod
from selectit.numerics.segments import flagged, mean_losses, rows_of
from selectit.signals.arrays import Float64, Signals


@dataclass(frozen=True, slots=True)
class Ifd(LossMethod):
    """The responses that their instruction helps least, as far as it helps (IFD, Cherry LLM; "Q2Q").

    IFD = s(y|x) / s(y), the mean loss of the response after its instruction over its mean loss without. A row whose IFD
    is above 1 is taken as misaligned: it has no score and is never chosen; its IFD stands among the parts. Under
    `alpaca` a row with an input is read in the prompt that Alpaca has for such rows.

    Source: Li et al., "From Quantity to Quality", NAACL 2024, arXiv 2308.12032.

    Needs: the losses of a causal model, with and without the instruction.

    Direction: higher = harder = keep; in (0, 1].

    Cost: 2 forward passes a row.

    Differs: without the pre-experienced model, as the authors' second version: the named model reads as it is. Prompt
    and response are tokenised together, as there; with `boundary` split the values are others where `alpaca`'s colon
    and what follows are one token: in 238 of 9,229 rows of an Alpaca set with SmolLM2's tokenizer, one of which has an
    IFD of 0.877 together and of 1.008 apart. The published code skips a row that is longer than the limit (`--overflow
    refuse`); here the response is cut, in both readings after the same token. It keeps NaN, chooses a share of the rows
    that are left instead of all, and writes them in the order of the source (`--order source`).

    Licence: tianyi-lab/Cherry_LLM has none; nothing was taken from it. The prompts' texts are
    tatsu-lab/stanford_alpaca's, Apache-2.0.

    Checked: the specification's value; rows with and without an input against single passes over both prompts.
    """

    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""

    name: ClassVar[str] = "ifd"
    both: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"{self.name}-{self.text_label}"

    @property
    def about(self) -> str:
        """A line for the summary."""
        return "rows whose IFD is above 1 are taken as misaligned and have no score"

    def score(self, signals: Signals) -> Float64:
        """(N,) IFD; NaN where misaligned or a loss is missing. A row of several responses has the mean of theirs."""
        parts = self.parts(signals)
        return np.where(parts["misaligned"] == 0, parts["ifd"], np.nan)

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """IFD before the cut at 1, whether it is misaligned (1 or 0), and the two mean losses in nats."""
        losses = signals.losses
        given, alone = mean_losses(losses)
        columns = {"ifd": self._ratio(given, alone), "loss": given, "loss_alone": alone}
        parts = rows_of(columns, losses.row, len(signals.rows))
        return {**parts, "misaligned": flagged(self._misaligned(parts["ifd"]), parts["ifd"])}

    def _ratio(self, given: Float64, alone: Float64) -> Float64:
        """(I,) IFD of (I,) mean losses after the instruction and alone."""
        ratio: Float64 = np.divide(given, alone, out=np.full(len(given), np.nan), where=alone > 0)
        return ratio

    def _misaligned(self, ratio: Float64) -> NDArray[np.bool_]:
        return ratio > 1


METHOD = Ifd
