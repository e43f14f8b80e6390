"""Ranks: order, agreement and combination of scores and choices."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from selectit.errors import SettingsError
from selectit.numerics.segments import mean_ranks
from selectit.signals.arrays import Float64, Int64
from selectit.text_tables import write_count


def standardised(values: Float64) -> Float64:
    """Values less their mean, over their standard deviation; all 0 where they are equal.

    Raises SettingsError: one is infinite.
    """
    check_finite(values)
    equal = not len(values) or values.min() == values.max()  # the mean rounds, and so the deviation need not be 0
    return np.zeros(len(values)) if equal else (values - values.mean()) / values.std()


def check_finite(scores: Float64) -> None:
    """Raise SettingsError where scores are infinite, of which no sum or product can be made."""
    infinite = int(np.isinf(scores).sum())
    if infinite:
        raise SettingsError(
            f"the score is infinite for {write_count(infinite, 'row')}, and the method calculates with it",
            "Name a score that is finite.",
        )


def ranking(scores: Float64, ties: str | Float64 = "smaller") -> Int64:
    """Row numbers by score, highest first; NaN left out.

    Args:
        scores: (N,).
        ties: which of two rows with equal scores comes first, the 'smaller' or the 'larger' row number, or that with
            the larger of (N,) values.
    """
    scored = np.flatnonzero(~np.isnan(scores))
    if isinstance(ties, np.ndarray):
        scored = scored[np.argsort(-ties[scored], kind="stable")]
    elif ties == "larger":
        scored = scored[::-1]
    return scored[np.argsort(-scores[scored], kind="stable")]


def rank_average(scores: Sequence[Float64], weights: Sequence[float]) -> Float64:
    """Weighted mean of the ranks that several methods give the rows.

    Args:
        scores: (N,) of each method, higher = keep.
        weights: one for each, above 0; only their ratios count.

    Returns:
        (N,) in (0, 1): the rank among the rows that every method scored, divided by their number; NaN where any
        method has none. Equal scores share the mean of their ranks.
    """
    everywhere = np.flatnonzero(~np.isnan(np.array(scores)).any(axis=0))
    ranks = np.array([mean_ranks(each[everywhere]) for each in scores])
    averages = np.full(len(scores[0]), np.nan)
    averages[everywhere] = (np.average(ranks, axis=0, weights=weights) - 0.5) / max(len(everywhere), 1)
    return averages


def union(choices: Sequence[Int64]) -> Int64:
    """The rows that any method chose, each once: the first of every method, then the second, and so on."""
    depth = max(map(len, choices))
    turns = [int(each[place]) for place in range(depth) for each in choices if place < len(each)]
    return np.array(list(dict.fromkeys(turns)), dtype=np.int64)


def intersection(choices: Sequence[Int64]) -> Int64:
    """The rows that all methods chose, by the sum of their places; of equal sums the smaller row first."""
    common = functools.reduce(np.intersect1d, choices)
    places = sum(np.argsort(each)[np.searchsorted(each, common, sorter=np.argsort(each))] for each in choices)
    return common[np.argsort(places, kind="stable")].astype(np.int64)


def jaccard(a: Int64, b: Int64) -> float:
    """Shared rows over rows of either, in [0, 1]; NaN where both are empty."""
    return len(np.intersect1d(a, b)) / len(np.union1d(a, b)) if len(a) + len(b) else math.nan


def chance_jaccard(a: int, b: int, total: int) -> float:
    """The Jaccard index of two choices of `a` and `b` rows of `total` that share as many as chance lets expect."""
    shared = a * b / total
    return shared / (a + b - shared) if a + b else math.nan


def spearman(a: Float64, b: Float64) -> float:
    """Rank correlation over the places where both are numbers, ties at their mean rank; NaN where undefined."""
    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 2:
        return math.nan
    ranks_a, ranks_b = (mean_ranks(each if both.all() else each[both]) for each in (a, b))
    if ranks_a.std() == 0 or ranks_b.std() == 0:
        return math.nan
    return float(np.corrcoef(ranks_a, ranks_b)[0, 1])
