"""Layouts: which fields of a record are read, and as what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selectit.data.fields import NOTHING, RowError, find_field, list_at, no_field
from selectit.errors import SettingsError, nearest

DATA_LAYOUTS = ("alpaca", "sharegpt", "messages", "prompt-completion", "seed-tasks", "preference", "oasst")
SYSTEM = ("system", "system_prompt", "system_message")
SPEAKERS = ("from", "role", "speaker")
"""Fields of a message that say who speaks; of several that are filled the first counts."""

REASONING = ("reasoning_content", "thinking", "reasoning")
LEARNED = ("weight", "loss_weight", "train", "training", "trainable", "loss", "learn", "loss_mask", "output_with_loss")
MASKED = ("mask", "masked")
PAIRS = (
    ("input", "output"),
    ("human", "assistant"),
    ("user", "assistant"),
    ("question", "answer"),
    ("prompt", "response"),
    ("instruction", "response"),
    ("instruction", "output"),
)
"""The fields of a question and its answer in one object of a conversation."""

ROLES = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "observation": "tool",
    "tool": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "ipython": "tool",
    "function": "tool",
}
"""What speakers are called, in small letters, each with the role of its turns."""

MEDIA = ("images", "image", "videos", "video", "audios", "audio")
"""Fields beside the text with content that is not text."""

_WORDS = {"history": "turns before", "instruction": "question", "input": "question", "response": "answer"}
_BESIDE = dict.fromkeys(SYSTEM, "system") | dict.fromkeys(REASONING, "reasoning before the answer")

_READ_AS = {
    "alpaca": _BESIDE | {key: _WORDS[key] for key in ("history", "instruction", "input")} | {"output": "answer"},
    "sharegpt": dict.fromkeys(SYSTEM, "system") | {"conversations": "turns", "messages": "turns"},
    "messages": dict.fromkeys(SYSTEM, "system") | {"messages": "turns", "conversations": "turns"},
    "prompt-completion": _BESIDE | {"prompt": "question", "completion": "answer"},
    "seed-tasks": {"instruction": "question", "instances": "questions and answers"},
    "preference": dict.fromkeys(SYSTEM, "system")
    | {key: "turns" for key in ("conversations", "messages")}
    | {key: "question" for key in ("prompt", "instruction", "input", "question")}
    | {"history": "turns before", "chosen": "answer"},
    "oasst": {"prompt": "turns, the best-ranked reply after each"},
}
"""Which field of a record is read as what."""

PARTS = {
    "system": SYSTEM,
    "history": ("history",),
    "instruction": (
        "instruction",
        "prompt",
        "question",
        "query",
        "problem",
        "input",
        "inputs",
        "source",
        "text",
        "user",
        "human",
    ),
    "input": ("input", "context", "passage", "document"),
    "reasoning": REASONING,
    "response": (
        "response",
        "output",
        "answer",
        "completion",
        "solution",
        "target",
        "targets",
        "answers",
        "preferred_output",
        "label",
        "chosen",
        "assistant",
        "gpt",
    ),
}
"""For each part of a map the fields that may be meant, likely ones first."""


Roles = tuple[tuple[str, str], ...]
"""Names of speakers, in small letters, each with the role of its turns."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a record: one of DATA_LAYOUTS, or a map from the parts of a conversation to dotted fields."""

    name: str
    fields: tuple[tuple[str, str], ...] = ()
    roles: Roles = ()
    """Beside those of ROLES."""

    @property
    def label(self) -> str:
        """The layout in one word or as the map was typed."""
        return self.name or ",".join(f"{key}={path}" for key, path in self.fields)


def parse_map(text: str) -> Layout:
    """'instruction=a.b,response=c' or 'messages=d' as a layout. Raises SettingsError."""
    hint = (
        "Write --map instruction=FIELD,response=FIELD (and system=, history=, input=, reasoning=), or messages=FIELD "
        "for a list of turns; dots for fields within fields."
    )
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, equals, path = part.partition("=")
        if not equals or not path.strip():
            raise SettingsError(f"--map: {part!r} is not name=field", hint)
        if key.strip() not in (*PARTS, "messages"):
            raise SettingsError(f"--map has no part {key.strip()!r}", hint)
        fields[key.strip()] = path.strip()
    if "messages" in fields and {"instruction", "input", "history"} & set(fields):
        raise SettingsError("--map names messages, which are the whole conversation, and an instruction", hint)
    if "messages" not in fields and not {"instruction", "response"} <= set(fields):
        raise SettingsError("--map needs both instruction and response", hint)
    if "reasoning" in fields and "response" not in fields:
        raise SettingsError("--map names a reasoning without its response", hint)
    return Layout("", tuple(fields.items()))


