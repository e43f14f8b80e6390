"""What the pairs of a probe show about each kind of defect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from selectit.numerics.statistics import Estimate, auroc_estimate, holm, preferences, sign_test, wilson
from selectit.signals.arrays import Float64

LEVEL = 0.05
"""Of the tests, two-sided, for all kinds together; the intervals are 95 %."""


LEAST_SHARE = 0.6
"""Of pairs won, or AUROC: what is above chance but below this is useless, however certain it is."""


DETECTED, PREFERRED, BARELY, NOT_TOLD = "detected", "preferred", "barely told apart", "not told apart"
VERDICTS = (DETECTED, PREFERRED, BARELY, NOT_TOLD)


@dataclass(frozen=True, slots=True)
class KindStats:
    """How well scores separate one kind of defect from the originals."""

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


def measure_kinds(pairs: Mapping[str, tuple[Float64, Float64]]) -> tuple[KindStats, ...]:
    """The figures of each kind, from the scores of its originals and of its defects, both (P,) in the same order."""
    raw = {kind: sign_test(preferences(good, bad)) for kind, (good, bad) in pairs.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    found = []
    for kind, (good, bad) in pairs.items():
        won = preferences(good, bad)
        wins = wilson(float(won.sum()), len(won))
        better = won == 1
        missing = float(np.isnan(bad[better]).mean()) if better.any() else 0.0
        verdict = decide_verdict(adjusted[kind], wins.value, DETECTED, PREFERRED, NOT_TOLD)
        found.append(KindStats(kind, len(won), auroc_estimate(good, bad), wins, adjusted[kind], missing, verdict))
    return tuple(found)


def decide_verdict(p: float, share: float, better: str, worse: str, none: str) -> str:
    """`none` where the test shows nothing; `better` or `worse` where it does and `share` is of use, else BARELY."""
    if p >= LEVEL:
        return none
    if max(share, 1 - share) < LEAST_SHARE:
        return BARELY
    return better if share > 0.5 else worse
