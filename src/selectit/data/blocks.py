"""The rows of a data set some thousand at once: as columns where a fast reader takes them, and one by one."""

from __future__ import annotations

import codecs
import dataclasses
import io
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from selectit.data import csv_text, json_text, tables, write
from selectit.data.columns import TABLES
from selectit.data.json_text import RawValue
from selectit.data.memory import NAME, Held
from selectit.data.raw_rows import as_line, as_object
from selectit.data.sources import Source, decompress, file_source, shown

BLOCK_ROWS = 4096
_MAX_LINE = 1 << 20
_MAX_OPEN = 512
"""Brackets in a line: one with more may be nested deeper than is read."""

Columns = tuple[pa.Table, pa.Array]
"""The fields of some rows, null where a row lacks one, and the column `raw`."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows that follow each other."""

    rows: int
    items: Callable[[], Iterator[RawValue]]
    """The rows one by one."""
    columns: Callable[[pa.Schema], Columns | None]
    """The rows at once, the fields of a schema in its types; None where that can't be had."""


def read_blocks(source: Source, limit: int | None = None) -> Iterator[Block]:
    """The rows of a data set in order, up to `limit`."""
    return _first_rows(_all_blocks(source, limit), limit)


def _all_blocks(source: Source, limit: int | None) -> Iterator[Block]:
    if source.held is not None:
        yield from _table_blocks(source.held)
        return
    if source.lines is not None:
        source.lines.seek(0)
        yield from _line_blocks(source.lines, -1, "record {}")  # records count from 0, as those of a list do
        return
    if source.kind != "folder":
        yield from _file_blocks(source.files, source, limit)
        return
    for path in source.files:
        part = dataclasses.replace(file_source(path, shown(path)), written="jsonl")
        for block in _file_blocks((path,), part, limit):
            yield dataclasses.replace(block, items=_in_file(path.name, block), columns=_as_texts(block))


def _table_blocks(held: Held) -> Iterator[Block]:
    assert held.schema is not None
    return map(_table_block, tables.split_batches(Path(NAME), held.batches(), held.schema, held.schema))


def _in_file(name: str, block: Block) -> Callable[[], Iterator[RawValue]]:
    def items() -> Iterator[RawValue]:
        for item in block.items():
            yield as_line(dataclasses.replace(item, place=f"{name}, {item.place}"))

    return items


def _as_texts(block: Block) -> Callable[[pa.Schema], Columns | None]:
    """The columns where the rows are texts of one line each; rows of tables become such one by one."""

    def columns(schema: pa.Schema) -> Columns | None:
        found = block.columns(schema)
        return found if found is not None and pa.types.is_string(found[1].type) else None

    return columns


def _file_blocks(files: Sequence[Path], source: Source, limit: int | None) -> Iterator[Block]:
    """The rows of files; of an array no more than `limit`, since what stands behind may be broken."""
    for path in files:
        if source.kind in TABLES:
            yield from map(_table_block, tables.read_parts(path, source.kind, source.schema))
            continue
        with decompress(path, source.compression) as file:
            if source.kind == "jsonl":
                yield from _line_blocks(file)
            else:
                values = itertools.islice(_read_values(file, source), limit)
                while items := list(itertools.islice(values, BLOCK_ROWS)):
                    yield _item_block(items, source)


def _read_values(file: IO[bytes], source: Source) -> Iterator[RawValue]:
    if source.kind == "csv":
        return csv_text.read_csv(file, source.name, source.delimiter)
    return (json_text.read_array if source.kind == "json" else json_text.read_objects)(file, source.name)


