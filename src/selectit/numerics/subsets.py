"""Choosing points that are unlike each other: greedy set functions and measures on vectors. No model, no files.

Everything is exact arithmetic on (N, D) arrays without an (N, N) matrix: N x D and N x `_BLOCK` numbers at a time, and
N x n for the determinant. Ties go to the smallest index throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError, install_extra, nearest
from selectit.numerics.row_random import row_uniforms
from selectit.signals.arrays import Embeddings, Float64, Int64, Signals

SIMILARITIES = ("cosine01", "rbf", "submodlib-euclidean")
_BLOCK = 256  # columns of similarities held at a time: N x 256 float32, 53 MB for 52,000 points
_SAME = 4e-6  # squared distances below this part of the squared norms are float32 rounding, that is, 0
Vectors = NDArray[Any]
Similarity = Callable[[Int64], NDArray[np.float32]]


def row_vectors(embeddings: Embeddings, rows: int) -> NDArray[np.float32]:
    """(rows, D) float32: the mean of each row's item vectors; NaN throughout where one is missing or there is none."""
    vectors = embeddings.vectors
    if len(vectors) == rows and np.array_equal(embeddings.row, np.arange(rows)):
        return vectors
    sums = np.zeros((rows, vectors.shape[1]))
    np.add.at(sums, embeddings.row, vectors)
    with np.errstate(invalid="ignore"):
        means = sums / np.bincount(embeddings.row, minlength=rows)[:, None]
    return means.astype(np.float32)


def pool(signals: Signals, seed: int = 0) -> tuple[Int64, NDArray[np.float32]]:
    """The M rows that have a vector, in the order of a draw, and their (M, D) vectors.

    The draw goes with `seed` and the rows' content, so that what is chosen does not depend on the rows' places.
    """
    vectors = row_vectors(signals.embeddings, len(signals.rows))
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    rows = rows[np.argsort(row_uniforms(signals.rows, f"selectit pool {seed}")[rows], kind="stable")]
    return rows, vectors[rows]


def unit(vectors: Vectors) -> Vectors:
    """Each vector divided by its length; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = vectors / np.where(lengths > 0, lengths, 1).astype(vectors.dtype)
    return scaled


def similarity(vectors: Vectors, name: str) -> Similarity:
    """A function from M indices to the (N, M) float32 similarities of all points with them, 0 or more.

    `cosine01` (1 + cos) / 2; `rbf` exp(-d2 / mean d2); `submodlib-euclidean` exp(-d / D), as that library has it.
    Raises SettingsError for another name.
    """
    if name not in SIMILARITIES:
        raise SettingsError(f"there is no similarity {name!r}", nearest(name, SIMILARITIES))
    points = (unit(vectors) if name == "cosine01" else vectors).astype(np.float32)
    if name == "cosine01":
        return lambda index: np.clip((points @ points[index].T + 1) * np.float32(0.5), 0, 1)
    squares = np.einsum("ij,ij->i", points, points)
    width = mean_squared_distance(points)

    def alike(index: Int64) -> NDArray[np.float32]:
        both = squares[:, None] + squares[index]
        gap = both - 2 * (points @ points[index].T)
        gap[gap < _SAME * both] = 0
        exponent: NDArray[np.float32] = -gap / width if name == "rbf" else -np.sqrt(gap) / points.shape[1]
        return np.exp(exponent)

    return alike


def k_center(vectors: Vectors, n: int, start: Int64 | None = None, seed: int = 0) -> Int64:
    """Greedy k-center: each next point is the one farthest (L2) from those chosen; radius at most twice the best.

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

    def cover(point: int) -> None:
        to_point = squares + squares[point] - 2 * (vectors @ vectors[point])
        to_point[to_point < _SAME * (squares + squares[point])] = 0
        np.minimum(distance, to_point, out=distance)
        distance[point] = 0

    chosen: list[int] = []
    for point in [] if start is None else start:
        cover(int(point))
    while len(chosen) < min(n, len(vectors)):
        first = not chosen and (start is None or not len(start))
        point = int(np.random.default_rng(seed).integers(len(vectors))) if first else int(distance.argmax())
        if distance[point] == 0:
            break
        chosen.append(point)
        cover(point)
    return np.array(chosen, dtype=np.int64)


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
    gains = weight * _sums(alike, points) + (np.zeros(points) if bonus is None else bonus)
    chosen, values = np.empty(min(n, points), dtype=np.int64), np.empty(min(n, points))
    for place in range(len(chosen)):
        best = int(gains.argmax())
        chosen[place], values[place] = best, gains[best]
        nearer = np.maximum(covered, alike(np.array([best]))[:, 0])
        moved = np.flatnonzero(nearer > covered)
        for at in range(0, len(moved), _BLOCK):
            block = moved[at : at + _BLOCK]
            lost = np.clip(alike(block), covered[block], nearer[block]) - covered[block]
            gains -= weight * lost.sum(axis=1, dtype=np.float64)
        covered = nearer
        gains[best] = -np.inf
    return chosen, values


