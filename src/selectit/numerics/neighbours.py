"""The nearest neighbours of every point: exact up to `EXACT` points, through faiss's inverted lists beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.errors import import_extra
from selectit.numerics.vectors import Vectors, blocks, mean_squared_distance, unit
from selectit.signals.arrays import Float64, Int64

EXACT = 50_000
"""Up to so many points neighbours are exact; of more, those in the nearest lists are looked at."""
_LISTS_LOOKED_AT = 16
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Graph:
    """The k points nearest to each of N points, itself included, nearest first."""

    index: NDArray[np.int32]
    """(N, k)."""
    similarity: NDArray[np.float32]
    """(N, k) 0 or more."""

    def __len__(self) -> int:
        return len(self.index)

    def first_gains(self) -> Float64:
        """(N,) the sum of the similarities of those to which a point is among the nearest."""
        weights = self.similarity.ravel()
        return np.bincount(self.index.ravel(), weights=weights, minlength=len(self)).astype(np.float64)

    def transposed(self) -> tuple[Int64, NDArray[np.int32], NDArray[np.float32]]:
        """For each point those to which it is among the nearest: (N + 1,) starts, the points, the similarities."""
        from scipy.sparse import csr_array

        count, width = self.index.shape
        starts = np.arange(0, (count + 1) * width, width)
        columns = csr_array((self.similarity.ravel(), self.index.ravel(), starts), shape=(count, count)).tocsc()
        return columns.indptr, columns.indices, columns.data


def graph(vectors: Vectors, k: int, similarity: str) -> Graph:
    """The k nearest of each point by one of `SIMILARITIES`.

    Args:
        vectors: (N, D) finite.
        k: at most N are found.
        similarity: all fall with the L2 distance, that of `cosine01` with the distance of the unit vectors.

    Raises:
        SettingsError: more than `EXACT` points, and faiss is not installed.
    """
    gap, index = nearest(unit(vectors) if similarity == "cosine01" else vectors, k)
    if similarity == "cosine01":
        alike = np.clip(1 - gap / 4, 0, 1)
    elif similarity == "rbf":
        alike = np.exp(-gap / mean_squared_distance(vectors))
    else:
        alike = np.exp(-np.sqrt(gap) / vectors.shape[1])
    return Graph(index, alike.astype(np.float32))


def nearest(vectors: Vectors, k: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The k nearest points of each point, itself included: their squared L2 distances and indices, (N, k) both.

    Nearest first, ties in no order. Raises SettingsError: more than `EXACT` points, and faiss is not installed.
    """
    k = min(k, len(vectors))
    gap = np.empty((len(vectors), k), dtype=np.float32)
    index = np.empty((len(vectors), k), dtype=np.int32)
    if len(vectors) <= EXACT:
        _search_all(vectors, np.arange(len(vectors)), gap, index)
        return gap, index
    lists = _inverted_lists(vectors)
    for block in blocks(len(vectors), 16_384):
        gap[block], index[block] = lists.search(np.ascontiguousarray(vectors[block], dtype=np.float32), k)
    _search_all(vectors, np.flatnonzero((index < 0).any(axis=1)), gap, index)  # their lists were too short
    return gap, index


def _search_all(vectors: Vectors, which: Int64, gap: NDArray[np.float32], index: NDArray[np.int32]) -> None:
    """Fill in the rows `which` of both by looking at all points."""
    k = gap.shape[1]
    squares = np.einsum("ij,ij->i", vectors, vectors)
    for at in range(0, len(which), _BLOCK):
        block = which[at : at + _BLOCK]
        squared = squares[block, None] + squares - 2 * (vectors[block] @ vectors.T)
        squared[np.arange(len(block)), block] = -1  # itself first
        near = np.argpartition(squared, k - 1, axis=1)[:, :k]
        near = np.take_along_axis(near, np.argsort(np.take_along_axis(squared, near, axis=1), axis=1), axis=1)
        gap[block] = np.maximum(np.take_along_axis(squared, near, axis=1), 0)
        index[block] = near


def _inverted_lists(vectors: Vectors) -> Any:
    """All points in lists around 4 sqrt(N) centroids, as float16. Raises SettingsError: no faiss."""
    faiss = import_extra("faiss", "methods", f"finding neighbours among more than {EXACT:,} rows")
    count, width = vectors.shape
    lists = 4 * int(np.sqrt(count))
    made: Any = faiss.index_factory(width, f"IVF{lists},SQfp16", faiss.METRIC_L2)
    made.cp.niter, made.cp.max_points_per_centroid = 8, 39
    made.train(np.ascontiguousarray(vectors[: 39 * lists], dtype=np.float32))
    for block in blocks(count, 65_536):
        made.add(np.ascontiguousarray(vectors[block], dtype=np.float32))
    made.nprobe = _LISTS_LOOKED_AT
    return made


def knn_distance(vectors: Vectors, k: int) -> Float64:
    """(N,) L2 distance to the k-th nearest other point; NaN where there are no k others.

    Of at most `EXACT` points exact, of more an upper bound. Raises SettingsError as of `nearest`.
    """
    if len(vectors) <= k:
        return np.full(len(vectors), np.nan)
    return np.sqrt(squared_distances(vectors, nearest_others(vectors, k)[:, -1:])[:, 0])


def nearest_others(vectors: Vectors, k: int) -> NDArray[np.int32]:
    """(N, k) the k nearest other points of each of N > 1 points, all where there are fewer; see `nearest`."""
    near = nearest(vectors, k + 1)[1]
    itself = near == np.arange(len(vectors))[:, None]
    itself[~itself.any(axis=1), -1] = True  # among more than k duplicates it need not be found
    others: NDArray[np.int32] = near[~itself].reshape(len(vectors), -1)
    return others


def squared_distances(vectors: Vectors, index: NDArray[np.integer]) -> Float64:
    """(N, k) the squared L2 distances of each of N points to those of its row in `index`.

    The squares that find neighbours are expanded and round; these are exact, 0 for a duplicate.
    """
    squared = np.empty(index.shape)
    for block in blocks(len(vectors), 1024):
        gap = vectors[block, None].astype(np.float64) - vectors[index[block]]
        squared[block] = np.einsum("ijk,ijk->ij", gap, gap)
    return squared
