"""Planting defects in good pairs: what `selectit probe` compares with the originals. Pure functions of texts."""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selectit.data.records import Sample
from selectit.data.words import count_words, find_words, split_words
from selectit.numerics.lexical import calculates

ORIGINAL = "original"
REFUSAL = "I'm sorry, but I can't help with that."
_DIGITS = re.compile(r"\d+")


_NUMBER = re.compile(r"(?<![\w.,/:^])(?<![\w)]-)\d+(?:,\d{3})*(?:\.\d+)?(?![\w/:^]|[-–.,]\d|[-–]\w)")
"""A number that stands by itself: not the 2 of cm2, the 5 of 3-5, a part of a date, time, fraction or version."""


_SHORT = 60
"""Words of a response whose last number is taken for the result."""


_AFTER = 3
"""Words that may follow it: a unit, not a clause about something else."""


_ONE_SCRIPT = dict.fromkeys(("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"), "CJK")
"""Japanese is written in all of these, and the share of each says nothing."""


@dataclass(frozen=True, slots=True)
class Corrupted:
    """A pair to rate: an original, or one with a defect."""

    of: int
    """The row of the data set that it was made from."""
    kind: str
    """`ORIGINAL` or one of KINDS."""
    instruction: str
    response: str
    input: str = ""
    """As of a `Sample`."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """What a defect is made of."""

    row: int
    instruction: str
    response: str
    input: str
    script: str
    """Of the response."""


def plant(samples: Sequence[Sample], kinds: Sequence[str], seed: int) -> list[Corrupted]:
    """The samples, and after them one defective copy of each for each kind, where it can be planted.

    Args:
        samples: with responses that are not empty; the donors of other responses are among them.
        kinds: of KINDS.
        seed: the same gives the same texts, whatever the other kinds are.

    Returns:
        Every planted response differs from its original in more than white space.
    """
    found = [Corrupted(each.row, ORIGINAL, each.instruction, each.response, each.input) for each in samples]
    pairs = [
        _Pair(each.row, each.instruction, each.response, each.input, main_script(each.response)) for each in samples
    ]
    for kind in kinds:
        for place, pair in enumerate(pairs):
            # Donors in the order of the samples, from the next one on: which come first decides nothing else.
            others = [*pairs[place + 1 :], *pairs[:place]]
            text = KINDS[kind](pair, others, random.Random(f"{seed}/{kind}/{pair.row}"))
            if text is not None and text.split() != pair.response.split():
                found.append(Corrupted(pair.row, kind, pair.instruction, text, pair.input))
    return found


def _swapped(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    return next((each.response for each in others if each.instruction != pair.instruction), None)


def _cut(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    words = list(find_words(pair.response))
    return pair.response[: words[len(words) // 3].start()].rstrip() if len(words) >= 9 else None


def _shuffled(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    words = split_words(pair.response)
    if len(set(words)) < 4:
        return None
    gaps = _gaps(pair.response)
    return "".join(word + gap for word, gap in zip(draw.sample(words, len(words)), gaps, strict=True))


def _repeated(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    words = split_words(pair.response)
    if len(words) < 9:
        return None
    phrase = [word + gap for word, gap in zip(words, _gaps(pair.response), strict=True)][: max(3, len(words) // 8)]
    return "".join((phrase * len(words))[: len(words)]).rstrip()


def _gaps(text: str) -> list[str]:
    """What stands after each word: a space, or nothing in a script without spaces and at the end."""
    found = list(find_words(text))
    return [" " if one.end() < other.start() else "" for one, other in itertools.pairwise(found)] + [""]


def _wrong_number(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    """Another result, of as many digits, where the response is short and ends in what the instruction calculates."""
    number = _result(pair.response) if calculates(pair.instruction) else None
    if number is None or number[0].replace(",", "") in _numbers(pair.instruction):
        return None
    digits = wrong = re.sub(r"\D", "", number[0])
    while wrong == digits:
        lowest = 10 ** (len(digits) - 1) if len(digits) > 1 else 0
        wrong = str(draw.randrange(lowest, 10 ** len(digits)))
    drawn = iter(wrong)
    changed = re.sub(r"\d", lambda _: next(drawn), number[0])
    return pair.response[: number.start()] + changed + pair.response[number.end() :]


def _result(response: str) -> re.Match[str] | None:
    """The number that a short response ends in; None where its last digits are part of a word, or mark a list."""
    digits, numbers = list(_DIGITS.finditer(response)), list(_NUMBER.finditer(response))
    if not numbers or count_words(response) > _SHORT or numbers[-1].end() != digits[-1].end():
        return None
    last = numbers[-1]
    before, after = response[: last.start()], response[last.end() :]
    if count_words(after) > _AFTER or re.search(r"[;{}]", after):  # or code
        return None
    opens_line = not before.rpartition("\n")[2].strip(" \t-*#")
    return None if opens_line and re.match(r"[.):]\s+\S", after) else last


def _numbers(text: str) -> set[str]:
    return {each.replace(",", "") for each in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)}


def _refusal(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    return REFUSAL


def _empty(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    return ""


def _other_language(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    """The next response whose letters are mostly of another script."""
    if not pair.script:
        return None
    return next((each.response for each in others if each.script not in ("", pair.script)), None)


def _echo(pair: _Pair, others: Sequence[_Pair], draw: random.Random) -> str | None:
    return pair.instruction


KINDS: dict[str, Callable[[_Pair, Sequence[_Pair], random.Random], str | None]] = {
    "swapped": _swapped,
    "cut": _cut,
    "shuffled": _shuffled,
    "repeated": _repeated,
    "wrong-number": _wrong_number,
    "refusal": _refusal,
    "empty": _empty,
    "other-language": _other_language,
    "echo": _echo,
}
"""Each kind, and what it makes of a response; None where it can't be planted there."""


MEANINGS = {
    "swapped": "another row's response",
    "cut": "cut after a third of the words",
    "shuffled": "the words in random order",
    "repeated": "its first words again and again",
    "wrong-number": "the result changed, where something is calculated",
    "refusal": "a refusal",
    "empty": "nothing",
    "other-language": "another row's response in another script",
    "echo": "the instruction once more",
}


def main_script(text: str) -> str:
    """The script of most letters as Unicode names it ('LATIN', 'CYRILLIC', 'CJK' for Japanese too); '' = no letters."""
    names = (unicodedata.name(letter, "").partition(" ")[0] for letter in text[:2000] if letter.isalpha())
    letters = Counter(_ONE_SCRIPT.get(name, name) for name in names)
    return letters.most_common(1)[0][0] if letters else ""


def has_response(sample: Sample) -> bool:
    """Whether a defect can be told from the original: the response has a word."""
    return bool(sample.response.split())


def keep_last(samples: Sequence[Sample]) -> list[Sample]:
    """One pair of each row: the last of its rated answers."""
    return [replace(sample, item=0) for sample in {sample.row: sample for sample in samples}.values()]
