"""In-context influence: what a row does for the examples of a target that are read after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.data.examples import Example
from selectit.methods._base import ScoringMethod, check_count
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GainRequest


@dataclass(frozen=True, slots=True)
class TargetLoss(ScoringMethod):
    """How much a row, read in front, lowers the model's loss of the answers of a target's examples.

    Source: in-context influence, as in data-juicer (in_context_influence_filter) and Nuggets (Li et al., arXiv
    2312.10302).

    Needs: a target (`--target`) with answers, and the losses of some of its examples after each row.

    Direction: higher = lowers the loss more = keep; nats a token, 0 = does nothing.

    Cost: as many forward passes a row as `examples`, each over the row and an example: for small sets.

    Differs: the mean difference of the losses; data-juicer has their mean ratio, Nuggets the share of examples that
    gain (here the part `helped`). Row and example stand in the template of the loss methods with an empty line between;
    a row that is an example itself counts for the others only. An example that is too long after a row is left out of
    that row's mean.

    Licence: datajuicer/data-juicer, Apache-2.0; pldlgb/nuggets has none; nothing was taken from them.

    Checked: the specification's values; single passes over both texts.
    """

    examples: int = 8
    """How many of the target's examples are read after each row: drawn once, as many of each group."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; or `plain`: instruction and input, each on
    lines of their own."""
    seed: int = 0
    """Of drawing the examples."""

    towards_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("examples", self.examples, "the target's examples")
        loss_text(self.template)

    def check_target(self, examples: Sequence[Example]) -> None:
        """Raise SettingsError where an example has no answer."""
        self.needs[0].towards(examples)

    @property
    def needs(self) -> tuple[GainRequest]:
        return (GainRequest(loss_text(self.template, both=False), self.examples, self.seed),)

    @property
    def label(self) -> str:
        return f"target-loss-{self.template}-n{self.examples}-seed{self.seed}"

    def score(self, signals: Signals) -> Float64:
        """(N,) mean gains; a row of several responses has the mean of theirs."""
        return self.parts(signals)["gain"]

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """The mean gain in nats a token, and the share of the examples whose loss falls."""
        gains, row = signals.gains.gains.astype(np.float64), signals.gains.row
        known = ~np.isnan(gains)
        count = known.sum(axis=1)
        sums = {"gain": np.where(known, gains, 0).sum(axis=1), "helped": (known & (gains > 0)).sum(axis=1)}
        return {
            name: mean_by_row(
                np.divide(each, count, out=np.full(len(count), np.nan), where=count > 0), row, len(signals.rows)
            )
            for name, each in sums.items()
        }


METHOD = TargetLoss
