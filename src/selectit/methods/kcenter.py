"""Cover the space."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.methods._base import SetMethod
from selectit.numerics.coverage import k_center
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest


@dataclass(frozen=True, slots=True)
class Kcenter(SetMethod):
    """Each next row is the one farthest from all that are chosen (k-center greedy).

    Source: Sener and Savarese, arXiv 1708.00489 (core-set); the diversity step of MoDS and, with embeddings of a model
    that is tuned again each round, of DiverseEvol (Wu et al., arXiv 2311.08182).

    Needs: embeddings.

    Direction: the order of choice; the radius is at most twice the best.

    Cost: 1 forward pass of the encoder a row, and N x n x D multiplications.

    Differs: the first row is a seeded draw, in MoDS an unseeded one. Where only duplicates of chosen rows are left it
    stops; MoDS fails there and DiverseEvol takes the first of what is left. DiverseEvol's tuning in rounds is not
    here.

    Licence: CASIA-LM/MoDS and OFA-Sys/DiverseEvol have none; nothing was taken from them.

    Checked: the specification's values, the greedy rule by brute force, and the bound on the radius.
    """

    text: str = "both"
    """`instruction`, `response` or `both`."""
    seed: int = 0
    """Of the first row."""

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        return f"kcenter-{self.text}-seed{self.seed}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; fewer where the rest are duplicates."""
        rows, vectors = pool(signals, self.seed)  # in the order of a draw: its first is the first centre
        return rows[k_center(vectors, budget)]


METHOD = Kcenter
