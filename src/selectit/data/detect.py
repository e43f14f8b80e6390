"""The layout of a record that nobody named, and what to try where it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from selectit.data.fields import LayoutError, RowError, find_field
from selectit.data.layouts import PARTS, ROLES, Layout, Roles, is_talk, name_fields, pair_in, parse_map
from selectit.data.turns import read_turns
from selectit.errors import SettingsError


def detect(record: Mapping[str, Any], roles: Roles = ()) -> Layout:
    """The layout of a record. Raises LayoutError, which says what keys it has and what to try.

    Args:
        record: with its fields.
        roles: what speakers are called; see `Layout.roles`.
    """
    if _are_columns(record):
        raise LayoutError("it is a whole table, column by column", _FROM_COLUMNS)
    found = _named_layout({key for key, value in record.items() if value is not None}) or _named_layout(set(record))
    if isinstance(record.get("prompt"), Mapping) and "replies" in record["prompt"]:
        found = "oasst"
    if found and not _has_answer_beside(record, found):
        return Layout(found, roles=roles)
    suggested = _suggest_map(record, roles)
    if found and suggested:
        raise LayoutError("its conversation ends in a question", _way_on(record, suggested))
    if found:
        return Layout(found, roles=roles)
    talk = suggested.get("messages", "")
    if set(suggested) <= {"messages", "system"} and (is_talk(record.get(talk)) or talk in _TALKS):
        return Layout("", tuple(suggested.items()), roles)
    names = ", ".join(map(repr, list(record)[:12])) or "none at all"
    raise LayoutError(f"the layout is unknown: the keys are {names}", _way_on(record, suggested))


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


def _has_answer_beside(record: Mapping[str, Any], layout: str) -> bool:
    """Whether a conversation ends in a question, and a field beside it seems to be the answer."""
    said = next((record[key] for key in ("conversations", "messages") if is_talk(record.get(key))), None)
    if layout not in ("sharegpt", "messages") or not isinstance(said, list):
        return False
    last = str(said[-1].get(name_fields(said[-1])[0])).lower()
    answers = ("response", "output", "answer", "completion")
    return ROLES.get(last) == "user" and any(record.get(key) and isinstance(record[key], str | list) for key in answers)


def _way_on(record: Mapping[str, Any], suggested: Mapping[str, str]) -> str:
    """What to do about a record of unknown layout."""
    if "parent_id" in record:
        return 'It is one message of a tree: take the file of whole trees, or write each path as {"messages": […]}'
    if set(record) in ({"role", "content"}, {"from", "value"}):
        return 'It is one message, and a conversation belongs in one object: {"messages": […]}'
    if suggested:
        return f"Try --map {','.join(f'{part}={path}' for part, path in suggested.items())}"
    tables = [key for key, value in record.items() if _is_table(value)]
    texts = [value for value in record.values() if isinstance(value, str) and value.split()[1:]]
    if tables == ["segments"]:
        return "Its segments are pieces of a finished prompt, which say no roles: write them as messages"
    if len(record) > 1 and all(isinstance(value, Mapping) for value in record.values()):
        return "The records seem to be its values: take them out: jq -c '.[]' OLD > NEW"
    if tables and not texts:
        return f"The records seem to be in the list {tables[0]!r}: take them out: jq -c '.{tables[0]}[]' OLD > NEW"
    if len(texts) == 1 and not any(isinstance(value, list | Mapping) for value in record.values()):
        return "Question and answer seem to be one text: write them as fields of their own, or as messages"
    return "Name the fields with --map instruction=FIELD,response=FIELD or --map messages=FIELD"


_FROM_COLUMNS = (
    "Make records of it: "
    "python -c \"import pandas; pandas.read_json('OLD').to_json('NEW', orient='records', lines=True)\""
)


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
    talks = [path for path in talks if path not in answers] or _texts_in_turn(record)
    wanted = ("system", "reasoning", "response") if talks else tuple(PARTS)
    if talks:
        parts["messages"] = talks[0]
    for part in wanted:
        found = [path for path in _paths_of(record, part) if path not in parts.values()]
        if found:
            parts[part] = max(found, key=lambda path: bool(find_field(record, path)))  # the first that is not empty
    for tried in (parts, {key: value for key, value in parts.items() if key not in ("response", "reasoning")}):
        try:
            text = ",".join(f"{key}={value}" for key, value in tried.items())
            read_turns(record, Layout("", parse_map(text).fields, roles))
        except (RowError, SettingsError):
            continue
        return tried
    inner = [key for key, value in record.items() if isinstance(value, Mapping)]
    found_inside = _suggest_map(record[inner[0]], roles) if len(inner) == 1 else {}
    return {part: f"{inner[0]}.{path}" for part, path in found_inside.items()}


def _texts_in_turn(record: Mapping[str, Any]) -> list[str]:
    """The one list of bare texts, where no field beside it seems to be a question: choices and tags are lists too."""
    lists = [
        path
        for path, value in _values(record)
        if isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value)
    ]
    return lists if len(lists) == 1 and not list(_paths_of(record, "instruction")) else []


def _values(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields, and those of objects in them."""
    for key, value in record.items():
        yield key, value
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", each) for inner, each in value.items())


def _paths_of(record: Mapping[str, Any], part: str) -> Iterator[str]:
    """The paths that may hold a part of the conversation, likely ones first; names count in small letters too."""
    names = {name.lower(): name for name in record} | {name: name for name in record}
    return (path for key in PARTS[part] if key in names for path in _paths(record, part, names[key]))


def _paths(record: Mapping[str, Any], part: str, key: str) -> Iterator[str]:
    """The paths at a key that may hold a part of the conversation."""
    value = record.get(key)
    if part == "history":
        yield from [key] * (isinstance(value, list) and bool(value))
        return
    if isinstance(value, str) and (value or part in ("system", "input")):  # empty in this row
        yield key
    elif part in ("instruction", "response") and is_talk(value):
        yield key
    if isinstance(value, list) and value and isinstance(value[0], str) and (part != "instruction" or len(value) == 1):
        yield f"{key}.0"
    if isinstance(value, Mapping):  # as SQuAD's answers
        yield from (f"{key}.{inner}" for inner in _paths(value, part, "text"))


def _is_conversation(name: str, value: Any) -> bool:
    """Whether a field looks like a list of turns, or by its name of texts in turn or questions with their answers."""
    if is_talk(value):
        return True
    if name not in _TALKS or not isinstance(value, list) or not value:
        return False
    if all(isinstance(each, str) for each in value):
        return len(value) > 1
    return all(isinstance(each, Mapping) and pair_in(each) for each in value)


_TALKS = ("conversation", "dialog", "dialogue", "chat", "turns")
"""Names of fields with turns. In others a list of questions with their answers may be a whole data set."""
