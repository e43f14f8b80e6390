"""Examples of what a model should become good at: pairs, or questions alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selectit.data.blocks import read_blocks
from selectit.data.detect import detect
from selectit.data.fields import LayoutError, RowError, find_field
from selectit.data.json_text import RawValue
from selectit.data.layouts import PARTS, ROLES, Roles, name_fields
from selectit.data.samples import build_samples, read_inputs
from selectit.data.sources import open_source
from selectit.data.turns import read_turns
from selectit.errors import DataError, nearest

MOST = 5000
"""Examples of a target: what methods hold grows with rows x examples, and a few hundred say as much."""


_HINT = (
    "--map does not count here: write each one in a layout of docs/data.md, for example "
    '{"prompt": …, "completion": …}; without an answer {"prompt": …} is enough.'
)


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a target."""

    instruction: str
    """All that is asked, with the input at its end where there is one."""
    response: str
    """'' where it is a question alone."""
    input: str
    """What the instruction is about, where the data has that apart."""
    group: str
    """What it is an example of: the value of a field, or the name of its file."""


def read_target(files: Sequence[str], by: str | None = None, roles: Roles = ()) -> tuple[Example, ...]:
    """The examples of some files, in their order.

    Args:
        files: of any kind and layout that a data set may have, or with questions alone.
        by: the field that names an example's group; None = the name of its file.
        roles: what speakers are called; see `Layout.roles`.

    Raises:
        DataError: a file can't be read, is empty, has a row that can't be used or lacks the field, or there are more
            than `MOST` examples.
    """
    found = [example for path in files for example in read_examples(path, by, roles)]
    if len(found) > MOST:
        raise DataError(
            f"the target has {len(found):,} examples, and the limit is {MOST:,}",
            "Draw some: a few hundred say what is wanted.",
        )
    return tuple(found)


def read_examples(path: str, by: str | None = None, roles: Roles = ()) -> list[Example]:
    """The examples of one file, however many; arguments and errors as of `read_target`."""
    with open_source(path) as source:
        items = (item for block in read_blocks(source) for item in block.items())
        found = [_read_example(item, source.name, by, roles) for item in items]
    if not found:
        raise DataError(f"{source.name} has no rows", "Name a file of examples.")
    return found


def _read_example(item: RawValue, name: str, by: str | None, roles: Roles) -> Example:
    place = f"{name}, {item.place}"
    try:
        if item.problem or not isinstance(item.value, Mapping):
            raise RowError(item.problem or "it is not an object with fields")
        record = _with_answer(item.value, roles)
        layout = detect(record, roles)
        turns, _ = read_turns(record, layout)
    except LayoutError as error:
        raise DataError(f"{place}: {error.what}", _HINT) from error
    except RowError as error:
        raise DataError(f"{place}: {error}", _HINT) from error
    pair = build_samples(0, turns, "last", read_inputs(record, layout))[-1]
    return Example(
        pair.instruction, pair.response, pair.input, Path(name).stem if by is None else _at(record, by, place)
    )


def _at(record: Mapping[str, Any], path: str, place: str) -> str:
    """The value of a field as text; dots for fields within fields."""
    value = find_field(record, path)
    if value is None:
        raise DataError(f"{place}: there is no field {path!r}", nearest(path, record))
    return str(value)


def _with_answer(record: Mapping[str, Any], roles: Roles) -> Mapping[str, Any]:
    """The record, with an empty answer where it is a question alone, so that a layout reads it."""
    beside = {name for name in _BESIDE if record.get(name) not in (None, "", [], {})}
    if beside <= {"answer"} and isinstance(record.get("question"), str) and not {"prompt", "instruction"} & set(record):
        return {**record, "prompt": record["question"], "completion": record.get("answer") or ""}
    if beside:
        return record
    for field in ("messages", "conversations"):
        said = record.get(field)
        if isinstance(said, list) and said and _is_question(said[-1], roles):
            return {**record, field: [*said, {"role": "assistant", "content": ""}]}
    for question, answer in (("instruction", "output"), ("prompt", "completion")):
        if record.get(question) is not None and record.get(answer) is None and record.get("instances") is None:
            return {**record, answer: ""}
    return record


_BESIDE = {*PARTS["response"], *PARTS["input"]} - {"input"}
"""What may answer a question or belong to it: a record that has one is no question alone."""


def _is_question(message: Any, roles: Roles) -> bool:
    if not isinstance(message, Mapping):
        return False
    return (ROLES | dict(roles)).get(str(message.get(name_fields(message)[0])).lower().strip()) == "user"
