"""Layouts: how one record becomes turns, and which turns are rated. Pure functions of parsed values."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

from selectit.data.records import Sample, Turn
from selectit.errors import SettingsError, nearest

DATA_LAYOUTS = ("alpaca", "sharegpt", "messages", "prompt-completion", "seed-tasks")


MAX_CHARACTERS = 8_000_000
"""A record with more text than this is a mistake in the data, not an instruction and its response."""

MAX_CONTEXTS = 64_000_000
"""What is rated of one record with every answer of it: their number times their length."""

_ROLE_CHARACTERS = 8  # 'User: ' and the line break, about

_ROLES = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
}
_ROLE_WORDS = {"system": "System", "user": "User", "assistant": "Assistant", "call": "Tool call", "tool": "Tool result"}
_GUESSES = {
    "instruction": ("instruction", "prompt", "question", "query", "problem", "input", "text"),
    "response": ("response", "output", "answer", "completion", "solution", "target", "label", "chosen"),
}


class RowError(Exception):
    """What is wrong with one row, in a few words that name the field."""


class LayoutError(RowError):
    """What is wrong with every row: the layout is unknown, or the map names a field that is not there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a record: one of LAYOUTS, or a map from instruction, input and response to dotted fields."""

    name: str
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """The layout in one word or as the map was typed."""
        return self.name or ",".join(f"{key}={path}" for key, path in self.fields)


def parse_map(text: str) -> Layout:
    """'instruction=a.b,response=c' as a layout. Raises SettingsError."""
    hint = "Write --map instruction=FIELD,response=FIELD (and input=FIELD), dots for fields within fields."
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, path = part.partition("=")
        if not equals or not path.strip():
            raise SettingsError(f"--map: {part!r} is not name=field", hint)
        if key.strip() not in ("instruction", "input", "response"):
            raise SettingsError(f"--map has no part {key.strip()!r}", hint)
        fields[key.strip()] = path.strip()
    if not {"instruction", "response"} <= set(fields):
        raise SettingsError("--map needs both instruction and response", hint)
    return Layout("", tuple(fields.items()))


def find_layout(name: str) -> Layout:
    """The layout of that name. Raises SettingsError."""
    if name not in DATA_LAYOUTS:
        raise SettingsError(f"there is no format {name!r}", nearest(name, DATA_LAYOUTS))
    return Layout(name)


def parse_layout(name: str | None, fields: str | None) -> Layout | None:
    """The layout of --format, or of --map; None where neither is given. Raises SettingsError."""
    if fields is not None:
        return parse_map(fields)
    return None if name is None else find_layout(name)


def detect(record: Mapping[str, Any]) -> Layout:
    """The layout of a first record. Raises LayoutError, which says what keys it has and what to try."""
    keys = set(record)
    if "conversations" in keys:
        return Layout("sharegpt")
    if "messages" in keys:
        return Layout("messages")
    if {"instruction", "instances"} <= keys:
        return Layout("seed-tasks")
    if {"instruction", "output"} <= keys:
        return Layout("alpaca")
    if {"prompt", "completion"} <= keys:
        return Layout("prompt-completion")
    guess = {part: next((key for key in likely if key in keys), "FIELD") for part, likely in _GUESSES.items()}
    raise LayoutError(
        f"the layout is unknown: the keys are {', '.join(map(repr, list(record)[:12])) or 'none at all'}; try "
        f"--map instruction={guess['instruction']},response={guess['response']}"
    )


def read_turns(record: Any, layout: Layout) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """The turns of one record, and what of it is not text. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError(f"it is {_kind(record)}, not an object with fields")
    left_out: set[str] = set()
    found = tuple(_READERS[layout.name](record, layout, left_out))
    answer = next((place for place, turn in enumerate(found) if turn.role == "assistant"), None)
    if answer is None:
        raise RowError("the conversation has no answer" if found else "the conversation has no turns")
    if not any(turn.role == "user" for turn in found[:answer]):
        raise RowError("the conversation starts with an answer: nothing is asked before it")
    if sum(len(turn.text) for turn in found) > MAX_CHARACTERS:
        raise RowError(f"it has more than {MAX_CHARACTERS // 1_000_000} million characters, which no model reads")
    for turn in found:
        if "\0" in turn.text:
            raise RowError(f"a text has a null byte at character {turn.text.index(chr(0))}")
    return found, tuple(sorted(left_out))


def digest_turns(turns: tuple[Turn, ...]) -> bytes:
    """16 bytes over roles and texts. Raises RowError for text that is not Unicode (a lone surrogate)."""
    state = hashlib.blake2b(digest_size=16)
    try:
        for turn in turns:
            for part in (turn.role.encode(), turn.text.encode()):
                state.update(len(part).to_bytes(8, "little") + part)
    except UnicodeEncodeError as error:
        raise RowError(
            f"a text has half of a surrogate pair at character {error.start}, which is not Unicode"
        ) from error
    return state.digest()


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


def has_inputs(layout: Layout) -> bool:
    """Whether records of the layout may have an input apart from their instruction."""
    return layout.name in ("alpaca", "seed-tasks") or "input" in dict(layout.fields)


def read_inputs(record: Mapping[str, Any], layout: Layout) -> dict[str, str]:
    """The questions of a record that end in an input, and the input of each. The record is one that can be read."""
    if not has_inputs(layout):
        return {}
    if layout.name == "alpaca":
        pairs = [(record["instruction"], record.get("input"))]
    elif layout.name == "seed-tasks":
        pairs = [(record["instruction"], instance.get("input")) for instance in record["instances"]]
    else:
        fields = dict(layout.fields)
        pairs = [(_at(record, fields["instruction"]), _at(record, fields["input"]))]
    return {_join(instruction, extra): extra for instruction, extra in pairs if extra}


