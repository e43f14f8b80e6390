"""Turn, Record and Sample: one row of a data set, and the pair in it that is rated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is system, user, assistant, call or tool. Only assistants are rated."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the data set. `row` (its place in the source, from 0) is its identity everywhere.

    `digest` is 16 bytes over the turns: equal rows have equal digests. `raw` is the record's own JSON
    text, kept so that what is written is what was read, to the last digit; of a table it is the Arrow row.
    """

    row: int
    digest: bytes
    turns: tuple[Turn, ...]
    raw: Any
    words: int
    """Words of the responses that are rated; see `words`."""
    left_out: tuple[str, ...]
    """Kinds of content that are not text ('image') and are not rated."""
    inputs: Mapping[str, str]
    """Of each question that ends in an input, the input."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One (instruction, response) pair to rate. `item` counts the rated answers of one row, from 0."""

    row: int
    item: int
    instruction: str
    """All that is asked, with the input at its end where there is one."""
    response: str
    input: str = ""
    """What the instruction is about, where the data has that apart (Alpaca's `input`)."""

    @property
    def task(self) -> str:
        """The instruction without its input."""
        return without_input(self.instruction, self.input)


def without_input(instruction: str, extra: str) -> str:
    """An instruction without the input that stands on lines of its own at its end, where there is one."""
    return instruction.removesuffix(f"\n{extra}") if extra else instruction
