"""Layouts: which fields of a record are read, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selectit.data.fields import NOTHING, find_field, no_field
from selectit.errors import SettingsError, nearest

DATA_LAYOUTS = ("alpaca", "sharegpt", "messages", "prompt-completion", "seed-tasks", "preference")
SYSTEM = ("system", "system_prompt")
REASONING = ("reasoning_content", "thinking", "reasoning")
LEARNED = ("weight", "loss_weight", "train", "training", "trainable", "loss", "learn")
MASKED = ("mask", "masked")

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
}
"""Which field of a record is read as what."""

PARTS = {
    "system": ("system", "system_prompt", "system_message"),
    "history": ("history",),
    "instruction": ("instruction", "prompt", "question", "query", "problem", "input", "text"),
    "input": ("input", "context", "passage", "document"),
    "reasoning": REASONING,
    "response": ("response", "output", "answer", "completion", "solution", "target", "label", "chosen"),
}
"""For each part of a map the fields that may be meant, likely ones first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read a record: one of DATA_LAYOUTS, or a map from the parts of a conversation to dotted fields."""

    name: str
    fields: tuple[tuple[str, str], ...] = ()

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
    return layout.name in ("alpaca", "seed-tasks") or "input" in dict(layout.fields)


def read_as(layout: Layout) -> dict[str, str]:
    """The fields of a record that are read, each with what it is read as."""
    if layout.name:
        return _READ_AS[layout.name]
    words = _WORDS | {"messages": "turns", "reasoning": "reasoning before the answer"}
    return {name: words.get(part, part) for part, path in layout.fields for name in (path, path.partition(".")[0])}


def unread_fields(layout: Layout, record: Mapping[str, Any]) -> set[str]:
    """The fields of a record, and of its messages, that are not read and not empty; dots for fields within fields."""
    fields = read_as(layout)
    found = {name for name, value in record.items() if name not in fields and value not in NOTHING}
    found -= set(MEDIA)
    inner = _INNER | ({"input", "output"} if layout.name == "seed-tasks" else set())
    for field in fields:
        value = record.get(field)
        for message in value if isinstance(value, list) else ():
            if isinstance(message, Mapping) and not message.keys() <= inner:
                found |= {f"{field}.{name}" for name in message.keys() - inner if message[name] not in NOTHING}
    return found


_INNER = {"from", "value", "role", "content", "tool_calls", "tool_call_id", *REASONING, *LEARNED, *MASKED}
"""The fields of a message that are read."""
