"""Nearest neighbours: the specification's values and brute force."""

import sys

import numpy as np
import pytest

from selectit.errors import SettingsError
from selectit.numerics import neighbours


def points(seed=0, n=30, width=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_knn_distance_of_the_specification():
    line = np.array([[0], [1], [3], [7], [8]], dtype=np.float32)
    assert neighbours.knn_distance(line, 2).tolist() == [3, 2, 3, 4, 5]
    assert np.isnan(neighbours.knn_distance(line, 5)).all()


def test_knn_distance_of_duplicates_is_exactly_zero():
    z = np.repeat(points(3, 200, 384), 2, axis=0)
    assert (neighbours.knn_distance(z, 1) == 0).all()
    exact = np.linalg.norm(z[:, None].astype(np.float64) - z, axis=2)
    assert neighbours.knn_distance(z, 2) == pytest.approx(np.sort(exact, axis=1)[:, 2], rel=1e-5)


def test_the_nearest_by_brute_force():
    z = points(2, 700, 6)
    gap, index = neighbours.nearest(z, 9)
    exact = ((z[:, None].astype(np.float64) - z) ** 2).sum(axis=2)
    assert (index[:, 0] == np.arange(700)).all()
    assert gap[:, 1:] == pytest.approx(np.sort(exact, axis=1)[:, 1:9], rel=1e-4)
    assert np.take_along_axis(exact, index, axis=1)[:, 1:] == pytest.approx(gap[:, 1:], rel=1e-4)
    assert neighbours.nearest(z[:3], 9)[1].shape == (3, 3)


def test_through_lists_nearly_all_are_found(monkeypatch):
    pytest.importorskip("faiss", reason="the extra 'methods' is not installed")
    z = (np.repeat(points(1, 30, 16) * 5, 40, axis=0) + points(2, 1200, 16)).astype(np.float32)
    exact = neighbours.nearest(z, 6)[1]
    distance = neighbours.knn_distance(z, 3)
    monkeypatch.setattr(neighbours, "EXACT", 1000)
    found = neighbours.nearest(z, 6)[1]
    assert np.mean([len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]) > 5.9
    assert neighbours.knn_distance(z, 3) == pytest.approx(distance, rel=1e-3)
    assert (neighbours.nearest(z, 400)[1] >= 0).all()  # more than the lists have: all points are looked at


def test_without_faiss_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT", 20)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SettingsError, match="more than 20 rows needs faiss"):
        neighbours.knn_distance(points(), 2)


def test_a_graph_turned_round():
    graph = neighbours.Graph(
        np.array([[0, 1], [1, 0], [2, 1]], np.int32), np.array([[1, 0.5], [1, 0.25], [1, 0.75]], "f4")
    )
    starts, listed, similarity = graph.transposed()
    assert starts.tolist() == [0, 2, 5, 6]
    assert listed.tolist() == [0, 1, 0, 1, 2, 2]
    assert similarity.tolist() == [1, 0.25, 0.5, 1, 0.75, 1]
    assert graph.first_gains().tolist() == [1.25, 2.25, 1]
