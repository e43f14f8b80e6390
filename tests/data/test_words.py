"""What counts as a word: English as ever, letters where there are no spaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.data.words import count_words, find_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world", ["Hello,", "world"]),
        ("a-b — c", ["a-b", "—", "c"]),
        ("你好，世界。", ["你", "好，", "世", "界。"]),
        ("「你好」 foo", ["「你", "好」", "foo"]),
        ("我有3个apple", ["我", "有", "3", "个", "apple"]),
        ("これはペンです。", list("これはペンで") + ["す。"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("", []),
        ("，", ["，"]),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


@given(st.text(st.characters(max_codepoint=0x5FF)))
def test_scripts_with_spaces_are_split_at_white_space(text):
    assert split_words(text) == text.split()


@given(st.text(st.sampled_from("a b,c我你，。スกั1\n-")))
def test_no_letter_is_lost_and_places_are_those_of_the_words(text):
    assert "".join(split_words(text)) == "".join(text.split())
    assert [each.group() for each in find_words(text)] == split_words(text)


@given(st.integers(0, 50))
def test_length_grows_with_every_letter(length):
    assert count_words("水" * length) == length
