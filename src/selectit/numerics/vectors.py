"""Rows as vectors: which have one, and what is similar. No model, no files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError, nearest
from selectit.numerics.row_random import shuffle_rows
from selectit.signals.arrays import Embeddings, Float64, Int64, Signals

SIMILARITIES = ("cosine01", "rbf", "submodlib-euclidean")
SAME = 4e-6
"""Squared distances below this part of the squared norms are float32 rounding, that is, 0."""
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
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    rows = shuffle_rows(signals.rows, f"selectit pool {seed}", known)
    return rows, vectors[rows]


def scored_pool(signals: Signals, score: str, seed: int = 0) -> tuple[Int64, NDArray[np.float32], Float64]:
    """The M rows that have a vector and a score, as of `pool`, and their (M,) scores: those of a `ScoreOf`."""
    rows, vectors = pool(signals, seed)
    scores = signals.score_of(score)[rows]
    known = ~np.isnan(scores)
    return rows[known], vectors[known], scores[known]


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
        gap[gap < SAME * both] = 0
        exponent: NDArray[np.float32] = -gap / width if name == "rbf" else -np.sqrt(gap) / points.shape[1]
        return np.exp(exponent)

    return alike


def mean_squared_distance(vectors: Vectors) -> float:
    """Mean squared L2 distance over all pairs, a point with itself included; 1 where all points are equal."""
    points = vectors.astype(np.float64)
    square = np.einsum("ij,ij->", points, points) / len(points)
    mean = 2 * (square - (points.mean(axis=0) ** 2).sum())
    return float(mean) if mean > 1e-12 * square else 1.0  # less is rounding


def blocks(count: int, size: int) -> list[Int64]:
    """The numbers below `count` in runs of at most `size`."""
    return [np.arange(at, min(at + size, count)) for at in range(0, count, size)]
