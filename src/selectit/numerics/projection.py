"""Vectors in two dimensions, and their distance to the centre. No model, no files."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError, import_extra
from selectit.numerics.row_random import shuffle_rows
from selectit.signals.arrays import Int64
from selectit.signals.rows import Rows

SAMPLE = 2048
"""Rows whose vectors are enough to decide the axes of a map."""
PERMUTATIONS = 999
NEIGHBOURS = 15
"""Of a row, which UMAP keeps near it: its default."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Rows in two dimensions."""

    points: NDArray[np.float32]
    """(N, 2) x and y; NaN for a row without a vector."""
    explained: tuple[float, float] | None
    """The share of the vectors' variance along x and along y, in [0, 1]; None = these are no principal axes."""


def draw_sample(rows: Rows) -> Int64:
    """The rows whose vectors decide the axes of a map, `SAMPLE` at most: equal data, equal rows."""
    return shuffle_rows(rows, "map")[:SAMPLE]


def project(vectors: NDArray[np.float32], sample: Int64) -> Projection:
    """Project (N, D) vectors, NaN throughout where a row has none, onto their first two principal axes.

    The axes are those of the rows of `sample` with a vector, by a singular value decomposition; each points where its
    largest coordinate is positive, so that equal vectors give equal maps.
    """
    there = np.asarray(np.isfinite(vectors).all(axis=1))
    points = np.full((len(vectors), 2), np.nan, np.float32)
    some = vectors[sample[there[sample]]].astype(np.float64)
    if not len(some):
        return Projection(points, (math.nan, math.nan))
    centre = some.mean(axis=0)
    _, singular, axes = np.linalg.svd(some - centre, full_matrices=False)
    axes = np.pad(axes[:2], [(0, max(0, 2 - len(axes))), (0, 0)])
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    points[there] = (vectors[there].astype(np.float64) - centre) @ (axes * np.where(signs < 0, -1, 1)[:, None]).T
    squares = np.pad(singular**2, (0, 2))
    total = squares.sum()
    first, second = (squares[:2] / total).tolist() if total > 0 else (math.nan, math.nan)
    return Projection(points, (first, second))


def lay_out(vectors: NDArray[np.float32], seed: int = 0) -> Projection:
    """Lay (N, D) vectors, NaN throughout where a row has none, out by UMAP: neighbours by cosine stay near each other.

    Source: McInnes et al., arXiv 1802.03426, by their package. Equal vectors give equal maps on one machine.

    Raises:
        SettingsError: umap-learn is not installed, or there are too few vectors to have neighbours.
    """
    umap = import_extra("umap", "map", "UMAP")
    there = np.asarray(np.isfinite(vectors).all(axis=1))
    if there.sum() <= NEIGHBOURS:
        raise SettingsError(f"UMAP needs more than {NEIGHBOURS} rows with a vector", "Leave out --umap.")
    method = umap.UMAP(n_neighbors=NEIGHBOURS, metric="cosine", init="pca", random_state=seed, n_jobs=1)
    points = np.full((len(vectors), 2), np.nan, np.float32)
    points[there] = method.fit_transform(vectors[there])
    return Projection(points, None)


@dataclass(frozen=True, slots=True)
class CentreDistance:
    """How far the rows lie from the centre of all: the paper's analysis of representations.

    The distance is the Euclidean one from the mean vector of all rows, in all dimensions of the vectors.
    """

    mean_all: float
    mean_chosen: float
    """NaN where no row is chosen that has a vector."""
    p: float
    """Two-sided, of a permutation test: the share of equally many rows at random, the chosen ones among them, whose
    mean is as far from that of all, at least 1 / (`PERMUTATIONS` + 1). NaN where nothing or everything is chosen."""


def measure_centre(vectors: NDArray[np.float32], chosen: Int64, seed: int = 0) -> CentreDistance:
    """Compare the distances of all, and of the chosen, of (N, D) vectors; those without one are left out of both."""
    there = np.asarray(np.isfinite(vectors).all(axis=1))
    known = vectors[there]
    if not len(known):
        return CentreDistance(math.nan, math.nan, math.nan)
    distances = np.linalg.norm(known - known.mean(axis=0, dtype=np.float64), axis=1)
    picked = chosen[there[chosen]]
    mean, count = float(distances.mean()), len(picked)
    if not count:
        return CentreDistance(mean, math.nan, math.nan)
    place = np.cumsum(there) - 1
    found = float(distances[place[picked]].mean())
    if count == len(known):
        return CentreDistance(mean, found, math.nan)
    rng = np.random.default_rng(seed)
    drawn = np.array(
        [distances[rng.choice(len(known), count, replace=False, shuffle=False)].mean() for _ in range(PERMUTATIONS)]
    )
    # Sums in another order differ in the last digits: those are no difference.
    as_far = np.abs(drawn - mean) >= abs(found - mean) - 1e-12 * mean
    return CentreDistance(mean, found, (1 + int(as_far.sum())) / (1 + PERMUTATIONS))
