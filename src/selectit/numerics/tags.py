"""Tags of instructions, and choosing rows by them: what `instag` and its relatives share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from selectit.jsonable import parse_json
from selectit.signals.arrays import Judgements
from selectit.signals.requests import JudgeRequest

Tags = frozenset[str]
QUESTION = JudgeRequest(
    system="You name the intentions of requests made to an assistant.",
    text="""### Request
{instruction}

### Task
List every intention of the request as a short tag of one to four words: what is to be done, in which field, in which \
form. Answer with nothing but a JSON list of texts, such as ["write a poem", "botany", "rhyme"].""",
)


def parse(reply: str | None) -> Tags | None:
    """The tags of a reply: a JSON list of texts, or of objects with the key 'tag'. None where there is no such list."""
    begin, end = (reply or "").find("["), (reply or "").rfind("]")
    if reply is None or begin == -1 or end < begin:
        return None
    try:
        listed = parse_json(reply[begin : end + 1])
    except ValueError:
        return None
    found = [each.get("tag") if isinstance(each, dict) else each for each in listed]
    tags = [each for each in found if isinstance(each, str)]
    return frozenset(tags) if len(tags) == len(found) else None


def normal(tag: str) -> str:
    """Lower case, letters and digits, one space between words."""
    return " ".join(re.findall(r"[^\W_]+", tag.lower()))


def of_rows(judgements: Judgements, rows: int, min_count: int) -> list[Tags | None]:
    """The tags of each row: those of all its items, without tags that fewer than `min_count` rows have, normalised.

    None where an item has no list of tags, or a row no items.
    """
    found: list[Tags | None] = [None] * rows
    failed = set()
    for row, reply in zip(judgements.row.tolist(), judgements.replies, strict=True):
        tags = parse(reply)
        if tags is None:
            failed.add(row)
        else:
            found[row] = (found[row] or frozenset()) | tags
    kept = [None if row in failed else tags for row, tags in enumerate(found)]
    counts = Counter(tag for tags in kept if tags is not None for tag in tags)
    return [
        None if tags is None else frozenset(normal(tag) for tag in tags if counts[tag] >= min_count) - {""}
        for tags in kept
    ]


def top_terms(texts: Sequence[Sequence[str]], count: int, most: float) -> list[Tags]:
    """The `count` words of each text with the highest TF-IDF, as tags.

    Of words in at least two texts and in at most the share `most` of them; idf = log(N / texts with the word). Equal
    weights go by the alphabet.
    """
    document = Counter(word for text in texts for word in set(text))
    fit = {word: math.log(len(texts) / n) for word, n in document.items() if 2 <= n <= most * len(texts)}
    tags = []
    for text in texts:
        weights = {word: n * fit[word] for word, n in Counter(text).items() if word in fit}
        tags.append(frozenset(sorted(weights, key=lambda word: (-weights[word], word))[:count]))
    return tags


def sample(tags: Sequence[Tags], n: int) -> list[int]:
    """Complexity-first diverse sampling (InsTag): at most n indices in order.

    By number of tags, most first, ties by index: go down the list and take what has a tag that none taken in this
    pass has; then again over what is left. When a pass takes nothing, what is left has no tags and follows in order.
    """
    left = sorted(range(len(tags)), key=lambda index: -len(tags[index]))
    chosen: list[int] = []
    while left and len(chosen) < n:
        covered: set[str] = set()
        taken = []
        for index in left:
            if not tags[index] <= covered:
                taken.append(index)
                covered |= tags[index]
        taken = taken or left
        chosen += taken
        passed = set(taken)
        left = [index for index in left if index not in passed]
    return chosen[:n]
