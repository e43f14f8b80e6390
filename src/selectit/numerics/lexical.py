"""Lexical indices of a text: how varied and how readable its words are. No model."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from selectit.data.words import split_words

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"[^aeiouyl]e$|[^aeiouy]es$|[^aeiouytd]ed$")
_SPOKEN = re.compile(r"(?:[cgszx]|ch|sh)es$")
_OPERATOR = re.compile(r"\d\s*[+*/×÷=^]\s*\d|\d\s+[-−–]\s+\d")
_CALCULATION = re.compile(
    r"\b(sum|add|plus|minus|subtract|times|multiplied by|divided by|percent|how many|how much|calculate|solve)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|\n{2,}")


def words(text: str) -> list[str]:
    """Words in lower case: runs of letters and digits, with apostrophes and hyphens inside them.

    In a script without spaces each letter is one; see `split_words`.
    """
    return [word for run in split_words(text.lower()) for word in _WORD.findall(run)]


def ttr(tokens: Sequence[str]) -> float:
    """Type-token ratio, in (0, 1]; NaN without tokens. Falls with length."""
    return len(set(tokens)) / len(tokens) if tokens else math.nan


def distinct(tokens: Sequence[str], n: int) -> float:
    """Different n-grams / n-grams (Li et al. 2016), in (0, 1]; NaN with fewer than n tokens."""
    grams = [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
    return ttr(grams)  # type: ignore[arg-type]  # a gram is as good a type as a word


def mtld(tokens: Sequence[str], threshold: float = 0.72) -> float:
    """Measure of textual lexical diversity (McCarthy and Jarvis 2010): mean length of runs of varied words.

    A run ends where its type-token ratio falls to `threshold` or below; what is left counts in part. The mean of both
    directions, 1 or more. NaN where the ratio never falls below 1 in one of them, as in a very short text.
    """
    return (_one_way(tokens, threshold) + _one_way(tokens[::-1], threshold)) / 2


def _one_way(tokens: Sequence[str], threshold: float) -> float:
    factors, types, count = 0.0, set[str](), 0
    for token in tokens:
        types.add(token)
        count += 1
        if len(types) / count <= threshold:
            factors, types, count = factors + 1, set(), 0
    if count:
        factors += (1 - len(types) / count) / (1 - threshold)
    return len(tokens) / factors if factors else math.nan


def hdd(tokens: Sequence[str], draws: int = 42) -> float:
    """HD-D (McCarthy and Jarvis 2007): the expected type-token ratio of `draws` tokens drawn without replacement.

    In (0, 1]; NaN with fewer tokens than that.
    """
    total = len(tokens)
    if total < draws:
        return math.nan
    ways = math.comb(total, draws)
    return sum(1 - math.comb(total - count, draws) / ways for count in Counter(tokens).values()) / draws


def flesch(text: str) -> float:
    """Flesch reading ease of an English text: higher is easier, about 0 to 100; NaN without words.

    206.835 - 1.015 words / sentences - 84.6 syllables / words (Flesch 1948).
    """
    found = words(text)
    if not found:
        return math.nan
    sentences = max(sum(1 for part in _SENTENCE_END.split(text) if words(part)), 1)
    return 206.835 - 1.015 * len(found) / sentences - 84.6 * sum(map(syllables, found)) / len(found)


def syllables(word: str) -> int:
    """Syllables of an English word in lower case, 1 or more: groups of vowels, less an ending that is not spoken.

    Against the CMU dictionary, over the words of 999 Alpaca responses: right for 95 % of them, 1.3 % too few in all.
    """
    silent = bool(_SILENT.search(word)) and not _SPOKEN.search(word)
    return max(len(_VOWELS.findall(word)) - silent, 1)


def calculates(instruction: str) -> bool:
    """Whether an operator stands between two numbers, or a word that calculates ('sum', 'how many') beside two.

    The words are English. A minus has spaces about it: '3-5' is a range.
    """
    if _OPERATOR.search(instruction):
        return True
    return len(re.findall(r"\d+", instruction)) >= 2 and _CALCULATION.search(instruction) is not None
