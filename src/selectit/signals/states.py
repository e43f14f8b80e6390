"""Hidden states: one vector for a pair, of the causal model itself."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.signals.embeddings import EmbeddingRequest


@dataclass(frozen=True)
class StateRequest(EmbeddingRequest):
    """The last hidden states of a causal model over the pair in its chat template, as one vector.

    Their position-weighted mean over all tokens of the text, sum of i·h_i / sum of i with i from 1 (RDS+, Ivison et
    al., arXiv 2503.01807). A method names it in its `needs`.
    """

    chat = True
    signal = "states"
    doing = "reading hidden states with"
    named_by = ("model",)
    default = None
    heeds = ("dtype", "unit_size")