def qdit(alike: Similarity, quality: Float64, n: int, alpha: float) -> Int64:
    """Greedy on (1 - alpha) x facility-location gain + alpha x quality; min(n, N) indices in order.

    The gain is divided by the range of the N gains of the first step, and quality scaled to [0, 1], so that both
    weigh alike at the start. Higher quality = better; (N,) finite. `alike` as in `facility_location`.
    """
    points = len(quality)
    weight = (1 - alpha) / (np.ptp(_sums(alike, points)) or 1.0)
    return facility_location(alike, points, n, weight, alpha * scaled(quality))[0]


def scaled(values: Float64) -> Float64:
    """Values moved and stretched to [0, 1]; all 0 where they are equal."""
    span = np.ptp(values)
    moved: Float64 = (values - values.min()) / (span if span > 0 else 1.0)
    return moved


def dpp(kernel_row: Callable[[int], Float64], diagonal: Float64, n: int) -> tuple[Int64, Float64]:
    """Greedy maximum a posteriori of a determinantal point process, by an incremental Cholesky factor.

    Chen et al. 2018 (arXiv 1709.05135). Memory N x n float64, cost N n^2.

    Args:
        kernel_row: index to (N,) row of the positive semi-definite kernel.
        diagonal: (N,) of the kernel.
        n: how many points.

    Returns:
        Indices in order, and d2, the factor by which each multiplied the determinant: their logarithms add up to
        that of the chosen minor. At most n, fewer where the kernel has no more rank (d2 < 1e-10).
    """
    n = min(n, len(diagonal))
    left = diagonal.astype(np.float64)
    factor = np.empty((n, len(left)))
    chosen: list[int] = []
    values: list[float] = []
    while len(chosen) < n:
        best = int(left.argmax())
        if left[best] < 1e-10:
            break
        count = len(chosen)
        step = (kernel_row(best) - factor[:count, best] @ factor[:count]) / math.sqrt(left[best])
        factor[count] = step
        chosen.append(best)
        values.append(float(left[best]))
        left -= step**2
        left[chosen] = -np.inf
    return np.array(chosen, dtype=np.int64), np.array(values)


def herding(vectors: Vectors, n: int) -> Int64:
    """Each next point brings the mean of those chosen nearest (L2) to the mean of all; min(n, N) indices in order."""
    points = vectors.astype(np.float64)
    mean, total = points.mean(axis=0), np.zeros(points.shape[1])
    squares = np.einsum("ij,ij->i", points, points)
    chosen = np.empty(min(n, len(points)), dtype=np.int64)
    for place in range(len(chosen)):
        wanted = mean * (place + 1) - total
        misfit = squares - 2 * (points @ wanted)
        misfit[chosen[:place]] = np.inf
        chosen[place] = misfit.argmin()
        total += points[chosen[place]]
    return chosen


def similarity_filter(vectors: Vectors, order: Int64, n: int, limit: float) -> Int64:
    """Go down `order` and keep a point unless its cosine to a point kept before exceeds `limit`; at most n, in order.

    N x kept x D multiplications.
    """
    points = unit(vectors)
    kept = np.empty((min(n, len(order)), points.shape[1]), dtype=points.dtype)
    rows: list[int] = []
    for at in range(0, len(order), _BLOCK):
        block = order[at : at + _BLOCK]
        before = len(rows)
        nearest_kept = (points[block] @ kept[:before].T).max(axis=1, initial=-1.0)
        within = points[block] @ points[block].T
        taken: list[int] = []
        for place in np.flatnonzero(nearest_kept <= limit):
            if len(rows) == len(kept):
                return np.array(rows, dtype=np.int64)
            if within[place, taken].max(initial=-1.0) <= limit:
                kept[len(rows)] = points[block[place]]
                rows.append(int(block[place]))
                taken.append(int(place))
    return np.array(rows, dtype=np.int64)


def marginal_relevance(vectors: Vectors, relevance: Float64, n: int, balance: float) -> Int64:
    """Maximal marginal relevance: each next point has the largest of balance x relevance - (1 - balance) x likeness.

    Likeness is the largest cosine to a point chosen before; the first is the most relevant. Carbonell and Goldstein,
    SIGIR 1998. N x n x D multiplications.

    Args:
        vectors: (N, D) finite.
        relevance: (N,) finite, best on the scale of a cosine; higher = better.
        n: how many points.
        balance: from 0 to 1.

    Returns:
        min(n, N) indices in order.
    """
    points = unit(vectors)
    likeness, gains = np.full(len(points), -np.inf), relevance
    chosen = np.empty(min(n, len(points)), np.int64)
    for place in range(len(chosen)):
        chosen[place] = gains.argmax()
        likeness = np.maximum(likeness, points @ points[chosen[place]])
        gains = balance * relevance - (1 - balance) * likeness
        gains[chosen[: place + 1]] = -np.inf
    return chosen


