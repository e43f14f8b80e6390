"""Greedy sets by volume, by mean, by novelty, and down a list without what is too similar. No model, no files.

Nothing holds an (N, N) matrix. Ties go to the smallest index throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from selectit.numerics.largest import largest, lower, take_largest
from selectit.numerics.neighbours import nearest_others, squared_distances
from selectit.numerics.vectors import Vectors, blocks, unit
from selectit.signals.arrays import Float64, Int64

Kernel = Callable[[Int64, Int64 | slice], Float64]
"""(M,) points and C points to the (M, C) kernel between them."""
_NO_RANK = 1e-10  # of a point's diagonal: one that multiplies the determinant by less adds no rank
_ACTIVE = 1_024  # points whose share in the volume is kept up to date
_BLOCK = 256
_WINDOW = 50_000  # points that herding looks at in each step
_HEAD = 128  # novelty keeps so many of the nearest chosen points one by one


def dpp(kernel: Kernel, diagonal: Float64, n: int) -> tuple[Int64, Float64]:
    """Greedy maximum a posteriori of a determinantal point process, by an incremental Cholesky factor.

    Chen et al. 2018 (arXiv 1709.05135). What a point would multiply the determinant by only shrinks as points are
    chosen, so that only the largest of these factors are kept up to date, and all in one product when one of those may
    no longer be the largest. Memory N x n float64, cost N n^2.

    Args:
        kernel: see there; positive semi-definite.
        diagonal: (N,) of the kernel.
        n: how many points.

    Returns:
        Indices in order, and d2, the factor by which each multiplied the determinant: their logarithms add up to
        that of the chosen minor. At most n, fewer where the kernel has no more rank (d2 at most 1e-10 of the point's
        diagonal).
    """
    n, left, least = min(n, len(diagonal)), diagonal.astype(np.float64), _NO_RANK * diagonal
    factor = np.empty((n, len(left)))
    chosen, values = np.empty(0, dtype=np.int64), np.empty(0)
    left[left <= least] = -np.inf
    while len(chosen) < n and left.max() > -np.inf:
        before = factor[: len(chosen)]
        new, gained, triangle = _dpp_of_active(kernel, left, least, before, n - len(chosen))
        chosen, values = np.concatenate([chosen, new]), np.concatenate([values, gained])
        for part in (slice(at, at + 8192) for at in range(0, len(left), 8192)):
            beside = kernel(new, part) - before[:, new].T @ before[:, part]
            steps = np.linalg.solve(triangle, beside)
            factor[len(before) : len(chosen), part] = steps
            left[part] -= np.einsum("ij,ij->j", steps, steps)
        left[chosen] = -np.inf
        left[left <= least] = -np.inf
    return chosen, values


def _dpp_of_active(
    kernel: Kernel, left: Float64, least: Float64, before: Float64, n: int
) -> tuple[Int64, Float64, Float64]:
    """The next (M,) points, n or as many as the `_ACTIVE` largest can tell; (M,) their d2; (M, M) their factor."""
    active, others = largest(left, _ACTIVE)
    own, part = left[active], before[:, active]
    beside = kernel(active, active) - part.T @ part
    steps = np.empty((min(n, len(active)), len(active)))
    places, values = [int(own.argmax())], [float(own.max())]
    while True:
        count, best = len(places) - 1, places[-1]
        steps[count] = (beside[best] - steps[:count, best] @ steps[:count]) / math.sqrt(values[-1])
        own -= steps[count] ** 2
        own[places] = -np.inf
        own[own <= least[active]] = -np.inf
        following = int(own.argmax())
        if len(places) == n or own[following] <= others:
            return active[places], np.array(values), steps[: len(places), places].T
        places.append(following)
        values.append(float(own[following]))


def herding(vectors: Vectors, n: int) -> Int64:
    """Each next point brings the mean of those chosen nearest (L2) to the mean of all; min(n, N) indices in order.

    Of more than `_WINDOW` points each step looks at the next window of them only.
    """
    mean, total = vectors.mean(axis=0, dtype=np.float64), np.zeros(vectors.shape[1])
    # Float64 where that is little: rounding decides ties.
    points = vectors.astype(np.float64) if len(vectors) <= _WINDOW else vectors
    squares = np.einsum("ij,ij->i", points, points)
    free = np.ones(len(points), dtype=np.bool_)
    windows = np.array_split(np.arange(len(points)), max(-(-len(points) // _WINDOW), 1))
    chosen = np.empty(min(n, len(points)), dtype=np.int64)
    for place in range(len(chosen)):
        window = slice(windows[place % len(windows)][0], windows[place % len(windows)][-1] + 1)
        wanted = (mean * (place + 1) - total).astype(points.dtype)
        misfit = np.where(free[window], squares[window] - 2 * (points[window] @ wanted), np.inf)
        chosen[place] = window.start + misfit.argmin()
        free[chosen[place]] = False
        total += points[chosen[place]]
    return chosen


def similarity_filter(vectors: Vectors, order: Int64, n: int, limit: float) -> Int64:
    """Go down `order` and keep a point unless its cosine to a point kept before exceeds `limit`; at most n, in order.

    N x kept x D multiplications.
    """
    kept = np.empty((min(n, len(order)), vectors.shape[1]), dtype=vectors.dtype)
    rows: list[int] = []
    for at in range(0, len(order), _BLOCK):
        block = order[at : at + _BLOCK]
        points = unit(vectors[block])
        nearest_kept = np.minimum((points @ kept[: len(rows)].T).max(axis=1, initial=-1.0), 1)  # 1.0000001 is rounding
        within = np.minimum(points @ points.T, 1)
        taken: list[int] = []
        for place in np.flatnonzero(nearest_kept <= limit):
            if len(rows) == len(kept):
                return np.array(rows, dtype=np.int64)
            if within[place, taken].max(initial=-1.0) <= limit:
                kept[len(rows)] = points[place]
                rows.append(int(block[place]))
                taken.append(int(place))
    return np.array(rows, dtype=np.int64)


def marginal_relevance(vectors: Vectors, relevance: Float64, n: int, balance: float) -> Int64:
    """Maximal marginal relevance: each next point has the largest of balance x relevance - (1 - balance) x likeness.

    Likeness is the largest cosine to a point chosen before; the first is the most relevant. Carbonell and Goldstein,
    SIGIR 1998. At most N x n x D multiplications.

    Args:
        vectors: (N, D) finite.
        relevance: (N,) finite, best on the scale of a cosine; higher = better.
        n: how many points.
        balance: from 0 to 1.

    Returns:
        min(n, N) indices in order.
    """
    points, worth = unit(vectors), balance * relevance

    def beside(rows: Int64 | slice) -> Callable[[Int64], Float64]:
        own, mine = points[rows], worth[rows, None]
        return lambda chosen: mine - (1 - balance) * (own @ points[chosen].T)

    n, gains = min(n, len(points)), np.full(len(points), np.inf)
    first = np.argsort(-relevance, kind="stable")[: min(n, 1)]
    lower(gains, first, beside)
    gains[first] = -np.inf
    return np.concatenate([first, take_largest(gains, n - len(first), beside)])


def nearest_of(vectors: Vectors, others: Vectors, first: Int64 | None = None) -> tuple[Int64, Float64]:
    """(N,) which of the (M, D) `others` is nearest to each of the (N, D) vectors by cosine, and (N,) that cosine.

    `first` (N,): of the others only the first so many are looked at, 1 or more; None = all.
    """
    points, targets = unit(vectors), unit(others)
    closest, cosine = np.empty(len(points), np.int64), np.empty(len(points))
    for block in blocks(len(points), _BLOCK):
        alike = points[block] @ targets.T
        if first is not None:
            alike[np.arange(len(targets)) >= first[block, None]] = -np.inf
        closest[block] = alike.argmax(axis=1)
        cosine[block] = np.clip(alike[np.arange(len(block)), closest[block]], -1, 1)
    return closest, cosine


def density(vectors: Vectors, k: int) -> Float64:
    """(N,) 1 / (mean squared L2 distance to the k nearest other points + 1e-9); fewer where there are not k others."""
    if len(vectors) < 2:
        return np.ones(len(vectors))
    sparse: Float64 = 1 / (squared_distances(vectors, nearest_others(vectors, k)).mean(axis=1) + 1e-9)
    return sparse


def novel_select(
    vectors: Vectors, worth: Float64, n: int, power: float = 1.0, quality: Float64 | None = None, first: int = 0
) -> Int64:
    """Greedy on a point's novelty (NovelSelect): min(n, N) indices in order, the first of them `first`.

    The novelty of x is the mean over the chosen points of r^-power d_r, where d is (1 - cosine) (worth of x + worth of
    the chosen one) and r its rank, the smallest first. Of more than `_HEAD` chosen points the farther ones count with
    their mean.

    Args:
        vectors: (N, D) finite.
        worth: (N,) density to some power.
        n: how many points.
        power: how much the nearest chosen points decide.
        quality: (N,) 0 or more; multiplies the novelty.
        first: the first point.
    """
    points, n = unit(vectors), min(n, len(vectors))
    weights = np.arange(1, n + 1, dtype=np.float64) ** -power
    head = np.full((len(points), min(_HEAD, max(n - 1, 1))), np.inf)
    near, far = np.zeros(len(points)), np.zeros(len(points))  # weighted sum of the head; sum of all that is farther
    free = np.ones(len(points), dtype=np.bool_)
    chosen = [first] if n else []
    while len(chosen) < n:
        free[chosen[-1]] = False
        away = np.maximum(1 - points @ points[chosen[-1]], 0) * (worth + worth[chosen[-1]])
        filled = min(len(chosen), head.shape[1])
        enters = np.flatnonzero(away < head[:, -1])
        far += away
        if filled < len(chosen):
            far[enters] += head[enters, -1] - away[enters]
        else:
            far[enters] = 0
        part = head[enters]
        part[:, -1] = away[enters]
        part.sort(axis=1)
        head[enters], near[enters] = part, part[:, :filled] @ weights[:filled]
        novelty = near + far / max(len(chosen) - filled, 1) * weights[filled : len(chosen)].sum()
        novelty = novelty if quality is None else novelty * quality
        chosen.append(int(np.where(free, novelty, -np.inf).argmax()))
    return np.array(chosen, dtype=np.int64)