def parse_roles(texts: Sequence[str]) -> Roles:
    """'laguna=assistant,boss=user' and the like as `Layout.roles`. Raises SettingsError."""
    known = dict.fromkeys(ROLES.values())
    roles: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, role = (each.strip().lower() for each in part.rpartition("="))
        if not equals or not name or role not in ROLES:
            raise SettingsError(f"--roles: {part!r} is not NAME=ROLE", f"A role is one of {', '.join(known)}.")
        if roles.get(name, ROLES[role]) != ROLES[role]:
            raise SettingsError(f"--roles says two things of {name!r}", "Leave one of them out.")
        roles[name] = ROLES[role]
    return tuple(sorted(roles.items()))


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


def check_parts(record: Any, layout: Layout) -> set[str]:
    """The parts of a map that a record has; of a named layout none. Raises LayoutError where it lacks the text."""
    if layout.name or not isinstance(record, Mapping):
        return set()
    found = {part for part, path in layout.fields if find_field(record, path) is not None}
    for part, path in layout.fields:
        if part not in found and part in ("messages", "instruction") + ("response",) * ("messages" not in found):
            raise no_field(record, path)
    return found


def has_inputs(layout: Layout) -> bool:
    """Whether records of the layout may have an input apart from their instruction."""
    return layout.name in ("alpaca", "seed-tasks", "preference") or "input" in dict(layout.fields)


def read_as(layout: Layout) -> dict[str, str]:
    """The fields of a record that are read, of a map their paths, each with what it is read as."""
    if layout.name:
        return _READ_AS[layout.name]
    words = _WORDS | {"messages": "turns", "reasoning": "reasoning before the answer"}
    return {path: words.get(part, part) for part, path in layout.fields}


def unread_fields(layout: Layout, record: Mapping[str, Any]) -> set[str]:
    """The fields of a record, and of its messages, that are not read and not empty; dots for fields within fields."""
    fields = read_as(layout)
    read = fields.keys() if layout.name else {_own_key(record, path) for path in fields}
    found = {name for name, value in record.items() if name not in read and value not in NOTHING}
    found -= set(MEDIA)
    for field in fields:
        value = record.get(field) if layout.name else find_field(record, field)
        for message in value if isinstance(value, list) else ():
            if isinstance(message, Mapping):
                found |= {f"{field}.{name}" for name in _unread_parts(message, layout)}
    return found


def _own_key(record: Mapping[str, Any], path: str) -> str:
    """The record's own field that a path leads into; see `find_field`."""
    return max((key for key in record if f"{path}.".startswith(f"{key}.")), key=len, default=path)


def _unread_parts(message: Mapping[str, Any], layout: Layout) -> set[str]:
    """The fields of one message, or of one instance of a task, that are not read and not empty."""
    if message.keys() <= _INNER:
        return set()
    pair = ("input", "output") if layout.name == "seed-tasks" else pair_in(message)
    read = {*pair, "system", *LEARNED, *MASKED} if pair else {*_INNER, *name_fields(message)}
    return {name for name in message.keys() - read if message[name] not in NOTHING}


def name_fields(message: Mapping[str, Any]) -> tuple[str, str]:
    """The fields of a message that say who speaks and what: role and content, from and value, or otherwise."""
    who = next((name for name in SPEAKERS if message.get(name) is not None), "role")
    usual, other = ("value", "content") if who == "from" else ("content", "value")
    return who, next((name for name in (usual, other, "text") if message.get(name) is not None), usual)


def is_talk(value: Any) -> bool:
    """Whether a value is a list of messages, perhaps as JSON text."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = list_at({"": value}, "")
        except RowError:
            return False
    return isinstance(value, list) and bool(value) and all(_is_message(each) for each in value)


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and not value.keys().isdisjoint(SPEAKERS)
        and not value.keys().isdisjoint(("content", "value", "text"))
    )


def pair_in(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """The fields of a question and its answer, where both stand in one object; None where it is one message."""
    if not message.keys().isdisjoint(SPEAKERS):
        return None
    return next((pair for pair in PAIRS if message.keys() >= set(pair)), None)


_INNER = {
    "from",
    "value",
    "role",
    "content",
    "tool_calls",
    "function_call",
    "tool_call_id",
    *REASONING,
    *LEARNED,
    *MASKED,
}
"""The fields of a message that are read."""
