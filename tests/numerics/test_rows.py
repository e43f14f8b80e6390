"""What is counted, ranked and drawn for millions of rows, against the plain way to say it."""

import hashlib
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics import row_random
from selectit.numerics.row_random import row_uniforms, shuffle_rows
from selectit.numerics.segments import mean_ranks
from selectit.signals.rows import Rows, count_before

few = st.integers(0, 3)


@given(st.lists(st.tuples(few, few), min_size=1, max_size=40))
def test_equal_entries_are_counted_in_their_order(pairs):
    seen = Counter()
    expected = []
    for pair in pairs:
        expected.append(seen[pair])
        seen[pair] += 1
    first, second = np.array(pairs, np.uint64).T
    assert count_before(first, second).tolist() == expected


def test_entries_that_are_all_unlike():
    assert count_before(np.arange(5), np.zeros(5)).tolist() == [0] * 5


@given(st.lists(st.integers(-3, 3), max_size=40))
def test_equal_values_share_their_mean_rank(values):
    found = mean_ranks(np.array(values, np.float64))
    for value, rank in zip(values, found, strict=True):
        below, equal = sum(other < value for other in values), values.count(value)
        assert rank == below + (1 + equal) / 2


def test_a_draw_is_of_the_key_the_content_and_the_occurrence(monkeypatch):
    monkeypatch.setattr(row_random, "_TOGETHER", 3)
    digest = np.array([bytes([n] * 16) for n in range(1, 8)], "V16")
    rows = Rows(digest, np.arange(7) * 300, np.zeros(7, np.int64))
    for place, drawn in enumerate(row_uniforms(rows, "key")):
        content = bytes([place + 1] * 16) + (place * 300).to_bytes(8, "little")
        bits = int.from_bytes(hashlib.blake2b(content, digest_size=8, key=b"key").digest(), "little")
        assert drawn == (bits >> 11) * 2.0**-53


def test_some_rows_are_shuffled_as_they_stand_among_all():
    rows = Rows(
        np.array([bytes([n] * 16) for n in range(1, 30)], "V16"), np.zeros(29, np.int64), np.zeros(29, np.int64)
    )
    order = shuffle_rows(rows, "key")
    assert (np.diff(row_uniforms(rows, "key")[order]) > 0).all()
    some = np.array([21, 3, 8, 14])
    assert shuffle_rows(rows, "key", some).tolist() == order[np.isin(order, some)].tolist()
