"""Rows that can be rewritten, and the new rows as records in the layout of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.data import write
from selectit.data.layouts import DATA_LAYOUTS, name_fields, parse_layout
from selectit.data.tables import plain_records
from selectit.errors import DataError
from selectit.runs.run import Run
from selectit.signals.arrays import Int64

FROM, STYLE = "expanded_from", "expansion_style"
"""The two fields that a new row has beside its texts."""


FIELDS = (pa.field(FROM, pa.int64()), pa.field(STYLE, pa.string()))
"""The same as columns of a table."""


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row that a generator has written."""

    of: int
    """The row of the data that it was made from."""
    style: str
    instruction: str
    response: str


@dataclass(frozen=True, slots=True)
class RewritableRows:
    """The rows of a data set that can be rewritten."""

    rows: Int64
    """Rising."""
    others: dict[str, int]
    """How many others there are, by the reason."""


def find_rewritable(run: Run) -> RewritableRows:
    """The rows that a new row can be modelled on: one question and one answer in text, one row for each question.

    Raises DataError where there is none, or where a record has a field of the name that new rows get.
    """
    if run.table_schema is not None:
        _refuse_expanded(run, run.table_schema.names)
    rows: list[int] = []
    others: Counter[str] = Counter()
    asked: set[str] = set()
    layout = str(run.manifest["layout"])
    for part in run.source(["row", "turns", "left_out", "raw"]):
        plain = (part[name].to_pylist() for name in ("row", "turns", "left_out"))
        for row, turns, left_out, like in zip(*plain, plain_records(part["raw"]), strict=True):
            _refuse_expanded(run, like)
            why = _refuse_row(turns, left_out) or _refuse_layout(layout, like)
            question = turns[0]["text"]  # all that the generator sees of the row
            if not why and question in asked:
                why = "the same question as an earlier row"
            if why:
                others[why] += 1
            else:
                rows.append(row)
                asked.add(question)
    if not rows:
        raise DataError(
            f"{run.manifest['data']} has no row that can be rewritten: {', '.join(others)}",
            "Only a row that is one question and one answer, without a system message, can be rewritten.",
        )
    return RewritableRows(np.array(rows, np.int64), dict(others))


def _refuse_expanded(run: Run, names: Container[str]) -> None:
    for name in (FROM, STYLE):
        if name in names:
            raise DataError(
                f"{run.manifest['data']} has a field {name!r} already, and new rows get one of that name",
                "Expand the data as it was before, or rename the field.",
            )


def _refuse_row(turns: Sequence[Mapping[str, str]], left_out: Sequence[str]) -> str:
    if [turn["role"] for turn in turns] != ["user", "assistant"]:
        return "not one question and one answer"
    if left_out:
        return "content that is not text"
    return "" if turns[0]["text"].strip() else "an empty instruction"


def _refuse_layout(layout: str, like: Mapping[str, Any]) -> str:
    """Why no record can be made like this one; '' where one can."""
    try:
        build_record(layout, like, "?", "!")
    except DataError as error:
        return error.message
    return ""


def build_records(run: Run, new: Sequence[NewRow]) -> Iterator[dict[str, Any]]:
    """The new rows, which are in rising order of `of`, each a record like the one that it was made from.

    Other fields of that record are left out: they were said of other texts. Raises DataError.
    """
    of = np.array([row.of for row in new], np.int64)
    likes = (like for table in run.source_at(of, ["raw"]) for like in plain_records(table["raw"]))
    for row, like in zip(new, likes, strict=True):
        made = build_record(str(run.manifest["layout"]), like, row.instruction, row.response)
        yield {**made, FROM: row.of, STYLE: row.style}


def check_layout(run: Run, rows: Int64) -> None:
    """Raise DataError where the layout, or the columns of a table, can't hold a new row made of one of these rows."""
    layout = str(run.manifest["layout"])
    if layout not in DATA_LAYOUTS:
        _refuse_shared(layout)
    made = list(build_records(run, [NewRow(row, "depth", "?", "!") for row in rows.tolist()]))
    if run.table_schema is not None:
        write.build_table(made, pa.schema([*run.table_schema, *FIELDS]))


_TO_MESSAGES = "Convert the data to messages first."


