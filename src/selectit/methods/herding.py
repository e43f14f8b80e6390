"""Keep the mean."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.methods._base import SetMethod
from selectit.numerics.subsets import herding
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest


@dataclass(frozen=True, slots=True)
class Herding(SetMethod):
    """Each next row brings the mean of those chosen nearest to the mean of all (herding).

    Source: Welling, "Herding Dynamical Weights to Learn", ICML 2009; named among the geometric selectors in the survey
    arXiv 2408.02085.

    Needs: embeddings.

    Direction: the order of choice.

    Cost: 1 forward pass of the encoder a row, and N x n x D multiplications, at most 50,000 x n x D.

    Differs: no row is taken twice. Of more than 50,000 rows each step looks at the next 50,000 of them in turn.

    Licence: no code of others.

    Checked: the specification's values, and the greedy rule by brute force.
    """

    text: str = "both"
    """`instruction`, `response` or `both`."""

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        return f"herding-{self.text}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order, fewer where fewer have an embedding."""
        rows, vectors = pool(signals)
        return rows[herding(vectors, budget)] if len(rows) else rows


METHOD = Herding
