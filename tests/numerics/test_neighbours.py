"""Nearest neighbours: the specification's values and brute force."""

import numpy as np
import pytest

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
