"""From one record to the turns of its conversation. Pure functions of parsed values."""

from __future__ import annotations

import hashlib
import json
import math
import re
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
    is_talk,
    name_fields,
    pair_in,
)
from selectit.data.records import Turn

READING = 3
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
    for field in ("instruction", "output"):
        if isinstance(record.get(field), list) and not is_talk(record[field]):
            text_of(record, field)  # raises: several texts may be several answers
    earlier = _history(record, "history", reading)
    asked = _asked(record, "instruction", optional_text(record, "input"), reading)
    yield from _with_system(record, [*earlier, *asked, *_answer(record, "output", reading)], reading)


def _with_system(record: Mapping[str, Any], said: list[Turn], reading: _Reading) -> list[Turn]:
    """Turns after the system prompt in a field of its own, unless it is one of them: a text, or a list of parts."""
    texts = [_text_or_parts(record, field, reading) for field in SYSTEM]
    stated = {turn.text for turn in said if turn.role == "system"}
    return [Turn("system", text) for text in dict.fromkeys(texts) if text and text not in stated] + said


def _text_or_parts(record: Mapping[str, Any], field: str, reading: _Reading) -> str:
    """The text of a field that may be missing, or hold texts or parts in a list."""
    value = record.get(field)
    return _parts(value, field, reading) if isinstance(value, list) else optional_text(record, field)


def _history(record: Mapping[str, Any], field: str, reading: _Reading) -> Iterable[Turn]:
    """Earlier turns: a list of [question, answer], of texts in turn, or of messages."""
    if find_field(record, field) in NOTHING:
        return
    earlier = list_at(record, field)
    in_turn = len(earlier) % 2 == 0 and all(isinstance(text, str) for text in earlier)
    if in_turn or all(isinstance(pair, Mapping) for pair in earlier):
        yield from _turns_in(earlier, field, reading)
        return
    for place, pair in enumerate(earlier):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise RowError(f"{field}[{place}] is not a question and its answer, two texts")
        yield Turn("user", pair[0])
        yield Turn("assistant", pair[1])


def _asked(record: Mapping[str, Any], field: str, extra: str, reading: _Reading) -> Iterable[Turn]:
    """The question, or the conversation up to it, with its input at the end."""
    asked = list(_either(record, field, "user", reading))
    yield from asked[:-1]
    yield from (Turn(turn.role, join_input(turn.text, extra)) for turn in asked[-1:])


def _answer(record: Mapping[str, Any], field: str, reading: _Reading) -> Iterable[Turn]:
    """The answer, a text or a list of messages, after the reasoning in a field of its own."""
    thought = _reasoned(record, "", reading)
    if isinstance(record.get(field), list | Mapping):
        return _after_thought(thought, list(_either(record, field, "assistant", reading)))
    return [Turn("assistant", thought + text_of(record, field))]


def _after_thought(thought: str, answer: list[Turn]) -> list[Turn]:
    """The turns of an answer with the reasoning in front of its first words."""
    first = next((place for place, turn in enumerate(answer) if turn.role == "assistant"), len(answer))
    return (
        answer[:first]
        + [Turn("assistant", thought + turn.text) for turn in answer[first : first + 1]]
        + answer[first + 1 :]
    )


def _reasoned(record: Mapping[str, Any], text: str, reading: _Reading) -> str:
    """An answer with the reasoning that stands in a field of its own, as models that think write both."""
    found = dict.fromkeys(_text_or_parts(record, field, reading).strip() for field in REASONING)
    return "".join(_thought(reasoning) for reasoning in found if reasoning) + text


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
    return _with_system(record, list(_turns_in(list_at(record, field), field, reading)), reading)


