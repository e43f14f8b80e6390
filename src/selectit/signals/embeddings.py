"""Embeddings: one vector for the text of a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from selectit.data.records import Sample
from selectit.errors import SettingsError, nearest
from selectit.signals.arrays import Embeddings, Float32
from selectit.signals.base import Answer, Engine, OnBatch, SignalRequest, Stored

EMBEDDED = ("both", "instruction", "response")
"""What of a pair may be embedded."""


@runtime_checkable
class Embeds(Engine, Protocol):
    """A loaded encoder."""

    def embed(self, what: EmbeddingRequest, samples: Sequence[Sample], on_batch: OnBatch) -> Float32:
        """(B, D) vectors, as the encoder gives them; a text over its limit is cut from the right.

        A row that is not finite everywhere has no vector.
        """


@dataclass(frozen=True)
class EmbeddingRequest(SignalRequest[Embeddings, Embeds]):
    """What of a pair is embedded: a method names one in its `needs`."""

    text: str = "both"
    """'instruction', 'response', or 'both' with a line break between."""

    chat: ClassVar[bool] = False
    """Whether a causal model reads the pair in its chat template, where it has one."""

    signal = "embeddings"
    doing = "embedding with"
    capability = Embeds
    columns = {"vector": pa.list_(pa.float32())}
    named_by = ("encoder",)
    default: ClassVar[str | None] = "minilm"
    heeds = ("pooling", "unit_size")

    def __post_init__(self) -> None:
        if self.text not in EMBEDDED:
            raise SettingsError(f"there is no text {self.text!r} of a pair", nearest(self.text, EMBEDDED))

    def of(self, sample: Sample) -> str:
        """The text of a pair."""
        parts = {"instruction": [sample.instruction], "response": [sample.response]}
        return "\n".join(parts.get(self.text, [sample.instruction, sample.response]))

    def ask(self, engine: Embeds, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        vectors = engine.embed(self, samples, on_batch)
        fine = np.isfinite(vectors).all(axis=-1) & (vectors.shape[-1] > 0)
        values = [vector if each else None for vector, each in zip(vectors, fine, strict=True)]
        errors = [None if each else "no vector: the text is empty, or the numbers are not finite" for each in fine]
        return Answer({"vector": values}, errors)

    def arrays(self, stored: Stored) -> Embeddings:
        lengths = stored.lengths("vector")
        width = int(lengths.max(initial=0))
        vectors = np.full((len(lengths), width), np.nan, np.float32)
        vectors[lengths > 0] = stored.floats("vector").reshape(-1, width) if width else np.zeros((0, 0))
        return Embeddings(stored.numbers("row"), vectors)

    @classmethod
    def describe(cls, entry: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        return {"vector": entry["vector"] is not None}

    @classmethod
    def tell(cls, described: Mapping[str, Any]) -> str:
        return "a vector" if described["vector"] else "no vector"
