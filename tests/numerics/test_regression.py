"""Least squares: against SciPy, closed forms and brute force, noise-free and pure noise, and what is refused."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.errors import SettingsError
from selectit.numerics.regression import regress

stats = pytest.importorskip("scipy.stats")


def names(count):
    return [f"i{place}" for place in range(count)]


def drawn(seed, points, count, slopes=(), noise=1.0):
    """Columns around values far from 0, as means of rewards and lengths are."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(points, count)) * np.logspace(-2, 1, count) + np.linspace(5, 300, count)
    values = 0.7 + noise * rng.normal(size=points)
    for place, slope in enumerate(slopes):
        values = values + slope * columns[:, place]
    return columns, values


def test_one_column_as_scipy():
    columns, values = drawn(0, 20, 1, (3.0,), 0.05)
    found = regress(["reward"], columns, values, 1.0)
    told = stats.linregress(columns[:, 0], values)
    intercept, slope = found.every.terms
    assert (intercept.name, slope.name) == ("intercept", "reward")
    assert slope.value == pytest.approx(told.slope) and slope.stderr == pytest.approx(told.stderr)
    assert slope.p == pytest.approx(told.pvalue, rel=1e-6)
    assert intercept.value == pytest.approx(told.intercept)
    assert intercept.stderr == pytest.approx(told.intercept_stderr)
    assert found.every.r2 == pytest.approx(told.rvalue**2)


def test_several_columns_as_the_normal_equations():
    columns, values = drawn(1, 25, 4, (2.0, 0, 0.1), 0.3)
    found = regress(names(4), columns, values, 1.0).every
    design = np.column_stack([np.ones(25), columns])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ values
    residuals = values - design @ beta
    stderr = np.sqrt(np.diag(inverse) * (residuals @ residuals) / 20)
    assert [term.value for term in found.terms] == pytest.approx(beta, rel=1e-5)
    assert [term.stderr for term in found.terms] == pytest.approx(stderr, rel=1e-5)
    p = 2 * stats.t.sf(np.abs(beta / stderr), 20)
    assert [term.p for term in found.terms] == pytest.approx(p, rel=1e-4)


def test_by_hand():
    """Points (0, 1), (1, 1), (2, 3), (3, 3): slope 0.8, residuals 0.2, -0.6, 0.6, -0.2, so s^2 = 0.4."""
    columns = np.array([[0.0], [1], [2], [3]])
    found = regress(["x"], columns, np.array([1.0, 1, 3, 3]), 1.0)
    intercept, slope = found.kept.terms
    assert (intercept.value, slope.value) == pytest.approx((0.8, 0.8))
    assert slope.stderr == pytest.approx(np.sqrt(0.4 / 5)) and intercept.stderr == pytest.approx(np.sqrt(0.28))
    assert found.kept.r2 == pytest.approx(0.8)
    # leave-one-out errors are the residuals over 1 - leverage, of which the leverages are 0.7, 0.3, 0.3, 0.7
    assert found.error == pytest.approx(np.sqrt(np.mean(np.square([2 / 3, 6 / 7, 6 / 7, 2 / 3]))))
    assert found.error_of_mean == pytest.approx(4 / 3) and found.better


def test_leaving_out_is_the_closed_form_where_nothing_is_dropped():
    columns, values = drawn(2, 18, 3, (1.0,), 0.2)
    design = np.column_stack([np.ones(18), columns])
    hat = design @ np.linalg.pinv(design)
    errors = (values - hat @ values) / (1 - np.diag(hat))
    assert regress(names(3), columns, values, 1.0).error == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)


@given(
    st.integers(0, 10**6),
    st.lists(st.floats(-3, 3).filter(lambda slope: abs(slope) > 1e-3), min_size=1, max_size=4),
    st.integers(0, 20),
)
def test_losses_without_noise_give_back_the_rule_that_made_them(seed, slopes, more):
    columns, values = drawn(seed, len(slopes) + 3 + more, len(slopes), slopes, 0)
    found = regress(names(len(slopes)), columns, values, 0.05)
    assert found.dropped == ()
    assert [term.value for term in found.kept.terms] == pytest.approx([0.7, *slopes], rel=1e-5, abs=1e-6)
    assert found.kept.r2 == pytest.approx(1) and found.better
    assert found.error < 1e-6 * found.error_of_mean


def test_p_values_of_noise_are_uniform():
    found = [regress(names(2), *drawn(seed, 8, 2), 1.0).every.slopes for seed in range(400)]
    for place in range(2):
        assert stats.kstest([slopes[place].p for slopes in found], "uniform").pvalue > 0.01


def test_noise_predicts_no_better_than_the_mean():
    better = [regress(names(3), *drawn(seed, 12, 3), 1.0).better for seed in range(40)]
    assert sum(better) < 10
    dropping = [regress(names(3), *drawn(seed, 12, 3), 0.05).better for seed in range(40)]
    assert sum(dropping) < 10  # the dropping is inside what is left out, so it gains nothing


def test_the_worst_is_dropped_first_and_what_tells_stays():
    columns, values = drawn(5, 40, 3, (0, 2.0, 0), 0.1)
    found = regress(names(3), columns, values, 0.05)
    worst = max(found.every.slopes, key=lambda term: term.p).name
    assert found.dropped[0] == worst and sorted(found.dropped) == ["i0", "i2"]
    alone = regress(["i1"], columns[:, 1:2], values, 1.0)
    assert [term.value for term in found.kept.terms] == [term.value for term in alone.every.terms]
    assert found.better and regress(names(3), columns, values, 1.0).dropped == ()


def test_nothing_may_be_left():
    columns, values = drawn(3, 12, 2)
    found = regress(names(2), columns, values, 1e-6)
    assert set(found.dropped) == {"i0", "i1"} and not found.kept.slopes and not found.better
    assert found.kept.terms[0].value == pytest.approx(values.mean())
    assert found.kept.r2 == pytest.approx(0) and found.error == pytest.approx(found.error_of_mean)


@pytest.mark.filterwarnings("error")
def test_a_column_that_one_point_alone_varies():
    columns, values = drawn(4, 12, 2, (1.0,), 0.1)
    columns[:, 1] = 0.1
    columns[5, 1] = 3.0
    found = regress(names(2), columns, values, 1.0)
    assert np.isfinite(found.error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda columns, values: (columns[:4], values[:4]), "4 subsets are too few for 3 coefficients"),
        (lambda columns, values: (columns * [1, 0] + [0, 0.1], values), "'i1' is the same in all 10 subsets"),
        (lambda columns, values: (columns, values * 0 + 0.3), "the loss is the same after all 10 subsets"),
        (lambda columns, values: (columns[:, :1] * [1, -2] + [0, 5], values), "'i1' follows from those before it"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(SettingsError) as error:
        regress(names(2), *change(*drawn(6, 10, 2)), 1.0)
    assert message in error.value.message and error.value.hint


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(SettingsError, match="a p-value needs scipy"):
        regress(["x"], *drawn(0, 8, 1), 1.0)
