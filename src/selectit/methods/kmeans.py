"""One of each kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from selectit.errors import SettingsError
from selectit.methods._base import SetMethod
from selectit.numerics.clusters import k_means_pick
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest


@dataclass(frozen=True, slots=True)
class Kmeans(SetMethod):
    """The rows nearest to the centroids of k-means clusters.

    Source: named among the geometric selectors in the survey arXiv 2408.02085; a step of LTD (arXiv 2305.09246) and
    others.

    Needs: embeddings; scikit-learn, of the extra `methods`.

    Direction: the larger cluster first, and in it the row nearest to the centroid.

    Cost: 1 forward pass of the encoder a row, and N x clusters x D multiplications for each of a few dozen rounds; in
    two levels 2 N x sqrt(clusters) x D.

    Differs: no original. Where rows x clusters exceed 100 million there are two levels: the root of so many clusters,
    from minibatches, and k-means in each.

    Licence: no code of others; scikit-learn is BSD-3-Clause.

    Checked: by hand on clear clusters.
    """

    nested: ClassVar[bool] = False
    text: str = "both"
    """`instruction`, `response` or `both`."""
    clusters: int = 0
    """How many clusters, each giving a number of rows in proportion to its size; 0 = as many as rows are kept, each
    giving one, which are fewer where there are fewer different rows."""
    seed: int = 0
    """Of the first centroids."""
    restarts: int = 1
    """The best of so many runs."""

    def __post_init__(self) -> None:
        if self.clusters < 0 or self.restarts < 1:
            raise SettingsError(
                f"clusters is {self.clusters}, restarts {self.restarts}", "They are 0 or more, and 1 or more."
            )

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        clusters = f"-c{self.clusters}" if self.clusters else ""
        restarts = f"-r{self.restarts}" if self.restarts > 1 else ""
        return f"kmeans-{self.text}{clusters}-seed{self.seed}{restarts}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order, of those with an embedding. Raises SettingsError: no scikit-learn."""
        rows, vectors = pool(signals, self.seed)
        if not len(rows):
            return rows
        return rows[k_means_pick(vectors, budget, self.clusters, self.seed, self.restarts)]


METHOD = Kmeans
