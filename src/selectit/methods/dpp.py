"""A set of large volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.coverage import k_center
from selectit.numerics.ranking import standardised
from selectit.numerics.subsets import dpp
from selectit.numerics.vectors import Vectors, mean_squared_distance, pool, scored_pool, unit
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf

KERNELS = ("rbf", "cosine")
_LARGEST = 200_000_000  # rows x rows to choose: 1.6 GB
_STEEPEST = 300.0  # the largest exponent of a quality: one row far above all others would make infinity


@dataclass(frozen=True, slots=True)
class Dpp(SetMethod):
    """Each next row spans the most volume beside those chosen (determinantal point process, greedy MAP).

    Source: Chen, Zhang and Zhou, "Fast Greedy MAP Inference for Determinantal Point Process", NeurIPS 2018, arXiv
    1709.05135; for instruction data Wang et al., arXiv 2402.02318.

    Needs: embeddings; with `quality` also another score.

    Direction: the order of choice.

    Cost: 1 forward pass of the encoder a row, N x n^2 / 2 multiplications, and N x n numbers of 8 bytes.

    Differs: the kernel is exp(-d2 / mean d2) by default, for the plain cosine kernel has no more rank than the vectors
    have dimensions and stops there. With quality, the kernel is multiplied on both sides by exp(beta x standardised
    score), an exponent beyond 300 or -300 counting as that. Where rows x rows to choose exceed 200 million, only twice
    as many rows as are to be chosen are looked at: the best by quality, else those that `kcenter` takes first.

    Licence: laming-chen/fast-map-dpp, Apache-2.0; nothing was taken from it.

    Checked: the specification's values, and greedy determinants by brute force.
    """

    nested: ClassVar[bool] = False  # of many rows it looks only at some, by the budget
    text: str = "both"
    """`instruction`, `response` or `both`."""
    kernel: str = "rbf"
    """`rbf` or `cosine`."""
    jitter: float = 0.0
    """Added to the kernel's diagonal; above 0 it never stops."""
    quality: str = ""
    """A scoring method with its parameters, or `stored:NAME`; empty = none."""
    beta: float = 1.0
    """How much quality counts."""

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise SettingsError(f"there is no kernel {self.kernel!r}", nearest(self.kernel, KERNELS))
        if not 0 <= self.jitter < float("inf"):
            raise SettingsError(f"jitter is {self.jitter}", "It is a number of 0 or more.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), *([ScoreOf(self.quality)] if self.quality else []))

    @property
    def label(self) -> str:
        quality = f"-{shorten(self.quality)}-b{self.beta:g}" if self.quality else ""
        return f"dpp-{self.text}-{self.kernel}" + (f"-j{self.jitter:g}" if self.jitter else "") + quality

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; fewer where the kernel has no more rank, as among duplicates."""
        if self.quality:
            rows, vectors, worth = scored_pool(signals, self.quality)
            worth = np.exp(np.clip(self.beta * standardised(worth), -_STEEPEST, _STEEPEST))
        else:
            rows, vectors = pool(signals)
            worth = np.ones(len(rows))
        if not len(rows):
            return rows
        if len(rows) * budget > _LARGEST:
            few = np.argsort(-worth, kind="stable")[: 2 * budget]
            if not self.quality:
                few = _take_farthest(vectors, 2 * budget)
            rows, vectors, worth = rows[few], vectors[few], worth[few]
        points = vectors.astype(np.float64)
        points = unit(points) if self.kernel == "cosine" else points
        squares = np.einsum("ij,ij->i", points, points)
        width = mean_squared_distance(points)

        def between(some: Int64, others: Int64 | slice) -> Float64:
            product: Float64 = points[some] @ points[others].T
            if self.kernel == "rbf":
                product = np.exp(-np.maximum(squares[some, None] + squares[others] - 2 * product, 0) / width)
            product *= worth[some, None] * worth[others]
            if self.jitter:
                product += self.jitter * (some[:, None] == np.arange(len(points))[others])
            return product

        own = (squares if self.kernel == "cosine" else np.ones(len(rows))) * worth**2 + self.jitter
        return rows[dpp(between, own, budget)[0]]


METHOD = Dpp


def _take_farthest(vectors: Vectors, n: int) -> Int64:
    """The n rows that `kcenter` takes first, and where it stops before copies of these, copies."""
    far = k_center(vectors, n)
    copies = np.setdiff1d(np.arange(len(vectors)), far)
    return np.concatenate([far, copies[: n - len(far)]])
