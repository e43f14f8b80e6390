"""The odds of the upper ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selectit.errors import SettingsError
from selectit.methods._base import RatingMethod, check_prompts
from selectit.numerics.label_probs import log_sum
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals


@dataclass(frozen=True, slots=True)
class LogOdds(RatingMethod):
    """The natural log of the odds that the rating is one of the upper labels, its mean over the prompts.

    Unlike a mean rating it does not saturate: 99.9 % certain of a 5 scores above 99 %. With the labels No and Yes
    (--prompts yes-no) it is log P(Yes) - log P(No).

    Source: this program; a reading of SelectIT's ratings (arXiv 2402.16705).

    Needs: ratings by one model.

    Direction: higher = better = keep; any number, 0 = even odds.

    Cost: K forward passes a row, those of SelectIT.

    Differs: nothing is published of it.

    Licence: none is involved.

    Checked: by hand, and against a plain loop.
    """

    k: int = 5
    """Number of rating prompts; 1 or more."""
    upper: int = 0
    """How many of the labels are the upper ones; 0 = half of them, rounded down: 4 and 5 of 1 to 5."""

    name: ClassVar[str] = "log-odds"
    needs: ClassVar[tuple[str]] = ("ratings",)

    def __post_init__(self) -> None:
        check_prompts(self.k)
        if self.upper < 0:
            raise SettingsError(f"upper is {self.upper}", "It is a number of labels, or 0 for half of them.")

    @property
    def label(self) -> str:
        return f"log-odds-k{self.k}" + (f"-u{self.upper}" if self.upper else "")

    def check(self, models: tuple[str, ...], labels: int) -> None:
        """Raise SettingsError where there is not one model, or no label is left below the upper ones."""
        RatingMethod.check(self, models, labels)
        if self.upper >= labels:
            raise SettingsError(f"upper is {self.upper} of {labels} labels", "Leave at least one label below.")

    def score(self, signals: Signals) -> Float64:
        """(N,) log-odds, of several responses their mean; NaN where a rating is missing."""
        ratings = signals.ratings
        labels = ratings.logprob.shape[-1]
        self.check(ratings.models, labels)
        logprob = ratings.logprob[:, 0, : self.k]
        lower = labels - (self.upper or labels // 2)
        odds = log_sum(logprob[..., lower:]) - log_sum(logprob[..., :lower])
        return mean_by_row(odds.mean(axis=-1), ratings.row, len(signals.rows))


METHOD = LogOdds
