"""The layout of a record that nobody named, and what to try where it has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selectit.data.fields import LayoutError, RowError
from selectit.data.layouts import PARTS, Layout, parse_map
from selectit.data.turns import read_turns
from selectit.errors import SettingsError


def detect(record: Mapping[str, Any]) -> Layout:
    """The layout of a record. Raises LayoutError, which says what keys it has and what to try."""
    found = _named_layout({key for key, value in record.items() if value is not None}) or _named_layout(set(record))
    if found:
        return Layout(found)
    names = ", ".join(map(repr, list(record)[:12])) or "none at all"
    raise LayoutError(f"the layout is unknown: the keys are {names}; {_way_on(record)}")


def _named_layout(keys: set[str]) -> str:
    """The layout that has these fields; '' = none of those with names."""
    for fields, name in _SIGNS:
        if fields <= keys:
            return name
    return ""


_SIGNS = (
    ({"chosen", "rejected"}, "preference"),
    ({"conversations"}, "sharegpt"),
    ({"messages"}, "messages"),
    ({"instruction", "instances"}, "seed-tasks"),
    ({"instruction", "output"}, "alpaca"),
    ({"prompt", "completion"}, "prompt-completion"),
)


def _way_on(record: Mapping[str, Any]) -> str:
    """What to do about a record of unknown layout."""
    if set(record) == {"role", "content"} or set(record) == {"from", "value"}:
        return 'it is one message, and a conversation belongs in one object: {"messages": […]}'
    tables = [
        key
        for key, value in record.items()
        if isinstance(value, list) and value and isinstance(value[0], Mapping) and not _is_conversation(value)
    ]
    suggested = _suggest_map(record)
    if suggested:
        return f"try --map {suggested}"
    if len(tables) == 1 and not any(isinstance(value, str) and " " in value for value in record.values()):
        return f"the records seem to be in the list {tables[0]!r}; take them out: jq -c '.{tables[0]}[]' OLD > NEW"
    return "no map reads it: name the fields with --map instruction=FIELD,response=FIELD or --map messages=FIELD"


def _suggest_map(record: Mapping[str, Any]) -> str:
    """A map that reads all of the record's conversation, tried on it; '' = none does."""
    parts: dict[str, str] = {}
    lists = [key for key, value in record.items() if _is_conversation(value)]
    talks = [key for key in lists if key not in PARTS["history"]]
    wanted = ("system", "reasoning", "response") if talks else tuple(PARTS)
    if talks:
        parts["messages"] = talks[0]
    for part in wanted:
        kind = list if part == "history" else str
        known = (key for key in PARTS[part] if isinstance(record.get(key), kind) and record[key])
        found = next((key for key in known if key not in parts.values()), None)
        if found is not None:
            parts[part] = found
    for tried in (parts, {key: value for key, value in parts.items() if key not in ("response", "reasoning")}):
        text = ",".join(f"{key}={value}" for key, value in tried.items())
        try:
            read_turns(record, parse_map(text))
        except (RowError, SettingsError):
            continue
        return text
    return ""


def _is_conversation(value: Any) -> bool:
    """Whether a value looks like a list of turns."""
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(each, str) for each in value):
        return len(value) > 1
    return all(
        isinstance(each, Mapping) and ({"role", "content"} <= set(each) or {"from", "value"} <= set(each))
        for each in value
    )
