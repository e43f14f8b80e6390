"""k-means, shares, and near-duplicates in clusters: by hand, and the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics import clusters


def points(seed=0, n=30, width=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def test_k_means_takes_one_point_of_each_clear_cluster():
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = (np.repeat(np.eye(3) * 20, [8, 4, 2], axis=0) + 0.1 * points(1, 14, 3)).astype(np.float32)
    chosen = clusters.k_means_pick(z, 3)
    assert [int(row) for row in np.digitize(chosen, [8, 12])] == [0, 1, 2]
    for row, part in zip(chosen, (slice(0, 8), slice(8, 12), slice(12, 14)), strict=True):
        middle = z[part].mean(axis=0)
        assert np.linalg.norm(z[row] - middle) == pytest.approx(np.linalg.norm(z[part] - middle, axis=1).min())
    shared = clusters.k_means_pick(z, 7, clusters=3)
    assert np.bincount(np.digitize(shared, [8, 12])).tolist() == [4, 2, 1]


def test_k_means_has_no_more_clusters_than_points():
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = np.repeat(points(2, 4, 3), 3, axis=0)
    assert len(clusters.k_means_pick(z, 10)) == 4
    assert len(clusters.k_means_pick(z, 10, clusters=6)) == 10


def test_quotas_by_hand():
    assert clusters.quotas(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert clusters.quotas(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert clusters.quotas(np.array([3, 0, 7]), 4).tolist() == [1, 0, 3]
    assert clusters.quotas(np.array([3, 2]), 99).tolist() == [3, 2]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 200))
def test_shares_add_up_and_fit(sizes, n):
    sizes = np.array(sizes)
    shares = clusters.quotas(sizes, n)
    assert shares.sum() == min(n, sizes.sum())
    assert ((shares >= 0) & (shares <= sizes)).all()
