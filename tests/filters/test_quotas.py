"""What each group gives."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selectit.filters.quotas import share_out

GROUPS = st.lists(st.tuples(st.integers(0, 50), st.fractions(0, 10, max_denominator=20)), min_size=1, max_size=8)


def test_by_hand():
    # 10 * 5/9 = 5.56, 10 * 3/9 = 3.33, 10 * 1/9 = 1.11: one is left, for the largest remainder
    assert share_out([50, 30, 10], [Fraction(50), Fraction(30), Fraction(10)], 10).tolist() == [6, 3, 1]
    assert share_out([9, 9, 9], [Fraction(1)] * 3, 10).tolist() == [4, 3, 3]  # of equal remainders the earlier
    # the small group gives what it has; the surplus goes on in proportion, and fills the next one
    assert share_out([2, 5, 90], [Fraction(1)] * 3, 30).tolist() == [2, 5, 23]
    assert share_out([2, 50, 90], [Fraction(3), Fraction(1), Fraction(3)], 30).tolist() == [2, 7, 21]
    assert share_out([5, 5], [Fraction(1), Fraction(0)], 8).tolist() == [5, 0]


@given(GROUPS, st.integers(0, 300))
def test_the_budget_is_met_and_no_group_gives_more_than_it_has(groups, n):
    sizes, weights = [size for size, _ in groups], [weight for _, weight in groups]
    counts = share_out(sizes, weights, n)
    there = sum(size for size, weight in groups if weight > 0)
    assert counts.sum() == min(n, there)
    assert (counts >= 0).all() and (counts <= sizes).all()
    assert all(count == 0 for count, weight in zip(counts, weights, strict=True) if weight == 0)


@given(GROUPS, st.integers(0, 300))
def test_a_larger_share_never_gives_less(groups, n):
    """Of two groups that are not exhausted, the one with the larger weight gives no less."""
    sizes, weights = [size for size, _ in groups], [weight for _, weight in groups]
    counts = share_out(sizes, weights, n)
    for a in range(len(groups)):
        for b in range(len(groups)):
            if weights[a] > weights[b] and counts[a] < sizes[a]:
                assert counts[a] >= counts[b]


@given(GROUPS, st.integers(0, 300))
def test_no_group_is_a_row_away_from_its_quota(groups, n):
    """Largest remainders: a group that keeps some rows gives its fair share of what the full ones leave, but for 1."""
    sizes, weights = [size for size, _ in groups], [weight for _, weight in groups]
    counts = share_out(sizes, weights, n)
    free = [at for at in range(len(groups)) if counts[at] < sizes[at] and weights[at] > 0]
    left, total = counts[free].sum(), sum((weights[at] for at in free), Fraction(0))
    full = np.array([counts[at] == sizes[at] for at in range(len(groups))])
    for at in free:
        # A full group may owe its last row to a remainder: its share is then less than a row under what it has.
        assert abs(weights[at] * int(left) / total - int(counts[at])) < 1 + full.sum()