def rated_turns(turns: Sequence[Turn], which: str) -> list[int]:
    """The places of the answers that are rated."""
    answers = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    return {"last": answers[-1:], "first": answers[:1], "each": answers}[which]


def check_contexts(turns: Sequence[Turn], rated: Sequence[int]) -> None:
    """Raise RowError where what is asked of a row is too much: each of its answers repeats all turns before it."""
    if len(rated) < 2:
        return
    ends = list(itertools.accumulate(len(turn.text) + _ROLE_CHARACTERS for turn in turns))
    if sum(ends[place] for place in rated) > MAX_CONTEXTS:
        raise RowError(
            f"its {len(rated):,} answers, each with all turns before it, have more than "
            f"{MAX_CONTEXTS // 1_000_000} million characters; --turns last rates one of them"
        )


def _context(before: Sequence[Turn]) -> str:
    if len(before) == 1:
        return before[0].text
    return "\n".join(f"{_ROLE_WORDS[turn.role]}: {turn.text}" for turn in before)


def _alpaca(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    yield Turn("user", _join(_text(record, "instruction"), _text(record, "input") if "input" in record else ""))
    yield Turn("assistant", _text(record, "output"))


def _sharegpt(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    if record.get("system"):
        yield Turn("system", _text(record, "system"))
    said = _list(record, "conversations")
    if said and all(isinstance(text, str) for text in said):
        yield from (Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(said))
    else:
        yield from _messages_in(record, "conversations", left_out)


def _messages(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    return _messages_in(record, "messages", left_out)


def _prompt_completion(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        if isinstance(record.get(key), list):
            yield from _messages_in(record, key, left_out)
        else:
            yield Turn(role, _text(record, key))


def _seed_tasks(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    """Several instances of one task follow each other as a conversation."""
    instruction = _text(record, "instruction")
    for place, instance in enumerate(_list(record, "instances")):
        if not isinstance(instance, Mapping):
            raise RowError(f"instances[{place}] is {_kind(instance)}, not an object with fields")
        extra = _text(instance, "input", f"instances[{place}]") if "input" in instance else ""
        yield Turn("user", _join(instruction, extra))
        yield Turn("assistant", _text(instance, "output", f"instances[{place}]"))


def _by_map(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    found = {part: _at(record, path) for part, path in layout.fields}
    yield Turn("user", _join(found["instruction"], found.get("input", "")))
    yield Turn("assistant", found["response"])


_READERS = {
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "seed-tasks": _seed_tasks,
    "": _by_map,
}


def _messages_in(record: Mapping[str, Any], field: str, left_out: set[str]) -> Iterable[Turn]:
    """Turns with from and value, or role and content."""
    for place, message in enumerate(_list(record, field)):
        name = f"{field}[{place}]"
        if not isinstance(message, Mapping):
            raise RowError(f"{name} is {_kind(message)}, not an object with fields")
        who, what = ("from", "value") if "from" in message else ("role", "content")
        role = _text(message, who, name)
        if role not in _ROLES:
            raise RowError(f"{name} has the unknown role {role!r}; known: {', '.join(_ROLES)}")
        if message.get("tool_calls"):
            yield Turn("call", json.dumps(message["tool_calls"], ensure_ascii=False))
            if not message.get(what):
                continue
        if isinstance(message.get(what), list):
            yield Turn(_ROLES[role], _parts(message[what], f"{name}.{what}", left_out))
        else:
            yield Turn(_ROLES[role], _text(message, what, name))


def _parts(parts: list[Any], name: str, left_out: set[str]) -> str:
    """The text parts of a content, joined; what other kinds there are goes to `left_out`."""
    texts = []
    for place, part in enumerate(parts):
        if not isinstance(part, Mapping):
            raise RowError(f"{name}[{place}] is {_kind(part)}, not an object with fields")
        kind = str(part.get("type"))
        if kind in ("text", "input_text", "output_text"):
            texts.append(_text(part, "text" if "text" in part else "value", f"{name}[{place}]"))
        else:
            left_out.add(kind)
    return "".join(texts)


def _join(instruction: str, extra: str) -> str:
    return f"{instruction}\n{extra}" if extra else instruction


def _at(record: Mapping[str, Any], path: str) -> str:
    value: Any = record
    for part in path.split("."):
        if isinstance(value, list) and (place := _as_place(part)) < len(value):
            value = value[place]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            keys = ", ".join(map(repr, list(record)[:12]))
            raise LayoutError(f"--map names the field {path!r}, and there is no {part!r}; the keys are {keys}")
    if not isinstance(value, str):
        raise RowError(f"the field {path!r} is {_kind(value)}, and a text belongs there")
    return value


def _as_place(part: str) -> int:
    """The place in a list that a part of a path names; one that no list has where it names none."""
    return int(part) if part.isascii() and part.isdigit() and len(part) < len(str(sys.maxsize)) else sys.maxsize


def _list(record: Mapping[str, Any], field: str) -> list[Any]:
    return _of_kind(record, field, field, list)


def _text(record: Mapping[str, Any], field: str, within: str = "") -> str:
    return _of_kind(record, field, f"{within}.{field}" if within else field, str)


def _of_kind(record: Mapping[str, Any], field: str, name: str, kind: type[_Value]) -> _Value:
    """The value of a field. Raises RowError, which calls it `name`, where it is missing or of another kind."""
    if field not in record:
        raise RowError(f"the field {name!r} is missing")
    value = record[field]
    if not isinstance(value, kind):
        raise RowError(f"the field {name!r} is {_kind(value)}, and {_KINDS[kind]} belongs there")
    return value


def _kind(value: Any) -> str:
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
