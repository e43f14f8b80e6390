"""Layouts: how one JSON object becomes turns. Pure functions of a parsed record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from selectit.schema import Sample, Turn

LAYOUTS = ("alpaca",)


class RowError(Exception):
    """What is wrong with one row, in a few words that name the field."""


def detect(record: Mapping[str, Any]) -> str:
    """The layout of a first record. Raises RowError, which says what keys it has."""
    if "instruction" in record and "output" in record:
        return "alpaca"
    keys = ", ".join(repr(key) for key in list(record)[:10]) or "none at all"
    raise RowError(f"the layout is unknown: the keys are {keys}; Alpaca has 'instruction', 'input' and 'output'")


def turns(record: Any, layout: str) -> tuple[Turn, ...]:
    """The turns of one record. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError(f"it is {_kind(record)}, not an object with fields")
    assert layout == "alpaca", layout
    instruction = _text(record, "instruction")
    extra = _text(record, "input") if "input" in record else ""
    return (
        Turn("user", f"{instruction}\n{extra}" if extra else instruction),
        Turn("assistant", _text(record, "output")),
    )


def digest(turns: tuple[Turn, ...]) -> bytes:
    """16 bytes over roles and texts. Raises RowError for text that is not Unicode (a lone surrogate)."""
    state = hashlib.blake2b(digest_size=16)
    try:
        for turn in turns:
            for part in (turn.role.encode(), turn.text.encode()):
                state.update(len(part).to_bytes(8, "little") + part)
    except UnicodeEncodeError as error:
        raise RowError(
            f"a text has half of a surrogate pair at character {error.start}, which is no Unicode"
        ) from error
    return state.digest()


def sample(row: int, turns: list[dict[str, str]]) -> Sample:
    """The pair to rate of a stored row: everything before the last answer, and the last answer."""
    return Sample(row, 0, "\n".join(turn["text"] for turn in turns[:-1]), turns[-1]["text"])


def _text(record: Mapping[str, Any], field: str) -> str:
    if field not in record:
        raise RowError(f"the field {field!r} is missing")
    value = record[field]
    if not isinstance(value, str):
        raise RowError(f"the field {field!r} is {_kind(value)}, and a text belongs there")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), type(value).__name__)
