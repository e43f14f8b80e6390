"""Set functions and measures on vectors: the specification's values, brute force, and the edges."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_signals import rows
from selectit.errors import SettingsError
from selectit.numerics import subsets
from selectit.signals.arrays import Embeddings, Signals

LINE = np.array([[0], [1], [2], [6], [7], [10], [11.5]], dtype=np.float32)
KERNEL = np.array([[2, 1.2, 0.3, 0.1], [1.2, 1.9, 0.2, 0.2], [0.3, 0.2, 1, 0.4], [0.1, 0.2, 0.4, 0.8]])


def by_distance(points):
    """1 / (1 + |d|) of points on a line."""
    return lambda index: (1 / (1 + np.abs(points - points[index].T))).astype(np.float32)


def points(seed=0, n=30, width=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


# k-center


def test_k_center_of_the_specification():
    assert subsets.k_center(LINE, 3, start=np.array([0])).tolist() == [6, 3, 2]


def test_k_center_draws_its_first_point_with_the_seed():
    first = {int(subsets.k_center(points(), 1, seed=seed)[0]) for seed in range(20)}
    assert len(first) > 5
    assert subsets.k_center(points(), 9, seed=3).tolist() == subsets.k_center(points(), 9, seed=3).tolist()


def test_k_center_stops_when_only_duplicates_are_left():
    assert sorted(subsets.k_center(np.repeat(LINE, 3, axis=0), 20)) == sorted(
        set(subsets.k_center(np.repeat(LINE, 3, axis=0), 20))
    )
    assert len(subsets.k_center(np.repeat(points(1, 8, 384), 3, axis=0), 20)) == 8
    assert len(subsets.k_center(np.ones((5, 3), np.float32), 4)) == 1
    assert subsets.k_center(LINE, 3, start=np.arange(7)).tolist() == []


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_k_center_is_the_greedy_rule(seed, n):
    z = points(seed, 20, 3)
    distance = np.linalg.norm(z[:, None].astype(float) - z, axis=2)
    found = subsets.k_center(z, n, seed=seed)
    for count in range(1, len(found)):
        covered = distance[found[:count]].min(axis=0)
        assert covered[found[count]] == pytest.approx(covered.max(), rel=1e-4)


def test_k_center_is_within_twice_the_best_radius():
    z = points(4, 9, 2)
    distance = np.linalg.norm(z[:, None] - z, axis=2)

    def radius(chosen):
        return distance[list(chosen)].min(axis=0).max()

    best = min(radius(chosen) for chosen in itertools.combinations(range(9), 3))
    for seed in range(9):
        assert radius(subsets.k_center(z, 3, seed=seed)) <= 2 * best + 1e-6


# Facility location and QDIT


def test_facility_location_of_the_specification():
    chosen, gains = subsets.facility_location(by_distance(LINE), 7, 3)
    assert chosen.tolist() == [1, 4, 5]
    assert gains == pytest.approx([2.496480, 1.435338, 0.968182], abs=1e-5)


@pytest.mark.parametrize("name", subsets.SIMILARITIES)
@pytest.mark.parametrize("n", [1, 7, 30, 99])
def test_facility_location_is_greedy(name, n):
    z = points(2, 30, 6)
    alike = subsets.similarity(z, name)
    matrix = alike(np.arange(30)).astype(np.float64)
    chosen, gains = subsets.facility_location(alike, 30, n)
    assert len(set(chosen.tolist())) == len(chosen) == min(n, 30)
    covered = np.zeros(30)
    for place, row in enumerate(chosen):
        gain = np.maximum(matrix - covered[:, None], 0).sum(axis=0)
        gain[chosen[:place]] = -1
        assert gain[row] == pytest.approx(gain.max(), abs=1e-4)
        assert gains[place] == pytest.approx(gain[row], abs=1e-4)
        covered = np.maximum(covered, matrix[:, row])


def test_facility_location_over_more_points_than_a_block():
    z = points(3, 700, 8)
    alike = subsets.similarity(z, "cosine01")
    matrix = alike(np.arange(700))
    covered, expected = np.zeros(700, np.float32), []
    for _ in range(20):
        gain = np.maximum(matrix - covered[:, None], 0).sum(axis=0, dtype=np.float64)
        expected.append(int(gain.argmax()))
        covered = np.maximum(covered, matrix[:, expected[-1]])
    assert subsets.facility_location(alike, 700, 20)[0].tolist() == expected


# What submodlib-py 0.0.3 chose of these points, with its Euclidean similarity and with the matrix of cosine01.
SUBMODLIB = {
    "submodlib-euclidean": [140, 3, 204, 256, 247, 198, 49, 144, 33, 163, 194, 180, 71, 169, 228],
    "cosine01": [96, 290, 124, 182, 75, 293, 206, 129, 94, 273, 33, 180, 163, 61, 63],
}


@pytest.mark.parametrize("name", SUBMODLIB)
def test_facility_location_chooses_as_submodlib(name):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 16)) * 2
    z = (centres[rng.integers(12, size=300)] + rng.normal(size=(300, 16))).astype(np.float32)
    assert subsets.facility_location(subsets.similarity(z, name), 300, 15)[0].tolist() == SUBMODLIB[name]


def test_facility_location_of_equal_points_takes_the_first():
    alike = subsets.similarity(np.ones((4, 2), np.float32), "cosine01")
    assert subsets.facility_location(alike, 4, 3)[0].tolist() == [0, 1, 2]


def test_similarities_by_hand():
    units = np.eye(384, dtype=np.float32)[:2]
    z = np.concatenate([units, -units[:1]])
    near = subsets.similarity(z, "submodlib-euclidean")(np.array([0]))[:, 0]
    assert near == pytest.approx([1, 0.996324, 0.994805], abs=1e-6)
    assert subsets.similarity(z, "cosine01")(np.array([0]))[:, 0] == pytest.approx([1, 0.5, 0])
    # squared distances 0, 2, 4 in both directions: 0 three times, 2 four times, 4 twice; mean 16 / 9
    assert subsets.similarity(z, "rbf")(np.array([0]))[:, 0] == pytest.approx(np.exp([0, -9 / 8, -9 / 4]), abs=1e-6)
    with pytest.raises(SettingsError, match="no similarity 'cosine'"):
        subsets.similarity(z, "cosine")


def test_qdit_goes_from_facility_location_to_quality():
    z = points(5, 40, 4)
    quality = np.random.default_rng(6).random(40) * 7 - 3
    alike = subsets.similarity(z, "cosine01")
    assert subsets.qdit(alike, quality, 10, 0).tolist() == subsets.facility_location(alike, 40, 10)[0].tolist()
    assert subsets.qdit(alike, quality, 10, 1).tolist() == np.argsort(-quality)[:10].tolist()


def test_qdit_by_hand():
    # First gains of the line are in [1.66, 2.50]; scaled by that range, quality in [0, 1] decides between neighbours.
    alike = by_distance(LINE)
    quality = np.array([0, 0, 0, 1.0, 0, 0, 0])
    gain = alike(np.arange(7)).sum(axis=0)
    expected = 0.5 * gain / np.ptp(gain) + 0.5 * quality
    assert subsets.qdit(alike, quality, 1, 0.5).tolist() == [expected.argmax()] == [3]
    assert subsets.qdit(alike, np.full(7, 2.0), 2, 0.5).tolist() == [1, 4]


# DPP


def test_dpp_of_the_specification():
    chosen, values = subsets.dpp(lambda row: KERNEL[row], np.diag(KERNEL), 3)
    assert chosen.tolist() == [0, 1, 2]
    assert values == pytest.approx([2, 1.18, 0.954661], abs=1e-6)
    assert np.log(values).sum() == pytest.approx(0.812263, abs=1e-6)


@given(st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_dpp_takes_the_largest_determinant_each_time(seed):
    z = points(seed, 12, 20).astype(np.float64)
    kernel = z @ z.T
    chosen, values = subsets.dpp(lambda row: kernel[row], np.diag(kernel), 5)
    for count in range(5):
        before = chosen[:count].tolist()
        minors = {
            row: np.linalg.det(kernel[np.ix_([*before, row], [*before, row])]) for row in range(12) if row not in before
        }
        assert minors[int(chosen[count])] == pytest.approx(max(minors.values()), rel=1e-6)
    minor = np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1]
    assert np.log(values).sum() == pytest.approx(minor, rel=1e-6)


def test_dpp_stops_at_the_rank():
    z = points(7, 10, 3).astype(np.float64)
    kernel = z @ z.T
    assert len(subsets.dpp(lambda row: kernel[row], np.diag(kernel), 8)[0]) == 3


# Herding, filter, k-means


def test_herding_of_the_specification():
    assert subsets.herding(LINE, 3).tolist() == [3, 4, 2]
    assert sorted(subsets.herding(LINE, 99)) == list(range(7))


def test_herding_is_the_greedy_rule():
    z = points(8, 25, 4).astype(np.float64)
    chosen = subsets.herding(z, 10)
    for count in range(10):
        left = [row for row in range(25) if row not in chosen[:count]]
        misfit = [np.linalg.norm(z.mean(0) - z[[*chosen[:count], row]].mean(0)) for row in left]
        assert chosen[count] == left[int(np.argmin(misfit))]


def test_similarity_filter_of_the_specification():
    angles = np.deg2rad([0, 10, 30, 31, 90])
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert subsets.similarity_filter(z, np.arange(5), 5, 0.9).tolist() == [0, 2, 4]
    assert subsets.similarity_filter(z, np.arange(5), 2, 0.9).tolist() == [0, 2]
    assert subsets.similarity_filter(z, np.array([3, 4, 2, 1, 0]), 5, 0.9).tolist() == [3, 4, 0]


def test_similarity_filter_over_blocks_is_the_plain_loop():
    z = points(9, 900, 4)
    cosine = subsets.unit(z) @ subsets.unit(z).T
    order = np.random.default_rng(1).permutation(900)
    kept = []
    for row in order:
        if all(cosine[row, other] <= 0.8 for other in kept):
            kept.append(int(row))
    assert subsets.similarity_filter(z, order, 900, 0.8).tolist() == kept
    assert len(kept) < 300


def test_k_means_takes_one_point_of_each_clear_cluster():
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = (np.repeat(np.eye(3) * 20, [8, 4, 2], axis=0) + 0.1 * points(1, 14, 3)).astype(np.float32)
    chosen = subsets.k_means_pick(z, 3)
    assert [int(row) for row in np.digitize(chosen, [8, 12])] == [0, 1, 2]
    for row, part in zip(chosen, (slice(0, 8), slice(8, 12), slice(12, 14)), strict=True):
        middle = z[part].mean(axis=0)
        assert np.linalg.norm(z[row] - middle) == pytest.approx(np.linalg.norm(z[part] - middle, axis=1).min())
    shared = subsets.k_means_pick(z, 7, clusters=3)
    assert np.bincount(np.digitize(shared, [8, 12])).tolist() == [4, 2, 1]


def test_k_means_has_no_more_clusters_than_points():
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    z = np.repeat(points(2, 4, 3), 3, axis=0)
    assert len(subsets.k_means_pick(z, 10)) == 4
    assert len(subsets.k_means_pick(z, 10, clusters=6)) == 10


# Shares


def test_quotas_by_hand():
    assert subsets.quotas(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert subsets.quotas(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert subsets.quotas(np.array([3, 0, 7]), 4).tolist() == [1, 0, 3]
    assert subsets.quotas(np.array([3, 2]), 99).tolist() == [3, 2]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 200))
def test_shares_add_up_and_fit(sizes, n):
    sizes = np.array(sizes)
    shares = subsets.quotas(sizes, n)
    assert shares.sum() == min(n, sizes.sum())
    assert ((shares >= 0) & (shares <= sizes)).all()


# Measures


def test_knn_distance_of_the_specification():
    line = np.array([[0], [1], [3], [7], [8]], dtype=np.float32)
    assert subsets.knn_distance(line, 2).tolist() == [3, 2, 3, 4, 5]
    assert np.isnan(subsets.knn_distance(line, 5)).all()


def test_knn_distance_of_duplicates_is_exactly_zero():
    z = np.repeat(points(3, 200, 384), 2, axis=0)
    assert (subsets.knn_distance(z, 1) == 0).all()
    exact = np.linalg.norm(z[:, None].astype(np.float64) - z, axis=2)
    assert subsets.knn_distance(z, 2) == pytest.approx(np.sort(exact, axis=1)[:, 2], rel=1e-5)


# Rows


def test_row_vectors_are_means_of_items():
    vectors = np.array([[1, 0], [3, 2], [5, 5], [np.nan, np.nan]], dtype=np.float32)
    found = subsets.row_vectors(Embeddings(np.array([0, 0, 1, 2]), vectors), 4)
    assert found[:2].tolist() == [[2, 1], [5, 5]] and np.isnan(found[2:]).all()


def test_the_pool_is_in_the_order_of_a_draw_and_has_only_embedded_rows():
    vectors = points(0, 40, 3)
    vectors[[5, 9], 1] = np.nan
    signals = Signals(rows(40), stored={"embeddings": Embeddings(np.arange(40), vectors)})
    chosen, their = subsets.pool(signals)
    assert sorted(chosen) == [row for row in range(40) if row not in (5, 9)] != chosen.tolist()
    assert np.array_equal(their, vectors[chosen])
    assert chosen.tolist() != subsets.pool(signals, seed=1)[0].tolist()


def test_zero_vectors_stay_zero():
    assert subsets.unit(np.array([[0.0, 0], [3, 4]])).tolist() == [[0, 0], [0.6, 0.8]]


# Maximal marginal relevance, nearest points


def with_cosines(*wanted):
    """Three unit vectors with the cosines 01, 02 and 12."""
    gram = np.eye(3)
    gram[0, 1], gram[0, 2], gram[1, 2] = wanted
    return np.linalg.cholesky(np.maximum(gram, gram.T))


def test_marginal_relevance_of_the_specification():
    vectors, relevance = with_cosines(0.95, 0.1, 0.2), np.array([0.9, 0.85, 0.3])
    assert subsets.marginal_relevance(vectors, relevance, 2, 0.5).tolist() == [0, 2]
    assert subsets.marginal_relevance(vectors, relevance, 2, 0.7).tolist() == [0, 1]
    assert subsets.marginal_relevance(vectors, relevance, 9, 0.7).tolist() == [0, 1, 2]


@given(st.integers(0, 1000), st.integers(1, 12), st.sampled_from([0.0, 0.3, 1.0]))
def test_marginal_relevance_is_the_rule(seed, n, balance):
    vectors = points(seed, 12)
    relevance = np.random.default_rng(seed).random(12)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = [int(relevance.argmax())]
    while len(chosen) < n:
        gains = {
            each: balance * relevance[each] - (1 - balance) * max(float(unit[each] @ unit[other]) for other in chosen)
            for each in range(12)
            if each not in chosen
        }
        chosen.append(max(gains, key=gains.__getitem__))
    assert subsets.marginal_relevance(vectors, relevance, n, balance).tolist() == chosen


def test_the_nearest_of_the_first_few(monkeypatch):
    monkeypatch.setattr(subsets, "_BLOCK", 7)
    vectors, others = points(0, 20), points(1, 9)
    cosine = subsets.unit(vectors) @ subsets.unit(others).T
    nearest, alike = subsets.nearest_of(vectors, others)
    assert np.array_equal(nearest, cosine.argmax(axis=1)) and alike == pytest.approx(cosine.max(axis=1))
    first = np.arange(20) % 9 + 1
    nearest, _ = subsets.nearest_of(vectors, others, first=first)
    assert nearest.tolist() == [int(row[:count].argmax()) for row, count in zip(cosine, first, strict=True)]
