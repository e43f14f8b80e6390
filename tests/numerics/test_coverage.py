"""k-center, facility location and QDIT: the specification's values, brute force, and the edges."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectit.numerics import coverage, largest, neighbours, vectors

LINE = np.array([[0], [1], [2], [6], [7], [10], [11.5]], dtype=np.float32)


def by_distance(points):
    """1 / (1 + |d|) of points on a line."""
    return lambda index: (1 / (1 + np.abs(points - points[index].T))).astype(np.float32)


def points(seed=0, n=30, width=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


# k-center


def test_k_center_of_the_specification():
    assert coverage.k_center(LINE, 3, start=np.array([0])).tolist() == [6, 3, 2]


def test_k_center_begins_with_the_first_point():
    assert coverage.k_center(LINE, 4).tolist() == [0, 6, 3, 2]
    assert coverage.k_center(LINE, 0).tolist() == coverage.k_center(LINE[:0], 3).tolist() == []


def test_k_center_stops_when_only_duplicates_are_left():
    assert sorted(coverage.k_center(np.repeat(LINE, 3, axis=0), 20)) == sorted(
        set(coverage.k_center(np.repeat(LINE, 3, axis=0), 20))
    )
    assert len(coverage.k_center(np.repeat(points(1, 8, 384), 3, axis=0), 20)) == 8
    assert len(coverage.k_center(np.ones((5, 3), np.float32), 4)) == 1
    assert coverage.k_center(LINE, 3, start=np.arange(7)).tolist() == []


@given(st.integers(0, 1000), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_k_center_is_the_greedy_rule(seed, n):
    z = points(seed, 20, 3)
    distance = np.linalg.norm(z[:, None].astype(float) - z, axis=2)
    found = coverage.k_center(z, n)
    for count in range(1, len(found)):
        covered = distance[found[:count]].min(axis=0)
        assert covered[found[count]] == pytest.approx(covered.max(), rel=1e-4)


def test_k_center_is_within_twice_the_best_radius():
    z = points(4, 9, 2)
    distance = np.linalg.norm(z[:, None] - z, axis=2)

    def radius(chosen):
        return distance[list(chosen)].min(axis=0).max()

    best = min(radius(chosen) for chosen in itertools.combinations(range(9), 3))
    for first in range(9):
        assert radius([first, *coverage.k_center(z, 2, start=np.array([first]))]) <= 2 * best + 1e-6


# Facility location and QDIT


def test_facility_location_of_the_specification():
    chosen, gains = coverage.facility_location(by_distance(LINE), 7, 3)
    assert chosen.tolist() == [1, 4, 5]
    assert gains == pytest.approx([2.496480, 1.435338, 0.968182], abs=1e-5)


@pytest.mark.parametrize("name", vectors.SIMILARITIES)
@pytest.mark.parametrize("n", [1, 7, 30, 99])
def test_facility_location_is_greedy(name, n):
    z = points(2, 30, 6)
    alike = vectors.similarity(z, name)
    matrix = alike(np.arange(30)).astype(np.float64)
    chosen, gains = coverage.facility_location(alike, 30, n)
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
    alike = vectors.similarity(z, "cosine01")
    matrix = alike(np.arange(700))
    covered, expected = np.zeros(700, np.float32), []
    for _ in range(20):
        gain = np.maximum(matrix - covered[:, None], 0).sum(axis=0, dtype=np.float64)
        expected.append(int(gain.argmax()))
        covered = np.maximum(covered, matrix[:, expected[-1]])
    assert coverage.facility_location(alike, 700, 20)[0].tolist() == expected


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
    assert coverage.facility_location(vectors.similarity(z, name), 300, 15)[0].tolist() == SUBMODLIB[name]


def test_facility_location_of_equal_points_takes_the_first():
    alike = vectors.similarity(np.ones((4, 2), np.float32), "cosine01")
    assert coverage.facility_location(alike, 4, 3)[0].tolist() == [0, 1, 2]


def test_qdit_goes_from_facility_location_to_quality():
    z = points(5, 40, 4)
    quality = np.random.default_rng(6).random(40) * 7 - 3
    alike = vectors.similarity(z, "cosine01")
    assert coverage.qdit(alike, quality, 10, 0).tolist() == coverage.facility_location(alike, 40, 10)[0].tolist()
    assert coverage.qdit(alike, quality, 10, 1).tolist() == np.argsort(-quality)[:10].tolist()


def test_qdit_by_hand():
    # First gains of the line are in [1.66, 2.50]; scaled by that range, quality in [0, 1] decides between neighbours.
    alike = by_distance(LINE)
    quality = np.array([0, 0, 0, 1.0, 0, 0, 0])
    gain = alike(np.arange(7)).sum(axis=0)
    expected = 0.5 * gain / np.ptp(gain) + 0.5 * quality
    assert coverage.qdit(alike, quality, 1, 0.5).tolist() == [expected.argmax()] == [3]
    assert coverage.qdit(alike, np.full(7, 2.0), 2, 0.5).tolist() == [1, 4]


# Many points: what is done in blocks, and over neighbours


def test_k_center_of_a_few_active_points_is_that_of_all(monkeypatch):
    z = np.concatenate([points(1, 300, 6), points(2, 300, 6) * 3, points(1, 40, 6)])
    whole = z[coverage.k_center(z, 400)]  # of two equal points either may be taken
    monkeypatch.setattr(largest, "_ACTIVE", 20)
    assert np.array_equal(z[coverage.k_center(z, 400)], whole)
    assert len(coverage.k_center(np.repeat(z[:30], 20, axis=0), 99)) == 30


@given(st.integers(0, 10_000), st.integers(6, 9), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_k_center_s_radius_and_facility_location_s_sum_are_within_their_bounds(seed, many, n):
    z = points(seed, many, 2)
    distance = np.linalg.norm(z[:, None] - z, axis=2)
    alike = coverage.similarity(z, "rbf")
    matrix = alike(np.arange(many)).astype(np.float64)
    sets = [list(chosen) for chosen in itertools.combinations(range(many), n)]
    radius = min(distance[chosen].min(axis=0).max() for chosen in sets)
    assert distance[coverage.k_center(z, n)].min(axis=0).max() <= 2 * radius + 1e-5
    best = max(matrix[chosen].max(axis=0).sum() for chosen in sets)
    found, gains = coverage.facility_location(alike, many, n)
    assert matrix[found].max(axis=0).sum() == pytest.approx(gains.sum(), rel=1e-5)
    assert gains.sum() >= (1 - 1 / np.e) * best - 1e-5


def by_hand(k):
    """The golden points' k nearest by 1 / (1 + |d|), ties to the smaller index."""
    alike = by_distance(LINE)(np.arange(7))
    index = np.argsort(-alike, axis=1, kind="stable")[:, :k].astype(np.int32)
    return neighbours.Graph(index, np.take_along_axis(alike, index, axis=1))


