"""What is new beside the chosen rows, most of all beside the nearest of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod, check_count
from selectit.numerics.ranking import check_finite
from selectit.numerics.subsets import density, novel_select
from selectit.numerics.vectors import pool, unit
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf

_LARGEST = 50_000


@dataclass(frozen=True, slots=True)
class Novelselect(SetMethod):
    """Each next row has the largest novelty beside those chosen: distance, weighted by nearness and density (NovelSum).

    The novelty of a row is the mean over the chosen rows of r^-alpha d_r, d the cosine distance times the sum of both
    rows' density^beta, r its rank, the nearest first. The density is 1 / the mean squared distance to the k nearest.

    Source: Yang et al., "Measuring Data Diversity for Instruction Tuning: A Systematic Analysis and A Reliable Metric",
    arXiv 2502.17184.

    Needs: embeddings, and a score of quality where one is named.

    Direction: the order of choice; the first row is a seeded draw.

    Cost: 1 forward pass of the encoder a row, and N x n x (D + 128) operations.

    Differs: the published code takes the base model's states, the density of raw embeddings in half precision, and an
    unseeded first row; here all is on unit vectors of the encoder in single precision. Of more than 128 chosen rows the
    farther ones count with their mean distance. Of more than 50,000 rows (or 4 times those to choose) a draw is looked
    at. A copy of a chosen row may be taken before a new one, as there, for the novelty is a mean.

    Licence: UmeanNever/NovelSum, MIT; nothing was taken from it.

    Checked: the order of the published code on made-up rows, with copies and without.
    """

    nested: ClassVar[bool] = False  # of many rows it looks only at some, by the budget
    alpha: float = 1.0
    """How much the nearest chosen rows decide: 0 = all alike."""
    beta: float = 0.5
    """The power of the density: 0 = it does not count."""
    k: int = 10
    """Neighbours of the density."""
    quality: str = ""
    """A scoring method with its parameters, or `stored:NAME`, 0 or more: it multiplies the novelty. Empty = none."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""
    seed: int = 0
    """Of the first row."""

    def __post_init__(self) -> None:
        check_count("k", self.k, "neighbours")
        if self.alpha < 0 or self.beta < 0:
            raise SettingsError(f"alpha is {self.alpha}, beta {self.beta}", "Both are powers: 0 or more.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), *([ScoreOf(self.quality)] if self.quality else []))

    @property
    def label(self) -> str:
        quality = f"-{shorten(self.quality)}" if self.quality else ""
        return f"novelselect{quality}-a{self.alpha:g}-b{self.beta:g}-k{self.k}-{self.text}-seed{self.seed}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; those without embedding or quality are never taken.

        Raises SettingsError where a quality is negative or infinite.
        """
        rows, vectors = pool(signals, self.seed)  # in the order of a draw: its first is the first row
        quality = signals.score_of(self.quality)[rows] if self.quality else np.ones(len(rows))
        check_finite(quality)
        if (quality < 0).any():
            raise SettingsError(
                f"the quality is below 0 for {int((quality < 0).sum())} rows, and it multiplies the novelty",
                "Name a score that is not negative.",
            )
        known = np.flatnonzero(~np.isnan(quality))[: max(_LARGEST, 4 * budget)]
        rows, points, quality = rows[known], unit(vectors[known]), quality[known]
        if not len(rows):
            return rows
        return rows[novel_select(points, density(points, self.k) ** self.beta, budget, self.alpha, quality)]


METHOD = Novelselect
