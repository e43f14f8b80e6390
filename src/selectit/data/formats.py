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

DATA_LAYOUTS = ("alpaca", "sharegpt", "messages", "prompt-completion", "seed-tasks", "preference")

READING = 2
"""Counts up where the same bytes are read as other turns than before: a run says which it was read by."""


MAX_CHARACTERS = 8_000_000
"""A record with more text than this is a mistake in the data, not an instruction and its response."""

MAX_CONTEXTS = 64_000_000
"""What is rated of one record with every answer of it: their number times their length."""

_ROLE_CHARACTERS = 8  # 'User: ' and the line break, about

UNRATED = "unrated"
"""The role of an answer that the data excludes from learning: it is context of what follows, and not rated."""

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
_ROLE_WORDS = {
    "system": "System",
    "user": "User",
    "assistant": "Assistant",
    UNRATED: "Assistant",
    "call": "Tool call",
    "tool": "Tool result",
}

_SYSTEM = ("system", "system_prompt")
_REASONING = ("reasoning_content", "thinking", "reasoning")
_LEARNED = ("weight", "loss_weight", "train", "training", "trainable", "loss", "learn")
_MASKED = ("mask", "masked")
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
"""Fields beside the text with content that is not text."""

_WORDS = {"history": "turns before", "instruction": "question", "input": "question", "response": "answer"}
_BESIDE = dict.fromkeys(_SYSTEM, "system") | dict.fromkeys(_REASONING, "reasoning before the answer")
_READ_AS = {
    "alpaca": _BESIDE | {key: _WORDS[key] for key in ("history", "instruction", "input")} | {"output": "answer"},
    "sharegpt": dict.fromkeys(_SYSTEM, "system") | {"conversations": "turns", "messages": "turns"},
    "messages": dict.fromkeys(_SYSTEM, "system") | {"messages": "turns", "conversations": "turns"},
    "prompt-completion": _BESIDE | {"prompt": "question", "completion": "answer"},
    "seed-tasks": {"instruction": "question", "instances": "questions and answers"},
    "preference": dict.fromkeys(_SYSTEM, "system")
    | {key: "turns" for key in ("conversations", "messages")}
    | {key: "question" for key in ("prompt", "instruction", "input", "question")}
    | {"history": "turns before", "chosen": "answer"},
}
"""Which field of a record is read as what."""

_LIKELY = {
    "system": ("system", "system_prompt", "system_message"),
    "history": ("history",),
    "instruction": ("instruction", "prompt", "question", "query", "problem", "input", "text"),
    "input": ("input", "context", "passage", "document"),
    "reasoning": _REASONING,
    "response": ("response", "output", "answer", "completion", "solution", "target", "label", "chosen"),
}
"""For each part of a map the fields that may be meant, likely ones first."""


class RowError(Exception):
    """What is wrong with one row, in a few words that name the field."""


class LayoutError(RowError):
    """What is wrong with every row: the layout is unknown, or the map names a field that is not there."""


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
        if key.strip() not in (*_LIKELY, "messages"):
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
    talks = [key for key in lists if key not in _LIKELY["history"]]
    wanted = ("system", "reasoning", "response") if talks else tuple(_LIKELY)
    if talks:
        parts["messages"] = talks[0]
    for part in wanted:
        kind = list if part == "history" else str
        known = (key for key in _LIKELY[part] if isinstance(record.get(key), kind) and record[key])
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


def check_parts(record: Any, layout: Layout) -> set[str]:
    """The parts of a map that a record has; of a named layout none. Raises LayoutError where it lacks the text."""
    if layout.name or not isinstance(record, Mapping):
        return set()
    found = {part for part, path in layout.fields if _find(record, path) is not None}
    for part, path in layout.fields:
        if part not in found and part in ("messages", "instruction") + ("response",) * ("messages" not in found):
            raise _no_field(record, path)
    return found