def nearest_of(vectors: Vectors, others: Vectors, first: Int64 | None = None) -> tuple[Int64, Float64]:
    """(N,) which of the (M, D) `others` is nearest to each of the (N, D) vectors by cosine, and (N,) that cosine.

    `first` (N,): of the others only the first so many are looked at, 1 or more; None = all.
    """
    points, targets = unit(vectors), unit(others)
    nearest, cosine = np.empty(len(points), np.int64), np.empty(len(points))
    for block in _blocks(len(points)):
        alike = points[block] @ targets.T
        if first is not None:
            alike[np.arange(len(targets)) >= first[block, None]] = -np.inf
        nearest[block] = alike.argmax(axis=1)
        cosine[block] = alike[np.arange(len(block)), nearest[block]]
    return nearest, cosine


def k_means(vectors: Vectors, clusters: int, seed: int = 0, restarts: int = 1) -> tuple[Int64, Float64]:
    """scikit-learn's k-means++: (N,) cluster of each point, (N,) squared distance to its centroid.

    No more clusters than there are different points. Raises SettingsError where scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise SettingsError("k-means needs scikit-learn", f"Install it: {install_extra('methods')}") from error
    different = len(np.unique(vectors, axis=0))
    fitted = KMeans(min(clusters, different), n_init=restarts, random_state=seed).fit(vectors)
    gap = vectors - fitted.cluster_centers_[fitted.labels_]
    return fitted.labels_.astype(np.int64), np.einsum("ij,ij->i", gap, gap).astype(np.float64)


def k_means_pick(vectors: Vectors, n: int, clusters: int = 0, seed: int = 0, restarts: int = 1) -> Int64:
    """The points nearest to the centroids, nearest first in each cluster, larger clusters first.

    Args:
        vectors: (N, D) finite.
        n: how many points.
        clusters: how many clusters, each with a share of n in proportion to its size; 0 = n clusters and one point of
            each, which are fewer where there are fewer different points.
        seed: of the initial centroids.
        restarts: the best of so many runs.
    """
    n = min(n, len(vectors))
    label, distance = k_means(vectors, clusters or n, seed, restarts)
    sizes = np.bincount(label)
    shares = quotas(sizes, n) if clusters else np.minimum(sizes, 1)
    picked = [
        np.flatnonzero(label == cluster)[np.argsort(distance[label == cluster], kind="stable")[: shares[cluster]]]
        for cluster in np.argsort(-sizes, kind="stable")
    ]
    return np.concatenate(picked).astype(np.int64)


def quotas(sizes: Int64, n: int) -> Int64:
    """How many of n each group gives in proportion to its size: largest remainders, ties to the earlier group."""
    n = min(n, int(sizes.sum()))
    # Whole numbers throughout: no share is lost to rounding, and none exceeds its group since n <= the sum.
    shares, rest = np.divmod(sizes * n, max(int(sizes.sum()), 1))
    extra = np.argsort(-rest, kind="stable")[: n - int(shares.sum())]
    shares[extra] += 1
    return shares


def knn_distance(vectors: Vectors, k: int) -> Float64:
    """(N,) L2 distance to the k-th nearest other point; NaN where there are no k others. N^2 D multiplications."""
    count = len(vectors)
    if count <= k:
        return np.full(count, np.nan)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    result = np.empty(count)
    for block in _blocks(count):
        gap = squares[block, None] + squares - 2 * (vectors[block] @ vectors.T)
        gap[block - block[0], block] = np.inf
        neighbour = np.argpartition(gap, k - 1, axis=1)[:, k - 1]
        # The expanded square rounds; the distance itself is exact, 0 for a duplicate.
        result[block] = np.linalg.norm((vectors[block] - vectors[neighbour]).astype(np.float64), axis=1)
    return result


def mean_squared_distance(vectors: Vectors) -> float:
    """Mean squared L2 distance over all pairs, a point with itself included; 1 where all points are equal."""
    points = vectors.astype(np.float64)
    mean = 2 * (np.einsum("ij,ij->", points, points) / len(points) - (points.mean(axis=0) ** 2).sum())
    return float(mean) if mean > 1e-12 else 1.0


def _blocks(count: int) -> list[Int64]:
    return [np.arange(at, min(at + _BLOCK, count)) for at in range(0, count, _BLOCK)]


def _sums(alike: Similarity, count: int) -> Float64:
    """(N,) the sum of each point's similarities to all points."""
    return np.concatenate([alike(block).sum(axis=0, dtype=np.float64) for block in _blocks(count)])
