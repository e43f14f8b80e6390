"""The analyses of a selection: known answers, and what holds of any rows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.methods.expected_rating import ExpectedRating
from selectit.methods.length import Length
from selectit.methods.selectit import SelectIT
from selectit.numerics.lexical import calculates
from selectit.numerics.ranking import ranking
from selectit.pages.analyses import (
    Cost,
    build_histogram,
    list_costs,
    measure_agreement,
    measure_calculations,
    measure_lengths,
    score_models,
    score_prompts,
    sweep,
)
from selectit.signals.arrays import Ratings, Signals
from selectit.signals.rows import build_rows

NAN = float("nan")


def signals_of(logprob, models=("m",), row=None):
    """Signals with these (I, M, K, R) ratings."""
    items = len(logprob)
    row = np.arange(items) if row is None else np.array(row)
    rows = build_rows(np.arange(2 * (row.max() + 1), dtype=np.int64).view("V16"), np.ones(row.max() + 1, np.int64))
    shape = logprob.shape[:3]
    ratings = Ratings(
        logprob.astype(np.float32), row, np.zeros(shape, np.uint8), np.ones(shape, np.int32),
        np.array([10**9] * len(models)), tuple(models), ("1", "2", "3", "4", "5"),
    )  # fmt: skip
    return Signals(rows, {"ratings": ratings})


def random_signals(rows=60, models=1, prompts=7, seed=0):
    logits = np.random.default_rng(seed).normal(0, 2, (rows, models, prompts, 5))
    return signals_of(logits - np.logaddexp.reduce(logits, axis=-1)[..., None], tuple(f"m{m}" for m in range(models)))


# Histograms and lengths


def test_a_histogram_by_hand():
    found = build_histogram(np.array([0.0, 1, 2, 2, 4, NAN]), np.array([2, 4, 5]), bins=4)
    assert found.edges.tolist() == [0, 1, 2, 3, 4]
    assert (found.all.tolist(), found.chosen.tolist()) == ([1, 1, 2, 1], [0, 0, 1, 1])
    assert (found.above, found.missing) == ((0, 0), (1, 1))


def test_one_value_alone_and_none_at_all():
    found = build_histogram(np.full(5, 3.0), np.array([0]), bins=2)
    assert found.edges.tolist() == [2.5, 3, 3.5] and found.all.sum() == 5
    assert build_histogram(np.full(2, NAN), np.array([0])).missing == (2, 1)


@given(st.lists(st.floats(width=32), min_size=1, max_size=40), st.floats(0.3, 1))
def test_every_row_is_counted_once(values, highest):
    values, chosen = np.array(values), np.arange(0, len(values), 2)
    found = build_histogram(values, chosen, 7, highest)
    assert found.all.sum() + found.missing[0] == len(values)
    assert found.chosen.sum() + found.missing[1] == len(chosen)
    assert (found.chosen <= found.all).all() and found.above[1] <= found.above[0]
    assert (np.diff(found.edges) > 0).all() and np.isfinite(found.edges).all()


def test_lengths_by_hand():
    found = measure_lengths(np.array([1, 2, 3, 10]), np.array([3, 2]))
    assert (found.mean_all, found.mean_chosen, found.median_all, found.median_chosen) == (4, 6.5, 2.5, 6.5)
    assert found.histogram.above == (1, 1) and found.histogram.all.sum() == 4, "the longest is in the last bin"
    assert math.isnan(measure_lengths(np.array([1, 2]), np.array([], int)).mean_chosen)


# Calculation rows


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("What is 12 + 30?", True),
        ("Compute 5*7", True),
        ("How many apples do 3 boxes of 12 hold?", True),
        ("7 - 2", True),
        ("Read pages 3-5.", False),
        ("How many people live in France?", False),
        ("Name 3 of the 50 states.", False),
        ("", False),
    ],
)
def test_what_asks_for_a_calculation(text, is_one):
    assert calculates(text) == is_one


def test_shares_of_calculation_rows_along_the_ranking():
    scores = np.arange(100.0)
    scores[7] = NAN
    calculating = scores >= 90  # the best ten
    found = measure_calculations(calculating, scores, np.arange(99, 79, -1))
    assert found.shares.tolist() == [1, 1, *[0] * 18] and found.rows.sum() == 99 and len(found.rows) == 20
    assert (found.share_all, found.share_chosen) == (0.1, 0.5)
    assert not len(measure_calculations(calculating, None, np.array([1])).shares)


# Sweeps and agreement


def test_a_sweep_of_alpha():
    signals = random_signals()
    found = sweep(SelectIT(k=5, alpha=0.2), signals, "alpha", (0.0, 0.4, 2.0), 12)
    assert [point.value for point in found.points] == [0, 0.2, 0.4, 2]
    own = found.points[1]
    assert (own.same, own.jaccard, own.spearman) == (12, 1, pytest.approx(1))
    for point in found.points:
        other = ranking(SelectIT(k=5, alpha=point.value).score(signals))[:12]
        same = len(set(other.tolist()) & set(ranking(SelectIT(k=5).score(signals))[:12].tolist()))
        assert (point.same, point.jaccard) == (same, pytest.approx(same / (24 - same)))
    assert found.points[3].same < 12
    assert found.chance == pytest.approx((12 * 12 / 60) / (24 - 12 * 12 / 60))


def test_a_sweep_leaves_out_what_cannot_be():
    signals = random_signals(prompts=5)
    found = sweep(SelectIT(k=3), signals, "k", (1, 5, 7), 6)
    assert [point.value for point in found.points] == [1, 3, 5], "there are five prompts"
    found = sweep(SelectIT(k=3, profile="official"), signals, "k", (1, 2, 5), 6)
    assert [point.value for point in found.points] == [2, 3, 5], "the official code takes two or more"
    assert [p.value for p in sweep(ExpectedRating(k=5), signals, "k", (1,), 6).points] == [1, 5]


def test_what_has_nothing_to_sweep():
    signals = random_signals()
    assert sweep(SelectIT(level="token"), signals, "alpha", (0.1, 0.8), 6) is None
    assert sweep(SelectIT(level="token"), signals, "k", (1, 3), 6) is None
    assert sweep(Length(), signals, "k", (1, 3), 6) is None


def test_agreement_by_hand():
    scores = {"a": np.array([1.0, 2, 3, 4]), "b": np.array([4.0, 3, 2, 1]), "c": np.array([1.0, 2, 4, NAN])}
    found = measure_agreement(scores, 2)
    assert found.names == ("a", "b", "c")
    assert found.spearman == pytest.approx(np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]]))
    assert found.jaccard == pytest.approx(np.array([[1, 0, 1 / 3], [0, 1, 1 / 3], [1 / 3, 1 / 3, 1]]))
    assert found.chance == pytest.approx(1 / 3)
    assert measure_agreement({}, 2).spearman.shape == (0, 0)


def test_scores_of_single_prompts_and_models():
    certain, torn = np.log([1e-9, 1e-9, 1e-9, 1e-9, 1]), np.log([0.2] * 5)
    logprob = np.array([[[certain, torn], [certain, certain]], [[torn, torn], [torn, [NAN] * 5]]])
    ratings = signals_of(logprob, ("m", "n")).ratings
    prompts, models = score_prompts(ratings, 2), score_models(ratings, 2)
    assert list(prompts) == ["m prompt 1", "m prompt 2", "n prompt 1", "n prompt 2"]
    assert prompts["m prompt 1"] == pytest.approx([5, 0], abs=1e-6)
    assert prompts["n prompt 2"] == pytest.approx([5, NAN], abs=1e-6, nan_ok=True)
    assert models["m"] == pytest.approx([2.5, 0], abs=1e-6)
    assert models["n"] == pytest.approx([5, NAN], abs=1e-6, nan_ok=True)
    assert list(score_prompts(signals_of(logprob[:, :1]).ratings, 2)) == ["prompt 1", "prompt 2"]


# Costs


def test_costs_of_a_run():
    timing = {
        "ratings/m-1234": {"seconds": 2.5, "tokens": 100.0, "ratings": 12.0},
        "cascades/c/run/ratings/big-5678": {"seconds": 9.0, "tokens": 50.0, "ratings": 3.0},
        "embeddings/e-9": {"seconds": 1.0, "tokens": 0.0, "ratings": 12.0},
        "train tuned/twice": {"seconds": 4.0, "tokens": 10.0},
    }
    assert list_costs(timing) == (
        Cost("ratings", "big-5678", 9, 3, 50),
        Cost("train", "tuned/twice", 4, 0, 10),
        Cost("ratings", "m-1234", 2.5, 12, 100),
        Cost("embeddings", "e-9", 1, 12, 0),
    )
