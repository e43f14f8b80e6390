"""The layout of a record that nobody named, and what to try where it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selectit.data.fields import LayoutError, RowError, list_at
from selectit.data.layouts import PARTS, Layout, Roles, pair_in, parse_map
from selectit.data.turns import read_turns
from selectit.errors import SettingsError


def detect(record: Mapping[str, Any], roles: Roles = ()) -> Layout:
    """The layout of a record. Raises LayoutError, which says what keys it has and what to try.

    Args:
        record: with its fields.
        roles: what speakers are called; see `Layout.roles`.
    """
    if _are_columns(record):
        raise LayoutError("it is a whole table, column by column; make records of it: " + _FROM_COLUMNS)
    found = _named_layout({key for key, value in record.items() if value is not None}) or _named_layout(set(record))
    if found:
        return Layout(found, roles=roles)
    suggested = _suggest_map(record, roles)
    talk = suggested.get("messages", "")
    if set(suggested) <= {"messages", "system"} and (is_talk(record.get(talk)) or talk in _TALKS):
        return Layout("", tuple(suggested.items()), roles)
    names = ", ".join(map(repr, list(record)[:12])) or "none at all"
    raise LayoutError(f"the layout is unknown: the keys are {names}; {_way_on(record, suggested)}")


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


def _way_on(record: Mapping[str, Any], suggested: Mapping[str, str]) -> str:
    """What to do about a record of unknown layout."""
    if set(record) == {"role", "content"} or set(record) == {"from", "value"}:
        return 'it is one message, and a conversation belongs in one object: {"messages": […]}'
    if suggested:
        return f"try --map {','.join(f'{part}={path}' for part, path in suggested.items())}"
    tables = [key for key, value in record.items() if _is_table(value)]
    texts = [value for value in record.values() if isinstance(value, str) and value.split()[1:]]
    if tables == ["segments"]:
        return "its segments are pieces of a finished prompt, which say no roles; write them as messages"
    if len(tables) == 1 and not texts:
        return f"the records seem to be in the list {tables[0]!r}; take them out: jq -c '.{tables[0]}[]' OLD > NEW"
    if len(texts) == 1:
        return "question and answer seem to be one text; write them as fields of their own, or as messages"
    return "no map reads it: name the fields with --map instruction=FIELD,response=FIELD or --map messages=FIELD"


_FROM_COLUMNS = "python -c \"import pandas; pandas.read_json('OLD').to_json('NEW', orient='records', lines=True)\""


def _are_columns(record: Mapping[str, Any]) -> bool:
    """Whether an object is a table as pandas writes it: for each column the values by the number of their row."""
    return len(record) > 1 and all(
        isinstance(value, Mapping) and len(value) > 0 and all(isinstance(key, str) and key.isdigit() for key in value)
        for value in record.values()
    )


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping) and not is_talk(value)


def _suggest_map(record: Mapping[str, Any], roles: Roles) -> dict[str, str]:
    """A map that reads all of the record's conversation, tried on it; empty = none does."""
    parts: dict[str, str] = {}
    talks = [path for path, value in _values(record) if path not in PARTS["history"] and _is_conversation(path, value)]
    answers = [path for path in talks if path.partition(".")[0] in PARTS["response"]]
    talks = [path for path in talks if path not in answers]
    wanted = ("system", "reasoning", "response") if talks else tuple(PARTS)
    if talks:
        parts["messages"] = talks[0]
    for part in wanted:
        found = next(
            (path for key in PARTS[part] for path in _paths(record, part, key) if path not in parts.values()), ""
        )
        if found:
            parts[part] = found
    for tried in (parts, {key: value for key, value in parts.items() if key not in ("response", "reasoning")}):
        try:
            text = ",".join(f"{key}={value}" for key, value in tried.items())
            read_turns(record, Layout("", parse_map(text).fields, roles))
        except (RowError, SettingsError):
            continue
        return tried
    return {}


def _values(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields, and those of objects in them."""
    for key, value in record.items():
        yield key, value
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", each) for inner, each in value.items())


def _paths(record: Mapping[str, Any], part: str, key: str) -> Iterator[str]:
    """The paths at a key that may hold a part of the conversation."""
    value = record.get(key)
    if part == "history":
        yield from [key] * (isinstance(value, list) and bool(value))
        return
    if (isinstance(value, str) and value) or (part == "response" and is_talk(value)):
        yield key
    if isinstance(value, list) and value and isinstance(value[0], str):
        yield f"{key}.0"
    if isinstance(value, Mapping):  # as SQuAD's answers
        yield from (f"{key}.{inner}" for inner in _paths(value, part, "text"))


def _is_conversation(name: str, value: Any) -> bool:
    """Whether a field looks like a list of turns, of texts in turn, or of questions with their answers."""
    if is_talk(value):
        return True
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(each, str) for each in value):
        return len(value) > 1
    return name in _TALKS and all(isinstance(each, Mapping) and pair_in(each) for each in value)


_TALKS = ("conversation", "dialog", "dialogue", "chat", "turns")
"""Names of fields with turns. In others a list of questions with their answers may be a whole data set."""


def is_talk(value: Any) -> bool:
    """Whether a value is a list of messages, perhaps as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = list_at({"": value}, "")
        except RowError:
            return False
    return isinstance(value, list) and bool(value) and all(_is_message(each) for each in value)


def _is_message(value: Any) -> bool:
    signs = ({"role", "content"}, {"from", "value"}, {"role", "value"})
    return isinstance(value, Mapping) and any(sign <= value.keys() for sign in signs)
