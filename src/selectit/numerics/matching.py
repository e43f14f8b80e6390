"""Orthogonal matching pursuit: few rows whose combination with positive weights comes near a target. Pure numpy.

Source: Killamsetty et al., GRAD-MATCH, arXiv 2103.00123, and TAGCOS, arXiv 2407.15235, whose steps these are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.signals.arrays import Float64, Int64


def pursue(
    rows: NDArray[Any], target: NDArray[Any], n: int, ridge: float = 1.0, tolerance: float = 1e-4
) -> tuple[Int64, Float64]:
    """Take, again and again, the row that points most along what is left of the target.

    The weights of those taken are solved anew each time, the squared weights times `ridge` added to the squared error,
    but for the first row alone, whose weight has no such price; rows whose weight would be negative are given back. It
    ends after n steps, when what is left is a `tolerance` of the target, or when no new row points along it.

    Args:
        rows: (N, D).
        target: (D,).
        n: steps, so at most so many rows.
        ridge: 0 or more.
        tolerance: a share of the target's length.

    Returns:
        Indices in the order in which they were taken, and their weights, 0 or more; none where no row points along the
        target. Equal rows: the smaller index.
    """
    points, aim = np.asarray(rows, np.float64), np.asarray(target, np.float64)
    taken: list[int] = []
    weights = np.zeros(0)
    left = aim
    for _ in range(min(n, len(points))):
        if np.linalg.norm(left) <= tolerance * np.linalg.norm(aim):
            break
        along = points @ left
        best = int(along.argmax())
        if along[best] <= 0 or best in taken:
            break
        before, (taken, weights) = taken, _solve(points, aim, [*taken, best], ridge)
        if taken == before:  # the new row was given back, and would be taken again
            break
        left = aim - weights @ points[taken]
    return np.array(taken, np.int64), weights


def match_rows(rows: NDArray[Any], target: NDArray[Any], n: int, ridge: float = 1.0, tolerance: float = 1e-4) -> Int64:
    """Exactly min(n, N) different indices: pursuits of the target, each among the rows that the earlier ones left.

    Where none of these points along the target, those nearest to it (L2) follow. Arguments as of `pursue`.
    """
    points, aim = np.asarray(rows, np.float64), np.asarray(target, np.float64)
    rest = np.arange(len(points))
    found: list[int] = []
    while len(found) < n and len(rest):
        taken, _ = pursue(points[rest], aim, n - len(found), ridge, tolerance)
        if not len(taken):
            near = np.argsort(np.linalg.norm(points[rest] - aim, axis=1), kind="stable")
            return np.array([*found, *rest[near[: n - len(found)]]], np.int64)
        found.extend(rest[taken].tolist())
        rest = np.delete(rest, taken)
    return np.array(found, np.int64)


def _solve(points: Float64, aim: Float64, taken: list[int], ridge: float) -> tuple[list[int], Float64]:
    """Rows and their weights, without those whose weight would be negative, the most negative first."""
    while True:
        chosen = points[taken]
        price = ridge * np.eye(len(taken)) if len(taken) > 1 else 0
        weights = np.linalg.lstsq(chosen @ chosen.T + price, chosen @ aim, rcond=None)[0]
        if (weights >= 0).all():
            return taken, weights.astype(np.float64)
        worst = int(weights.argmin())
        taken = taken[:worst] + taken[worst + 1 :]
