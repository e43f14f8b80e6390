"""How many rows each group gives."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from selectit.signals.arrays import Int64


def share_out(sizes: Sequence[int], weights: Sequence[Fraction], n: int) -> Int64:
    """How many of n rows each group gives: in proportion to its weight, never more than it has.

    What a group lacks is handed on to the others in proportion to theirs; what is left of broken numbers goes to the
    largest remainders, of equal ones to the earlier group. Whole numbers throughout, so nothing is lost to rounding.

    Args:
        sizes: (G,) rows that each group has.
        weights: (G,) 0 or more; a group of weight 0 gives nothing.
        n: rows that are wanted.

    Returns:
        (G,) int64; the sum is n, or what all groups with a weight have, where that is less.
    """
    given = np.zeros(len(sizes), np.int64)
    hungry = {group for group, weight in enumerate(weights) if weight > 0 and sizes[group] > 0}
    while hungry:
        left = n - int(given.sum())
        total = sum(weights[group] for group in hungry)
        fair = {group: weights[group] * left / total for group in hungry}
        short = {group for group in hungry if fair[group] >= sizes[group]}
        if not short:
            return given + _round(fair, len(sizes))
        for group in short:
            given[group] = sizes[group]
        hungry -= short
    return given


def _round(fair: dict[int, Fraction], groups: int) -> Int64:
    """Fair shares, which add up to a whole number, as whole numbers: by largest remainders."""
    counts = np.zeros(groups, np.int64)
    for group, share in fair.items():
        counts[group] = int(share)
    by_remainder = sorted(fair, key=lambda group: (int(fair[group]) - fair[group], group))
    for group in by_remainder[: int(sum(fair.values())) - int(counts.sum())]:
        counts[group] += 1
    return counts
