"""One of those that mean the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.clusters import beaten_by, k_means
from selectit.numerics.vectors import pool, scored_pool, unit
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf

_ONE_CLUSTER = 20_000


@dataclass(frozen=True, slots=True)
class Semdedup(SetMethod):
    """The best rows that are not too similar to a better one of their cluster (SemDeDup).

    Source: Abbas et al., "SemDeDup: Data-efficient learning at web-scale through semantic deduplication", arXiv
    2303.09540.

    Needs: embeddings, and the score that decides who stays, where one is named.

    Direction: the score, higher first; without one, the distance to the cluster's centroid, the farthest first.

    Cost: 1 forward pass of the encoder a row and what the score costs; k-means, and rows x rows of a cluster x D
    multiplications.

    Differs: a row is compared with kept rows only. The published code, and NeMo Curator's, compare it with dropped ones
    too, so that of a chain of similar rows all but the first go. The clusters are those of plain k-means on unit
    vectors, and only their number decides which pairs are missed: up to 20,000 rows there is one, and none is. A budget
    takes the first of the rows that stay.

    Licence: facebookresearch/SemDeDup, CC BY-NC 4.0, and NVIDIA-NeMo/Curator, Apache-2.0; nothing was taken from them.

    Checked: the specification's values; the rows that the published code keeps, in plain arithmetic against kept ones.
    """

    uses_k_means: ClassVar[bool] = True
    score: str = ""
    """A scoring method with its parameters, or `stored:NAME`; a row without a score never stays. Empty = none."""
    eps: float = 0.05
    """A row goes whose cosine to one that stays exceeds 1 - eps."""
    clusters: int = 0
    """0 = 1 up to 20,000 rows, the root of the number of rows beyond; more than 1 need the extra `methods`."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""
    seed: int = 0
    """Of the first centroids, and of the order of equal rows."""

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= 2:
            raise SettingsError(f"eps is {self.eps}", "1 - eps is a cosine: eps is a number from 0 to 2.")
        if self.clusters < 0:
            raise SettingsError(f"clusters is {self.clusters}", "It is a number of clusters, or 0.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), *([ScoreOf(self.score)] if self.score else []))

    @property
    def label(self) -> str:
        score = f"-{shorten(self.score)}" if self.score else ""
        clusters = f"-c{self.clusters}" if self.clusters else ""
        return f"semdedup{score}-e{self.eps:g}{clusters}-{self.text}-seed{self.seed}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows, best first; fewer where the rest is alike. Raises SettingsError: no scikit-learn."""
        if self.score:
            rows, vectors, score = scored_pool(signals, self.score, self.seed)
        else:
            rows, vectors = pool(signals, self.seed)
        if not len(rows):
            return rows
        points = unit(vectors)
        clusters = self.clusters or (1 if len(rows) <= _ONE_CLUSTER else math.isqrt(len(rows) - 1) + 1)
        if clusters == 1:
            label, distance = np.zeros(len(rows), dtype=np.int64), ((points - points.mean(axis=0)) ** 2).sum(axis=1)
        else:
            label, distance = k_means(points, clusters, self.seed)
        worth = score if self.score else distance
        stays = np.flatnonzero(beaten_by(points, label, worth, 1 - self.eps) < 0)
        return rows[stays[np.argsort(-worth[stays], kind="stable")[:budget]]]


METHOD = Semdedup
