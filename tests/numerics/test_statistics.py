"""The statistics of a probe, against scikit-learn and scipy where they are, and by simulation."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics.statistics import (
    Estimate,
    auroc,
    auroc_estimate,
    bootstrap_mean,
    holm,
    preferences,
    rank_sum_test,
    sign_test,
    wilson,
)
from selectit.probing.verdicts import BARELY, DETECTED, NOT_TOLD, PREFERRED, decide_verdict, measure_kinds

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


@given(SCORES, SCORES)
def test_auroc_is_the_chance_to_be_above(good, bad):
    brute = np.mean([(g > b) + 0.5 * (g == b) for g in good for b in bad])
    assert auroc(np.array(good), np.array(bad)) == pytest.approx(brute)


def test_auroc_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    good, bad = rng.integers(0, 9, 80) + 1.0, rng.integers(0, 9, 50) * 1.0
    truth = np.r_[np.ones(80), np.zeros(50)]
    assert auroc(good, bad) == pytest.approx(metrics.roc_auc_score(truth, np.r_[good, bad]), abs=1e-12)


def test_the_tests_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    for _ in range(20):
        good, bad = rng.integers(0, 6, 40) + 0.4, rng.integers(0, 6, 33) * 1.0
        theirs = stats.mannwhitneyu(good, bad, use_continuity=False, method="asymptotic").pvalue
        assert rank_sum_test(good, bad) == pytest.approx(theirs, rel=1e-9)
        wins = preferences(good[:33], bad)
        theirs = stats.binomtest(int((wins == 1).sum()), int((wins != 0.5).sum())).pvalue
        assert sign_test(wins) == pytest.approx(theirs, rel=1e-9)


def test_ties_and_missing_scores():
    nan = np.nan
    assert preferences(np.array([1.0, nan, nan, 2.0]), np.array([nan, 1.0, nan, 2.0])).tolist() == [1, 0, 0.5, 0.5]
    assert auroc(np.array([1.0, nan]), np.array([nan, 0.0])) == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert sign_test(np.full(30, 0.5)) == 1
    assert rank_sum_test(np.ones(9), np.ones(5)) == 1
    assert np.isnan(auroc(np.ones(3), np.ones(0)))


def test_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1.0, 1.0]


def test_mean_over_kinds_weighs_kinds_alike():
    values = np.array([[1.0, 0.0], [1.0, np.nan], [1.0, np.nan], [1.0, np.nan]])
    assert bootstrap_mean(values, 0).value == 0.5


def test_wilsons_interval():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 of 263, and 0 of 20.
    for hits, total, bounds in ((81, 263, (0.2553, 0.3662)), (0, 20, (0.0, 0.1611))):
        found = wilson(hits, total)
        assert (found.value, found.low, found.high) == pytest.approx((hits / total, *bounds), abs=5e-5)


@pytest.mark.parametrize(("pairs", "shift"), [(10, 2.326), (10, 0.0), (80, 0.5), (80, 2.326)])
def test_intervals_cover_the_truth(pairs, shift):
    """In 95 of 100 samples on average; of pairs won (a count of few) in 90 at least, which bootstraps do not reach."""
    true = NormalDist().cdf(shift / 2**0.5)  # .95, .5, .64
    rng = np.random.default_rng(2)
    hits = np.zeros(2)
    for _ in range(600):
        good, bad = rng.normal(shift, 1, pairs), rng.normal(0, 1, pairs)
        found = auroc_estimate(good, bad), wilson(float(preferences(good, bad).sum()), pairs)
        hits += [each.low <= true <= each.high for each in found]
    area, wins = hits / 600
    assert 0.925 < area < 0.99 and 0.89 < wins < 0.985, hits / 600


def test_intervals_at_the_end_have_a_length():
    area = auroc_estimate(np.ones(10), np.zeros(10))
    assert area.value == area.high == 1 and 0.6 < area.low < 0.9
    back = auroc_estimate(np.zeros(10), np.ones(10))
    assert (back.low, back.high) == pytest.approx((0, 1 - area.low))
    assert wilson(10, 10).low == pytest.approx(0.7225, abs=5e-5)


def scores(rng, shift, pairs=60):
    return {kind: (rng.normal(shift, 1, pairs), rng.normal(0, 1, pairs)) for kind in "abcdefgh"}


def test_noise_is_not_detected():
    """For all kinds together at most 5 % of the seeds may show anything."""
    found = [measure_kinds(scores(np.random.default_rng(seed), 0)) for seed in range(100)]
    assert sum(any(facts.verdict != NOT_TOLD for facts in kinds) for kinds in found) <= 5


def test_the_truth_is_detected_and_its_opposite_preferred():
    rng = np.random.default_rng(3)
    assert {facts.verdict for facts in measure_kinds(scores(rng, 2.5))} == {DETECTED}
    assert {facts.verdict for facts in measure_kinds(scores(rng, -2.5))} == {PREFERRED}


def test_what_is_sure_but_small_is_barely_verdict_of():
    rng = np.random.default_rng(4)
    facts = measure_kinds({"a": (rng.normal(0.2, 1, 4000), rng.normal(0, 1, 4000))})[0]
    assert facts.p < 0.001 and facts.verdict == BARELY
    assert decide_verdict(0.01, 0.62, "+", "-", "0") == "+" and decide_verdict(0.01, 0.38, "+", "-", "0") == "-"
    assert decide_verdict(0.01, 0.41, "+", "-", "0") == BARELY and decide_verdict(0.06, 1.0, "+", "-", "0") == "0"


def test_wins_over_what_has_no_score_are_counted():
    good, bad = np.ones(20), np.r_[np.full(15, np.nan), np.zeros(5)]
    assert measure_kinds({"a": (good, bad)})[0].missing == 0.75
    assert measure_kinds({"a": (good, good)})[0].missing == 0


def test_a_difference_in_words_has_signs_and_no_negative_zero():
    assert Estimate(1.25, -0.04, 2.5).text(1) == "+1.2 (+0.0 to +2.5)"
