"""Turn, Record and Sample: one row of a data set, and the pair in it that is rated."""

from __future__ import annotations

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
    """Words (runs without white space) of the responses that are rated."""
    left_out: tuple[str, ...]
    """Kinds of content that are not text ('image') and are not rated."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One (instruction, response) pair to rate. `item` counts the rated answers of one row, from 0."""

    row: int
    item: int
    instruction: str
    response: str
