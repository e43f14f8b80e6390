"""The records of a data set's files in order, each with its own text."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from selectit.data import json_text, tables, write
from selectit.data.json_text import RawValue
from selectit.data.sources import Source, decompress, file_source, shown


def read_items(source: Source) -> Iterator[RawValue]:
    """Every record of a data set, with where it stands in its file."""
    for path in source.files:
        part = file_source(path, shown(path)) if source.kind == "folder" else source
        for item in _values(path, part, source.schema):
            if source.kind == "folder":
                item = dataclasses.replace(item, place=f"{path.name}, {item.place}")
            yield _as_line(item) if source.written == "jsonl" else item


def _values(path: Path, part: Source, schema: pa.Schema | None) -> Iterator[RawValue]:
    if part.kind in ("parquet", "arrow"):
        yield from tables.read_rows(path, part.kind, schema)
        return
    with decompress(path, part.compression) as file:
        if part.kind == "jsonl":
            yield from json_text.read_lines(file)
        else:
            yield from (json_text.read_array if part.kind == "json" else json_text.read_objects)(file, part.name)


def _as_line(item: RawValue) -> RawValue:
    """The item with its text on one line, whatever it came from."""
    if item.problem:
        return item
    if isinstance(item.raw, str):
        return dataclasses.replace(item, raw=write.on_one_line(item.raw))
    try:
        plain = {name: _plain(value) for name, value in item.raw.items()}
        return dataclasses.replace(item, raw=json.dumps(plain, ensure_ascii=False, default=_as_text))
    except (TypeError, ValueError, OverflowError) as error:
        return dataclasses.replace(item, problem=f"it has a value that JSON can't hold: {error}")


def _plain(scalar: pa.Scalar[Any]) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, ImportError):  # a time that Python can't hold, as one of nanoseconds
        text = scalar.cast(pa.string()).as_py()
        if "out of range" in text:  # Arrow writes that instead of a time
            raise
        return text


def _as_text(value: Any) -> str:
    """A value that JSON has no kind for: times as ISO text, bytes in base64, numbers with their digits."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")
