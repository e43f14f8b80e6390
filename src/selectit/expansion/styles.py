"""What a generator is asked for new rows, by style, and whether its answer is one. Pure functions of texts."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from selectit.errors import SettingsError, nearest
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_UNFINISHED
from selectit.signals.requests import JudgeRequest

STYLES = ("depth", "breadth", "reasoning")
NO_ROOM = "the question and --max-new-tokens together are over the model's token limit"
UNFINISHED = "the answer was not finished within --max-new-tokens"
_REWRITES = "You write the instructions that an assistant is trained on."
_ANSWERS = "You are an assistant. Answer completely and to the point."


@dataclass(frozen=True, slots=True)
class Style:
    """One way to make a new row of a row."""

    name: str
    rewrite: JudgeRequest
    """Asked about the row: what comes back is the new instruction."""
    answer: JudgeRequest
    """Asked about the new instruction: what comes back is its response."""


def load_styles(names: Sequence[str], max_new_tokens: int) -> list[Style]:
    """The styles of these names, in their order. Raises SettingsError."""
    if not names or len(set(names)) != len(names):
        raise SettingsError(f"--styles is {','.join(names)!r}", f"Name each once, of {', '.join(STYLES)}.")
    if max_new_tokens < 1:
        raise SettingsError(f"--max-new-tokens is {max_new_tokens}", "It is a number of 1 or more.")
    for name in names:
        if name not in STYLES:
            raise SettingsError(f"there is no style {name!r}", nearest(name, STYLES))
    text = (resources.files("selectit.expansion") / "styles.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return [
        Style(
            name,
            JudgeRequest(_REWRITES, table[name]["rewrite"].strip(), max_new_tokens),
            JudgeRequest(_ANSWERS, table[name]["answer"].strip(), max_new_tokens),
        )
        for name in names
    ]


def find_fault(text: str | None, error: str | None, flags: int, original: str = "") -> str:
    """Why an answer is no text for a new row; '' where it is one.

    Args:
        text: the answer; None = there is none.
        error: why there is none.
        flags: a sum of the FLAG constants.
        original: what it was made of; it has to differ in more than case and white space.
    """
    words = (text or "").casefold().split()
    if flags & FLAG_NO_ROOM:  # the engine's message holds a count, and rows are grouped by their reason
        return NO_ROOM
    if error:
        return error
    if flags & FLAG_UNFINISHED:
        return UNFINISHED
    if not words:
        return "the answer is empty"
    if words == original.casefold().split():
        return "the answer is the text that was asked about, unchanged"
    return "the answer has a null byte" if "\0" in (text or "") else ""
