"""Hashed words and pairs, their weights and cosines."""

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics import ngrams
from selectit.numerics.ngrams import bucket_of, cosines, hash_texts, log_ratios

TEXTS = st.lists(st.text("ab ,!\n", max_size=12), min_size=1, max_size=6)


def test_the_specification_s_values():
    assert [bucket_of(gram) for gram in ("the", "hello", "hello world")] == [8288, 7620, 1529]
    target, pool = np.array([3, 1, 0]), np.array([2, 2, 4])
    unsmoothed = log_ratios(target, pool, 0)
    assert unsmoothed == pytest.approx([1.098612, 0, -17.727534], abs=1e-6)
    assert unsmoothed @ [1, 1, 0] == pytest.approx(1.098612, abs=1e-6)
    assert log_ratios(target, pool, 1) == pytest.approx(
        np.log([4 / 7, 2 / 7, 1 / 7]) - np.log([3 / 11, 3 / 11, 5 / 11])
    )


@given(TEXTS)
def test_words_and_pairs_by_hand(texts):
    found = hash_texts(texts)
    for place, text in enumerate(texts):
        words = re.findall(r"\w+|[^\w\s]+", text)
        grams = [*words, *(f"{a} {b}" for a, b in zip(words, words[1:], strict=False))]
        own = found.bucket[found.start[place] : found.start[place + 1]].tolist()
        assert Counter(own) == Counter(map(bucket_of, grams))


def test_texts_are_hashed_alike_in_batches(monkeypatch):
    texts = [f"one {n} two {n % 3}, three" for n in range(20)] + [""]
    whole = hash_texts(texts)
    monkeypatch.setattr(ngrams, "_BATCH", 3)
    parts = hash_texts(texts)
    assert whole.bucket.tolist() == parts.bucket.tolist() and whole.start.tolist() == parts.start.tolist()
    assert np.isnan(parts.means(np.ones(ngrams.BUCKETS))[-1])


def test_cosines():
    rows = hash_texts(["red barn", "red roof", "old hill", ""])
    found = cosines(hash_texts(["red barn", "", "new words"]), rows)
    assert found.shape == (3, 4)
    assert found[0] == pytest.approx(
        [1, math.log(5 / 3) ** 2 / (math.log(5 / 3) ** 2 + 2 * math.log(5 / 2) ** 2), 0, 0]
    )
    assert not found[1:].any()
