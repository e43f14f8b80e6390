"""Sets in which every point has a chosen one near: k-center, facility location, and the latter with quality.

Nothing holds an (N, N) matrix. Ties go to the smallest index throughout.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from selectit.numerics.largest import lower, take_largest
from selectit.numerics.neighbours import Graph, graph
from selectit.numerics.ranking import check_finite
from selectit.numerics.vectors import SAME, Similarity, Vectors, blocks, similarity
from selectit.signals.arrays import Float64, Int64

ALL_PAIRS = 20_000
"""Up to so many points `cover` and `cover_well` look at all pairs."""
NEIGHBOURS = 64
"""Of more points they look at so many nearest of each."""
_COLUMNS = 256  # columns of similarities held at a time: N x 256 float32, 53 MB for 52,000 points


def k_center(vectors: Vectors, n: int, start: Int64 | None = None) -> Int64:
    """Greedy k-center: each next point is the one farthest (L2) from those chosen; radius at most twice the best.

    Args:
        vectors: (N, D) finite.
        n: how many points to add.
        start: points that are chosen already, not returned; without them the first is point 0, and returned.

    Returns:
        At most n indices in order: fewer where all that is left lies on a chosen point.
    """
    n, first = min(n, len(vectors)), np.empty(0, dtype=np.int64)
    if start is None or not len(start):
        first = start = np.zeros(min(n, 1), dtype=np.int64)
    squares, distance = np.einsum("ij,ij->i", vectors, vectors), np.full(len(vectors), np.inf)

    def squared_distances(rows: Int64 | slice) -> Callable[[Int64], NDArray[np.floating]]:
        points, lengths = vectors[rows], squares[rows, None]

        def to(centres: Int64) -> NDArray[np.floating]:
            both = lengths + squares[centres]
            gap: NDArray[np.floating] = both - 2 * (points @ vectors[centres].T)
            gap[gap < SAME * both] = 0
            return gap

        return to

    lower(distance, start, squared_distances)
    distance[start] = -np.inf
    return np.concatenate([first, take_largest(distance, n - len(first), squared_distances, least=0)])


def cover(vectors: Vectors, n: int, name: str, neighbours: int = 0) -> tuple[Int64, Float64]:
    """Greedy facility location over all pairs, or over so many nearest neighbours: indices in order, and their gains.

    Args:
        vectors: (N, D) finite.
        n: how many points to choose.
        name: one of `SIMILARITIES`.
        neighbours: 0 = all pairs of up to `ALL_PAIRS` points, `NEIGHBOURS` of each of more.

    Raises:
        SettingsError: as of `graph`.
    """
    if not neighbours and len(vectors) <= ALL_PAIRS:
        return facility_location(similarity(vectors, name), len(vectors), n)
    return sparse_facility_location(graph(vectors, neighbours or NEIGHBOURS, name), n)


def cover_well(vectors: Vectors, quality: Float64, n: int, alpha: float, name: str, neighbours: int = 0) -> Int64:
    """As `cover`, on (1 - alpha) x gain + alpha x quality: see `qdit`."""
    if not neighbours and len(vectors) <= ALL_PAIRS:
        return qdit(similarity(vectors, name), quality, n, alpha)
    return sparse_qdit(graph(vectors, neighbours or NEIGHBOURS, name), quality, n, alpha)


def facility_location(
    alike: Similarity, points: int, n: int, weight: float = 1.0, bonus: Float64 | None = None
) -> tuple[Int64, Float64]:
    """Greedy facility location: the sum over all points of their largest similarity to a chosen point.

    The same set as lazy greedy, up to ties, but every gain is kept up to date: choosing a point changes the gains only
    through the points that it now covers best, about N / t of them at step t, so that all steps together cost about
    N^2 D ln(n) multiplications however alike the points are.

    Args:
        alike: M indices to the (N, M) similarities of all points with them; 0 or more and symmetric. See `similarity`.
        points: N.
        n: how many points to choose.
        weight: of the facility-location gain.
        bonus: (N,) what each point is worth by itself, added to its gain.

    Returns:
        min(n, N) indices in order, and their gains.
    """
    covered = np.zeros(points, dtype=np.float32)
    gains = weight * first_gains(alike, points) + (np.zeros(points) if bonus is None else bonus)
    chosen, values = np.empty(min(n, points), dtype=np.int64), np.empty(min(n, points))
    for place in range(len(chosen)):
        best = int(gains.argmax())
        chosen[place], values[place] = best, gains[best]
        nearer = np.maximum(covered, alike(np.array([best]))[:, 0])
        moved = np.flatnonzero(nearer > covered)
        for at in range(0, len(moved), _COLUMNS):
            block = moved[at : at + _COLUMNS]
            lost = np.clip(alike(block), covered[block], nearer[block]) - covered[block]
            gains -= weight * lost.sum(axis=1, dtype=np.float64)
        covered = nearer
        gains[best] = -np.inf
    return chosen, values


def first_gains(alike: Similarity, points: int) -> Float64:
    """(N,) the sum of each point's similarities to all points: what it covers where nothing is chosen."""
    return np.concatenate([alike(block).sum(axis=0, dtype=np.float64) for block in blocks(points, _COLUMNS)])


