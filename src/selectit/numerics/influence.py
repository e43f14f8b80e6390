"""From gradients of rows and of a target's examples to how alike they are, over several checkpoints. Pure numpy.

Source: Xia et al., LESS, arXiv 2402.04333; GIST, arXiv 2602.18584.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.numerics.vectors import unit
from selectit.signals.arrays import Float32, Float64

_SMALLEST = 1e-6
"""Directions with a smaller part of the largest eigenvalue are rounding: the inner products are float32."""


def join_checkpoints(vectors: list[NDArray[Any]], rates: Float64) -> Float32:
    """(I, sum of D) float32 vectors whose inner products are the weighted means of the cosines at C checkpoints.

    Args:
        vectors: C of (I, D); D may differ. NaN throughout stays so; a zero vector has the cosine 0 with all.
        rates: (C,) learning rates; the weights are these divided by their sum.
    """
    weights = np.sqrt(rates / rates.sum()).astype(np.float32)
    return np.concatenate([w * unit(each.astype(np.float32)) for w, each in zip(weights, vectors, strict=True)], axis=1)


def mean_checkpoints(vectors: list[NDArray[Any]], rates: Float64) -> Float32:
    """(I, D) float32 means of vectors at C checkpoints, weighted by the learning rates; lengths count.

    Source: Zhang et al., TAGCOS, arXiv 2407.15235; 2003pro/TAGCOS@93a5a38:utils/mean_grad.py.

    Args:
        vectors: C of (I, D).
        rates: (C,) learning rates; the weights are these divided by their sum.
    """
    weights = (rates / rates.sum()).astype(np.float32)
    total: Float32 = np.zeros(vectors[0].shape, np.float32)
    for weight, each in zip(weights, vectors, strict=True):
        total += weight * each.astype(np.float32)
    return total


def principal_codes(inner: NDArray[Any], gram: NDArray[Any], directions: int) -> Float64:
    """(I, k) coordinates of gradients on the leading directions of Q other gradients, the largest first.

    With G (Q, P) those others and G Gᵀ = U Λ Uᵀ, a gradient g has the code gᵀ Gᵀ U_k Λ_k^(-1/2): all that is needed of
    g are its inner products G g.

    Args:
        inner: (I, Q) G g.
        gram: (Q, Q) G Gᵀ.
        directions: k; fewer where the Q gradients span less.
    """
    squares, axes = np.linalg.eigh(gram.astype(np.float64))
    squares, axes = squares[::-1], axes[:, ::-1]
    kept = min(directions, int(np.count_nonzero(squares > _SMALLEST * max(squares[0], 0))))
    codes: Float64 = inner.astype(np.float64) @ (axes[:, :kept] / np.sqrt(squares[:kept]))
    return codes
