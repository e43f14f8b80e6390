"""The expected rating without the model's liking for certain labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods._base import RatingMethod, check_prompts
from selectit.numerics.label_probs import expected, label_shares
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import Substitution

WAYS = ("content-free", "batch")
CONTENT_FREE = "N/A"


@dataclass(frozen=True, slots=True)
class Calibrated(RatingMethod):
    """The expected rating after the labels' probabilities are divided by those that the model gives without reason.

    `content-free` divides by the probabilities for a pair without content (contextual calibration): how much the model
    likes each label under this prompt before it has seen anything. `batch` divides by the geometric mean over all rows
    of the data: what it gives to this data on average. Each prompt has its own divisor, so prompts that differ only
    in such a liking count alike.

    Source: Zhao et al., "Calibrate Before Use", ICML 2021, arXiv 2102.09690, section 5 (`content-free`; the matrix
    W = diag(p_cf)^-1, b = 0); Zhou et al., "Batch Calibration", ICLR 2024, arXiv 2309.17249 (`batch`).

    Needs: ratings by one model; `content-free` also those of a pair without content, rated with the same prompts.

    Direction: higher = better = keep; from 1 to the number of labels.

    Cost: K forward passes a row, those of SelectIT; `content-free` K more for each unit of 512 rows.

    Differs: Zhao et al. average three content-free inputs; here it is one, "N/A", for instruction and response.
    Zhou et al. take the mean of the log-probabilities over a batch; here the batch is the whole data set.

    Licence: tonyzhaozh/few-shot-learning, Apache-2.0; nothing was taken from it.

    Checked: by hand; a model that answers everything alike gives every row the middle rating.
    """

    by: str = "content-free"
    """`content-free` or `batch`."""
    k: int = 5
    """Number of rating prompts; 1 or more."""

    name: ClassVar[str] = "calibrated"

    def __post_init__(self) -> None:
        check_prompts(self.k)
        if self.by not in WAYS:
            raise SettingsError(f"there is no way {self.by!r}", nearest(self.by, WAYS))

    @property
    def needs(self) -> tuple[str | Substitution, ...]:
        return ("ratings", Substitution(CONTENT_FREE, CONTENT_FREE)) if self.by == "content-free" else ("ratings",)

    @property
    def label(self) -> str:
        return f"calibrated-{self.by}-k{self.k}"

    def check_cascade(self) -> None:
        """Raise SettingsError for `batch`, whose divisor is all rows'."""
        if self.by == "batch":
            raise SettingsError(
                f"{self.name} by batch scores a row by all others, and a cascade leaves most of them out",
                "Use --param by=content-free, or leave out --cascade.",
            )

    def score(self, signals: Signals) -> Float64:
        """(N,) calibrated expected ratings, of several responses their mean; NaN where a rating is missing."""
        ratings = signals.ratings
        self.check(ratings.models, ratings.logprob.shape[-1])
        logprob = label_shares(ratings.logprob[:, 0, : self.k])
        if self.by == "content-free":
            bias = label_shares(signals.ratings_instead.logprob[:, 0, : self.k])
        else:
            known = ~np.isnan(logprob).any(axis=(1, 2))
            bias = logprob[known].mean(axis=0, keepdims=True) if known.any() else np.zeros((1, *logprob.shape[1:]))
        return mean_by_row(expected(logprob - bias).mean(axis=-1), ratings.row, len(signals.rows))


METHOD = Calibrated
