"""Good, and unlike what is chosen already."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.coverage import scaled
from selectit.numerics.subsets import marginal_relevance
from selectit.numerics.vectors import scored_pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf


@dataclass(frozen=True, slots=True)
class Mmr(SetMethod):
    """Each next row has the best score less its likeness to what is chosen (maximal marginal relevance).

    Source: Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries", SIGIR 1998.

    Needs: embeddings, and a score of quality: any scoring method. As --diversity it takes the score of the pool.

    Direction: the order of choice; the first is the row of the best score.

    Cost: 1 forward pass of the encoder a row, N x n x D multiplications, and what the quality costs.

    Differs: the relevance to a query is here a score of the row, scaled to [0, 1]; likeness is the largest cosine to a
    chosen row. There is no bound on how far the sum lies from the best.

    Licence: no code of others.

    Checked: the specification's values, and the rule as a plain loop.
    """

    quality: str = "reward"
    """A scoring method with its parameters, or `stored:NAME`."""
    balance: float = 0.5
    """The weight of the score; likeness has the rest."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""

    def __post_init__(self) -> None:
        if not 0 <= self.balance <= 1:
            raise SettingsError(f"balance is {self.balance}", "It is a weight: a number from 0 to 1.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), ScoreOf(self.quality))

    @property
    def label(self) -> str:
        return f"mmr-{shorten(self.quality)}-b{self.balance:g}-{self.text}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; those without embedding or quality are never taken."""
        rows, vectors, quality = scored_pool(signals, self.quality)
        if not len(rows):
            return rows
        return rows[marginal_relevance(vectors, scaled(quality), budget, self.balance)]


METHOD = Mmr
