"""How far a row lies from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError
from selectit.methods._base import ScoringMethod
from selectit.numerics.neighbours import knn_distance
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import EmbeddingRequest


@dataclass(frozen=True, slots=True)
class Knn(ScoringMethod):
    """The distance (L2) to the k-th nearest other row: how unusual a row is.

    Source: the indicator KNN_i of Instruction Mining (Cao et al., arXiv 2307.06290), where i is 6.

    Needs: embeddings.

    Direction: higher = farther from others = keep; 0 or more, 0 for a duplicate where k is 1.

    Cost: 1 forward pass of the encoder a row, and N x N x D multiplications up to 50,000
    rows; of more about N x sqrt(N) x 8 x D.

    Differs: the published code finds neighbours approximately (NNDescent); here they are exact up to 50,000 rows, and
    of more those in the 16 nearest of 4 sqrt(N) lists (faiss, of the extra `methods`): a distance may be too large.

    Licence: lingjoor-research/instruct-minnig (unofficial) has none; nothing was taken from it.

    Checked: the specification's values, and by brute force.
    """

    k: int = 6
    """Which neighbour, from 1; the row itself does not count."""
    text: str = "both"
    """`instruction`, `response` or `both`."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SettingsError(f"k is {self.k}", "k is the number of a neighbour: 1 or more.")

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        return f"knn-k{self.k}-{self.text}"

    def score(self, signals: Signals) -> Float64:
        """(N,) distances; NaN without an embedding, and for all where there are not k others."""
        rows, vectors = pool(signals)
        scores = np.full(len(signals.rows), np.nan)
        scores[rows] = knn_distance(vectors, self.k)
        return scores


METHOD = Knn
