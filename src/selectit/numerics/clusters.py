"""k-means clusters, choosing from them, and near-duplicates within them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from selectit.errors import import_extra
from selectit.numerics.coverage import k_center
from selectit.numerics.subsets import similarity_filter
from selectit.numerics.vectors import Vectors, unit
from selectit.signals.arrays import Float64, Int64

_WHOLE = 100_000_000  # points x clusters of one run of k-means


def import_sklearn() -> Any:
    """What `k_means` needs. Raises SettingsError where it is not installed."""
    return import_extra("sklearn.cluster", "methods", "k-means")


def k_means(vectors: Vectors, clusters: int, seed: int = 0, restarts: int = 1) -> tuple[Int64, Float64]:
    """scikit-learn's k-means++: (N,) cluster of each point, (N,) squared distance to its centroid.

    No more clusters than there are different points, and none is empty. Where points x clusters exceed `_WHOLE`, in two
    levels: sqrt of so many clusters from minibatches, and k-means in each for its share of the different points. Raises
    SettingsError: no scikit-learn.
    """
    sklearn = import_sklearn()
    clusters, groups = _at_most(clusters, vectors), [np.arange(len(vectors))]
    if len(vectors) * clusters > _WHOLE:
        coarse = sklearn.MiniBatchKMeans(math.isqrt(clusters), batch_size=8192, n_init=1, random_state=seed)
        group = coarse.fit(vectors).labels_
        groups = [np.flatnonzero(group == each) for each in np.unique(group)]
    if len(groups) == 1:  # too few points, or too near to each other to be parted
        fitted = sklearn.KMeans(clusters, n_init=restarts, random_state=seed).fit(vectors)
        gap = vectors - fitted.cluster_centers_[fitted.labels_]
        return np.unique(fitted.labels_, return_inverse=True)[1], np.einsum("ij,ij->i", gap, gap).astype(np.float64)
    # Of copies one cluster is enough: a group of many would not use a share of their number.
    shares = np.maximum(quotas(np.array([_count_different(vectors[rows]) for rows in groups]), clusters), 1)
    shares[shares.argmax()] -= shares.sum() - clusters
    label, distance = np.empty(len(vectors), dtype=np.int64), np.empty(len(vectors))
    for place, rows in enumerate(groups):
        inner, distance[rows] = k_means(vectors[rows], int(shares[place]), seed, restarts)
        label[rows] = inner + shares[:place].sum()
    return np.unique(label, return_inverse=True)[1], distance


def _at_most(clusters: int, vectors: Vectors) -> int:
    """So many clusters, or as many as there are different points: mostly the first points say enough."""
    few = _count_different(vectors[: 2 * clusters])
    return clusters if few >= clusters else min(clusters, _count_different(vectors))


def _count_different(vectors: Vectors) -> int:
    return len({hash(point.tobytes()) for point in vectors + 0})  # -0 + 0 is 0


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
    if not n:
        return np.zeros(0, np.int64)
    label, distance = k_means(vectors, clusters or n, seed, restarts)
    sizes = np.bincount(label)
    shares = quotas(sizes, n) if clusters else np.minimum(sizes, 1)
    nearest_first = np.split(np.lexsort((distance, label)), np.cumsum(sizes)[:-1])
    picked = [nearest_first[cluster][: shares[cluster]] for cluster in np.argsort(-sizes, kind="stable")]
    return np.concatenate(picked).astype(np.int64)


def beaten_by(vectors: Vectors, label: Int64, worth: Float64, limit: float) -> Int64:
    """Which kept point of its cluster a point is too similar to: (N,) its index, or -1 for a point that is kept.

    In each cluster the points are gone through by falling worth, ties by index, and one is kept unless its cosine to
    one kept before exceeds `limit`. A point is compared with kept ones only: of a chain of similar points every second
    may stay. Zero vectors are kept. Pairs in different clusters are not looked at.

    Args:
        vectors: (N, D) finite.
        label: (N,) cluster of each point.
        worth: (N,) higher = keep.
        limit: a cosine.
    """
    beaten = np.full(len(vectors), -1, dtype=np.int64)
    order = np.lexsort((-worth, label))
    for rows in np.split(order, np.cumsum(np.bincount(label))[:-1]):
        points = unit(vectors[rows])
        kept = similarity_filter(points, np.arange(len(rows)), len(rows), limit)
        for at in range(0, len(rows), 1024):
            lost = np.setdiff1d(np.arange(at, min(at + 1024, len(rows))), kept)
            alike = points[lost] @ points[kept].T
            alike[kept > lost[:, None]] = -np.inf
            beaten[rows[lost]] = rows[kept[alike.argmax(axis=1)]] if len(lost) else []
    return beaten


def quotas(sizes: Int64, n: int) -> Int64:
    """How many of n each group gives in proportion to its size: largest remainders, ties to the earlier group."""
    n = min(n, int(sizes.sum()))
    # Whole numbers throughout: no share is lost to rounding, and none exceeds its group since n <= the sum.
    shares, rest = np.divmod(sizes * n, max(int(sizes.sum()), 1))
    extra = np.argsort(-rest, kind="stable")[: n - int(shares.sum())]
    shares[extra] += 1
    return shares


def core_of_clusters(vectors: Vectors, task: Vectors | None, n: int, clusters: int, seed: int = 0) -> Int64:
    """The core of a task (LTD): of the clusters with most of the task the middles, then k-center from these.

    Args:
        vectors: (N, D) finite.
        task: (Q, D) finite, of rows or examples of the task, each in the cluster whose mean is nearest. The fewest
            clusters are kept that hold more than half of them. None = all are kept.
        n: how many points.
        clusters: how many clusters.
        seed: of the initial centroids.

    Returns:
        At most n indices in order: fewer where no more differ. Raises SettingsError as of `k_means`.
    """
    label, distance = k_means(vectors, clusters, seed)
    members = np.split(np.argsort(label, kind="stable"), np.cumsum(np.bincount(label))[:-1])
    held = np.array([len(each) for each in members])
    if task is not None:
        means = np.stack([vectors[each].mean(axis=0, dtype=np.float64) for each in members])
        nearest = ((means**2).sum(axis=1) - 2 * (task @ means.T)).argmin(axis=1)
        held = np.bincount(nearest, minlength=len(members))
    kept = np.argsort(-held, kind="stable")
    if task is not None:
        kept = kept[: int(np.searchsorted(np.cumsum(held[kept]), len(task) / 2, side="right")) + 1]
    points = np.sort(np.concatenate([members[each] for each in kept]))
    middles = [members[each][distance[members[each]].argmin()] for each in kept][:n]
    start = np.searchsorted(points, middles)
    chosen: Int64 = points[np.concatenate([start, k_center(vectors[points], n - len(start), start)])]
    return chosen
