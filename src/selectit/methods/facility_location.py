"""Represent every row."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.methods._base import SetMethod
from selectit.methods._coverage import check_coverage, label_coverage
from selectit.numerics.coverage import cover
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest


@dataclass(frozen=True, slots=True)
class FacilityLocation(SetMethod):
    """The set in which every row has something similar (facility location, greedy).

    Maximises the sum over all rows of their largest similarity to a chosen row.

    Source: Krause and Golovin, "Submodular Function Maximization"; in Superfiltering.D (arXiv 2402.00530) the second
    step.

    Needs: embeddings.

    Direction: the order of choice; at least 1 - 1/e of the best sum where a row may cover all others.

    Cost: 1 forward pass of the encoder a row, and about N x N x D x (1 + ln n) multiplications up to 20,000 rows; of
    more, what finding each row's 64 nearest costs.

    Differs: submodlib's Euclidean similarity exp(-d / D), which Superfiltering.D uses, lies within [.995, 1] for unit
    vectors of 384 dimensions, so that choices hang on rounding; it is `submodlib-euclidean` here and not the default.
    Ties are a draw; submodlib takes the larger row. Of more than 20,000 rows only a row's 64 nearest cover it.

    Licence: decile-team/submodlib, MIT; nothing was taken from it.

    Checked: the specification's values, greedy by brute force for each similarity, and the choices of submodlib-py
    0.0.3 on made-up points (tests/numerics/test_subsets.py).
    """

    text: str = "both"
    """`instruction`, `response` or `both`."""
    similarity: str = "cosine01"
    """`cosine01` (1 + cosine) / 2, `rbf` exp(-d2 / mean d2), `submodlib-euclidean` exp(-d / D)."""
    neighbours: int = 0
    """So many nearest rows cover a row; 0 = all of up to 20,000, 64 of more, which needs the extra `methods`."""

    def __post_init__(self) -> None:
        check_coverage(self.similarity, self.neighbours)

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        return f"facility-location-{self.text}-{label_coverage(self.similarity, self.neighbours)}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order, fewer where fewer have an embedding."""
        rows, vectors = pool(signals)
        if not len(rows):
            return rows
        return rows[cover(vectors, budget, self.similarity, self.neighbours)[0]]


METHOD = FacilityLocation
