"""Greedy choice by values that only shrink as points are chosen: only the largest are kept up to date. No model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from selectit.signals.arrays import Float64, Int64

_ACTIVE = 4_096  # points whose values are kept up to date: 6 MB of 384 dimensions, which a cache holds
Beside = Callable[[Int64 | slice], Callable[[Int64], NDArray[np.floating]]]
"""Some M points to a function from C chosen points to (M, C): what each of the M is worth beside each chosen one."""


def take_largest(values: Float64, n: int, beside: Beside, least: float = -np.inf) -> Int64:
    """Each next point has the largest value: the least of what it is worth beside each point chosen before.

    Of many points only those with the largest values are kept up to date: one of them has the largest of all as long as
    its value exceeds what the others had at last. When none does, all are brought up to date in one product. Ties go to
    the smallest index.

    Args:
        values: (N,) of the points, up to date; changed in place, -inf where a point is chosen.
        n: how many points to take.
        beside: see there.
        least: a point is taken only if its value exceeds it.

    Returns:
        At most n indices in order.
    """
    chosen = np.empty(0, dtype=np.int64)
    while len(chosen) < n and values.max(initial=-np.inf) > least:
        new = _take_active(values, n - len(chosen), beside, least)
        if len(values) > _ACTIVE:
            lower(values, new, beside)
        chosen = np.concatenate([chosen, new])
    return chosen


def lower(values: Float64, chosen: Int64, beside: Beside) -> None:
    """Bring all N values up to date with these chosen points, in place."""
    for at in range(0, len(values), 8192):
        rows = slice(at, min(at + 8192, len(values)))
        worth = beside(rows)
        for first in range(0, len(chosen), 1024):
            np.minimum(values[rows], worth(chosen[first : first + 1024]).min(axis=1), out=values[rows])


def largest(values: NDArray[np.floating], count: int) -> tuple[Int64, float]:
    """The `count` largest of the N values, of equal ones the first: their indices, rising; the largest of the others.

    All indices and -inf where there are no others.
    """
    if len(values) <= count:
        return np.arange(len(values)), -np.inf
    least = np.partition(values, -count)[-count]
    among = values > least
    among[np.flatnonzero(values == least)[: count - np.count_nonzero(among)]] = True
    return np.flatnonzero(among), float(values[~among].max())


def _take_active(values: Float64, n: int, beside: Beside, limit: float) -> Int64:
    """The next points, n or as many as the `_ACTIVE` largest values can tell; these values are brought up to date."""
    active, others = largest(values, _ACTIVE)
    limit = max(limit, others)
    worth, left = beside(active), values[active]
    chosen = [int(values.argmax())]  # all are up to date: whatever the limit, this one has the largest
    while True:
        np.minimum(left, worth(np.array(chosen[-1:]))[:, 0], out=left)
        left[np.searchsorted(active, chosen[-1])] = -np.inf
        best = int(left.argmax())
        if len(chosen) == n or left[best] <= limit:
            break
        chosen.append(int(active[best]))
    values[active] = left
    return np.array(chosen, dtype=np.int64)
