"""What counts as a word, in every script: the unit in which lengths are told and texts are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_UNSPACED = (
    "\u0e01-\u0eff"  # Thai, Lao
    "\u0f40-\u0fbc\u1000-\u109f\u1780-\u17ff"  # Tibetan, Burmese, Khmer
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Scripts that are written without spaces between the words."""

_LETTER = re.compile(rf"(?=\w)[{_UNSPACED}]")
_WORD = re.compile(rf"[^\w\s]*+(?=\w)[{_UNSPACED}][^\w\s]*+|(?:(?!(?=\w)[{_UNSPACED}])\S)+")
_BARE = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def split_words(text: str) -> list[str]:
    """The words of a text, with the punctuation beside them.

    A word is a run without white space, as `str.split` has it. In scripts that are written without spaces (Chinese,
    Japanese, Thai, Lao, Khmer, Burmese, Tibetan) each letter, with its vowel signs, is one: a run of them tells no
    length. 'Hello world' has 2, '你好，世界。' has 4, '我有3个apple' has 5.
    """
    return _WORD.findall(text) if _LETTER.search(text) else text.split()


def find_words(text: str) -> Iterator[re.Match[str]]:
    """The words of a text as `split_words` has them, with their places."""
    return _WORD.finditer(text)


def count_words(text: str) -> int:
    """How many words a text has."""
    return len(split_words(text))


def split_bare_words(text: str) -> list[str]:
    """The words of a text as texts are compared by them: in lower case and without punctuation."""
    return _BARE.findall(text.lower())


def runs_of(words: Sequence[str], length: int) -> list[str]:
    """All runs of `length` words, each joined by spaces; none where there are fewer words."""
    return [" ".join(words[at : at + length]) for at in range(len(words) - length + 1)]
