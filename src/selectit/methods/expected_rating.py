"""The mean rating under the label probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError
from selectit.schema import Float64, Signals
from selectit.segments import mean_by_row


@dataclass(frozen=True, slots=True)
class ExpectedRating:
    """The expected rating under a model's label probabilities, for the first rating prompt.

    With the labels 1 to 6 and their own prompts this is how DEITA's two scorers are read. It is not SelectIT: it does
    not ask how sure the model is.

    Source: Liu et al., "What Makes Good Data for Alignment?", ICLR 2024, arXiv 2312.15685 (the reading of its scorers).

    Needs: ratings by one model.

    Direction: higher = better = keep; from 1 to the number of labels.

    Cost: 1 forward pass a row.

    Differs: the published code gives 3.0 where the labels are missing; here there is no score then.

    Licence: hkust-nlp/deita, Apache-2.0; nothing was taken from it.

    Checked: the specification's value.
    """

    needs: ClassVar[tuple[str]] = ("ratings",)
    prompts: ClassVar[int] = 1

    @property
    def label(self) -> str:
        return "expected-rating"

    def check(self, models: tuple[str, ...], labels: int) -> None:
        """Raise SettingsError where there is not one model."""
        if len(models) != 1:
            raise SettingsError(
                f"expected-rating reads one model, and there are {len(models)}: {', '.join(models)}",
                "Name one with --model.",
            )

    def score(self, signals: Signals) -> Float64:
        """(N,) expected ratings, of several responses their mean; NaN where a rating is missing."""
        ratings = signals.ratings
        self.check(ratings.models, ratings.logprob.shape[-1])
        return mean_by_row(expected(ratings.logprob[:, 0, 0]), ratings.row, len(signals.rows))


METHOD = ExpectedRating


def expected(logprob: NDArray[np.floating]) -> Float64:
    """(..., R) log-probabilities in any constant normalisation to (...) sums of rating x probability."""
    values = logprob.astype(np.float64)
    share = np.exp(values - values.max(axis=-1, keepdims=True))
    ratings = np.arange(1, values.shape[-1] + 1)
    mean: Float64 = (share * ratings).sum(axis=-1) / share.sum(axis=-1)
    return mean
