"""Sets in which every point has a chosen one near: k-center, facility location, and the latter with quality.

Nothing holds an (N, N) matrix. Ties go to the smallest index throughout.
"""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from selectit.numerics.neighbours import Graph, graph
from selectit.numerics.vectors import SAME, Similarity, Vectors, blocks, similarity
from selectit.signals.arrays import Float64, Int64

_ACTIVE = 4_096  # points whose distances k-center keeps up to date: 6 MB of 384 dimensions, which a cache holds
ALL_PAIRS = 20_000
"""Up to so many points `cover` and `cover_well` look at all pairs."""
NEIGHBOURS = 64
"""Of more points they look at so many nearest of each."""
_COLUMNS = 256  # columns of similarities held at a time: N x 256 float32, 53 MB for 52,000 points


def k_center(vectors: Vectors, n: int, start: Int64 | None = None, seed: int = 0) -> Int64:
    """Greedy k-center: each next point is the one farthest (L2) from those chosen; radius at most twice the best.

    Distances only shrink. So of many points only the farthest are kept up to date: one of them is the farthest of all
    as long as it is farther than the others ever were. When none is, all are brought up to date in one product.

    Args:
        vectors: (N, D) finite.
        n: how many points to add.
        start: points that are chosen already, not returned; without them the first is drawn with `seed` and returned.
        seed: of that draw.

    Returns:
        At most n indices in order: fewer where all that is left lies on a chosen point.
    """
    squares = np.einsum("ij,ij->i", vectors, vectors)
    distance = np.full(len(vectors), np.inf)
    chosen: list[int] = []
    if start is None or not len(start):
        chosen = np.random.default_rng(seed).integers(len(vectors), size=min(n, 1, len(vectors))).tolist()
        start = np.array(chosen, dtype=np.int64)
    _cover(distance, vectors, squares, start)
    while len(chosen) < min(n, len(vectors)) and distance.max() > 0:
        new = _farthest(distance, vectors, squares, min(n, len(vectors)) - len(chosen))
        if len(vectors) > _ACTIVE:
            _cover(distance, vectors, squares, new)
        chosen.extend(new.tolist())
    return np.array(chosen, dtype=np.int64)


def _farthest(distance: Float64, vectors: Vectors, squares: NDArray[np.floating], n: int) -> Int64:
    """The next points, n or as many as the farthest `_ACTIVE` points can tell; their squared distances are updated."""
    active, limit = np.arange(len(distance)), 0.0
    if len(distance) > _ACTIVE:
        parted = np.argpartition(-distance, _ACTIVE)
        active, limit = np.sort(parted[:_ACTIVE]), float(distance[parted[_ACTIVE]])
    points, lengths, left = vectors[active], squares[active], distance[active]
    chosen = [int(distance.argmax())]  # all are up to date: whatever the limit, this one is the farthest
    while True:
        place = int(np.searchsorted(active, chosen[-1]))
        _cover(left, points, lengths, np.array([place]))
        farthest = int(left.argmax())
        if len(chosen) == n or left[farthest] <= limit:
            break
        chosen.append(int(active[farthest]))
    distance[active] = left
    return np.array(chosen, dtype=np.int64)


def _cover(distance: Float64, vectors: Vectors, squares: NDArray[np.floating], centres: Int64) -> None:
    """Lower the (N,) squared distances to those to the nearest of these centres."""
    if len(centres) == 1:
        to_centre = squares + squares[centres[0]] - 2 * (vectors @ vectors[centres[0]])
        to_centre[to_centre < SAME * (squares + squares[centres[0]])] = 0
        np.minimum(distance, to_centre, out=distance)
    for block in blocks(len(vectors), 8192) if len(centres) > 1 else []:
        rows = slice(block[0], block[-1] + 1)
        for at in range(0, len(centres), 1024):
            some = centres[at : at + 1024]
            both = squares[rows, None] + squares[some]
            gap = both - 2 * (vectors[rows] @ vectors[some].T)
            gap[gap < SAME * both] = 0
            np.minimum(distance[rows], gap.min(axis=1), out=distance[rows])
    distance[centres] = 0


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
    weight = (1 - alpha) / (np.ptp(first_gains(alike, len(quality))) or 1.0)
    return facility_location(alike, len(quality), n, weight, alpha * scaled(quality))[0]


def sparse_qdit(graph: Graph, quality: Float64, n: int, alpha: float) -> Int64:
    """As `qdit`, with `sparse_facility_location`."""
    weight = (1 - alpha) / (np.ptp(graph.first_gains()) or 1.0)
    return sparse_facility_location(graph, n, weight, alpha * scaled(quality))[0]


def scaled(values: Float64) -> Float64:
    """Values moved and stretched to [0, 1]; all 0 where they are equal."""
    span = np.ptp(values)
    moved: Float64 = (values - values.min()) / (span if span > 0 else 1.0)
    return moved
