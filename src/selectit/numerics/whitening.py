"""Whitening: vectors on their principal axes, each axis scaled to a variance of 1. Pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.signals.arrays import Float64

Vectors = NDArray[Any]
_BLOCK = 65536


def fit_whitening(vectors: Vectors, components: int) -> tuple[Float64, Float64]:
    """The centre and the axes that whiten: (vectors - centre) @ axes has unit variance (divisor N - 1) on each axis.

    Args:
        vectors: (N, D) finite; far more than `components`, or noise is blown up.
        components: the k axes of the largest variance; fewer where the vectors span fewer.

    Returns:
        (D,) and (D, k) float64.
    """
    count, width = vectors.shape
    centre = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((width, width))
    for at in range(0, count, _BLOCK):
        part = vectors[at : at + _BLOCK] - centre
        covariance += part.T @ part
    variance, axes = np.linalg.eigh(covariance / max(count - 1, 1))  # smallest first
    variance, axes = variance[::-1][:components], axes[:, ::-1][:, :components]
    spanned = variance > 1e-10 * max(variance[0], 1e-300)
    return centre, axes[:, spanned] / np.sqrt(variance[spanned])


def whitened(vectors: Vectors, centre: Float64, axes: Float64) -> NDArray[np.float32]:
    """(N, k) float32 coordinates of (N, D) vectors."""
    parts = [(vectors[at : at + _BLOCK] - centre) @ axes for at in range(0, len(vectors), _BLOCK)]
    return np.concatenate([np.zeros((0, axes.shape[1])), *parts]).astype(np.float32)
