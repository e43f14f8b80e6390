"""The fields of a record: what is at a name or a dotted path, and what is wrong with it in words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selectit.jsonable import parse_json


class RowError(Exception):
    """What is wrong with one row, in a few words that name the field."""


class LayoutError(RowError):
    """What is wrong with every row: the layout is unknown, or the map names a field that is not there."""

    def __init__(self, what: str, way_on: str = "") -> None:
        super().__init__(f"{what}. {way_on}" if way_on else what)
        self.what = what
        self.way_on = way_on
        """What to try, as a sentence; '' = nothing that fits this row."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Stands for a value of a table that is kept and not looked into."""

    kind: str
    """Its type in Arrow's words."""


NOTHING: tuple[Any, ...] = (None, "", [], {})


def find_field(value: Any, path: str) -> Any:
    """What is at a dotted path; None = nothing. A key with dots that is there as written counts before its parts."""
    parts = path.split(".")
    while parts:
        if isinstance(value, list) and (place := _as_place(parts[0])) < len(value):
            value, parts = value[place], parts[1:]
            continue
        rest = ".".join(parts)
        keys = value if isinstance(value, Mapping) else ()
        key = max((key for key in keys if f"{rest}.".startswith(f"{key}.")), key=len, default=None)
        if key is None:
            return None
        value, parts = value[key], parts[key.count(".") + 1 :]
    return value


def text_at(record: Mapping[str, Any], path: str, *, needed: bool = False) -> str:
    """The text at a path; '' where there is none. Raises RowError where it is no text, or is not there and `needed`."""
    value = find_field(record, path)
    if value is None and not needed:
        return ""
    if value is None:
        raise no_field(record, path)
    if not isinstance(value, str):
        raise RowError(f"the field {path!r} is {kind_of(value)}, and a text belongs there")
    return value


def no_field(record: Mapping[str, Any], path: str) -> LayoutError:
    """What to raise where a map names a path that a record does not have."""
    parts = path.split(".")
    lengths = range(1, len(parts) + 1)
    lacking = next((parts[n - 1] for n in lengths if find_field(record, ".".join(parts[:n])) is None), parts[-1])
    keys = ", ".join(map(repr, list(record)[:12]))
    return LayoutError(f"--map names the field {path!r}, and there is no {lacking!r}; the keys are {keys}")


def _as_place(part: str) -> int:
    """The place in a list that a part of a path names; one that no list has where it names none."""
    return int(part) if part.isascii() and part.isdigit() and len(part) < len(str(sys.maxsize)) else sys.maxsize


def text_of(record: Mapping[str, Any], field: str, within: str = "") -> str:
    """The text of a field. Raises RowError, which says where the record lies within another."""
    name = f"{within}.{field}" if within else field
    if field not in record:
        raise RowError(f"the field {name!r} is missing")
    if not isinstance(record[field], str):
        raise _wrong_kind(name, record[field], str)
    return str(record[field])


def optional_text(record: Mapping[str, Any], field: str, within: str = "") -> str:
    """The text of a field that may be missing, which null is too."""
    return "" if record.get(field) is None else text_of(record, field, within)


def list_at(record: Mapping[str, Any], path: str) -> list[Any]:
    """The list at a path; a text that is a list in JSON, as tables have them, counts as that. Raises RowError."""
    value = find_field(record, path)
    if value is None:
        raise RowError(f"the field {path!r} is missing") if path not in record else _wrong_kind(path, None, list)
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = parse_json(value)
        except ValueError as error:
            raise RowError(
                f"the field {path!r} is a text that is no list in JSON (does it come from Python's str?): {error}"
            ) from error
    if not isinstance(value, list):
        raise _wrong_kind(path, value, list)
    return value


def _wrong_kind(name: str, value: Any, kind: type) -> RowError:
    return RowError(f"the field {name!r} is {kind_of(value)}, and {_KINDS[kind]} belongs there")


def kind_of(value: Any) -> str:
    """What kind of JSON a value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, Unseen):
        return f"of type {value.kind}"
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), f"a {type(value).__name__}")


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