def read_turns(record: Any, layout: Layout) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """The turns of one record, and what of it is not text. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError(f"it is {_kind(record)}, not an object with fields")
    left_out = {name for name in MEDIA if record.get(name) not in _NOTHING}
    found = tuple(_READERS[layout.name](record, layout, left_out))
    answers = [place for place, turn in enumerate(found) if turn.role in ("assistant", UNRATED)]
    if not answers:
        raise RowError("the conversation has no answer" if found else "the conversation has no turns")
    if not any(turn.role == "user" for turn in found[: answers[-1]]):
        raise RowError("the conversation starts with an answer: nothing is asked before it")
    if not _answers(found):
        raise RowError("every answer after a question is marked as not to be learned (weight 0)")
    if sum(len(turn.text) for turn in found) > MAX_CHARACTERS:
        raise RowError(f"it has more than {MAX_CHARACTERS // 1_000_000} million characters, which no model reads")
    for turn in found:
        if "\0" in turn.text:
            raise RowError(f"a text has a null byte at character {turn.text.index(chr(0))}")
    return found, tuple(sorted(left_out))


_NOTHING: tuple[Any, ...] = (None, "", [], {})


def read_as(layout: Layout) -> dict[str, str]:
    """The fields of a record that are read, each with what it is read as."""
    if layout.name:
        return _READ_AS[layout.name]
    words = _WORDS | {"messages": "turns", "reasoning": "reasoning before the answer"}
    return {name: words.get(part, part) for part, path in layout.fields for name in (path, path.partition(".")[0])}


def unread_fields(layout: Layout, record: Mapping[str, Any]) -> set[str]:
    """The fields of a record, and of its messages, that are not read and not empty; dots for fields within fields."""
    fields = read_as(layout)
    found = {name for name, value in record.items() if name not in fields and value not in _NOTHING}
    found -= set(MEDIA)
    inner = _INNER | ({"input", "output"} if layout.name == "seed-tasks" else set())
    for field in fields:
        value = record.get(field)
        for message in value if isinstance(value, list) else ():
            if isinstance(message, Mapping) and not message.keys() <= inner:
                found |= {f"{field}.{name}" for name in message.keys() - inner if message[name] not in _NOTHING}
    return found


_INNER = {"from", "value", "role", "content", "tool_calls", "tool_call_id", *_REASONING, *_LEARNED, *_MASKED}
"""The fields of a message that are read."""


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
    answers = _answers(turns)
    return {"last": answers[-1:], "first": answers[:1], "each": answers}[which]


def _answers(turns: Sequence[Turn]) -> list[int]:
    """The places of the answers that can be rated: something is asked before them."""
    asked = next((place for place, turn in enumerate(turns) if turn.role == "user"), len(turns))
    return [place for place, turn in enumerate(turns) if turn.role == "assistant" and place > asked]


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
    _refuse_label(record, "kto_tag")
    yield from _system(record)
    yield from _history(record, "history", left_out)
    yield Turn("user", _join(_text(record, "instruction"), _optional(record, "input")))
    yield Turn("assistant", _reasoned(record, _text(record, "output")))


def _system(record: Mapping[str, Any], fields: Sequence[str] = _SYSTEM) -> Iterable[Turn]:
    """The system prompt in a field of its own."""
    texts = [_optional(record, field) for field in fields]
    yield from (Turn("system", text) for text in dict.fromkeys(texts) if text)


def _history(record: Mapping[str, Any], field: str, left_out: set[str]) -> Iterable[Turn]:
    """Earlier turns: a list of [question, answer], or of messages."""
    earlier = _find(record, field)
    if earlier in _NOTHING:
        return
    if not isinstance(earlier, list):
        raise RowError(f"the field {field!r} is {_kind(earlier)}, and a list belongs there")
    if all(isinstance(pair, Mapping) for pair in earlier):
        yield from _turns_in(earlier, field, left_out)
        return
    for place, pair in enumerate(earlier):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise RowError(f"{field}[{place}] is not a question and its answer, two texts")
        yield Turn("user", pair[0])
        yield Turn("assistant", pair[1])


def _reasoned(record: Mapping[str, Any], text: str) -> str:
    """An answer with the reasoning that stands in a field of its own, as models that think write both."""
    reasoning = next((record[field] for field in _REASONING if isinstance(record.get(field), str)), "")
    return f"{_thought(reasoning)}{text}" if reasoning.strip() else text


def _thought(reasoning: str) -> str:
    return f"<think>\n{reasoning.strip()}\n</think>\n\n"


def _refuse_label(record: Mapping[str, Any], *fields: str) -> None:
    """Refuse an answer that a preference label calls a bad one (KTO). Raises RowError."""
    for field in fields:
        if record.get(field) is False:
            raise RowError(f"preference data: its {field!r} is false, so the answer is not one to learn")


def _sharegpt(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    return _talk(record, ("conversations", "messages"), left_out)


def _messages(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    return _talk(record, ("messages", "conversations"), left_out)


def _talk(record: Mapping[str, Any], fields: Sequence[str], left_out: set[str]) -> Iterable[Turn]:
    """A whole conversation in the first of these fields that is there, with the system prompt beside it."""
    _refuse_label(record, "kto_tag", "label")
    field = next((each for each in fields if record.get(each) is not None), fields[0])
    said = list(_turns_in(_list(record, field), field, left_out))
    stated = {turn.text for turn in said if turn.role == "system"}
    yield from (turn for turn in _system(record) if turn.text not in stated)
    yield from said


def _prompt_completion(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    _refuse_label(record, "kto_tag", "label")
    yield from _system(record)
    yield from _either(record, "prompt", "user", left_out)
    if isinstance(record.get("completion"), list):
        yield from _turns_in(record["completion"], "completion", left_out)
    else:
        yield Turn("assistant", _reasoned(record, _text(record, "completion")))


def _either(record: Mapping[str, Any], field: str, role: str, left_out: set[str]) -> Iterable[Turn]:
    """A text as one turn, or a list of messages."""
    if isinstance(record.get(field), list):
        yield from _turns_in(record[field], field, left_out)
    else:
        yield Turn(role, _text(record, field))


def _preference(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    """The chosen answer to the question; the rejected one is not read."""
    chosen = record.get("chosen")
    answer = [chosen] if isinstance(chosen, Mapping) else chosen
    turns = list(
        _turns_in(answer, "chosen", left_out)
        if isinstance(answer, list)
        else [Turn("assistant", _text(record, "chosen"))]
    )
    field = next((each for each in _ASKED if record.get(each) is not None), None)
    if any(turn.role == "user" for turn in turns):
        asked: list[Turn] = []  # the whole conversation, whose beginning `prompt` repeats
    elif field is None:
        raise RowError(f"preference data without a question: beside 'chosen' one of {', '.join(_ASKED)} belongs there")
    elif field == "instruction":
        asked = [Turn("user", _join(_text(record, field), _optional(record, "input")))]
    else:
        asked = list(_either(record, field, "user", left_out))
    stated = {turn.text for turn in (*asked, *turns) if turn.role == "system"}
    yield from (turn for turn in _system(record) if turn.text not in stated)
    yield from _history(record, "history", left_out)
    yield from asked
    yield from turns


_ASKED = ("conversations", "messages", "prompt", "instruction", "question", "input")


def _seed_tasks(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    """Several instances of one task follow each other as a conversation."""
    instruction = _text(record, "instruction")
    for place, instance in enumerate(_list(record, "instances")):
        if not isinstance(instance, Mapping):
            raise RowError(f"instances[{place}] is {_kind(instance)}, not an object with fields")
        extra = _optional(instance, "input", f"instances[{place}]")
        yield Turn("user", _join(instruction, extra))
        yield Turn("assistant", _text(instance, "output", f"instances[{place}]"))


def _by_map(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    fields = dict(layout.fields)
    texts = {part: _at(record, fields[part]) for part in ("system", "input", "reasoning") if part in fields}
    if texts.get("system"):
        yield Turn("system", texts["system"])
    if "history" in fields:
        yield from _history(record, fields["history"], left_out)
    if "messages" in fields:
        said = _find(record, fields["messages"])
        if not isinstance(said, list):
            raise RowError(f"the field {fields['messages']!r} is {_kind(said)}, and a list belongs there")
        yield from _turns_in(said, fields["messages"], left_out)
    else:
        yield Turn("user", _join(_at(record, fields["instruction"], needed=True), texts.get("input", "")))
    if "response" in fields:
        reasoning = texts.get("reasoning", "")
        answer = _at(record, fields["response"], needed=True)
        yield Turn("assistant", (_thought(reasoning) if reasoning.strip() else "") + answer)


_READERS = {
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "seed-tasks": _seed_tasks,
    "preference": _preference,
    "": _by_map,
}


def _turns_in(said: list[Any], field: str, left_out: set[str]) -> Iterable[Turn]:
    """Turns with from and value, or role and content, or bare texts, question and answer in turn."""
    if said and all(isinstance(text, str) for text in said):
        yield from (Turn("assistant" if place % 2 else "user", text) for place, text in enumerate(said))
        return
    for place, message in enumerate(said):
        name = f"{field}[{place}]"
        if not isinstance(message, Mapping):
            raise RowError(f"{name} is {_kind(message)}, not an object with fields")
        yield from _turns_of(message, name, left_out)


def _turns_of(message: Mapping[str, Any], name: str, left_out: set[str]) -> Iterable[Turn]:
    """One message: its tool calls, then its words, which only a message with calls may lack."""
    who, what = ("from", "value") if message.get("from") is not None else ("role", "content")
    if message.get(what) is None:  # role and value, as some write
        what = next((key for key in ("content", "value") if message.get(key) is not None), what)
    spoken = _text(message, who, name)
    role = _ROLES.get(spoken) or _ROLES.get(spoken.lower())
    if role is None:
        raise RowError(f"{name} has the unknown role {spoken!r}; known: {', '.join(_ROLES)}")
    calls = message.get("tool_calls")
    if calls:
        yield Turn("call", json.dumps(calls, ensure_ascii=False))
    thinks = role == "assistant" and any(message.get(key) for key in _REASONING)
    if isinstance(message.get(what), list):
        text = _parts(message[what], f"{name}.{what}", left_out)
    elif not message.get(what) and (calls or thinks):
        text = ""
    else:
        text = _text(message, what, name)
    text = _reasoned(message, text) if thinks else text
    if text or not calls:
        yield Turn(UNRATED if role == "assistant" and is_excluded(message) else role, text)


def is_excluded(message: Mapping[str, Any]) -> bool:
    """Whether the data says that a message is not to be learned."""
    if any(message.get(key) is not None and not message[key] for key in _LEARNED):
        return True
    return any(message.get(key) in (True, 1) for key in _MASKED)


def _parts(parts: list[Any], name: str, left_out: set[str]) -> str:
    """The text parts of a content, joined; what other kinds there are goes to `left_out`."""
    texts = []
    for place, part in enumerate(parts):
        if not isinstance(part, Mapping):
            raise RowError(f"{name}[{place}] is {_kind(part)}, not an object with fields")
        kind = str(part.get("type"))
        if kind in ("text", "input_text", "output_text"):
            texts.append(
                _text(part, "value" if part.get("text") is None and "value" in part else "text", f"{name}[{place}]")
            )
        elif kind in ("thinking", "reasoning") and isinstance(part.get(kind), str):
            texts.append(_thought(part[kind]))
        else:
            left_out.add(kind)
    return "".join(texts)


def _join(instruction: str, extra: str) -> str:
    return f"{instruction}\n{extra}" if extra else instruction


def _at(record: Mapping[str, Any], path: str, *, needed: bool = False) -> str:
    """The text at a path; '' where there is none. Raises RowError where it is no text, or is not there and `needed`."""
    value = _find(record, path)
    if value is None and not needed:
        return ""
    if value is None:
        raise _no_field(record, path)
    if not isinstance(value, str):
        raise RowError(f"the field {path!r} is {_kind(value)}, and a text belongs there")
    return value


def _find(value: Any, path: str) -> Any:
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


def _no_field(record: Mapping[str, Any], path: str) -> LayoutError:
    parts = path.split(".")
    lengths = range(1, len(parts) + 1)
    lacking = next((parts[n - 1] for n in lengths if _find(record, ".".join(parts[:n])) is None), parts[-1])
    keys = ", ".join(map(repr, list(record)[:12]))
    return LayoutError(f"--map names the field {path!r}, and there is no {lacking!r}; the keys are {keys}")


def _as_place(part: str) -> int:
    """The place in a list that a part of a path names; one that no list has where it names none."""
    return int(part) if part.isascii() and part.isdigit() and len(part) < len(str(sys.maxsize)) else sys.maxsize


def _list(record: Mapping[str, Any], field: str) -> list[Any]:
    return _of_kind(record, field, field, list)


def _text(record: Mapping[str, Any], field: str, within: str = "") -> str:
    return _of_kind(record, field, f"{within}.{field}" if within else field, str)


def _optional(record: Mapping[str, Any], field: str, within: str = "") -> str:
    """The text of a field that may be missing, which null is too."""
    return "" if record.get(field) is None else _text(record, field, within)


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
