"""From one record to the turns of its conversation. Pure functions of parsed values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selectit.data.fields import (
    NOTHING,
    RowError,
    find_field,
    kind_of,
    list_at,
    no_field,
    optional_text,
    text_at,
    text_of,
)
from selectit.data.layouts import (
    LEARNED,
    MASKED,
    MEDIA,
    REASONING,
    ROLES,
    SYSTEM,
    Layout,
    pair_in,
)
from selectit.data.records import Turn

READING = 2
"""Counts up where the same bytes are read as other turns than before: a run says which it was read by."""

MAX_CHARACTERS = 8_000_000
"""A record with more text than this is a mistake in the data, not an instruction and its response."""

UNRATED = "unrated"
"""The role of an answer that the data excludes from learning: it is context of what follows, and not rated."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is needed to read one record, and what is found on the way."""

    roles: Mapping[str, str]
    """In small letters, each with the role of a turn."""
    left_out: set[str]
    """What of the record is not text."""


def read_turns(record: Any, layout: Layout) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """The turns of one record, and what of it is not text. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError(f"it is {kind_of(record)}, not an object with fields")
    roles = {**ROLES, **dict(layout.roles)} if layout.roles else ROLES
    reading = _Reading(roles, {name for name in MEDIA if record.get(name) not in NOTHING})
    found = tuple(_READERS[layout.name](record, layout, reading))
    answers = [place for place, turn in enumerate(found) if turn.role in ("assistant", UNRATED)]
    if not answers:
        raise RowError("the conversation has no answer" if found else "the conversation has no turns")
    if not any(turn.role == "user" for turn in found[: answers[-1]]):
        raise RowError("the conversation starts with an answer: nothing is asked before it")
    if not rated_answers(found):
        raise RowError("every answer after a question is marked as not to be learned (weight 0)")
    if sum(len(turn.text) for turn in found) > MAX_CHARACTERS:
        raise RowError(f"it has more than {MAX_CHARACTERS // 1_000_000} million characters, which no model reads")
    for turn in found:
        if "\0" in turn.text:
            raise RowError(f"a text has a null byte at character {turn.text.index(chr(0))}")
    return found, tuple(sorted(reading.left_out))


def rated_answers(turns: Sequence[Turn]) -> list[int]:
    """The places of the answers that can be rated: something is asked before them."""
    asked = next((place for place, turn in enumerate(turns) if turn.role == "user"), len(turns))
    return [place for place, turn in enumerate(turns) if turn.role == "assistant" and place > asked]


def _alpaca(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    _refuse_label(record, "kto_tag")
    yield from _system(record, reading)
    yield from _history(record, "history", reading)
    yield Turn("user", join_input(text_of(record, "instruction"), optional_text(record, "input")))
    yield Turn("assistant", _reasoned(record, text_of(record, "output")))


def _system(record: Mapping[str, Any], reading: _Reading) -> Iterable[Turn]:
    """The system prompt in a field of its own: a text, or a list of texts or of parts."""
    texts = [
        _parts(record[field], field, reading) if isinstance(record.get(field), list) else optional_text(record, field)
        for field in SYSTEM
    ]
    yield from (Turn("system", text) for text in dict.fromkeys(texts) if text)


def _history(record: Mapping[str, Any], field: str, reading: _Reading) -> Iterable[Turn]:
    """Earlier turns: a list of [question, answer], or of messages."""
    if find_field(record, field) in NOTHING:
        return
    earlier = list_at(record, field)
    if all(isinstance(pair, Mapping) for pair in earlier):
        yield from _turns_in(earlier, field, reading)
        return
    for place, pair in enumerate(earlier):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise RowError(f"{field}[{place}] is not a question and its answer, two texts")
        yield Turn("user", pair[0])
        yield Turn("assistant", pair[1])


def _reasoned(record: Mapping[str, Any], text: str) -> str:
    """An answer with the reasoning that stands in a field of its own, as models that think write both."""
    reasoning = next((record[field] for field in REASONING if isinstance(record.get(field), str)), "")
    return f"{_thought(reasoning)}{text}" if reasoning.strip() else text


def _thought(reasoning: str) -> str:
    return f"<think>\n{reasoning.strip()}\n</think>\n\n"


def _refuse_label(record: Mapping[str, Any], *fields: str) -> None:
    """Refuse an answer that a preference label calls a bad one (KTO). Raises RowError."""
    for field in fields:
        if record.get(field) is False or str(record.get(field)).lower() == "false":  # a CSV file has texts only
            raise RowError(f"preference data: its {field!r} is false, so the answer is not one to learn")


def _sharegpt(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    return _talk(record, ("conversations", "messages"), reading)


def _messages(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    return _talk(record, ("messages", "conversations"), reading)


def _talk(record: Mapping[str, Any], fields: Sequence[str], reading: _Reading) -> Iterable[Turn]:
    """A whole conversation in the first of these fields that is there, with the system prompt beside it."""
    _refuse_label(record, "kto_tag", "label")
    field = next((each for each in fields if record.get(each) is not None), fields[0])
    said = list(_turns_in(list_at(record, field), field, reading))
    stated = {turn.text for turn in said if turn.role == "system"}
    yield from (turn for turn in _system(record, reading) if turn.text not in stated)
    yield from said


def _prompt_completion(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    _refuse_label(record, "kto_tag", "label")
    yield from _system(record, reading)
    yield from _either(record, "prompt", "user", reading)
    if isinstance(record.get("completion"), list | Mapping):
        yield from _either(record, "completion", "assistant", reading)
    else:
        yield Turn("assistant", _reasoned(record, text_of(record, "completion")))


def _either(record: Mapping[str, Any], field: str, role: str, reading: _Reading) -> Iterable[Turn]:
    """A text as one turn, a message, or a list of messages; of two parts of a conversation that is one of them."""
    said = find_field(record, field)
    if isinstance(said, list | Mapping):
        yield from _turns_in([said] if isinstance(said, Mapping) else said, field, reading, role)
    elif said is None:
        raise RowError(f"the field {field!r} is missing")
    else:
        yield Turn(role, text_at(record, field))


def _preference(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    """The chosen answer to the question; the rejected one is not read."""
    turns = list(_either(record, "chosen", "assistant", reading))
    field = next((each for each in _ASKED if record.get(each) is not None), None)
    if any(turn.role == "user" for turn in turns):
        asked: list[Turn] = []  # the whole conversation, whose beginning `prompt` repeats
    elif field is None:
        raise RowError(f"preference data without a question: beside 'chosen' one of {', '.join(_ASKED)} belongs there")
    elif field == "instruction":
        asked = [Turn("user", join_input(text_of(record, field), optional_text(record, "input")))]
    else:
        asked = list(_either(record, field, "user", reading))
    stated = {turn.text for turn in (*asked, *turns) if turn.role == "system"}
    yield from (turn for turn in _system(record, reading) if turn.text not in stated)
    yield from _history(record, "history", reading)
    yield from asked
    yield from turns


_ASKED = ("conversations", "messages", "prompt", "instruction", "question", "input")


def _seed_tasks(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    """Several instances of one task follow each other as a conversation."""
    instruction = text_of(record, "instruction")
    for place, instance in enumerate(list_at(record, "instances")):
        if not isinstance(instance, Mapping):
            raise RowError(f"instances[{place}] is {kind_of(instance)}, not an object with fields")
        extra = optional_text(instance, "input", f"instances[{place}]")
        yield Turn("user", join_input(instruction, extra))
        yield Turn("assistant", text_of(instance, "output", f"instances[{place}]"))


def _by_map(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    fields = dict(layout.fields)
    texts = {part: text_at(record, fields[part]) for part in ("system", "input", "reasoning") if part in fields}
    if texts.get("system"):
        yield Turn("system", texts["system"])
    if "history" in fields:
        yield from _history(record, fields["history"], reading)
    if "messages" in fields:
        yield from _turns_in(list_at(record, fields["messages"]), fields["messages"], reading)
    elif find_field(record, fields["instruction"]) is None:
        raise no_field(record, fields["instruction"])
    else:
        asked = list(_either(record, fields["instruction"], "user", reading))
        extra = texts.get("input", "")
        yield from (*asked[:-1], *(Turn(turn.role, join_input(turn.text, extra)) for turn in asked[-1:]))
    if "response" in fields:
        answer = list(_either(record, fields["response"], "assistant", reading))
        thought = _thought(texts["reasoning"]) if texts.get("reasoning", "").strip() else ""
        yield from (*(Turn(turn.role, thought + turn.text) for turn in answer[:1]), *answer[1:])


_READERS = {
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "seed-tasks": _seed_tasks,
    "preference": _preference,
    "": _by_map,
}


def _turns_in(said: list[Any], field: str, reading: _Reading, first: str = "user") -> Iterable[Turn]:
    """Turns with from and value, role and content, or question and answer; or bare texts in turn, `first` the first."""
    if said and all(isinstance(text, str) for text in said):
        second = {"user": "assistant", "assistant": "user"}[first]
        yield from (Turn(second if place % 2 else first, text) for place, text in enumerate(said))
        return
    for place, message in enumerate(said):
        name = f"{field}[{place}]"
        if not isinstance(message, Mapping):
            raise RowError(f"{name} is {kind_of(message)}, not an object with fields")
        pair = pair_in(message)
        yield from _turns_of_pair(message, *pair, name) if pair else _turns_of(message, name, reading)


def _turns_of_pair(message: Mapping[str, Any], asked: str, answered: str, name: str) -> Iterable[Turn]:
    system = optional_text(message, "system", name)
    if system:
        yield Turn("system", system)
    yield Turn("user", text_of(message, asked, name))
    yield Turn(UNRATED if is_excluded(message) else "assistant", text_of(message, answered, name))


def _turns_of(message: Mapping[str, Any], name: str, reading: _Reading) -> Iterable[Turn]:
    """One message: its tool calls, then its words, which only a message with calls may lack."""
    who, what = ("from", "value") if message.get("from") is not None else ("role", "content")
    if message.get(what) is None:  # role and value, as some write
        what = next((key for key in ("content", "value") if message.get(key) is not None), what)
    spoken = text_of(message, who, name)
    role = reading.roles.get(spoken.lower().strip())
    if role is None:
        raise RowError(
            f"{name} has the unknown role {spoken!r}; say what it is: --roles {spoken}=user, or assistant, system, tool"
        )
    calls = message.get("tool_calls") or message.get("function_call")
    if calls:
        yield Turn("call", calls if isinstance(calls, str) else json.dumps(calls, ensure_ascii=False))
    thinks = role == "assistant" and any(message.get(key) for key in REASONING)
    content = message.get(what)
    if isinstance(content, list | Mapping):
        text = _parts([content] if isinstance(content, Mapping) else content, f"{name}.{what}", reading)
    elif not content and (calls or thinks):
        text = ""
    else:
        text = text_of(message, what, name)
    text = _reasoned(message, text) if thinks else text
    if text or not calls:
        yield Turn(UNRATED if role == "assistant" and is_excluded(message) else role, text)


def is_excluded(message: Mapping[str, Any]) -> bool:
    """Whether the data says that a message is not to be learned."""
    if any(message.get(key) is not None and not message[key] for key in LEARNED):
        return True
    return any(message.get(key) in (True, 1) for key in MASKED)


def _parts(parts: list[Any], name: str, reading: _Reading) -> str:
    """The text parts of a content, joined; what other kinds there are is noted."""
    if parts and all(isinstance(part, str) for part in parts):
        return "\n".join(parts)
    texts = []
    for place, part in enumerate(parts):
        if not isinstance(part, Mapping):
            raise RowError(f"{name}[{place}] is {kind_of(part)}, not an object with fields")
        kind = str(part.get("type"))
        if kind in ("text", "input_text", "output_text"):
            texts.append(
                text_of(part, "value" if part.get("text") is None and "value" in part else "text", f"{name}[{place}]")
            )
        elif kind in ("thinking", "reasoning") and isinstance(part.get(kind), str):
            texts.append(_thought(part[kind]))
        else:
            reading.left_out.add(kind)
    return "".join(texts)


def join_input(instruction: str, extra: str) -> str:
    """What is asked: the instruction, then its input on a line of its own where there is one."""
    return f"{instruction}\n{extra}" if extra else instruction


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
