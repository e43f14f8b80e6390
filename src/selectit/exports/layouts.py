"""One row in the layout of a training tool. Pure functions of its turns and its record.

What a layout can't hold is a RowError that says why; nothing is changed or dropped to make it fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selectit.data.fields import RowError
from selectit.data.layouts import DATA_LAYOUTS, Layout, parse_map, unread_fields
from selectit.data.records import Turn
from selectit.data.turns import UNRATED
from selectit.jsonable import parse_json

TARGETS = ("trl", "llama-factory", "axolotl", "ms-swift", "openai", "hf-dataset", "parquet")
"""The training tools; `atlas.ATLAS` is beside them, and draws a map."""


FILES = {
    "trl": ("train.jsonl",),
    "llama-factory": ("train.jsonl", "dataset_info.json"),
    "axolotl": ("train.jsonl", "axolotl.yaml"),
    "ms-swift": ("train.jsonl",),
    "openai": ("train.jsonl",),
    "hf-dataset": ("data/train-00000-of-00001.parquet",),
    "parquet": ("train.parquet",),
    "atlas": ("atlas.parquet",),
}
"""What a target's folder holds beside README.md; the data is the first."""


PATHS = {"images": "<image>", "videos": "<video>", "audios": "<audio>"}
"""The fields with paths that LLaMA-Factory's layout has, each with the mark in the text where one belongs."""


CARRY_TOOLS = ("llama-factory", "ms-swift", "openai")
"""The layouts whose rows have the record's `tools`: the definitions of what a tool call may call."""


NO_TOOLS = ("trl", "axolotl", "hf-dataset")
"""Those without tool calls: `datasets`, which reads their files, takes the fields of all messages from the first ten
megabytes of JSON Lines, and breaks off where the first tool call comes later."""


_SHAREGPT = {"system": "system", "user": "human", "assistant": "gpt", "call": "function_call", "tool": "observation"}
_AXOLOTL = """\
# For your configuration of axolotl, beside base_model and the rest; the path is from where you start it.
datasets:
  - path: {path}
    ds_type: json
    type: chat_template
    field_messages: messages
    roles_to_train: [assistant]
    train_on_eos: turn
"""


@dataclass(frozen=True, slots=True)
class _Call:
    id: str | None
    name: str
    arguments: Any
    """As the record has them: an object, or its JSON text."""


