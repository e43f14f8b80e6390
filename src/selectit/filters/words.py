"""Words, as the filters compare texts by them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def split_words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; in scripts that put no space between words each character is one."""
    return _WORD.findall(text.lower())


def runs_of(words: Sequence[str], length: int) -> list[str]:
    """All runs of `length` words, each joined by spaces; none where there are fewer words."""
    return [" ".join(words[at : at + length]) for at in range(len(words) - length + 1)]
