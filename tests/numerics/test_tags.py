"""Tags: reading a tagger's replies, counting, and InsTag's way of choosing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics import tags
from selectit.signals.arrays import Judgements


def test_the_order_of_choice_of_the_specification():
    assert tags.sample([set("123"), set("12"), set("4"), set("45"), set("3")], 4) == [0, 3, 1, 2]


def test_rows_without_tags_come_last():
    assert tags.sample([set(), set("a"), set(), set("ab")], 9) == [3, 1, 0, 2]
    assert tags.sample([set(), set()], 1) == [0]
    assert tags.sample([], 3) == []


@given(st.lists(st.frozensets(st.sampled_from("abcdef"), max_size=4), max_size=12), st.integers(0, 14))
def test_choosing_against_the_plain_form(found, n):
    left, chosen = sorted(range(len(found)), key=lambda index: (-len(found[index]), index)), []
    while len(chosen) < min(n, len(found)):
        covered, before = set(), len(chosen)
        for index in list(left):
            if len(chosen) < n and found[index] - covered:
                chosen.append(index)
                left.remove(index)
                covered |= found[index]
        if len(chosen) == before:
            chosen += left[: n - before]
    assert tags.sample(found, n) == chosen


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('["poem", "rhyme"]', {"poem", "rhyme"}),
        ('Sure: [{"tag": "poem", "explanation": "..."}] as asked', {"poem"}),
        ("[]", set()),
        ("poem, rhyme", None),
        ('["poem", 3]', None),
        ('[{"name": "poem"}]', None),
        ("[poem]", None),
        ("] [", None),
        ("", None),
        (None, None),
    ],
)
def test_reading_a_reply(reply, expected):
    assert tags.parse(reply) == expected


def test_tags_of_rows():
    replies = (
        '["Write  a poem!", "rare"]',
        '["Write a Poem"]',
        '["Write  a poem!", "rhyme", "?"]',
        "none",
        '["rhyme"]',
    )
    judgements = Judgements(np.array([0, 0, 1, 2, 2]), replies)
    assert tags.of_rows(judgements, 4, 1) == [{"write a poem", "rare"}, {"write a poem", "rhyme"}, None, None]
    # Counted as they were written: in two rows there is only the first.
    assert tags.of_rows(judgements, 4, 2) == [{"write a poem"}, {"write a poem"}, None, None]


def test_top_terms_by_hand():
    texts = [["cat", "cat", "dog", "one"], ["dog", "tree"], ["cat", "tree", "dog"], ["dog", "two"]]
    # idf: cat and tree log 2, dog in all rows; one and two in one row.
    assert tags.top_terms(texts, 8, 0.5) == [{"cat"}, {"tree"}, {"cat", "tree"}, set()]
    assert tags.top_terms(texts, 1, 0.5)[2] == {"cat"}
    assert tags.top_terms(texts, 8, 1.0)[3] == {"dog"}