def convert_row(
    target: str, layout: str, turns: Sequence[Turn], record: Mapping[str, Any], left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """A row as one of TARGETS has it ('parquet': where the source was no table).

    Args:
        target: the training tool.
        layout: of the source, as its run's manifest has it.
        turns: the conversation.
        record: the original; of a table, the columns that may hold text.
        left_out: what of the row is not text.

    Raises:
        RowError: the layout can't hold the row.
    """
    if left_out and not (target == "llama-factory" and set(left_out) <= set(PATHS)):
        raise RowError(f"it has content that is not text ({', '.join(left_out)})")
    if target != "openai" and any(turn.role == UNRATED for turn in turns):
        raise RowError("it has an answer that is not to be learned (weight 0), which is written for openai alone")
    if target == "parquet":
        return {"messages": [_message("tool_call" if turn.role == "call" else turn.role, turn.text) for turn in turns]}
    if turns[-1].role != "assistant":
        raise RowError("it doesn't end with an answer")
    if target == "llama-factory":
        return _llama_factory(layout, turns, record)
    if target == "ms-swift":
        return _ms_swift(layout, turns, record)
    if target == "openai":
        return _openai(turns, record)
    if any(turn.role in ("call", "tool") for turn in turns):  # one of NO_TOOLS
        raise RowError("it has tool calls")
    return {"messages": [_message(turn.role, turn.text) for turn in turns]}


def find_left_behind(target: str, layout: str, record: Mapping[str, Any]) -> set[str]:
    """The fields of a record that no layout of turns has a place for, such as an id; dots for fields within fields."""
    kept = {"tools"} if target in CARRY_TOOLS else set()
    kept |= {"parallel_tool_calls"} if target == "openai" else set()
    return unread_fields(Layout(layout) if layout in DATA_LAYOUTS else parse_map(layout), record) - kept


def side_files(target: str, layout: str, name: str, path: str, media: Sequence[str] = ()) -> dict[str, str]:
    """The texts of the files that a target wants beside the data.

    Args:
        target: the training tool.
        layout: of the source.
        name: of the data set.
        path: of the data, as the user names it.
        media: the fields of `PATHS` that rows have.
    """
    if target == "axolotl":
        return {"axolotl.yaml": _AXOLOTL.format(path=json.dumps(path, ensure_ascii=False))}
    if target != "llama-factory":
        return {}
    columns = {"messages": "conversations"} | ({"tools": "tools"} if _has_tools_column(layout) else {})
    columns |= {each: each for each in media}
    tags = {f"{role}_tag": _SHAREGPT[role] for role in ("user", "assistant", "system")}
    tags |= {"observation_tag": _SHAREGPT["tool"], "function_tag": _SHAREGPT["call"]}
    entry = {
        "file_name": FILES[target][0],
        "formatting": "sharegpt",
        "columns": columns,
        "tags": {"role_tag": "from", "content_tag": "value", **tags},  # all: one that is left out has no default then
    }
    info = {re.sub(r"\W+", "_", name) + "_selected": entry}
    return {"dataset_info.json": json.dumps(info, indent=2, ensure_ascii=False) + "\n"}


def _has_tools_column(layout: str) -> bool:
    """Whether rows have `tools`: all of a file or none, since `datasets`, which reads them, wants the same columns."""
    return layout not in ("alpaca", "seed-tasks")


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _llama_factory(layout: str, turns: Sequence[Turn], record: Mapping[str, Any]) -> dict[str, Any]:
    """Its ShareGPT layout. Rows whose turns don't take turns it skips with a warning; here they are refused."""
    talk = turns[1:] if turns[0].role == "system" else turns
    for place, turn in enumerate(talk):
        if turn.role not in (("user", "tool"), ("assistant", "call"))[place % 2]:
            raise RowError("its turns don't alternate between user or tool result and answer or tool call")
    conversations = [
        {"from": _SHAREGPT[turn.role], "value": _call_text(turn.text) if turn.role == "call" else turn.text}
        for turn in turns
    ]
    row: dict[str, Any] = {"conversations": conversations}
    if _has_tools_column(layout):
        tools = record.get("tools") or ""
        row["tools"] = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
    return row | {field: _paths(record, field, turns) for field in PATHS if record.get(field)}


def _ms_swift(layout: str, turns: Sequence[Turn], record: Mapping[str, Any]) -> dict[str, Any]:
    """Its standard format: messages, each tool call one of its own, and the tools as JSON; '[]' = there are none."""
    messages = [
        _message("tool_call" if turn.role == "call" else turn.role, text)
        for turn in turns
        for text in (_single_calls(turn.text) if turn.role == "call" else [turn.text])
    ]
    if not _has_tools_column(layout):
        return {"messages": messages}
    tools = _tools(record["tools"]) if record.get("tools") else []
    return {"messages": messages, "tools": json.dumps(tools, ensure_ascii=False)}


def _single_calls(text: str) -> Iterator[str]:
    """The calls of a turn, each as JSON of name and arguments; the text as it is where it is that already."""
    whole = _call_text(text)
    value = parse_json(whole)
    yield from [whole] if isinstance(value, Mapping) else (json.dumps(each, ensure_ascii=False) for each in value)


def _paths(record: Mapping[str, Any], field: str, turns: Sequence[Turn]) -> list[str]:
    """The paths of a row's images. Raises RowError where they are none, or not as many as the marks in its text."""
    paths, mark = record[field], PATHS[field]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise RowError(f"its {field} are not a list of paths")
    marks = sum(turn.text.count(mark) for turn in turns)
    if marks != len(paths):
        raise RowError(f"it has {len(paths)} {field} and {marks} {mark} in its text")
    return paths


def _call_text(text: str) -> str:
    """A tool call as LLaMA-Factory reads it: the text as it is where it is already name and arguments."""
    calls = _calls(text)
    value = parse_json(text)
    if all("function" not in each for each in (value if isinstance(value, list) else [value])):
        return text
    plain = [{"name": call.name, "arguments": _parse_arguments(call.arguments)} for call in calls]
    return json.dumps(plain, ensure_ascii=False)


def _parse_arguments(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return parse_json(arguments)
    except ValueError as error:
        raise RowError("the arguments of a tool call are not JSON") from error


def _openai(turns: Sequence[Turn], record: Mapping[str, Any]) -> dict[str, Any]:
    if any(turn.role in ("assistant", UNRATED) and not turn.text for turn in turns):
        raise RowError("an answer is empty")
    messages = list(_openai_messages(turns))
    given = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    own = record.get("messages")
    own = [each for each in own if isinstance(each, Mapping)] if isinstance(own, list) else []
    stated = [each["tool_call_id"] for each in own if each.get("tool_call_id")]
    if stated and stated != given:
        raise RowError("the results of its tool calls are not in the order of the calls")
    _keep_weights(messages, own)
    row: dict[str, Any] = {"messages": messages}
    if record.get("tools"):
        row["tools"] = _tools(record["tools"])
    if record.get("parallel_tool_calls") is not None:
        row["parallel_tool_calls"] = record["parallel_tool_calls"]
    return row


def _keep_weights(messages: Sequence[dict[str, Any]], own: Sequence[Mapping[str, Any]]) -> None:
    """Give the answers the weights that those of the record have; 0 they have already."""
    answers = [message for message in messages if message["role"] == "assistant" and "content" in message]
    weights = [each.get("weight") for each in own if each.get("role") == "assistant" and each.get("content")]
    if len(weights) == len(answers):
        for message, weight in zip(answers, weights, strict=True):
            if isinstance(weight, int | float):
                message["weight"] = weight


def _openai_messages(turns: Sequence[Turn]) -> Iterator[dict[str, Any]]:
    """A tool call is a message with an id, which its result repeats; ids that the data lacks are counted up."""
    waiting: list[str] = []
    number, place = 0, 0
    while place < len(turns):
        turn = turns[place]
        if waiting and turn.role != "tool":
            raise RowError("a tool call has no result")
        if turn.role == "tool":
            if not waiting:
                raise RowError("a tool result has no call")
            yield {"role": "tool", "tool_call_id": waiting.pop(0), "content": turn.text}
        elif turn.role == "call":
            found = [(call.id or f"call_{number + at}", call) for at, call in enumerate(_calls(turn.text))]
            number += len(found)
            waiting = [name for name, _ in found]
            message: dict[str, Any] = {"role": "assistant"}
            if place + 1 < len(turns) and turns[place + 1].role in ("assistant", UNRATED):
                place += 1  # words and calls of one message
                message |= _openai_answer(turns[place])
            yield message | {"tool_calls": [_openai_call(name, call) for name, call in found]}
        elif turn.role in ("assistant", UNRATED):
            yield {"role": "assistant"} | _openai_answer(turn)
        else:
            yield _message(turn.role, turn.text)
        place += 1


def _openai_answer(turn: Turn) -> dict[str, Any]:
    return {"content": turn.text} | ({"weight": 0} if turn.role == UNRATED else {})


def _openai_call(name: str, call: _Call) -> dict[str, Any]:
    own = call.arguments
    arguments = own if isinstance(own, str) else json.dumps(own, ensure_ascii=False)
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _calls(text: str) -> list[_Call]:
    """The calls of a turn: one or a list of {"name", "arguments"}, or of OpenAI's {"id", "type", "function"}."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise RowError("a tool call is not JSON") from error
    found = []
    for each in value if isinstance(value, list) else [value]:
        function = each.get("function", each) if isinstance(each, Mapping) else None
        if (
            not isinstance(function, Mapping)
            or not isinstance(function.get("name"), str)
            or "arguments" not in function
        ):
            raise RowError("a tool call has no name or no arguments")
        found.append(_Call(each.get("id"), function["name"], function["arguments"]))
    return found


def _tools(tools: Any) -> list[Any]:
    """Definitions as OpenAI wants them: each {"type": "function", "function": …}."""
    if isinstance(tools, str):
        try:
            tools = parse_json(tools)
        except ValueError as error:
            raise RowError("its tools are not JSON") from error
    if not isinstance(tools, list) or not all(isinstance(tool, Mapping) for tool in tools):
        raise RowError("its tools are not a list of definitions")
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]
