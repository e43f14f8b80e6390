"""How well scores tell good from bad: AUROC, wins in pairs, intervals, tests. Pure numpy.

A score that is NaN counts as lower than any other: such a row is never chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selectit.schema import Float64
from selectit.segments import mean_ranks

RESAMPLES = 2000
LEVEL = 0.05
"""Of the tests, two-sided, for all kinds together; the intervals are 95 %."""
LEAST_SHARE = 0.6
"""Of pairs won, or AUROC: what is above chance but below this is of no use, however sure it is."""

DETECTED, PREFERRED, BARELY, NOT_TOLD = "detected", "preferred", "barely told apart", "not told apart"
VERDICTS = (DETECTED, PREFERRED, BARELY, NOT_TOLD)

_Z = 1.959963984540054
"""Of 95 % intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class KindFacts:
    """How well one kind of defect is told from the originals."""

    kind: str
    pairs: int
    auroc: Estimate
    """Chance that an original scores above a defect of this kind, of any rows; ties count half. 0.5 = by chance."""
    wins: Estimate
    """Share of pairs (one row's original and defect) in which the original scores higher; ties count half."""
    p: float
    """Of the two-sided sign test, times Holm's factor for the number of kinds."""
    missing: float
    """Share of the wins in which the defect has no score, and so counts as the lowest; 0 without wins."""
    verdict: str
    """DETECTED; PREFERRED = the defects score higher; BARELY = either, by less than LEAST_SHARE; NOT_TOLD."""


def kind_facts(pairs: Mapping[str, tuple[Float64, Float64]]) -> tuple[KindFacts, ...]:
    """The figures of each kind, from the scores of its originals and of its defects, both (P,) in the same order."""
    raw = {kind: sign_test(preferences(good, bad)) for kind, (good, bad) in pairs.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    found = []
    for kind, (good, bad) in pairs.items():
        won = preferences(good, bad)
        wins = wilson(float(won.sum()), len(won))
        better = won == 1
        missing = float(np.isnan(bad[better]).mean()) if better.any() else 0.0
        verdict = told(adjusted[kind], wins.value, DETECTED, PREFERRED, NOT_TOLD)
        found.append(KindFacts(kind, len(won), auroc_estimate(good, bad), wins, adjusted[kind], missing, verdict))
    return tuple(found)


def told(p: float, share: float, better: str, worse: str, none: str) -> str:
    """`none` where the test shows nothing; `better` or `worse` where it does and `share` is of use, else BARELY."""
    if p >= LEVEL:
        return none
    if max(share, 1 - share) < LEAST_SHARE:
        return BARELY
    return better if share > 0.5 else worse


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
    middle = share + _Z**2 / (2 * total)
    half = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
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
        return abs(true - value) <= _Z * math.sqrt(true * (1 - true) * spread / (a * b))

    return Estimate(value, _edge(near, value, 0.0), _edge(near, value, 1.0))


def _edge(near: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `near` ends between a number at which it holds and one at which it may not, by halving."""
    if near(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if near(middle) else (inside, middle)
    return inside


def mean_over_kinds(values: Float64, seed: int) -> Estimate:
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
