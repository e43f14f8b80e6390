"""Planting defects in good pairs: what `selectit probe` compares with the originals. Pure functions of texts."""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selectit.schema import Sample

ORIGINAL = "original"
REFUSAL = "I'm sorry, but I can't help with that."

_WORD = re.compile(r"\S+")
_NUMBER = re.compile(r"\d+")
_OPERATOR = re.compile(
    r"\d\s*[-+*/×÷=^%]|\b(sum|add|plus|minus|subtract|times|multipl\w+|divid\w+|product|total|average|mean|percent\w*|"
    r"percentage|how many|how much|calculat\w+|comput\w+|equation|solve|area|perimeter|square root)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A pair to rate: an original, or one with a defect."""

    of: int
    """The row of the data set that it was made from."""
    kind: str
    """`ORIGINAL` or one of KINDS."""
    instruction: str
    response: str


def plant(samples: Sequence[Sample], kinds: Sequence[str], seed: int) -> list[Planted]:
    """The samples, and after them one defective copy of each for each kind, where it can be planted.

    Args:
        samples: with responses that are not empty; the donors of other responses are among them.
        kinds: of KINDS.
        seed: the same gives the same texts, whatever the other kinds are.

    Returns:
        Every planted response differs from its original in more than white space.
    """
    found = [Planted(sample.row, ORIGINAL, sample.instruction, sample.response) for sample in samples]
    for kind in kinds:
        for place, sample in enumerate(samples):
            # Donors in the order of the samples, from the next one on: which come first decides nothing else.
            others = [*samples[place + 1 :], *samples[:place]]
            text = KINDS[kind](sample, others, random.Random(f"{seed}/{kind}/{sample.row}"))
            if text is not None and text.split() != sample.response.split():
                found.append(Planted(sample.row, kind, sample.instruction, text))
    return found


def _swapped(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    return next((each.response for each in others if each.instruction != sample.instruction), None)


def _cut(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    words = list(_WORD.finditer(sample.response))
    return sample.response[: words[len(words) // 3].start()].rstrip() if len(words) >= 9 else None


def _shuffled(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    words = sample.response.split()
    if len(set(words)) < 4:
        return None
    return " ".join(draw.sample(words, len(words)))


def _repeated(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    words = sample.response.split()
    if len(words) < 9:
        return None
    phrase = words[: max(3, len(words) // 8)]
    return " ".join((phrase * len(words))[: len(words)])


def _wrong_number(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    """Another last number in the response, of as many digits, where something is calculated."""
    numbers = list(_NUMBER.finditer(sample.response))
    if not numbers or len(_NUMBER.findall(sample.instruction)) < 2 or not _OPERATOR.search(sample.instruction):
        return None
    last = numbers[-1]
    wrong = last[0]
    while wrong == last[0]:
        lowest = 10 ** (len(last[0]) - 1) if len(last[0]) > 1 else 0
        wrong = str(draw.randrange(lowest, 10 ** len(last[0])))
    return sample.response[: last.start()] + wrong + sample.response[last.end() :]


def _refusal(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    return REFUSAL


def _empty(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    return ""


def _other_language(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    """The next response whose letters are mostly of another script."""
    own = script(sample.response)
    if not own:
        return None
    return next((each.response for each in others if script(each.response) not in ("", own)), None)


def _echo(sample: Sample, others: Sequence[Sample], draw: random.Random) -> str | None:
    return sample.instruction


KINDS: dict[str, Callable[[Sample, Sequence[Sample], random.Random], str | None]] = {
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
    "wrong-number": "the last number changed, where something is calculated",
    "refusal": "a refusal",
    "empty": "nothing",
    "other-language": "another row's response in another script",
    "echo": "the instruction once more",
}


def script(text: str) -> str:
    """The script of most letters as Unicode names it ('LATIN', 'CJK', 'HIRAGANA'); '' without letters."""
    letters = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in text[:2000] if letter.isalpha())
    return letters.most_common(1)[0][0] if letters else ""


def with_response(sample: Sample) -> bool:
    """Whether a defect can be told from the original: the response has a word."""
    return bool(sample.response.split())


def only_last(samples: Sequence[Sample]) -> list[Sample]:
    """One pair of each row: the last of its rated answers."""
    return [replace(sample, item=0) for sample in {sample.row: sample for sample in samples}.values()]
