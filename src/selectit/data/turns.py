"""From one record to the turns of its conversation. Pure functions of parsed values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selectit.data.fields import NOTHING, RowError, find_field, kind_of, list_of, optional_text, text_at, text_of
from selectit.data.layouts import LEARNED, MASKED, MEDIA, REASONING, SYSTEM, Layout
from selectit.data.records import Turn

READING = 2
"""Counts up where the same bytes are read as other turns than before: a run says which it was read by."""

MAX_CHARACTERS = 8_000_000
"""A record with more text than this is a mistake in the data, not an instruction and its response."""

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


def read_turns(record: Any, layout: Layout) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """The turns of one record, and what of it is not text. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError(f"it is {kind_of(record)}, not an object with fields")
    left_out = {name for name in MEDIA if record.get(name) not in NOTHING}
    found = tuple(_READERS[layout.name](record, layout, left_out))
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
    return found, tuple(sorted(left_out))


def rated_answers(turns: Sequence[Turn]) -> list[int]:
    """The places of the answers that can be rated: something is asked before them."""
    asked = next((place for place, turn in enumerate(turns) if turn.role == "user"), len(turns))
    return [place for place, turn in enumerate(turns) if turn.role == "assistant" and place > asked]


def _alpaca(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    _refuse_label(record, "kto_tag")
    yield from _system(record)
    yield from _history(record, "history", left_out)
    yield Turn("user", join_input(text_of(record, "instruction"), optional_text(record, "input")))
    yield Turn("assistant", _reasoned(record, text_of(record, "output")))


def _system(record: Mapping[str, Any], fields: Sequence[str] = SYSTEM) -> Iterable[Turn]:
    """The system prompt in a field of its own."""
    texts = [optional_text(record, field) for field in fields]
    yield from (Turn("system", text) for text in dict.fromkeys(texts) if text)


def _history(record: Mapping[str, Any], field: str, left_out: set[str]) -> Iterable[Turn]:
    """Earlier turns: a list of [question, answer], or of messages."""
    earlier = find_field(record, field)
    if earlier in NOTHING:
        return
    if not isinstance(earlier, list):
        raise RowError(f"the field {field!r} is {kind_of(earlier)}, and a list belongs there")
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
    reasoning = next((record[field] for field in REASONING if isinstance(record.get(field), str)), "")
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
    said = list(_turns_in(list_of(record, field), field, left_out))
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
        yield Turn("assistant", _reasoned(record, text_of(record, "completion")))


def _either(record: Mapping[str, Any], field: str, role: str, left_out: set[str]) -> Iterable[Turn]:
    """A text as one turn, or a list of messages."""
    if isinstance(record.get(field), list):
        yield from _turns_in(record[field], field, left_out)
    else:
        yield Turn(role, text_of(record, field))


def _preference(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    """The chosen answer to the question; the rejected one is not read."""
    chosen = record.get("chosen")
    answer = [chosen] if isinstance(chosen, Mapping) else chosen
    turns = list(
        _turns_in(answer, "chosen", left_out)
        if isinstance(answer, list)
        else [Turn("assistant", text_of(record, "chosen"))]
    )
    field = next((each for each in _ASKED if record.get(each) is not None), None)
    if any(turn.role == "user" for turn in turns):
        asked: list[Turn] = []  # the whole conversation, whose beginning `prompt` repeats
    elif field is None:
        raise RowError(f"preference data without a question: beside 'chosen' one of {', '.join(_ASKED)} belongs there")
    elif field == "instruction":
        asked = [Turn("user", join_input(text_of(record, field), optional_text(record, "input")))]
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
    instruction = text_of(record, "instruction")
    for place, instance in enumerate(list_of(record, "instances")):
        if not isinstance(instance, Mapping):
            raise RowError(f"instances[{place}] is {kind_of(instance)}, not an object with fields")
        extra = optional_text(instance, "input", f"instances[{place}]")
        yield Turn("user", join_input(instruction, extra))
        yield Turn("assistant", text_of(instance, "output", f"instances[{place}]"))


def _by_map(record: Mapping[str, Any], layout: Layout, left_out: set[str]) -> Iterable[Turn]:
    fields = dict(layout.fields)
    texts = {part: text_at(record, fields[part]) for part in ("system", "input", "reasoning") if part in fields}
    if texts.get("system"):
        yield Turn("system", texts["system"])
    if "history" in fields:
        yield from _history(record, fields["history"], left_out)
    if "messages" in fields:
        said = find_field(record, fields["messages"])
        if not isinstance(said, list):
            raise RowError(f"the field {fields['messages']!r} is {kind_of(said)}, and a list belongs there")
        yield from _turns_in(said, fields["messages"], left_out)
    else:
        yield Turn("user", join_input(text_at(record, fields["instruction"], needed=True), texts.get("input", "")))
    if "response" in fields:
        reasoning = texts.get("reasoning", "")
        answer = text_at(record, fields["response"], needed=True)
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
            raise RowError(f"{name} is {kind_of(message)}, not an object with fields")
        yield from _turns_of(message, name, left_out)


def _turns_of(message: Mapping[str, Any], name: str, left_out: set[str]) -> Iterable[Turn]:
    """One message: its tool calls, then its words, which only a message with calls may lack."""
    who, what = ("from", "value") if message.get("from") is not None else ("role", "content")
    if message.get(what) is None:  # role and value, as some write
        what = next((key for key in ("content", "value") if message.get(key) is not None), what)
    spoken = text_of(message, who, name)
    role = find_role(spoken)
    if role is None:
        raise RowError(f"{name} has the unknown role {spoken!r}; known: {', '.join(_ROLES)}")
    calls = message.get("tool_calls")
    if calls:
        yield Turn("call", json.dumps(calls, ensure_ascii=False))
    thinks = role == "assistant" and any(message.get(key) for key in REASONING)
    if isinstance(message.get(what), list):
        text = _parts(message[what], f"{name}.{what}", left_out)
    elif not message.get(what) and (calls or thinks):
        text = ""
    else:
        text = text_of(message, what, name)
    text = _reasoned(message, text) if thinks else text
    if text or not calls:
        yield Turn(UNRATED if role == "assistant" and is_excluded(message) else role, text)


def find_role(name: str) -> str | None:
    """The role of a turn whose speaker has that name; None = no name that is known."""
    return _ROLES.get(name) or _ROLES.get(name.lower())


def is_excluded(message: Mapping[str, Any]) -> bool:
    """Whether the data says that a message is not to be learned."""
    if any(message.get(key) is not None and not message[key] for key in LEARNED):
        return True
    return any(message.get(key) in (True, 1) for key in MASKED)


def _parts(parts: list[Any], name: str, left_out: set[str]) -> str:
    """The text parts of a content, joined; what other kinds there are goes to `left_out`."""
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
            left_out.add(kind)
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
