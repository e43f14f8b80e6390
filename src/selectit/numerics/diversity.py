"""How varied a set of texts or vectors is, and how far two sets lie apart. For samples: these hold (N, N) matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from selectit.numerics.statistics import Estimate, Z
from selectit.numerics.vectors import Vectors, unit
from selectit.signals.arrays import Float64, Int64


def vendi_score(vectors: Vectors) -> float:
    """The number of different rows that would be as varied as these (Vendi score, order 1), from 1 to N.

    The exponential of the entropy of the eigenvalues of K / N, where K holds the cosines. A zero vector has none.

    Source: Friedman and Dieng, TMLR 2023, arXiv 2210.02410.

    Args:
        vectors: (N, D) finite, N at least 1.
    """
    points = unit(vectors.astype(np.float64))
    small = points.T @ points if points.shape[1] < len(points) else points @ points.T  # the same eigenvalues but zeros
    shares = np.linalg.eigvalsh(small / len(points))
    shares = shares[shares > 1e-12]
    return math.exp(-float((shares * np.log(shares)).sum()))


def novel_sum(
    vectors: Vectors, reference: Vectors, neighbours: int = 10, density_power: float = 0.5, distance_power: float = 1.0
) -> float:
    """How far the rows lie from each other, near ones above all, and more where many texts are (NovelSum); 0 or more.

    Of each row the mean of (1 - cosine) to all rows, itself first, weighted by the rank, times its density in the
    reference: 1 / the mean squared distance to some neighbours. Then the mean over the rows.

    Source: Yang et al., "Measuring Data Diversity for Instruction Tuning", ACL 2025, arXiv 2502.17184;
    UmeanNever/NovelSum@b594962:novelsum.py, which takes the nearest point of the reference for the row itself.

    Args:
        vectors: (N, D) finite, N at least 1.
        reference: (M, D) finite; equal ones count once. Of one alone the density is 1.
        neighbours: so many points of the reference make the density.
        density_power: of the density; 0 = it has no part.
        distance_power: the weight of a distance is its rank to minus this.
    """
    points, others = vectors.astype(np.float64), np.unique(reference.astype(np.float64), axis=0)
    gap = np.sort(_squared_distances(points, others), axis=1)[:, 1 : neighbours + 1]
    density = (1 / (gap.mean(axis=1) + 1e-9)) ** density_power if len(others) > 1 else 1.0
    turned = unit(points)
    away = np.maximum(1 - turned @ turned.T, 0)
    np.fill_diagonal(away, 0)
    weights = np.arange(1, len(points) + 1, dtype=np.float64) ** -distance_power
    return float((np.sort(away, axis=1) @ weights / weights.sum() * density).mean())


def cluster_entropy(label: Int64, clusters: int) -> float:
    """How evenly rows lie in clusters: the entropy of their shares over log(clusters), from 0 (all in one) to 1.

    Args:
        label: (N,) the cluster of each row, from 0.
        clusters: how many there are, 2 or more.
    """
    shares = np.bincount(label, minlength=clusters) / len(label)
    shares = shares[shares > 0]
    return min(max(0.0, -float((shares * np.log(shares)).sum()) / math.log(clusters)), 1.0)  # rounding passes both ends


def squared_mmd(a: Vectors, b: Vectors, sigma: float = 1.0) -> Estimate:
    """The squared distance of two distributions by samples (MMD), unbiased: about 0, or below, where they are the same.

    The kernel is exp(-squared distance / 2 sigma^2); the two means within a sample leave out a row with itself. The
    interval is that of the rows of `a` as a draw, `b` as it is: 1.96 standard errors of the mean of what each row
    adds, twice. It holds where the distributions differ.

    Source: Gretton et al., JMLR 13 (2012), equation 3.

    Args:
        a: (N, D) finite, N at least 2.
        b: (M, D) finite, M at least 2.
        sigma: above 0.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    to_own = (_kernel(a, a, sigma).sum(axis=1) - 1) / (len(a) - 1)
    to_other = _kernel(a, b, sigma).mean(axis=1)
    within = (_kernel(b, b, sigma).sum() - len(b)) / (len(b) * (len(b) - 1))
    value = float(to_own.mean() + within - 2 * to_other.mean())
    error = 2 * Z * float((to_own - to_other).std(ddof=1)) / math.sqrt(len(a))
    return Estimate(value, value - error, value + error)


def distinct_share(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different runs of n words / runs of n words in some texts (distinct-n, Li et al. 2016); NaN where there are none.

    It falls as the texts grow in number: compare equal numbers of words.
    """
    runs = [tuple(text[at : at + n]) for text in texts for at in range(len(text) - n + 1)]
    return len(set(runs)) / len(runs) if runs else math.nan


def _squared_distances(a: Float64, b: Float64) -> Float64:
    gap = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b) - 2 * (a @ b.T)
    squared: Float64 = np.maximum(gap, 0)
    return squared


def _kernel(a: Float64, b: Float64, sigma: float) -> Float64:
    alike: Float64 = np.exp(-_squared_distances(a, b) / (2 * sigma**2))
    return alike
