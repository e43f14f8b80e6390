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


# Near-duplicates in clusters


def test_only_kept_points_beat_others():
    angles = np.deg2rad([0, 10, 20])
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    one = np.zeros(3, np.int64)
    assert clusters.beaten_by(z, one, np.zeros(3), 0.98).tolist() == [-1, 0, -1]
    assert clusters.beaten_by(z, one, np.array([0, 1.0, 0]), 0.98).tolist() == [1, -1, 1]
    assert clusters.beaten_by(z, np.array([0, 1, 0]), np.zeros(3), 0.98).tolist() == [-1, -1, -1]
    assert clusters.beaten_by(np.zeros((3, 2)), one, np.zeros(3), 0.98).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("eps", ["0.03", "0.1", "0.3"])
def test_what_stays_of_semdedup_s_clusters(rivals, eps):
    case = rivals("semdedup")["main"]
    z = np.array(case["inputs"]["embeddings_float32"], np.float64)
    label = np.array(case["inputs"]["cluster"])
    worth = np.zeros(len(z))
    for rows in case["semdedup"]["order_by_cluster_hard"]:
        worth[rows] = -np.arange(len(rows))
    beaten = clusters.beaten_by(z, label, worth, 1 - float(eps))
    expected = case["compare_with_kept_rows_only_our_arithmetic_hard"][eps]
    assert np.flatnonzero(beaten < 0).tolist() == expected
    for row in np.flatnonzero(beaten >= 0):
        better = beaten[row]
        assert beaten[better] < 0 and label[better] == label[row] and worth[better] > worth[row]
        assert z[row] @ z[better] / np.linalg.norm(z[row]) / np.linalg.norm(z[better]) > 1 - float(eps)


def test_k_means_in_two_levels(monkeypatch):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = (np.repeat(np.eye(16, dtype=np.float32) * 20, 25, axis=0) + 0.1 * points(1, 400, 16)).astype(np.float32)
    monkeypatch.setattr(clusters, "_WHOLE", 3000)
    label, distance = clusters.k_means(z, 16)
    assert sorted(np.unique(label)) == list(range(16))
    middles = np.stack([z[label == own].mean(axis=0) for own in label])
    assert distance == pytest.approx(((z - middles) ** 2).sum(axis=1), rel=1e-3)
    assert len(set(clusters.k_means_pick(z, 16).tolist())) == 16


def test_the_core_of_a_task_is_in_its_clusters():
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = (np.repeat(np.eye(3) * 20, [8, 4, 4], axis=0) + 0.1 * points(1, 16, 3)).astype(np.float32)
    chosen = clusters.core_of_clusters(z, z[[8, 9, 13]] + 1, 3, 3).tolist()
    assert set(chosen) < {8, 9, 10, 11} and len(set(chosen)) == 3
    middle = z[8:12].mean(axis=0)
    assert chosen[0] == 8 + np.linalg.norm(z[8:12] - middle, axis=1).argmin()
    of_all = clusters.core_of_clusters(z, None, 4, 3).tolist()
    assert sorted(np.digitize(of_all[:3], [8, 12])) == [0, 1, 2] and of_all[0] < 8
    covered = np.linalg.norm(z[:, None] - z[of_all[:3]], axis=2).min(axis=1)
    assert covered[of_all[3]] == pytest.approx(covered.max())
    assert len(clusters.core_of_clusters(z, None, 2, 3)) == 2