def _prompt_completion(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    _refuse_label(record, "kto_tag", "label")
    asked = _either(record, "prompt", "user", reading)
    in_json = _is_json_talk(record.get("completion"), "assistant", reading)
    answer = _either(record, "completion", "assistant", reading) if in_json else _answer(record, "completion", reading)
    return _with_system(record, [*asked, *answer], reading)


def _either(record: Mapping[str, Any], field: str, role: str, reading: _Reading) -> Iterable[Turn]:
    """A text as one turn, a message, or a list of messages, perhaps as JSON text; of two parts one, of `role`."""
    said = find_field(record, field)
    if isinstance(said, list) or _is_json_talk(said, role, reading):
        yield from _turns_in(list_at(record, field), field, reading, role)
    elif isinstance(said, Mapping):
        yield from _turns_in([said], field, reading, role)
    elif said is None:
        raise RowError(f"the field {field!r} is {'null' if field in record else 'missing'}")
    else:
        yield Turn(role, text_at(record, field))


def _is_json_talk(said: Any, role: str, reading: _Reading) -> bool:
    """Whether a text is a list of messages in JSON, as tables have it; an answer may be JSON about something else."""
    if not isinstance(said, str) or not is_talk(said):
        return False
    first = list_at({"": said}, "")[0]
    return role != "assistant" or str(first.get(name_fields(first)[0])).lower().strip() in reading.roles


def _preference(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    """The chosen answer to the question; the rejected one is not read."""
    field = next((each for each in _ASKED if record.get(each) is not None), None)
    if field is None and isinstance(record.get("chosen"), str) and _MARKS.match(record["chosen"]):
        turns = _transcript(record["chosen"])
    else:
        turns = list(_either(record, "chosen", "assistant", reading))
    if any(turn.role == "user" for turn in turns):
        asked: Iterable[Turn] = ()  # the whole conversation, whose beginning `prompt` repeats
    elif field is None:
        raise RowError(f"preference data without a question: beside 'chosen' one of {', '.join(_ASKED)} belongs there")
    else:
        extra = optional_text(record, "input") if field == "instruction" else ""
        asked = _asked(record, field, extra, reading)
    return _with_system(record, [*_history(record, "history", reading), *asked, *turns], reading)


_MARKS = re.compile(r"(?:^|\n\n)(Human|Assistant): ?")


def _transcript(text: str) -> list[Turn]:
    """A conversation in one text, as HH-RLHF has it: 'Human: ' or 'Assistant: ' begins a turn, after an empty line."""
    said = _MARKS.split(text)[1:]
    roles = {"Human": "user", "Assistant": "assistant"}
    return [Turn(roles[who], what.strip()) for who, what in zip(said[::2], said[1::2], strict=True)]


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


def _oasst(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    """The path through a tree of messages that takes the best-ranked reply each time, the first where none is best."""
    node, name = record.get("prompt"), "prompt"
    while isinstance(node, Mapping):
        yield from _turns_of(node, name, reading)
        replies = [] if node.get("replies") is None else list_at(node, "replies")
        ranks = [_rank(reply, f"{name}.replies[{place}]") for place, reply in enumerate(replies)]
        best = ranks.index(min(ranks)) if ranks else 0
        node, name = (replies[best], f"{name}.replies[{best}]") if ranks else (None, "")


def _rank(reply: Any, name: str) -> float:
    """The rank of a reply, 0 the best; one without a rank comes last."""
    if not isinstance(reply, Mapping):
        raise RowError(f"{name} is {kind_of(reply)}, not an object with fields")
    rank = reply.get("rank")
    return float(rank) if isinstance(rank, int | float) else math.inf


def _by_map(record: Mapping[str, Any], layout: Layout, reading: _Reading) -> Iterable[Turn]:
    fields = dict(layout.fields)
    texts = {part: text_at(record, fields[part]) for part in ("system", "input", "reasoning") if part in fields}
    said = list(_history(record, fields["history"], reading)) if "history" in fields else []
    if "messages" in fields:
        said += _turns_in(list_at(record, fields["messages"]), fields["messages"], reading)
    elif find_field(record, fields["instruction"]) is None:
        raise no_field(record, fields["instruction"])
    else:
        said += _asked(record, fields["instruction"], texts.get("input", ""), reading)
    if "response" in fields:
        thought = _thought(texts["reasoning"]) if texts.get("reasoning", "").strip() else ""
        answer = _after_thought(thought, list(_either(record, fields["response"], "assistant", reading)))
        said = answer if answer[: len(said)] == said else said + answer  # it may hold the whole conversation
    system = texts.get("system", "")
    yield from (Turn("system", text) for text in (system,) if text and Turn("system", text) not in said)
    yield from said


_READERS = {
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "prompt-completion": _prompt_completion,
    "seed-tasks": _seed_tasks,
    "preference": _preference,
    "oasst": _oasst,
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
    who, what = name_fields(message)
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
    text = _reasoned(message, text, reading) if thinks else text
    if text or not calls:
        yield Turn(UNRATED if role == "assistant" and is_excluded(message) else role, text)


def is_excluded(message: Mapping[str, Any]) -> bool:
    """Whether the data says that a message is not to be learned."""
    marks = [message[key] for key in LEARNED if message.get(key) is not None]
    if any(not mark or str(mark).lower() in ("0", "0.0", "false") for mark in marks):  # tables may have texts
        return True
    return any(str(message.get(key)).lower() in ("1", "1.0", "true") for key in MASKED)


def _parts(parts: list[Any], name: str, reading: _Reading) -> str:
    """The text parts of a content, joined; what other kinds there are is noted."""
    if parts and all(isinstance(part, str) for part in parts):
        return "\n".join(parts)
    texts = []
    for place, part in enumerate(parts):
        if not isinstance(part, Mapping):
            raise RowError(f"{name}[{place}] is {kind_of(part)}, not an object with fields")
        kind = str(part.get("type") or ("text" if isinstance(part.get("text"), str) else "of no type"))
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
