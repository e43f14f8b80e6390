"""How well scores tell good from bad: AUROC, wins in pairs, intervals, tests. Pure numpy.

A score that is NaN counts as lower than any other: such a row is never chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selectit.numerics.segments import mean_ranks
from selectit.signals.arrays import Float64

RESAMPLES = 2000


Z = 1.959963984540054
"""Of 95 % intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """A difference in words: '+1.2 (-0.1 to +2.5)'."""
        return f"{self.value:+z.{digits}f} ({self.low:+z.{digits}f} to {self.high:+z.{digits}f})"


def auroc(good: Float64, bad: Float64) -> float:
    """Chance that one of `good` (A,) is above one of `bad` (B,), ties half; NaN where either is empty."""
    if not len(good) or not len(bad):
        return math.nan
    ranks = mean_ranks(_lowest(np.concatenate([good, bad])))
    return float((ranks[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


def preferences(good: Float64, bad: Float64) -> Float64:
    """(P,) 1 where the good one of a pair scores higher, 0 where the bad one does, 0.5 where neither."""
    good, bad = _lowest(good), _lowest(bad)
    wins: Float64 = (good > bad) + 0.5 * (good == bad)
    return wins


def wilson(hits: float, total: int) -> Estimate:
    """A share of `total` independent draws, 1 or more, with its interval; ties count as half hits.

    Source: Wilson, JASA 22 (1927). It never has the length 0. It covers 95 % on average; of few draws more for some
    true shares and less for others (of ten, 91 % at 0.95), and more where there are ties.
    """
    share = hits / total
    middle = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return Estimate(share, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def auroc_estimate(good: Float64, bad: Float64) -> Estimate:
    """AUROC with its interval: all true areas from which the one found is less than 1.96 standard errors away.

    The standard error is Hanley's and McNeil's at the true area, so the interval never has the length 0. It is for two
    independent groups: where one row's original and defect score alike, it is wider than need be.

    Source: Newcombe, Statistics in Medicine 25 (2006), part 2, method 5.
    """
    value, a, b = auroc(good, bad), len(good), len(bad)
    others = (a + b) / 2 - 1

    def near(true: float) -> bool:
        spread = 1 + others * (1 - true) / (2 - true) + others * true / (1 + true)
        return abs(true - value) <= Z * math.sqrt(true * (1 - true) * spread / (a * b))

    return Estimate(value, _edge(near, value, 0.0), _edge(near, value, 1.0))


def _edge(near: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `near` ends between a number at which it holds and one at which it may not, by halving."""
    if near(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if near(middle) else (inside, middle)
    return inside


def bootstrap_mean(values: Float64, seed: int) -> Estimate:
    """The mean over kinds of the mean over rows, by a bootstrap: rows, with all their defects, are drawn again.

    Args:
        values: (rows, kinds) preferences, or differences of them; NaN where a kind was not planted.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    rows = len(values)
    weights = rng.multinomial(rows, np.full(rows, 1 / rows), RESAMPLES).astype(np.float64)
    drawn = _mean_of_ratios(weights @ filled, weights @ present)
    return _estimate(float(_mean_of_ratios(filled.sum(axis=0)[None], present.sum(axis=0)[None])[0]), drawn)


def bootstrap_median(values: Float64, seed: int) -> Estimate:
    """The median of (N,) finite values, N at least 1, by a bootstrap over them."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    return _estimate(float(np.median(values)), np.median(values[drawn], axis=1))


def sign_test(wins: Float64) -> float:
    """Two-sided exact p of the sign test: as many more wins, or losses, by fair coins; ties are left out."""
    more = int(max((wins == 1).sum(), (wins == 0).sum()))
    n = int((wins != 0.5).sum())
    tail = float(sum(math.comb(n, k) for k in range(more, n + 1)) / 2**n)
    return min(1.0, 2 * tail)


def rank_sum_test(good: Float64, bad: Float64) -> float:
    """Two-sided p of the Mann-Whitney test by its normal approximation, corrected for ties."""
    a, b = len(good), len(bad)
    _, ties = np.unique(_lowest(np.concatenate([good, bad])), return_counts=True)
    n = a + b
    variance = a * b / 12 * (n + 1 - float((ties.astype(np.float64) ** 3 - ties).sum()) / (n * (n - 1)))
    if variance <= 0:
        return 1.0
    return math.erfc(abs(auroc(good, bad) - 0.5) * a * b / math.sqrt(2 * variance))


def holm(p: Sequence[float]) -> list[float]:
    """The p values adjusted by Holm's method, in the same order."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    largest = 0.0
    for place, each in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(p) - place) * p[each]))
        adjusted[each] = largest
    found: list[float] = adjusted.tolist()
    return found


def _mean_of_ratios(sums: Float64, counts: Float64) -> Float64:
    """(B, kinds) sums and counts to (B,) means over the kinds that have a count; one at least has."""
    some = counts > 0
    ratios = np.divide(sums, counts, out=np.zeros_like(sums), where=some)
    means: Float64 = ratios.sum(axis=1) / some.sum(axis=1)
    return means


def _lowest(scores: Float64) -> Float64:
    return np.where(np.isnan(scores), -np.inf, scores)


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
