"""Orthogonal matching pursuit: published values, scikit-learn, and that it always ends."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from places import GOLDEN
from selectit.numerics.matching import match_rows, pursue


@pytest.fixture(scope="module")
def tagcos():
    return json.loads((GOLDEN / "rivals" / "tagcos.json").read_text())


def test_the_specification_s_value():
    rows = np.array([[1, 0], [0.6, 0.8], [0, 1]])
    taken, weights = pursue(rows, rows.mean(axis=0), 2)
    assert taken.tolist() == [1, 0]
    np.testing.assert_allclose(weights, [0.351648, 0.161172], atol=1e-6)
    np.testing.assert_allclose(pursue(rows, rows.mean(axis=0), 1)[1], [0.8])


def test_the_published_function(tagcos):
    whole, one = tagcos["cluster_budgets_and_omp"]["inputs"], tagcos["omp_function"]
    rows = np.array(whole["features_float32"], np.float32)[one["inputs"]["row_numbers"]]
    target = np.array(one["inputs"]["target_float32"], np.float32)
    for expected in one["outputs"]:
        taken, weights = pursue(rows, target, expected["params"]["nnz"], expected["params"]["lam"])
        order = np.argsort(taken)
        assert taken.tolist() == expected["float64_check"]["order_of_picking"]
        np.testing.assert_allclose(weights[order], expected["coefficients"], rtol=1e-5)


def test_a_row_whose_weight_becomes_negative_is_given_back(tagcos):
    case = tagcos["drop_and_solve_again"]
    taken, weights = pursue(
        np.array(case["inputs"]["rows_float32"]), np.array(case["inputs"]["target_float32"]), 6, case["inputs"]["lam"]
    )
    assert taken.tolist() == case["outputs"]["order_of_picking_after_drops_float64"]
    np.testing.assert_allclose(weights, np.array(case["outputs"]["coefficients"])[taken], rtol=1e-5)


def test_the_published_rows_of_each_cluster(tagcos):
    case = tagcos["cluster_budgets_and_omp"]
    features = np.array(case["inputs"]["features_float32"], np.float32)
    cluster = np.array(case["inputs"]["cluster"])
    for number, expected in case["by_cluster"].items():
        rows = np.flatnonzero(cluster == int(number))
        centroid = np.array(case["inputs"]["centroids_float32"][int(number)], np.float32)
        found = rows[match_rows(features[rows], centroid, expected["budget"])]
        assert sorted(found.tolist()) == sorted(row for call in expected["calls"] for row in call["rows"])


def test_rows_that_point_away_are_no_match(tagcos):
    """The published code takes one of these with a negative weight."""
    case = tagcos["quirk_negative_projection"]["inputs"]
    rows, target = np.array(case["rows_float32"]), np.array(case["target_float32"])
    assert not len(pursue(rows, target, 1)[0])
    nearest = np.linalg.norm(rows - target, axis=1).argsort()
    assert match_rows(rows, target, 3).tolist() == nearest[:3].tolist()


def test_without_a_price_against_scikit_learn():
    model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 60))
    target = np.array([3.0, 2.0, 1.5, 1.0]) @ rows[[4, 30, 11, 7]] + 0.1 * rng.normal(size=60)
    taken, weights = pursue(rows, target, 4, ridge=0)
    theirs = model.OrthogonalMatchingPursuit(n_nonzero_coefs=4, fit_intercept=False).fit(rows.T, target).coef_
    assert sorted(taken.tolist()) == np.flatnonzero(theirs).tolist() == [4, 7, 11, 30]
    np.testing.assert_allclose(weights, theirs[taken], rtol=1e-9)


@given(arrays(np.float64, (9, 3), elements=st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0])), st.integers(0, 12), st.data())
def test_it_ends_with_exactly_as_many_rows_as_were_asked_for(rows, n, data):
    target = np.array(data.draw(st.sampled_from([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5], rows.mean(axis=0).tolist()])))
    found = match_rows(rows, target, n, ridge=data.draw(st.sampled_from([0.0, 0.1, 1.0])))
    assert len(found) == len(set(found.tolist())) == min(n, len(rows))
    _, weights = pursue(rows, target, n)
    assert (weights >= 0).all()