def _refuse_shared(layout: str) -> None:
    found = parse_layout(None, layout)
    assert found is not None  # a map was given
    paths = [path for _, path in found.fields]
    if len(set(paths)) < len(paths):
        raise DataError(
            f"--map {layout} reads two parts from one field, and a new row would have one of them alone",
            "Give the instruction and the response separate fields.",
        )


def build_record(layout: str, like: Mapping[str, Any], instruction: str, response: str) -> dict[str, Any]:
    """A record of one question and one answer, in the fields and words of another one.

    Args:
        layout: its name, or a map as it is typed.
        like: a record of that layout with one question and one answer.
        instruction: of the new record; its input, where it has that field, is empty.
        response: of the new record.

    Raises:
        DataError: a map goes into a list and not to its first entries; or `like` has other messages than its question
            in the field of that, and its answer in that of the answer, or one without a part of text.
    """
    texts = (instruction, response)
    if layout == "alpaca":
        return {"instruction": instruction, **_empty_input(like), "output": response}
    if layout == "seed-tasks":
        instance = {**_empty_input(like["instances"][0]), "output": response}
        return {"instruction": instruction, "instances": [instance]}
    if layout == "prompt-completion":
        return {
            name: _messages(like[name], [text]) if isinstance(like[name], list) else text
            for name, text in zip(("prompt", "completion"), texts, strict=True)
        }
    if layout in ("preference", "oasst"):
        raise DataError(f"{layout} data has several answers to a question, and a new row would have one", _TO_MESSAGES)
    if layout in DATA_LAYOUTS:
        name = {"sharegpt": "conversations", "messages": "messages"}[layout]
        if like.get(name) is None:
            raise DataError(f"a row without {name!r}", _TO_MESSAGES)
        return {name: _messages(like[name], texts)}
    return _by_map(layout, like, instruction, response)


def _empty_input(like: Mapping[str, Any]) -> dict[str, str]:
    return {"input": ""} if "input" in like else {}


def _messages(like: Sequence[Mapping[str, Any] | str], texts: Sequence[str]) -> list[Any]:
    """Messages with these texts, the roles in the words of others; bare texts where the others are."""
    if len(like) != len(texts):
        raise DataError("question and answer are not in separate fields", _TO_MESSAGES)
    made: list[Any] = []
    for message, text in zip(like, texts, strict=True):
        if isinstance(message, str):
            made.append(text)
            continue
        who, what = name_fields(message)
        if who not in message:
            raise DataError("question and answer are in one object", _TO_MESSAGES)
        made.append({who: message[who], what: _content(message[what], text)})
    return made


def _content(like: Any, text: str) -> Any:
    """A message's content with this text: a text, or one part in the words of the first of others."""
    if isinstance(like, str):
        return text
    if not like:
        raise DataError("a message without content", "Give it a text, or leave the row out.")
    if isinstance(like, Mapping):
        kind = {"type": like["type"]} if "type" in like else {}
        return {**kind, "text" if "text" in like else "value": text}
    return [_content(like[0], text)]


def _by_map(layout: str, like: Mapping[str, Any], instruction: str, response: str) -> dict[str, Any]:
    found = parse_layout(None, layout)
    assert found is not None  # a map was given
    texts = {"instruction": instruction, "response": response}
    if not texts.keys() <= dict(found.fields).keys():
        raise DataError(f"--map {layout} reads a list of turns", _TO_MESSAGES)
    made: dict[str, Any] = {}
    for part, path in found.fields:
        if part in ("system", "history", "reasoning"):  # said of other texts, as all other fields
            continue
        *before, last = path.split(".")
        place = made
        for key in before:
            place = place.setdefault(key, {})
        place[last] = texts.get(part, "")
    return {key: _restore_lists(value, like[key], layout) for key, value in made.items()}


def _restore_lists(made: Any, like: Any, layout: str) -> Any:
    """What was made field by field, with lists where the record `like` has them."""
    if not isinstance(made, dict):
        return made
    if not isinstance(like, list):
        return {key: _restore_lists(value, like[key], layout) for key, value in made.items()}
    places = sorted((int(key), value) for key, value in made.items())
    if [place for place, _ in places] != list(range(len(places))):
        raise DataError(
            f"--map {layout} reads from the middle of a list, and a new row would have nothing to stand before it",
            "Convert the data to one of the layouts that have names.",
        )
    return [_restore_lists(value, like[place], layout) for place, value in places]