def _line_blocks(file: IO[bytes], number: int = 0, place: str = "line {}") -> Iterator[Block]:
    """The lines of a file after line `number`, some MB of whole lines at a time."""
    reader = ThreadPoolExecutor(1)  # what is compressed is unpacked while earlier lines are looked at
    thread = reader.submit(threading.current_thread).result()
    try:
        reading = reader.submit(_read_lines, file)
        while data := reading.result():
            reading = reader.submit(_read_lines, file)
            yield _line_block(data if number else data.removeprefix(codecs.BOM_UTF8), number, place)
            number += data.count(b"\n")
    finally:
        # Python collects what an error left behind in whatever thread runs: this one too, which can't wait for itself.
        reader.shutdown(wait=threading.current_thread() is not thread)


def _read_lines(file: IO[bytes]) -> bytes:
    """Some MB of whole lines; nothing at the end."""
    data = file.read(json_text.CHUNK)
    return data + json_text.rest_of_line(file) if data else b""


def _line_block(data: bytes, number: int, place: str) -> Block:
    lines = [line for each in data.split(b"\n") if (line := each.strip(b" \t\r"))]
    return Block(
        len(lines),
        lambda: map(as_object, json_text.read_lines(io.BytesIO(data), number, place)),
        lambda schema: read_texts(data, lines, schema),
    )


def read_texts(data: bytes, lines: Sequence[bytes], schema: pa.Schema) -> Columns | None:
    """The columns of JSON objects.

    Args:
        data: one object a line.
        lines: these lines without white space around them, and without blank ones.
        schema: the types of some fields.

    Returns:
        None where Arrow's reader and Python's might not agree on whether, or as what, a line is read.
    """
    if {line[:1] for line in lines} != {b"{"} or {line[-1:] for line in lines} != {b"}"}:
        return None
    if max(map(len, lines)) > _MAX_LINE or any(map(_may_be_deep, lines)):
        return None
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pyarrow.json.ParseOptions(schema, newlines_in_values=False),
        )
        raw = pa.array(lines, pa.binary()).view(pa.string())
        raw.validate(full=True)
        table.validate(full=True)
    except pa.ArrowException:
        return None
    # A line that ends in a brace before one that begins with one is whole, or no JSON: equal numbers, equal lines.
    if len(table) != len(lines) or any(_has_odd_numbers(column.combine_chunks()) for column in table.columns):
        return None
    return table, raw


def _may_be_deep(line: bytes) -> bool:
    return len(line) > 2 * _MAX_OPEN and line.count(b"{") + line.count(b"[") > _MAX_OPEN


def _has_odd_numbers(column: pa.Array) -> bool:
    """Whether some number is none: Arrow reads `Inf`, which is no JSON."""
    if pa.types.is_struct(column.type):
        return any(_has_odd_numbers(column.field(place)) for place in range(column.type.num_fields))
    if pa.types.is_list(column.type):
        return _has_odd_numbers(column.flatten())
    return pa.types.is_floating(column.type) and not np.isfinite(pc.drop_null(column).to_numpy()).all()


def _item_block(items: Sequence[RawValue], source: Source) -> Block:
    lines = source.written == "jsonl"

    def columns(schema: pa.Schema) -> Columns | None:
        if any(item.problem for item in items):
            return None
        texts = [write.on_one_line(item.raw).encode(errors="replace") for item in items]
        found = read_texts(b"\n".join(texts), texts, schema)
        return None if found is None else (found[0], found[1] if lines else pa.array([item.raw for item in items]))

    return Block(len(items), lambda: map(as_line, map(as_object, items)) if lines else map(as_object, items), columns)


def _table_block(part: tables.Part) -> Block:
    return Block(len(part.stored), part.items, lambda _: part.columns())


def _first_rows(blocks: Iterable[Block], limit: int | None) -> Iterator[Block]:
    if limit is None:
        yield from blocks
        return
    left = limit
    for block in blocks:
        yield block if block.rows <= left else _beginning(block, left)
        left -= block.rows
        if left <= 0:
            return


def _beginning(block: Block, rows: int) -> Block:
    return Block(rows, lambda: itertools.islice(block.items(), rows), lambda schema: None)
