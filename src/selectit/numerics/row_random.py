"""Random draws that go with a row's content, never with its place."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from selectit.signals.arrays import Float64, Int64
from selectit.signals.rows import Rows


def row_uniforms(rows: Rows, key: str) -> Float64:
    """(N,) uniform in [0, 1): of `key` (at most 64 bytes), the row's content and how many equal rows stand before it.

    Other rows may come and go, and a row keeps its draw.
    """
    uniforms = np.empty(len(rows))
    for start in range(0, len(rows), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        uniforms[some] = _uniforms(rows.digest[some], rows.occurrence[some], key.encode())
    return uniforms


def shuffle_rows(rows: Rows, key: str, among: Int64 | None = None) -> Int64:
    """All rows, or those `among` them, in the order of `row_uniforms`."""
    draws = row_uniforms(rows, key)
    order: Int64 = np.argsort(draws if among is None else draws[among], kind="stable")
    return order if among is None else among[order]


_TOGETHER = 1 << 16


def _uniforms(digest: NDArray[np.void], occurrence: Int64, key: bytes) -> Float64:
    content = np.empty(len(digest), [("digest", "V16"), ("occurrence", "<i8")])
    content["digest"], content["occurrence"] = digest, occurrence
    data, size, blake2b = content.tobytes(), content.itemsize, hashlib.blake2b
    draws = [blake2b(data[at : at + size], digest_size=8, key=key).digest() for at in range(0, len(data), size)]
    # The upper 53 bits: what a float64 holds exactly.
    return (np.frombuffer(b"".join(draws), "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53
