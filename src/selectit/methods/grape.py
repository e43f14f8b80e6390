"""Of several answers to one instruction, the one that the model itself would most likely give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.methods import shorten
from selectit.methods._losses import LossMethod
from selectit.numerics.groups import find_best, group_fields, group_instructions
from selectit.numerics.ranking import ranking
from selectit.numerics.segments import flagged, mean_by_row, means
from selectit.signals.arrays import Float64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import Field, Need


@dataclass(frozen=True, slots=True)
class Grape(LossMethod):
    """Of several answers to one instruction the likeliest for the model that will be tuned (GRAPE).

    Rows are answers to one instruction where all that is asked is equal, white space at its ends left out; or where
    they have the same value of a field. Of each such group the row with the largest exp(mean of log p), the
    probability of the response per token, keeps it as its score, and the others have none. A row alone is the best of
    its group. Without a budget as many rows are kept as there are groups. `--best-of` does the same with any
    score.

    Source: "GRAPE", arXiv 2502.04194.

    Needs: the losses of the model that will be tuned.

    Direction: higher = likelier = keep; in (0, 1].

    Cost: 1 forward pass a row; none where the run has the losses of another method under the same template.

    Differs: no code is public. Of equal answers the smaller row is kept, and an answer without losses never. It favours
    boilerplate: what the model finds likely is what it says anyway.

    Licence: no public code.

    Checked: the specification's value, and by hand.
    """

    by: str = ""
    """A field of the records whose equal values make a group, dots for fields within fields; a record without it is a
    group of its own. Empty: equal instructions."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""

    @property
    def needs(self) -> tuple[Need, ...]:
        return (loss_text(self.template, self.boundary, both=False), Field(self.by) if self.by else "texts")

    @property
    def label(self) -> str:
        return f"grape-{self.text_label}" + (f"-by-{shorten(self.by)}" if self.by else "")

    @property
    def min_score(self) -> float:
        """Every row that has a score, where no budget is given."""
        return 0.0

    @property
    def about(self) -> str:
        """A line for the summary."""
        return "of several answers to one instruction only the likeliest has a score"

    def score(self, signals: Signals) -> Float64:
        """(N,) probability per token of the best of each group; NaN for the others, and where a loss is missing."""
        parts = self.parts(signals)
        return np.where(parts["beaten"] == 0, parts["probability"], np.nan)

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """The probability per token of every row, and whether another of its group has a larger one (1 or 0)."""
        losses, rows = signals.losses, len(signals.rows)
        probability = mean_by_row(np.exp(-means(losses.given[0], losses.start)), losses.row, rows)
        groups = group_fields(signals.field) if self.by else group_instructions(signals.texts, rows)
        beaten = find_best(ranking(probability), groups) != np.arange(rows)
        return {"probability": probability, "beaten": flagged(beaten, probability)}


METHOD = Grape
