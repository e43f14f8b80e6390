"""What a short tuning changes of each row's loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from selectit.errors import SettingsError, nearest
from selectit.methods import shorten
from selectit.methods._base import check_share
from selectit.methods._losses import LossMethod
from selectit.methods._tuning import Pass, TunedOn, TuningScoringMethod, check_epochs, count_share, draw_share, some
from selectit.numerics.segments import given_by_row
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.loss_templates import loss_text

_TUNED = "losses after tuning"
_ORDERS = ("most", "least")


@dataclass(frozen=True, slots=True)
class DeltaLoss(TuningScoringMethod, LossMethod):
    """The rows whose loss fell most, or least, in a short tuning on a sample of the rows.

    Delta = the mean loss of the response under the model as it is, less that under the tuned one, in nats a token.

    Source: `most` is the start of DataFlex's delta-loss selector (OpenDCAI/DataFlex); `least` is the rule of TailSFT
    (arXiv 2608.25756) as a score.

    Needs: a causal model that can be tuned here.

    Direction: `most`: higher = learnt more; `least`: minus that.

    Cost: 2 passes a row, between them a tuning on `share` of the rows.

    Differs: DataFlex chooses again and again while it trains, in a window that moves from the rows that fell most to
    those that fell least, with draws; TailSFT leaves rows out of each batch. Here the model is tuned once, on a seeded
    sample, and the score is static. A row of several responses has the mean of theirs.

    Licence: DataFlex, Apache-2.0; nothing was taken from it.

    Checked: the specification's values.
    """

    order: str = "most"
    """`most` or `least`."""
    share: float = 0.1
    """Of the rows, that the model is tuned on: a draw."""
    epochs: float = 1.0
    """Passes of the tuning over them."""
    recipe: str = "brief"
    """How the model is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    template: str = "chat"
    """`chat`, the template with which the model was tuned; `alpaca` or `plain`, as of `ifd`."""
    boundary: str = "joint"
    """`joint` or `split`, as of `ifd`."""
    seed: int = 0
    """Of the draw, and of the training."""

    def __post_init__(self) -> None:
        LossMethod.__post_init__(self)
        check_epochs(self.epochs)
        if self.order not in _ORDERS:
            raise SettingsError(f"there is no order {self.order!r}", nearest(self.order, _ORDERS))
        check_share("share", self.share, "rows")

    @property
    def label(self) -> str:
        tuning = f"{self.share:g}-e{self.epochs:g}-{shorten(self.recipe)}-seed{self.seed}"
        return f"delta-loss-{self.order}-{self.text_label}-{tuning}"

    def steps(self, signals: Signals) -> Generator[Pass, Any, Signals]:
        """The signals with the losses under the tuned model beside those of the model as it is."""
        losses = yield self._pass(draw_share(signals.rows, self.share, self.seed))
        return dataclasses.replace(signals, stored={**signals.stored, _TUNED: losses})

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """One pass, of the model tuned on the sample."""
        return (self._pass(some(count_share(self.share, rows))),)

    def score(self, signals: Signals) -> Float64:
        """(N,) nats a token; NaN where a loss is missing."""
        parts = self.parts(signals)
        fell = parts["loss"] - parts["loss_tuned"]
        return fell if self.order == "most" else -fell

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """The mean losses under the model as it is and under the tuned one, in nats a token."""
        rows = len(signals.rows)
        return {"loss": given_by_row(signals.losses, rows), "loss_tuned": given_by_row(signals.of(_TUNED), rows)}

    def _pass(self, rows: Int64) -> Pass:
        request = loss_text(self.template, self.boundary, both=False)
        return Pass(request, TunedOn(rows, self.recipe, self.epochs, self.seed))


METHOD = DeltaLoss
