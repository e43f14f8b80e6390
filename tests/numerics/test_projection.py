"""Maps of vectors and distances to their centre, by hand and by chance."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.errors import SettingsError
from selectit.numerics.projection import PERMUTATIONS, lay_out, measure_centre, project

NAN = float("nan")


def test_a_map_of_points_in_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(200, 2)) * [5, 1]
    axes = np.linalg.qr(rng.normal(size=(16, 2)))[0].T
    vectors = (plane @ axes + 3).astype(np.float32)
    vectors[7] = NAN
    found = project(vectors, np.arange(200))
    assert np.isnan(found.points[7]).all() and np.isfinite(np.delete(found.points, 7, axis=0)).all()
    assert sum(found.explained) == pytest.approx(1, abs=1e-5) and found.explained[0] > 0.9
    there = np.delete(np.arange(200), 7)
    apart = np.linalg.norm(plane[there] - plane[there].mean(axis=0), axis=1)
    assert np.linalg.norm(found.points[there], axis=1) == pytest.approx(apart, abs=1e-3), "a plane loses nothing"


@given(st.integers(0, 1000))
def test_the_order_of_the_rows_turns_no_axis(seed):
    vectors = np.random.default_rng(seed).normal(size=(12, 5)).astype(np.float32) * [9, 4, 2, 1, 1]
    order = np.random.default_rng(seed + 1).permutation(12)
    one, other = (project(each, np.arange(12)).points for each in (vectors, vectors[order]))
    assert one[order] == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("vectors", [np.full((3, 4), NAN), np.ones((3, 4)), np.ones((1, 4)), np.arange(3.0)[:, None]])
def test_maps_of_little(vectors):
    found = project(vectors.astype(np.float32), np.arange(len(vectors)))
    assert found.points.shape == (len(vectors), 2)
    assert np.isnan(found.points).all() == np.isnan(vectors).all()


def test_the_distance_to_the_centre():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    apart = np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)
    nearest = np.argsort(apart)[:30]
    found = measure_centre(vectors, nearest)
    assert found.mean_all == pytest.approx(apart.mean(), rel=1e-5)
    assert found.mean_chosen == pytest.approx(apart[nearest].mean(), rel=1e-5)
    assert found.p == pytest.approx(1 / (PERMUTATIONS + 1))
    ps = [measure_centre(vectors, rng.choice(300, 30, replace=False)).p for _ in range(40)]
    assert np.mean(np.array(ps) < 0.5) == pytest.approx(0.5, abs=0.25), "chance is not significant"
    vectors[3] = NAN
    assert measure_centre(vectors, np.array([3, 5])).mean_chosen == pytest.approx(
        float(np.linalg.norm(vectors[5] - np.nanmean(vectors, axis=0))), rel=1e-5
    )


def test_distances_that_are_undefined():
    vectors = np.eye(4, dtype=np.float32)
    assert math.isnan(measure_centre(vectors, np.arange(4)).p)
    assert measure_centre(vectors, np.array([1])).p == 1, "all are as far"
    assert math.isnan(measure_centre(vectors, np.array([], int)).mean_chosen)
    assert math.isnan(measure_centre(np.full((2, 3), NAN, np.float32), np.array([0])).mean_all)


def test_umap_gives_its_points_to_the_rows_with_a_vector(monkeypatch):
    seen = {}

    class Umap:
        def __init__(self, **options):
            seen.update(options)

        def fit_transform(self, vectors):
            return vectors[:, :2] * 2

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    vectors = np.arange(60, dtype=np.float32).reshape(20, 3)
    vectors[4] = np.nan
    found = lay_out(vectors, seed=7)
    assert np.isnan(found.points[4]).all() and found.explained is None
    there = np.arange(20) != 4
    np.testing.assert_array_equal(found.points[there], vectors[there, :2] * 2)
    assert (seen["metric"], seen["random_state"]) == ("cosine", 7)
    with pytest.raises(SettingsError, match="more than 15 rows"):
        lay_out(vectors[:15])


def test_umap_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(SettingsError, match="needs umap-learn") as caught:
        lay_out(np.ones((20, 3), np.float32))
    assert "map" in caught.value.hint


def test_umap_keeps_groups_together():
    pytest.importorskip("umap")
    draw = np.random.default_rng(0)
    group = np.repeat([0, 1], 40)
    vectors = (draw.normal(size=(2, 8))[group] + 0.05 * draw.normal(size=(80, 8))).astype(np.float32)
    points = lay_out(vectors).points
    middles = np.stack([points[group == each].mean(axis=0) for each in (0, 1)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == group).all()
    np.testing.assert_array_equal(points, lay_out(vectors).points)
