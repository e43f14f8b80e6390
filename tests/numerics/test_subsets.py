"""Sets by volume, mean and similarity: the specification's values, brute force, and the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selectit.numerics import largest, subsets, vectors

LINE = np.array([[0], [1], [2], [6], [7], [10], [11.5]], dtype=np.float32)
KERNEL = np.array([[2, 1.2, 0.3, 0.1], [1.2, 1.9, 0.2, 0.2], [0.3, 0.2, 1, 0.4], [0.1, 0.2, 0.4, 0.8]])


def points(seed=0, n=30, width=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def of(kernel):
    return lambda some, others: kernel[some][:, others]


def test_dpp_of_the_specification():
    chosen, values = subsets.dpp(of(KERNEL), np.diag(KERNEL), 3)
    assert chosen.tolist() == [0, 1, 2]
    assert values == pytest.approx([2, 1.18, 0.954661], abs=1e-6)
    assert np.log(values).sum() == pytest.approx(0.812263, abs=1e-6)


@given(st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_dpp_takes_the_largest_determinant_each_time(seed):
    z = points(seed, 12, 20).astype(np.float64)
    kernel = z @ z.T
    chosen, values = subsets.dpp(of(kernel), np.diag(kernel), 5)
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
    assert len(subsets.dpp(of(kernel), np.diag(kernel), 8)[0]) == 3


@pytest.mark.parametrize("width", [6, 60])  # of less rank than points, and of full rank
@pytest.mark.parametrize("active", [1, 7])
def test_dpp_that_keeps_few_points_up_to_date_takes_the_same(monkeypatch, active, width):
    z = points(3, 40, width).astype(np.float64)
    z[20:30] = z[10]
    kernel = np.exp(-((z[:, None] - z) ** 2).sum(-1)) if width == 60 else z @ z.T
    chosen, values = subsets.dpp(of(kernel), np.diag(kernel), 40)
    monkeypatch.setattr(subsets, "_ACTIVE", active)
    again, same = subsets.dpp(of(kernel), np.diag(kernel), 40)
    assert again.tolist() == chosen.tolist()
    assert len(chosen) == (6 if width == 6 else 30)
    assert same == pytest.approx(values, rel=1e-9)


def test_the_largest_are_the_first_of_equal_ones():
    values = np.array([3.0, 1, 3, 5, 3, -np.inf])
    for count, rows, others in [(1, [3], 3), (2, [0, 3], 3), (4, [0, 2, 3, 4], 1), (6, list(range(6)), -np.inf)]:
        found, left = largest.largest(values, count)
        assert found.tolist() == rows
        assert left == others


def test_of_many_equal_points_none_is_taken_twice(monkeypatch):
    monkeypatch.setattr(largest, "_ACTIVE", 4)
    z = points(5, 30)
    z[:20] = z[0]
    chosen = subsets.marginal_relevance(z, np.ones(30), 30, 0.5)
    assert sorted(chosen) == list(range(30))


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
    cosine = vectors.unit(z) @ vectors.unit(z).T
    order = np.random.default_rng(1).permutation(900)
    kept = []
    for row in order:
        if all(cosine[row, other] <= 0.8 for other in kept):
            kept.append(int(row))
    assert subsets.similarity_filter(z, order, 900, 0.8).tolist() == kept
    assert len(kept) < 300


def test_herding_in_windows_comes_as_near_to_the_mean(monkeypatch):
    z = points(3, 400, 6)
    whole = subsets.herding(z, 60)
    monkeypatch.setattr(subsets, "_WINDOW", 90)
    found = subsets.herding(z, 60)
    assert len(set(found.tolist())) == 60
    misses = [np.linalg.norm(z[chosen].mean(0) - z.mean(0)) for chosen in (whole, found, np.arange(60))]
    assert misses[0] <= misses[1] < misses[2] / 5
    assert sorted(subsets.herding(z, 999)) == list(range(400))


# Novelty


@pytest.mark.parametrize("case", [0, 1, "novelselect_half_precision", "novelselect_with_copies"])
def test_novel_select_as_the_published_code(rivals, case):
    stored = rivals("novelsum")
    whole = stored["novelselect"][case] if isinstance(case, int) else stored[case]
    given, outputs = whole["inputs"], whole["outputs"]
    z = np.array(given.get("embeddings", stored["novelselect_half_precision"]["inputs"]["embeddings"]), np.float64)
    z, copies = (z, []) if case != "novelselect_with_copies" else (z[:12], [0, 1, 2, 3])
    dense = subsets.density(z, given["neighbors"]) ** given["density_power"]
    order = outputs.get("order", outputs.get("order_float64"))
    z, dense = np.concatenate([z, z[copies]]), np.concatenate([dense, dense[copies]])
    chosen = subsets.novel_select(z, dense, given["k"], given["distance_power"], first=order[0])
    assert chosen.tolist() == order


def test_novelty_of_many_chosen_points_by_the_mean_of_the_farther_ones(monkeypatch):
    z = points(6, 200, 5).astype(np.float64)
    whole = subsets.novel_select(z, np.ones(200), 60)
    monkeypatch.setattr(subsets, "_HEAD", 20)
    short = subsets.novel_select(z, np.ones(200), 60)
    assert whole[:21].tolist() == short[:21].tolist()
    away = 1 - subsets.unit(z) @ subsets.unit(z).T
    weights = 1 / np.arange(1, 61)
    for count in range(1, 60):
        sorted_away = np.sort(away[:, short[:count]], axis=1)
        sorted_away[:, 20:] = sorted_away[:, 20:].mean(axis=1, keepdims=True) if count > 20 else 0
        novelty = sorted_away @ weights[:count]
        novelty[short[:count]] = -1
        assert novelty[short[count]] == pytest.approx(novelty.max())


def test_quality_multiplies_novelty():
    z, quality = points(6, 20, 5), np.ones(20)
    quality[3], quality[8] = 100, 0
    chosen = subsets.novel_select(z, np.ones(20), 20, quality=quality).tolist()
    assert chosen[1] == 3 and chosen[-1] == 8


def test_density_by_hand():
    line = np.array([[0.0], [1], [3], [7]])
    assert subsets.density(line, 2) == pytest.approx([1 / 5, 2 / 5, 2 / 13, 1 / 26])
    assert subsets.density(line, 9)[0] == pytest.approx(3 / (1 + 9 + 49))
    assert subsets.density(line[:1], 2).tolist() == [1]


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
    own = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = [int(relevance.argmax())]
    while len(chosen) < n:
        gains = {
            each: balance * relevance[each] - (1 - balance) * max(float(own[each] @ own[other]) for other in chosen)
            for each in range(12)
            if each not in chosen
        }
        chosen.append(max(gains, key=gains.__getitem__))
    assert subsets.marginal_relevance(vectors, relevance, n, balance).tolist() == chosen


@pytest.mark.parametrize("balance", [0.0, 0.4, 0.9])
def test_marginal_relevance_of_a_few_active_points_is_that_of_all(monkeypatch, balance):
    vectors = np.concatenate([points(1, 300), points(2, 300) + 1])
    relevance = np.random.default_rng(3).random(600)
    whole = subsets.marginal_relevance(vectors, relevance, 200, balance)
    monkeypatch.setattr(largest, "_ACTIVE", 20)
    assert subsets.marginal_relevance(vectors, relevance, 200, balance).tolist() == whole.tolist()


def test_the_nearest_of_the_first_few(monkeypatch):
    monkeypatch.setattr(subsets, "_BLOCK", 7)
    vectors, others = points(0, 20), points(1, 9)
    cosine = subsets.unit(vectors) @ subsets.unit(others).T
    nearest, alike = subsets.nearest_of(vectors, others)
    assert np.array_equal(nearest, cosine.argmax(axis=1)) and alike == pytest.approx(cosine.max(axis=1))
    first = np.arange(20) % 9 + 1
    nearest, _ = subsets.nearest_of(vectors, others, first=first)
    assert nearest.tolist() == [int(row[:count].argmax()) for row, count in zip(cosine, first, strict=True)]
