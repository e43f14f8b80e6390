"""Random draws that go with a row's content, never with its place."""

from __future__ import annotations

import hashlib

import numpy as np

from selectit.signals.arrays import Float64, Rows


def row_uniforms(rows: Rows, key: str) -> Float64:
    """(N,) uniform in [0, 1): of `key` (at most 64 bytes), the row's content and how many equal rows stand before it.

    Other rows may come and go, and a row keeps its draw.
    """
    digests = (
        hashlib.blake2b(digest + int(occurrence).to_bytes(8, "little"), digest_size=8, key=key.encode()).digest()
        for digest, occurrence in zip((bytes(value) for value in rows.digest), rows.occurrence, strict=True)
    )
    drawn = np.frombuffer(b"".join(digests), dtype="<u8")
    # The upper 53 bits: what a float64 holds exactly.
    return (drawn >> np.uint64(11)).astype(np.float64) * 2.0**-53
