"""Methods that choose towards a target: known answers."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import made_up_signals as made
from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.errors import DataError, SettingsError
from selectit.methods.dsir import Dsir, minus_first_turn
from selectit.methods.knn_target import KnnTarget
from selectit.methods.rds import Rds
from selectit.methods.target_loss import TargetLoss
from selectit.numerics.choosers import choose_rows
from selectit.signals.arrays import Embeddings, Gains, Signals, Target


def with_vectors(signal, vectors, examples):
    """Rows with these vectors, and a target of examples with those."""

    def of(some):
        some = np.array(some, np.float32)
        return Signals(made.rows(len(some)), {signal: Embeddings(np.arange(len(some)), some)})

    target = Target(of(examples), np.zeros(len(examples), np.int64), ("sums",))
    return dataclasses.replace(of(vectors), stored_target=target)


VECTORS = [[1, 0], [0, 2], [np.nan, 1], [3, 3], [-1, 0]]


@pytest.mark.parametrize(
    ("method", "signal"), [(Rds(), "states"), (Rds(space="encoder"), "embeddings"), (KnnTarget(), "embeddings")]
)
def test_each_example_takes_its_nearest_row_in_turn(method, signal):
    signals = with_vectors(signal, VECTORS, [[2, 0.1], [0, 1]])
    found = method.choose(signals, 5)
    assert found.rows.tolist() == [0, 1, 3, 4]  # the row without a vector is never taken
    assert found.targets.tolist() == [0, 1, 0, 1]
    assert method.select(signals, 2).tolist() == [0, 1]


def test_an_example_without_a_vector_is_an_error():
    with pytest.raises(DataError, match="example 1 of the target has no vector"):
        KnnTarget().choose(with_vectors("embeddings", VECTORS, [[1, 0], [np.nan, 0]]), 2)


def test_whitening_lets_small_axes_count():
    """All rows lie along one axis, which says nothing of what they have apart."""
    rows = [[100 + 10 * n, 1 if n % 2 else -1] for n in range(12)]
    signals = with_vectors("states", rows, [[140, -0.9]])
    assert Rds(whiten=2).select(signals, 1).tolist() == [4]
    assert Rds().select(signals, 1).tolist() != [4]


def texts(*pairs):
    return tuple(Sample(row, 0, *pair) for row, pair in enumerate(pairs))


def dsir_signals(pool, target):
    inner = Signals(made.rows(len(target)), stored_texts=texts(*target))
    return Signals(
        made.rows(len(pool)),
        stored_texts=texts(*pool),
        stored_target=Target(inner, np.zeros(len(target), np.int64), ("sums",)),
    )


POOL = [("add two and three", "five"), ("name a red bird", "robin"), ("", ""), ("add four and one", "five of course")]


def test_dsir_prefers_the_target_s_words():
    signals = dsir_signals(POOL, [("add six and seven", "thirteen"), ("add nine and nine", "")])
    scores = Dsir().score(signals)
    assert np.isnan(scores[2])
    assert scores[0] > scores[1] and scores[3] > scores[1]
    assert Dsir(length="mean").score(signals) * 100 == pytest.approx(scores, nan_ok=True)
    words = 5 + 4  # of row 0, and its pairs
    assert Dsir(length="sum").score(signals)[0] == pytest.approx(words * scores[0] / 100)


def test_dsir_s_groups_take_turns():
    examples = [("add six and seven", "thirteen " * 9), ("a robin", "sings")]
    joined = dsir_signals(POOL, examples)
    apart = dataclasses.replace(
        joined, stored_target=Target(joined.target.signals, np.array([0, 1]), ("sums", "birds"))
    )
    alone = [Dsir().score(dsir_signals(POOL, [each])) for each in examples]
    turns = Dsir(groups="turns").score(apart)
    assert np.argsort(-turns)[:2].tolist() == [np.nanargmax(each) for each in alone]
    assert np.array_equal(Dsir().score(apart), Dsir().score(joined), equal_nan=True)
    assert sorted(np.isnan(Dsir(groups="turns", noise=True).score(apart))) == [False, False, False, True]


@given(st.integers(0, 500), st.integers(1, 4))
def test_the_first_turn_is_a_round_robin_in_which_turns_are_lost(seed, groups):
    weights = np.random.default_rng(seed).random((groups, 9))
    order = np.argsort(-minus_first_turn(list(weights)))
    assert order.tolist() == choose_rows(weights, 9, np.arange(groups), "round-robin", "lost").rows.tolist()
    weights[:, 4] = np.nan
    assert np.flatnonzero(np.isnan(minus_first_turn(list(weights)))).tolist() == [4]


def test_dsir_s_noise_goes_with_the_seed():
    signals = dsir_signals(POOL, [("add", "up")])
    once, again, other = (Dsir(noise=True, seed=seed).score(signals) for seed in (1, 1, 2))
    assert np.array_equal(once, again, equal_nan=True) and not np.array_equal(once, other, equal_nan=True)


def test_target_loss_by_hand():
    """The specification's log-probabilities before and after, the other way round: worse by .125 on the mean."""
    gains = np.array([[1 - 1.2, 2 - 1.9, 0.5 - 0.9, 3 - 3.0], [0.1, np.nan, 0.3, -0.1], [np.nan] * 4], np.float32)
    signals = Signals(made.rows(3), {"gains": Gains(np.arange(3), gains)})
    assert TargetLoss().score(signals) == pytest.approx([-0.125, 0.1, np.nan], nan_ok=True)
    assert TargetLoss().parts(signals)["helped"] == pytest.approx([0.25, 2 / 3, np.nan], nan_ok=True)


def test_target_loss_draws_as_many_examples_of_each_group():
    examples = [Example(f"q{n}", f"a{n}", "", "sums" if n < 9 else "tools") for n in range(12)]
    drawn = TargetLoss(examples=6).needs[0].towards(examples).examples
    assert [each.group for each in drawn].count("sums") == 3 and len({each.instruction for each in drawn}) == 6
    assert TargetLoss(examples=6, seed=1).needs[0].towards(examples).examples != drawn


def test_target_loss_needs_answers():
    with pytest.raises(SettingsError, match="1 of 2 examples of the target have no answer"):
        TargetLoss().check_target([Example("q", "a", "", "g"), Example("q", " ", "", "g")])


def test_wrong_parameters():
    for wrong in (
        lambda: Rds(text="response"),
        lambda: Rds(space="both"),
        lambda: Rds(whiten=-1),
        lambda: Rds(chooser="x"),
        lambda: KnnTarget(turns="x"),
        lambda: Dsir(length="x"),
        lambda: Dsir(smoothing=-1),
        lambda: Dsir(buckets=1),
        lambda: TargetLoss(examples=0),
        lambda: TargetLoss(template="x"),
    ):
        with pytest.raises(SettingsError):
            wrong()
