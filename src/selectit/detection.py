"""How well scores tell good from bad: AUROC, wins in pairs, intervals, tests. Pure numpy.

A score that is NaN counts as lower than any other: such a row is never chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selectit.schema import Float64
from selectit.segments import mean_ranks

RESAMPLES = 2000
LEVEL = 0.05
"""Of the tests, two-sided, for all kinds together; the intervals are 95 %."""

DETECTED, PREFERRED, NOT_TOLD = "detected", "preferred", "not told apart"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % bootstrap interval."""

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
    verdict: str
    """DETECTED; PREFERRED = the defects score higher; NOT_TOLD."""


def kind_facts(pairs: Mapping[str, tuple[Float64, Float64]], seed: int) -> tuple[KindFacts, ...]:
    """The figures of each kind, from the scores of its originals and of its defects, both (P,) in the same order."""
    raw = {kind: sign_test(preferences(good, bad)) for kind, (good, bad) in pairs.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    found = []
    for kind, (good, bad) in pairs.items():
        auroc, wins = bootstrap_pairs(good, bad, seed)
        verdict = NOT_TOLD if adjusted[kind] >= LEVEL else DETECTED if wins.value > 0.5 else PREFERRED
        found.append(KindFacts(kind, len(good), auroc, wins, adjusted[kind], verdict))
    return tuple(found)


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


def bootstrap_pairs(good: Float64, bad: Float64, seed: int) -> tuple[Estimate, Estimate]:
    """AUROC and wins of P pairs; whole pairs are drawn again."""
    rng = np.random.default_rng(seed)
    pairs = len(good)
    weights = rng.multinomial(pairs, np.full(pairs, 1 / pairs), RESAMPLES) / pairs
    above = _above(good, bad)
    aurocs = np.einsum("bi,ij,bj->b", weights, above, weights, optimize=True)
    wins = preferences(good, bad)
    return _estimate(auroc(good, bad), aurocs), _estimate(float(wins.mean()), weights @ wins)


def bootstrap_groups(good: Float64, bad: Float64, seed: int) -> Estimate:
    """AUROC of two groups that are no pairs; each is drawn again by itself."""
    rng = np.random.default_rng(seed)
    a, b = len(good), len(bad)
    first = rng.multinomial(a, np.full(a, 1 / a), RESAMPLES) / a
    second = rng.multinomial(b, np.full(b, 1 / b), RESAMPLES) / b
    above = _above(good, bad)
    return _estimate(auroc(good, bad), np.einsum("bi,ij,bj->b", first, above, second, optimize=True))


def mean_over_kinds(values: Float64, seed: int) -> Estimate:
    """The mean over kinds of the mean over rows; rows, with all their defects, are drawn again.

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


def _above(good: Float64, bad: Float64) -> Float64:
    """(A, B) 1 where good is higher, 0.5 where equal."""
    good, bad = _lowest(good)[:, None], _lowest(bad)[None]
    above: Float64 = (good > bad) + 0.5 * (good == bad)
    return above


def _lowest(scores: Float64) -> Float64:
    return np.where(np.isnan(scores), -np.inf, scores)


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
