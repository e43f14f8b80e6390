"""Rows that say again what another row says."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.filters.duplicates import (
    PERMUTATIONS,
    count_bands,
    find_exact,
    find_near,
    find_semantic,
    jaccard,
    shingles,
)

pytest.importorskip("rensa", reason="the extra 'filters' is not installed")
WORDS = [f"w{n}" for n in range(4000)]


def planted(rows=150, copies=150, seed=0):
    """Texts of made-up words; the last `copies` of them are others with 0 to 12 words changed."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(30, 80))) for _ in range(rows)]
    for _ in range(copies):
        words = draw.choice(texts[:rows]).split()
        for _ in range(draw.randint(0, 12)):
            words[draw.randrange(len(words))] = draw.choice(WORDS)
        texts.append(" ".join(words))
    return texts


def plain(texts, order, threshold):
    """The rule as a plain loop over all pairs, with exact Jaccard indices."""
    sets = [set(shingles(text)) for text in texts]
    kept, gone = [], {}
    for row in order:
        alike = [(jaccard(sets[row], sets[other]), other) for other in kept]
        if alike and max(alike)[0] >= threshold:
            gone[int(row)] = [other for index, other in alike if index == max(alike)[0]]
        else:
            kept.append(row)
    return gone


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.95])
def test_planted_near_duplicates_are_those_of_exact_jaccard_indices(threshold):
    texts = planted()
    order = np.random.default_rng(1).permutation(len(texts))
    found = find_near(texts, order, threshold)
    true = plain(texts, order, threshold)
    assert len(true) > 10
    rows = set(np.flatnonzero(found.kept_row >= 0).tolist())
    assert rows <= set(true)  # each index is computed: no row goes in vain
    assert len(rows) >= 0.99 * len(true)
    for row in rows:
        assert found.kept_row[found.kept_row[row]] == -1  # what stays in its place does stay
        assert found.likeness[row] == jaccard(set(shingles(texts[row])), set(shingles(texts[found.kept_row[row]])))


def test_datasketch_finds_the_same_rows():
    from datasketch import MinHash, MinHashLSH

    texts, threshold = planted(), 0.7
    index, theirs = MinHashLSH(params=(32, 4), num_perm=PERMUTATIONS), set()
    for row, text in enumerate(texts):
        signature = MinHash(PERMUTATIONS)
        signature.update_batch([each.encode() for each in shingles(text)])
        own = set(shingles(text))
        if any(jaccard(own, set(shingles(texts[other]))) >= threshold for other in index.query(signature)):
            theirs.add(row)
        else:
            index.insert(row, signature)
    ours = set(np.flatnonzero(find_near(texts, np.arange(len(texts)), threshold).kept_row >= 0).tolist())
    assert len(theirs) > 40
    assert len(ours ^ theirs) <= 0.02 * len(theirs)


def test_bands_are_as_few_as_find_almost_all():
    for threshold in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        bands = count_bands(threshold)
        missed = (1 - threshold ** (PERMUTATIONS // bands)) ** bands
        assert missed <= 0.005
        fewer = bands // 2
        assert (1 - threshold ** (PERMUTATIONS // fewer)) ** fewer > 0.005


def test_the_better_row_stays():
    texts = ["a b c d e f g h", "a b c d e f g h i", "x y z", "", "  "]
    assert find_near(texts, np.array([1, 0, 2, 3, 4]), 0.7).kept_row.tolist() == [1, -1, -1, -1, -1]
    assert find_near(texts, np.array([0, 1, 2, 3, 4]), 0.7).kept_row.tolist() == [-1, 0, -1, -1, -1]
    exact = find_exact(["Say  A", "say a", "Say b", "SAY\nA"], np.array([3, 2, 1, 0]))
    assert exact.kept_row.tolist() == [3, 3, -1, -1]


def test_rows_that_are_not_in_the_order_are_not_looked_at():
    texts = ["a b c d"] * 3
    assert find_near(texts, np.array([2, 1]), 0.7).kept_row.tolist() == [-1, 2, -1]
    assert find_exact(texts, np.array([2, 1])).kept_row.tolist() == [-1, 2, -1]


@given(st.lists(st.sampled_from(["a b c d", "a b c e", "A b  c d", "x", ""]), max_size=12), st.randoms())
def test_every_row_that_goes_has_a_row_that_stays(texts, draw):
    order = list(range(len(texts)))
    draw.shuffle(order)
    for found in (find_exact(texts, np.array(order, np.int64)), find_near(texts, np.array(order, np.int64), 0.3)):
        for row in np.flatnonzero(found.kept_row >= 0):
            kept = found.kept_row[row]
            assert found.kept_row[kept] == -1 and order.index(kept) < order.index(row)


def test_semantic_duplicates_by_hand():
    angles = np.radians([0, 10, 30, 31, 90, np.nan])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) * 3
    found = find_semantic(vectors, np.arange(6), 0.9)
    assert found.kept_row.tolist() == [-1, 0, -1, 2, -1, -1]
    assert found.likeness[[1, 3]] == pytest.approx(np.cos(np.radians([10, 1])), abs=1e-6)
    # row 1 goes for row 3 (21 degrees), though row 0, which is worse and stays, is nearer
    assert find_semantic(vectors, np.array([3, 2, 1, 0, 4, 5]), 0.9).kept_row.tolist() == [-1, 3, 3, -1, -1, -1]


def test_semantic_duplicates_in_clusters_are_some_of_all(monkeypatch):
    pytest.importorskip("sklearn", reason="the extra 'methods' is not installed")
    from selectit.filters import duplicates

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 16)) * 4
    vectors = (centres[rng.integers(0, 6, 200)] + rng.normal(size=(200, 16))).astype(np.float32)
    vectors[100:] = vectors[:100] + rng.normal(size=(100, 16)).astype(np.float32) * 0.05
    whole = set(np.flatnonzero(find_semantic(vectors, np.arange(200), 0.995).kept_row >= 0))
    monkeypatch.setattr(duplicates, "CLUSTER", 40)
    parts = set(np.flatnonzero(find_semantic(vectors, np.arange(200), 0.995).kept_row >= 0))
    assert whole == set(range(100, 200)) and parts <= whole and len(parts) > 90
