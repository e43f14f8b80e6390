"""From scores to rows."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from selectit.errors import SettingsError
from selectit.numerics.ranking import ranking, spearman
from selectit.selection.choose import Budget, parse_keep, select_set, select_top


@pytest.mark.parametrize(
    ("keep", "total", "count"),
    [
        ("0.2", 52002, 10400),
        ("20%", 52002, 10400),
        (0.2, 52002, 10400),
        ("0.29", 100, 29),  # 0.29 * 100 is 28.999… in floating point
        ("1000", 52002, 1000),
        (1000, 52002, 1000),
        ("1.0", 7, 7),
        ("100%", 7, 7),
        ("1", 7, 1),
        ("2.5%", 1000, 25),
        ("1e-1", 50, 5),
    ],
)
def test_how_many_are_kept(keep, total, count):
    assert Budget(**parse_keep(keep)).count(total) == count


@pytest.mark.parametrize("keep", ["0", "-1", "0.0", "1.5", "120%", "-3%", "many", "%", "", "nan", "inf%", "0.2.1"])
def test_amounts_that_make_no_sense_are_refused(keep):
    with pytest.raises(SettingsError, match="--keep"):
        parse_keep(keep)


def test_a_share_of_too_few_rows_is_refused():
    with pytest.raises(SettingsError, match="^20% of 4 rows is no row at all"):
        Budget(share=Decimal("0.2")).count(4)


def test_equal_scores_keep_the_order_of_rows():
    scores = np.array([1.0, 2.0, 2.0, np.nan, 0.5, 2.0])
    assert ranking(scores).tolist() == [1, 2, 5, 0, 4]
    assert ranking(scores, "larger").tolist() == [5, 2, 1, 0, 4]


def test_rows_without_a_score_are_never_chosen():
    scores = np.array([np.nan, 1.0, np.nan, 2.0])
    assert select_top(scores, Budget(rows=2)).rows.tolist() == [3, 1]
    with pytest.raises(SettingsError, match="2 can be chosen"):
        select_top(scores, Budget(rows=3))
    assert select_top(scores, Budget(rows=3, allow_fewer=True)).rows.tolist() == [3, 1]


def test_the_remedy_is_one_that_helps():
    with pytest.raises(SettingsError) as error:
        select_top(np.full(3, np.nan), Budget(rows=1, min_score=2.0))
    assert "--min-score" not in error.value.hint
    with pytest.raises(SettingsError) as error:
        select_top(np.ones(3), Budget(rows=1, min_score=2.0))
    assert error.value.hint == "Lower --min-score."


def test_minimum_score_alone_and_with_an_amount():
    scores = np.array([0.1, 0.9, 0.5, 0.5])
    assert select_top(scores, Budget(min_score=0.5)).rows.tolist() == [1, 2, 3]
    assert select_top(scores, Budget(min_score=0.5, rows=2)).rows.tolist() == [1, 2]
    with pytest.raises(SettingsError, match="below the minimum"):
        select_top(scores, Budget(min_score=0.8, rows=2))
    with pytest.raises(SettingsError, match="no row can be chosen"):
        select_top(scores, Budget(min_score=2.0))


def test_a_set_that_is_too_small_is_refused():
    with pytest.raises(SettingsError, match="chose 2"):
        select_set(np.array([4, 2]), 3, Budget(rows=3))
    assert select_set(np.array([4, 2]), 2, Budget(rows=2)).why == ("choice 1 of 2", "choice 2 of 2")


def test_spearman_by_hand():
    assert spearman(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 30, 5])) == pytest.approx(-0.2)
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])) == pytest.approx(1)
    # ties at their mean rank: ranks 1.5, 1.5, 3 against 1, 2, 3 give 0.866…
    assert spearman(np.array([5.0, 5, 9]), np.array([1.0, 2, 3])) == pytest.approx(np.sqrt(3) / 2)
    assert np.isnan(spearman(np.array([1.0, 1]), np.array([1.0, 2])))
    assert spearman(np.array([1.0, np.nan, 3]), np.array([1.0, 9, 3])) == pytest.approx(1)


@given(st.lists(st.one_of(st.floats(-5, 5), st.just(np.nan)), min_size=1, max_size=40), st.integers(1, 40))
def test_nothing_left_out_beats_what_was_chosen(scores, wanted):
    scores = np.array(scores)
    scored = np.flatnonzero(~np.isnan(scores))
    if not len(scored):
        return
    kept = select_top(scores, Budget(rows=wanted, allow_fewer=True)).rows
    assert len(kept) == min(wanted, len(scored)) == len(set(kept.tolist()))
    rest = np.setdiff1d(scored, kept)
    assert not len(rest) or scores[kept].min() >= scores[rest].max()
    assert (np.diff(scores[kept]) <= 0).all()


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, np.nan]), st.sampled_from("abc")), min_size=1, max_size=12))
def test_the_best_of_each_group(rows):
    scores, groups = np.array([score for score, _ in rows]), [group for _, group in rows]
    best = {}
    for row in np.flatnonzero(~np.isnan(scores)):
        if scores[row] > scores[best.get(groups[row], row)] or groups[row] not in best:
            best[groups[row]] = row
    assume(best)
    chosen = select_top(scores, Budget(best_of="id"), alternatives=groups)
    assert sorted(chosen.rows.tolist()) == sorted(best.values())
    assert (np.diff(chosen.scores) <= 0).all() and chosen.why[-1] == f"rank {len(best)} of {len(best)}"


def test_fewer_groups_than_rows_asked_for():
    with pytest.raises(SettingsError, match=r"3 of 3 rows have a score, and 2 are the best of their id\n") as error:
        select_top(np.arange(3.0), Budget(rows=3, best_of="id"), alternatives=["a", "b", "a"])
    assert "--allow-fewer" in error.value.hint
