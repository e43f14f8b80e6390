"""Quality and diversity in one sum."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.methods._coverage import check_coverage, label_coverage
from selectit.numerics.coverage import cover_well
from selectit.numerics.vectors import scored_pool
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
        check_coverage(self.similarity, self.neighbours)

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), ScoreOf(self.quality))

    @property
    def label(self) -> str:
        coverage = label_coverage(self.similarity, self.neighbours)
        return f"qdit-{shorten(self.quality)}-a{self.alpha:g}-{self.text}-{coverage}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; those without embedding or quality are never taken."""
        rows, vectors, quality = scored_pool(signals, self.quality)
        if not len(rows):
            return rows
        return rows[cover_well(vectors, quality, budget, self.alpha, self.similarity, self.neighbours)]


METHOD = Qdit
