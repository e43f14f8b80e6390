"""What reaches a terminal is shown, not obeyed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.text_tables import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 中文　字 é ü 🙂\xa0", "plain, 中文　字 é ü 🙂\xa0"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\tb\nc\r\x00\x7f\x9b", "a\tb\nc" + r"\x0d\x00\x7f\x9b"),  # text over several lines keeps its lines
        ("\u202egnp.exe\u2028\u2066", r"\u202egnp.exe\u2028\u2066"),
        ("\ud800", r"\ud800"),
        ("👩\u200d🔬 می\u200cخواهم", "👩\u200d🔬 می\u200cخواهم"),
    ],
)
def test_control_characters_are_shown(text, shown):
    assert printable(text) == shown


@given(st.text())
def test_nothing_printable_is_obeyed(text):
    shown = printable(text)
    assert printable(shown) == shown
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown if each not in "\t\n")
    shown.encode()
