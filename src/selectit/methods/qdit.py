"""Quality and diversity in one sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.coverage import cover_well
from selectit.numerics.vectors import SIMILARITIES, pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf


@dataclass(frozen=True, slots=True)
class Qdit(SetMethod):
    """Each next row has the largest sum of new coverage and quality (QDIT).

    Source: Bukharin et al., "Data Diversity Matters for Robust Instruction Tuning", arXiv 2311.14736.

    Needs: embeddings, and a score of quality: any scoring method.

    Direction: the order of choice.

    Cost: 1 forward pass of the encoder a row, what `facility-location` costs, and what the quality costs.

    Differs: both sides are brought to one scale: coverage by the range of the first step's gains, quality to [0, 1];
    the paper tunes alpha for each data set, and .5 is this project's default.

    Licence: no public code was read.

    Checked: by hand; alpha 0 is facility location and alpha 1 the order of quality.
    """

    quality: str = "reward"
    """A scoring method with its parameters, or `stored:NAME`."""
    alpha: float = 0.5
    """The weight of quality; coverage has the rest."""
    text: str = "instruction"
    """`instruction`, `response` or `both`."""
    similarity: str = "cosine01"
    """As of `facility-location`."""
    neighbours: int = 0
    """As of `facility-location`."""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise SettingsError(f"alpha is {self.alpha}", "It is a number from 0 to 1.")
        if self.similarity not in SIMILARITIES:
            raise SettingsError(f"there is no similarity {self.similarity!r}", nearest(self.similarity, SIMILARITIES))
        if self.neighbours < 0:
            raise SettingsError(f"neighbours is {self.neighbours}", "It is a number of rows, or 0.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), ScoreOf(self.quality))

    @property
    def label(self) -> str:
        neighbours = f"-nn{self.neighbours}" if self.neighbours else ""
        return f"qdit-{shorten(self.quality)}-a{self.alpha:g}-{self.text}-{self.similarity}{neighbours}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; those without embedding or quality are never taken."""
        rows, vectors = pool(signals)
        quality = signals.score_of(self.quality)[rows]
        known = np.flatnonzero(~np.isnan(quality))
        if not len(known):
            return rows[known]
        chosen = cover_well(vectors[known], quality[known], budget, self.alpha, self.similarity, self.neighbours)
        return rows[known[chosen]]


METHOD = Qdit
