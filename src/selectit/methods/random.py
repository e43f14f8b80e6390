"""The baseline that every selector has to beat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.schema import Float64, Signals


@dataclass(frozen=True, slots=True)
class Random:
    """A uniform random order, as baseline (the slides' Random-full).

    Higher = keep, in [0, 1). Cost: none. A row's draw depends on the seed, the row's content and how many equal rows
    stand before it, never on its place: other rows may come and go and it keeps its score.
    """

    seed: int = 0

    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def label(self) -> str:
        return f"random-seed{self.seed}"

    def score(self, signals: Signals) -> Float64:
        """(N,) draws."""
        rows = signals.rows
        key = f"selectit random {self.seed}".encode()
        digests = (
            hashlib.blake2b(digest + int(occurrence).to_bytes(8, "little"), digest_size=8, key=key).digest()
            for digest, occurrence in zip((bytes(value) for value in rows.digest), rows.occurrence, strict=True)
        )
        draws = np.frombuffer(b"".join(digests), dtype="<u8")
        # The upper 53 bits: what a float64 holds exactly.
        return (draws >> np.uint64(11)).astype(np.float64) * 2.0**-53


METHOD = Random