def test_facility_location_over_neighbours_of_the_specification():
    chosen, gains = coverage.sparse_facility_location(by_hand(3), 3)
    assert chosen.tolist() == [2, 4, 5]
    assert gains == pytest.approx([2.033333, 1.731818, 0.968182], abs=1e-6)
    assert by_hand(3).similarity[:, -1].sum() == pytest.approx(2.048485, abs=1e-6)
    assert coverage.sparse_facility_location(by_hand(7), 3)[0].tolist() == [1, 4, 5]


@given(st.integers(0, 10_000), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_lazy_is_greedy(seed, k):
    graph = neighbours.graph(points(seed, 25, 3), k, "cosine01")
    matrix = np.zeros((25, 25))
    np.put_along_axis(matrix, graph.index.astype(int), graph.similarity.astype(float), axis=1)
    covered, bonus = np.zeros(25), np.random.default_rng(seed).random(25)
    chosen, gains = coverage.sparse_facility_location(graph, 10, 2.0, bonus)
    for place, row in enumerate(chosen):
        gain = 2 * np.maximum(matrix - covered[:, None], 0).sum(axis=0) + bonus
        gain[chosen[:place]] = -1
        assert gain[row] == pytest.approx(gain.max(), abs=1e-5)
        assert gains[place] == pytest.approx(gain[row], abs=1e-5)
        covered = np.maximum(covered, matrix[:, row])


@pytest.mark.parametrize("name", vectors.SIMILARITIES)
def test_all_neighbours_are_all_points(name):
    z, quality = points(4, 60, 5), np.random.default_rng(5).random(60)
    assert coverage.cover(z, 9, name, 60)[0].tolist() == coverage.cover(z, 9, name)[0].tolist()
    over_all = coverage.cover_well(z, quality, 9, 0.5, name)
    assert coverage.cover_well(z, quality, 9, 0.5, name, 60).tolist() == over_all.tolist()


def test_more_points_are_covered_by_their_neighbours(monkeypatch):
    z = points(4, 60, 5)
    monkeypatch.setattr(coverage, "ALL_PAIRS", 59)
    monkeypatch.setattr(coverage, "NEIGHBOURS", 4)
    few = coverage.cover(z, 9, "rbf")[0].tolist()
    assert few == coverage.cover(z, 9, "rbf", 4)[0].tolist() != coverage.cover(z, 9, "rbf", 60)[0].tolist()


# What published code chose


def test_k_center_as_mods_and_diverseevol(rivals):
    mods = rivals("mods")["kcenter"]
    z = np.array(mods["inputs"]["embeddings_float32"], np.float32)
    start = np.array(mods["inputs"]["initial_centres"])
    order = mods["outputs"]["order_including_initial"]
    assert [*start, *coverage.k_center(z, mods["inputs"]["n"], start)] == order
    for case in ("main", "second_round"):
        evol = rivals("diverseevol")[case]
        given = {**rivals("diverseevol")["main"]["inputs"], **evol["inputs"]}
        z = np.array(given["embeddings_float32"], np.float32)
        assert (
            coverage.k_center(z, given["n"], np.array(given["labeled"])).tolist() == evol["outputs"]["picks_in_order"]
        )
    ties = rivals("diverseevol")["ties_and_duplicates"]
    z = np.array(ties["inputs"]["embeddings_float32"], np.float32)
    assert coverage.k_center(z, 7, np.array([0])).tolist() == ties["outputs"]["picks_in_order"][:4]
    quirk = rivals("diverseevol")["quirk_nan"]
    z = np.array(quirk["inputs"]["embeddings_float32"], np.float32)
    clean = coverage.k_center(z, quirk["inputs"]["n"], np.array(quirk["inputs"]["labeled"]))
    assert clean.tolist() == quirk["outputs"]["clean_picks_float64"]


def test_facility_location_as_superfiltering_d(rivals):
    case = rivals("superfiltering_d")["separated"]
    z = np.array(case["inputs"]["embeddings_float32"], np.float32)
    chosen, gains = coverage.cover(z, case["inputs"]["number_select"], "submodlib-euclidean")
    assert chosen.tolist() == case["outputs"]["order"]
    assert gains == pytest.approx(case["outputs"]["gains"], rel=2e-6)
