"""Superfiltering, then diversity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.methods._coverage import check_coverage, label_coverage
from selectit.numerics.coverage import cover
from selectit.numerics.vectors import scored_pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf


@dataclass(frozen=True, slots=True)
class SuperfilteringD(SetMethod):
    """Of the rows with the highest IFD those in which each has something similar (Superfiltering.D).

    Source: Li et al., "Superfiltering: Weak-to-Strong Data Filtering for Fast Instruction-Tuning", ACL 2024, arXiv
    2402.00530.

    Needs: embeddings, and what `superfiltering` needs.

    Direction: the order of choice; each next row has the largest gain of facility location among the rows that passed.

    Cost: 1 forward pass of the encoder a row and what the score costs; then as `facility-location` on the rows that
    pass.

    Differs: the published script passes 10,400 rows, 20 % of Alpaca, and chooses 1,040; here a share passes. It embeds
    an empty line in the place of an empty input, and compares by exp(-d / D), which lies within [.995, 1] for unit
    vectors of 384 dimensions: here `similarity=submodlib-euclidean`, and cosines by default. Its equal IFD keep the
    order of the file, its equal gains fall to the library; both are a draw here.

    Licence: tianyi-lab/Superfiltering has none; nothing was taken from it.

    Checked: the order and the gains of the published code on made-up rows, at both steps.
    """

    score: str = "superfiltering"
    """The scoring method of the first step with its parameters, or `stored:NAME`; what has no score never passes."""
    share: float = 0.2
    """The share of the rows with a score that passes the first step."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""
    similarity: str = "cosine01"
    """As of `facility-location`."""
    neighbours: int = 0
    """As of `facility-location`."""

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SettingsError(f"share is {self.share}", "It is above 0 and at most 1.")
        check_coverage(self.similarity, self.neighbours)

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), ScoreOf(self.score))

    @property
    def label(self) -> str:
        coverage = label_coverage(self.similarity, self.neighbours)
        return f"superfiltering-d-{shorten(self.score)}-s{self.share:g}-{self.text}-{coverage}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; fewer where fewer pass."""
        rows, vectors, score = scored_pool(signals, self.score)
        if not len(rows):
            return rows
        passed = np.argsort(-score, kind="stable")[: math.ceil(Decimal(str(self.share)) * len(rows))]
        return rows[passed[cover(vectors[passed], budget, self.similarity, self.neighbours)[0]]]


METHOD = SuperfilteringD
