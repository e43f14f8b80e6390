"""The best that are not alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.subsets import similarity_filter
from selectit.numerics.vectors import scored_pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf


@dataclass(frozen=True, slots=True)
class Similarity(SetMethod):
    """The best rows by a score, passing over what is too similar to one taken before.

    Source: the filter of DEITA (Liu et al., ICLR 2024, arXiv 2312.15685), with any one score.

    Needs: embeddings, and a score of quality: any scoring method. As --diversity it takes the score of the pool.

    Direction: higher scores first.

    Cost: 1 forward pass of the encoder a row, N x kept x D multiplications, and what the quality costs.

    Differs: DEITA's score is complexity x quality, see `deita`. Where the limit passes over too many rows, fewer than
    are wanted are left, and `select` says so: raise the limit, or give a larger --pool.

    Licence: no code of others.

    Checked: the specification's values of the filter, and the filter as a plain loop.
    """

    quality: str = "reward"
    """A scoring method with its parameters, or `stored:NAME`."""
    limit: float = 0.9
    """A row is passed over whose cosine to one taken exceeds it; from -1 to 1."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""

    def __post_init__(self) -> None:
        if not -1 <= self.limit <= 1:
            raise SettingsError(f"limit is {self.limit}", "It is a cosine: a number from -1 to 1.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), ScoreOf(self.quality))

    @property
    def label(self) -> str:
        return f"similarity-{shorten(self.quality)}-l{self.limit:g}-{self.text}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows, best first; fewer where the rest is alike. Of equal scores the order is a draw."""
        rows, vectors, quality = scored_pool(signals, self.quality)
        return rows[similarity_filter(vectors, np.argsort(-quality, kind="stable"), budget, self.limit)]


METHOD = Similarity
