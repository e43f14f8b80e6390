"""Hidden states: one vector for a pair, of the causal model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selectit.errors import SettingsError, nearest
from selectit.signals.embeddings import EmbeddingRequest

POOLINGS = ("weighted", "mean")


@dataclass(frozen=True)
class StateRequest(EmbeddingRequest):
    """The last hidden states of a causal model over the pair in its chat template, as one vector.

    A method names it in its `needs`.
    """

    pooling: str = "weighted"
    """Of all tokens of the text: 'weighted' by position, sum of i·h_i / sum of i with i from 1 (RDS+, Ivison et al.,
    arXiv 2503.01807), or their 'mean'."""

    chat = True
    signal = "states"
    doing = "reading hidden states with"
    named_by = ("model",)
    default = None
    heeds = ("dtype", "unit_size")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in POOLINGS:
            raise SettingsError(f"there is no pooling {self.pooling!r}", nearest(self.pooling, POOLINGS))

    @property
    def about(self) -> dict[str, Any]:
        """Without the pooling where it is the default: earlier versions had no other."""
        return {key: value for key, value in super().about.items() if (key, value) != ("pooling", "weighted")}
