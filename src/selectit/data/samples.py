"""From the turns of a conversation to the pairs that are rated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from selectit.data.fields import RowError, find_field, list_at, text_at
from selectit.data.layouts import Layout, has_inputs
from selectit.data.records import Sample, Turn
from selectit.data.turns import UNRATED, join_input, rated_answers

MAX_CONTEXTS = 64_000_000
"""What is rated of one record with every answer of it: their number times their length."""

ROLE_CHARACTERS = 8  # 'User: ' and the line break, about
_ROLE_WORDS = {
    "system": "System",
    "user": "User",
    "assistant": "Assistant",
    UNRATED: "Assistant",
    "call": "Tool call",
    "tool": "Tool result",
}


def build_samples(
    row: int, turns: Sequence[Turn], which: str, inputs: Mapping[str, str] = MappingProxyType({})
) -> list[Sample]:
    """The pairs of a row that are rated.

    Args:
        row: its number.
        turns: the whole conversation.
        which: the 'last' answer, 'each' answer, or the 'first' one (in a ShareGPT file that opens with a question and
            an answer, what Blue-Raincoat/SelectIT@4813250 reads). What stands before an answer is its instruction:
            the text alone where it is one question, else every turn with its role.
        inputs: as of `read_inputs`.
    """
    return [
        Sample(row, item, _context(turns[:place]), turns[place].text, _last_input(turns[:place], inputs))
        for item, place in enumerate(rated_turns(turns, which))
    ]


def _last_input(before: Sequence[Turn], inputs: Mapping[str, str]) -> str:
    return inputs.get(before[-1].text, "") if before and before[-1].role == "user" else ""


def read_inputs(record: Mapping[str, Any], layout: Layout) -> dict[str, str]:
    """The questions of a record that end in an input, and the input of each. The record is one that can be read."""
    if not has_inputs(layout):
        return {}
    if layout.name in ("alpaca", "preference"):
        asked = record.get("instruction")
        pairs = [(asked, record.get("input"))] if isinstance(asked, str) else []
    elif layout.name == "seed-tasks":
        pairs = [(record["instruction"], instance.get("input")) for instance in list_at(record, "instances")]
    else:
        fields = dict(layout.fields)
        asked = find_field(record, fields["instruction"])
        pairs = [(asked, text_at(record, fields["input"]))] if isinstance(asked, str) else []
    return {join_input(instruction, extra): extra for instruction, extra in pairs if extra}


def rated_turns(turns: Sequence[Turn], which: str) -> list[int]:
    """The places of the answers that are rated."""
    answers = rated_answers(turns)
    return {"last": answers[-1:], "first": answers[:1], "each": answers}[which]


def check_contexts(turns: Sequence[Turn], rated: Sequence[int]) -> None:
    """Raise RowError where what is asked of a row is too much: each of its answers repeats all turns before it."""
    if len(rated) < 2:
        return
    ends = list(itertools.accumulate(len(turn.text) + ROLE_CHARACTERS for turn in turns))
    if sum(ends[place] for place in rated) > MAX_CONTEXTS:
        raise RowError(
            f"its {len(rated):,} answers, each with all turns before it, have more than "
            f"{MAX_CONTEXTS // 1_000_000} million characters; --turns last rates one of them"
        )


def _context(before: Sequence[Turn]) -> str:
    if len(before) == 1:
        return before[0].text
    return "\n".join(f"{_ROLE_WORDS[turn.role]}: {turn.text}" for turn in before)
