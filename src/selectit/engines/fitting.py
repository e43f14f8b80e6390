"""A rating text that fits the token limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from selectit.data.records import Sample
from selectit.signals.requests import RatingPrompt


@dataclass(frozen=True, slots=True)
class FittedText:
    """A rated text's token ids, and whether the response had to be cut."""

    ids: list[int]
    truncated: bool


class TooLong(Exception):
    """Even with an empty response the text is longer than the limit; or it is too long and may not be cut."""


def fit(
    prompt: RatingPrompt, sample: Sample, encode: Callable[[str], list[int]], limit: int, *, cut: bool, ids: list[int]
) -> FittedText:
    """Cut the response from the right, as text, until the whole text has at most `limit` tokens.

    The whole text is tokenised again after each cut, so the answer line stays whole and no token is one that
    the tokenizer would not have made. `ids` are the ids of the uncut text. Raises TooLong.
    """
    if len(ids) <= limit:
        return FittedText(ids, False)
    if not cut:
        raise TooLong(f"the text has {len(ids)} tokens, the limit is {limit}, and --overflow is 'refuse'")

    def ids_of(characters: int) -> list[int]:
        return encode(prompt.render(sample.instruction, sample.response[:characters]))

    best = ids_of(0)
    if len(best) > limit:
        raise TooLong(f"the instruction is too long: {len(best)} tokens with an empty response, the limit is {limit}")
    # Gallop up, then halve: the work depends on the limit, not on the length of the response.
    low, step = 0, max(16, 2 * limit)
    high = len(sample.response)
    while low + step < high:
        candidate = ids_of(low + step)
        if len(candidate) > limit:
            high = low + step
            break
        low, best, step = low + step, candidate, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        candidate = ids_of(middle)
        if len(candidate) <= limit:
            low, best = middle, candidate
        else:
            high = middle
    return FittedText(best, True)
