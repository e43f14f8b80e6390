"""Instruction-Following Difficulty by perplexities of a small model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.array_types import Float64
from selectit.numerics.segments import flagged, mean_losses, rows_of
from selectit.signals.arrays import Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import LossRequest


@dataclass(frozen=True, slots=True)
class Superfiltering:
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
    has no score. Its way with diversity (Superfiltering.D) is another method.

    Licence: tianyi-lab/Superfiltering has none; nothing was taken from it.

    Checked: the specification's value, and by hand.
    """

    template: str = "plain"
    """`alpaca` or `plain`: what stands around the instruction."""
    boundary: str = "split"
    """`split`: prompt and response are tokenised apart; `joint`: together."""

    def __post_init__(self) -> None:
        loss_text(self.template, self.boundary)

    @property
    def needs(self) -> tuple[LossRequest, ...]:
        return (loss_text(self.template, self.boundary),)

    @property
    def label(self) -> str:
        return f"superfiltering-{self.template}" + ("-joint" if self.boundary == "joint" else "")

    @property
    def about(self) -> str:
        """A line for the summary."""
        return "rows whose IFD is 1 or more are taken as misaligned and have no score"

    def score(self, signals: Signals) -> Float64:
        """(N,) IFD; NaN from 1 on and where either loss is missing. A row of several responses has their mean."""
        ratio = self._parts(signals)["ifd"]
        return np.where(ratio < 1, ratio, np.nan)

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """IFD before the cut at 1, whether it is cut (1 or 0), and the two mean losses in nats."""
        parts = self._parts(signals)
        ratio = parts["ifd"]
        return {**parts, "misaligned": flagged(ratio >= 1, ratio)}

    def _parts(self, signals: Signals) -> dict[str, Float64]:
        losses = signals.losses
        given, alone = mean_losses(losses)
        columns = {"ifd": np.exp(given - alone), "loss": given, "loss_alone": alone}
        return rows_of(columns, losses.row, len(signals.rows))


METHOD = Superfiltering
