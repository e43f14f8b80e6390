"""The statistics of a probe, against scikit-learn and scipy where they are, and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.detection import (
    DETECTED,
    NOT_TOLD,
    PREFERRED,
    auroc,
    bootstrap_groups,
    bootstrap_pairs,
    holm,
    kind_facts,
    mean_over_kinds,
    preferences,
    rank_sum_test,
    sign_test,
)

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
    assert mean_over_kinds(values, 0).value == 0.5


def test_intervals_cover_the_truth():
    """In 95 of 100 samples; with 300 samples anything from 91.5 to 98 % is within three standard errors."""
    rng = np.random.default_rng(2)
    true = 0.6382  # P(N(.5, 1) > N(0, 1)) = Phi(.5 / sqrt 2)
    hits = np.zeros(3)
    for seed in range(300):
        good, bad = rng.normal(0.5, 1, 80), rng.normal(0, 1, 80)
        area, wins = bootstrap_pairs(good, bad, seed)
        groups = bootstrap_groups(good, bad, seed)
        hits += [each.low <= true <= each.high for each in (area, wins, groups)]
    assert (hits / 300 > 0.915).all() and (hits / 300 < 0.985).all(), hits / 300


def scores(rng, shift, pairs=60):
    return {kind: (rng.normal(shift, 1, pairs), rng.normal(0, 1, pairs)) for kind in "abcdefgh"}


def test_noise_is_not_detected():
    """For all kinds together at most 5 % of the seeds may show anything."""
    found = [kind_facts(scores(np.random.default_rng(seed), 0), seed) for seed in range(100)]
    assert sum(any(facts.verdict != NOT_TOLD for facts in kinds) for kinds in found) <= 5


def test_the_truth_is_detected_and_its_opposite_preferred():
    rng = np.random.default_rng(3)
    assert {facts.verdict for facts in kind_facts(scores(rng, 2.5), 0)} == {DETECTED}
    assert {facts.verdict for facts in kind_facts(scores(rng, -2.5), 0)} == {PREFERRED}
