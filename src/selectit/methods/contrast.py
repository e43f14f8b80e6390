"""How much better the response is rated than one that has nothing to do with the instruction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from selectit.errors import SettingsError
from selectit.methods._base import RatingMethod, check_prompts
from selectit.numerics.label_probs import expected
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import Substitution

OTHER = (
    "The ferry leaves from the north pier at half past nine and takes forty minutes to cross the bay. Tickets are sold "
    "on board, and bicycles travel free of charge outside the summer months."
)


@dataclass(frozen=True, slots=True)
class Contrast(RatingMethod):
    """The expected rating of the response, less that of the same instruction with a response to something else.

    What the instruction alone does to the rating is taken out: a model that rates everything high under an easy
    instruction gains nothing by it. Of two responses
    to one instruction the same one is ahead as by `expected-rating`: what is taken off is equal. So it changes the
    order of different instructions only.

    Source: this program; after the idea of contextual calibration (Zhao et al., arXiv 2102.09690), instruction by
    instruction.

    Needs: ratings by one model, of each pair and of its instruction with the other response.

    Direction: higher = better = keep; between the number of labels less 1 and minus that; 0 = no better than the other.

    Cost: 2K forward passes a row; where instructions repeat, fewer: equal texts of a unit are rated once.

    Differs: nothing is published of it. The other response is one text for all rows, not one row's for another, so
    that a row's score does not depend on which rows stand beside it; give one in the language of the data.

    Licence: none is involved.

    Checked: by hand; the other response itself scores 0.
    """

    other: str = OTHER
    """The response to something else; the default is two sentences about a ferry."""
    k: int = 5
    """Number of rating prompts; 1 or more."""

    name: ClassVar[str] = "contrast"

    def __post_init__(self) -> None:
        check_prompts(self.k)
        if not self.other.strip() or re.search(r"\{(prompt|instruction|response)\}", self.other):
            raise SettingsError(f"other is {self.other!r}", "It is a text of its own, without {prompt} and the like.")

    @property
    def needs(self) -> tuple[str | Substitution, ...]:
        return ("ratings", Substitution(response=self.other))

    @property
    def label(self) -> str:
        return f"contrast-k{self.k}"

    def score(self, signals: Signals) -> Float64:
        """(N,) gains, of several responses their mean; NaN where a rating is missing."""
        ratings, other = signals.ratings, signals.ratings_instead
        self.check(ratings.models, ratings.logprob.shape[-1])
        gains = expected(ratings.logprob[:, 0, : self.k]) - expected(other.logprob[:, 0, : self.k])
        return mean_by_row(gains.mean(axis=-1), ratings.row, len(signals.rows))


METHOD = Contrast