def sparse_facility_location(
    graph: Graph, n: int, weight: float = 1.0, bonus: Float64 | None = None
) -> tuple[Int64, Float64]:
    """Greedy facility location where a point counts as similar only to its k nearest: 0 to all others.

    Lazy greedy: a gain only shrinks, so the largest known gain, worked out anew, is the best if no other known gain is
    larger. The sum over all pairs exceeds this one by at most B, the sum of the similarities to the k-th nearest, so
    what is chosen is worth at least (1 - 1/e) (best - B).

    Args:
        graph: the k nearest of each point, itself included.
        n: how many points to choose.
        weight: of the facility-location gain.
        bonus: (N,) what each point is worth by itself, added to its gain.

    Returns:
        min(n, N) indices in order, and their gains.
    """
    listing, listed, similarity = graph.transposed()
    covered = np.zeros(len(graph), dtype=np.float32)
    own = np.zeros(len(graph)) if bonus is None else bonus

    def gain(point: int) -> float:
        part = slice(listing[point], listing[point + 1])
        more = similarity[part] - covered[listed[part]]
        return float(own[point] + weight * more[more > 0].sum(dtype=np.float64))

    bounds = [(-gain(point), point) for point in range(len(graph))]
    heapq.heapify(bounds)
    chosen, values = np.empty(min(n, len(graph)), dtype=np.int64), np.empty(min(n, len(graph)))
    for place in range(len(chosen)):
        while True:
            point = heapq.heappop(bounds)[1]
            known = (-gain(point), point)
            if not bounds or known <= bounds[0]:
                break
            heapq.heappush(bounds, known)
        chosen[place], values[place] = point, -known[0]
        part = slice(listing[point], listing[point + 1])
        covered[listed[part]] = np.maximum(covered[listed[part]], similarity[part])
    return chosen, values


def qdit(alike: Similarity, quality: Float64, n: int, alpha: float) -> Int64:
    """Greedy on (1 - alpha) x facility-location gain + alpha x quality; min(n, N) indices in order.

    The gain is divided by the range of the N gains of the first step, and quality scaled to [0, 1], so that both
    weigh alike at the start. Higher quality = better; (N,) finite. `alike` as in `facility_location`.
    """
    weight = (1 - alpha) / _spread(first_gains(alike, len(quality)))
    return facility_location(alike, len(quality), n, weight, alpha * scaled(quality))[0]


def sparse_qdit(graph: Graph, quality: Float64, n: int, alpha: float) -> Int64:
    """As `qdit`, with `sparse_facility_location`."""
    weight = (1 - alpha) / _spread(graph.first_gains())
    return sparse_facility_location(graph, n, weight, alpha * scaled(quality))[0]


def _spread(gains: Float64) -> float:
    """The range of the gains; 1 where they are equal but for the rounding of similarities, which would decide all."""
    spread = float(np.ptp(gains))
    return spread if spread > SAME * gains.max() else 1.0


def scaled(values: Float64) -> Float64:
    """Values moved and stretched to [0, 1]; all 0 where they are equal. Raises SettingsError: one is infinite."""
    check_finite(values)
    span = np.ptp(values)
    moved: Float64 = (values - values.min()) / (span if span > 0 else 1.0)
    return moved
