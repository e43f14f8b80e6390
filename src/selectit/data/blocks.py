"""The rows of a data set some thousand at once: as columns where a fast reader takes them, and one by one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from selectit.data import json_text, tables, write
from selectit.data.json_text import RawValue
from selectit.data.raw_rows import as_line
from selectit.data.sources import Source, decompress, file_source, shown

BLOCK_ROWS = 4096
_MAX_BYTES = 64 << 20
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


def read_blocks(source: Source) -> Iterator[Block]:
    """All rows of a data set in order."""
    if source.kind != "folder":
        yield from _file_blocks(source.files, source)
        return
    for path in source.files:
        part = dataclasses.replace(file_source(path, shown(path)), written="jsonl")
        for block in _file_blocks((path,), part):
            yield dataclasses.replace(block, items=_in_file(path.name, block), columns=_as_texts(block))


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


def _file_blocks(files: Sequence[Path], source: Source) -> Iterator[Block]:
    for path in files:
        if source.kind in ("parquet", "arrow"):
            yield from map(_table_block, tables.read_parts(path, source.kind, source.schema))
            continue
        with decompress(path, source.compression) as file:
            if source.kind == "jsonl":
                yield from map(_line_block, _line_groups(file))
            else:
                read = json_text.read_array if source.kind == "json" else json_text.read_objects
                values = read(file, source.name)
                while items := list(itertools.islice(values, BLOCK_ROWS)):
                    yield _item_block(items, source)


def _line_groups(file: IO[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """The lines of a file in lists, none of them much longer than some MB."""
    group: list[tuple[int, bytes]] = []
    size = 0
    for number, line in json_text.split_lines(file):
        group.append((number, line))
        size += len(line)
        if len(group) == BLOCK_ROWS or size > _MAX_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _line_block(lines: Sequence[tuple[int, bytes]]) -> Block:
    return Block(
        len(lines),
        lambda: itertools.starmap(json_text.parse_line, lines),
        lambda schema: read_texts([line.strip(b" \t\r\n") for _, line in lines], schema),
    )


def read_texts(lines: Sequence[bytes], schema: pa.Schema) -> Columns | None:
    """The columns of JSON objects, one a line without white space around it.

    None where Arrow's reader and Python's might not agree on whether, or as what, a line is read.
    """
    if any(len(line) > _MAX_LINE or not (line[:1] == b"{" and line[-1:] == b"}") for line in lines):
        return None
    if any(line.count(b"{") + line.count(b"[") > _MAX_OPEN for line in lines if len(line) > 2 * _MAX_OPEN):
        return None
    data = b"\n".join(lines)
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
        texts = [write.on_one_line(item.raw) for item in items]
        found = read_texts([text.encode(errors="replace") for text in texts], schema)
        return None if found is None else (found[0], found[1] if lines else pa.array([item.raw for item in items]))

    return Block(len(items), lambda: map(as_line, items) if lines else iter(items), columns)


def _table_block(part: tables.Part) -> Block:
    return Block(len(part.stored), part.items, lambda _: part.columns())


def first_rows(blocks: Iterable[Block], limit: int | None) -> Iterator[Block]:
    """The blocks of the first rows."""
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
