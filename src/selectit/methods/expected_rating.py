"""The mean rating under the label probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selectit.errors import SettingsError
from selectit.methods._base import RatingMethod, check_prompts
from selectit.numerics.label_probs import expected, sentence_scores
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals


@dataclass(frozen=True, slots=True)
class ExpectedRating(RatingMethod):
    """The expected rating under a model's label probabilities, its mean over the prompts.

    Where SelectIT takes the most likely rating and how far it stands above the others, this takes all labels at their
    probabilities. With `alpha` the prompts' disagreement costs as it does at SelectIT's sentence level. With `k` 1,
    the labels 1 to 6 and their own prompts it is how DEITA's two scorers are read; that of complexity reads the
    instruction alone, so the prompts of this method may do without {response}.

    Source: Liu et al., "What Makes Good Data for Alignment?", ICLR 2024, arXiv 2312.15685 (the reading of its scorers);
    the penalty is equation 4 of SelectIT, arXiv 2402.16705.

    Needs: ratings by one model.

    Direction: higher = better = keep; from 1 to the number of labels, with `alpha` from 0.

    Cost: K forward passes a row, those of SelectIT.

    Differs: DEITA's published code gives 3.0 where the labels are missing; here there is no score then.

    Licence: hkust-nlp/deita, Apache-2.0; nothing was taken from it.

    Checked: the specification's value; several prompts against a plain loop.
    """

    k: int = 5
    """Number of rating prompts; 1 or more."""
    alpha: float = 0.0
    """How much disagreement between the prompts costs; 0 or more."""

    name: ClassVar[str] = "expected-rating"
    instruction_alone: ClassVar[bool] = True
    needs: ClassVar[tuple[str]] = ("ratings",)

    def __post_init__(self) -> None:
        check_prompts(self.k)
        if not 0 <= self.alpha < float("inf"):
            raise SettingsError(f"alpha is {self.alpha}", "alpha is a number of 0 or more.")

    @property
    def label(self) -> str:
        return f"expected-rating-k{self.k}" + (f"-a{self.alpha:g}" if self.alpha else "")

    def score(self, signals: Signals) -> Float64:
        """(N,) expected ratings, of several responses their mean; NaN where a rating is missing."""
        ratings = signals.ratings
        self.check(ratings.models, ratings.logprob.shape[-1])
        scores = sentence_scores(expected(ratings.logprob[:, 0, : self.k]), self.alpha, self.k)
        return mean_by_row(scores, ratings.row, len(signals.rows))


METHOD = ExpectedRating
