"""The fields of a record: what is at a name or a dotted path, and what is wrong with it in words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeVar


class RowError(Exception):
    """What is wrong with one row, in a few words that name the field."""


class LayoutError(RowError):
    """What is wrong with every row: the layout is unknown, or the map names a field that is not there."""


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
    return _of_kind(record, field, f"{within}.{field}" if within else field, str)


def optional_text(record: Mapping[str, Any], field: str, within: str = "") -> str:
    """The text of a field that may be missing, which null is too."""
    return "" if record.get(field) is None else text_of(record, field, within)


def list_of(record: Mapping[str, Any], field: str) -> list[Any]:
    """The list of a field. Raises RowError."""
    return _of_kind(record, field, field, list)


def _of_kind(record: Mapping[str, Any], field: str, name: str, kind: type[_Value]) -> _Value:
    """The value of a field. Raises RowError, which calls it `name`, where it is missing or of another kind."""
    if field not in record:
        raise RowError(f"the field {name!r} is missing")
    value = record[field]
    if not isinstance(value, kind):
        raise RowError(f"the field {name!r} is {kind_of(value)}, and {_KINDS[kind]} belongs there")
    return value


def kind_of(value: Any) -> str:
    """What kind of JSON a value is, in words."""
    if value is None:
        return "null"
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), f"a {type(value).__name__}")


_Value = TypeVar("_Value", str, list[Any])
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
}
