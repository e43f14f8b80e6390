"""Reading a data set in one pass: whatever file it is, checked row by row, memory bounded by the largest record."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import pyarrow as pa

from selectit.data.blocks import Block, read_blocks
from selectit.data.detect import detect
from selectit.data.fields import LayoutError, RowError, find_field
from selectit.data.json_text import RawValue
from selectit.data.layouts import Layout, Roles, check_parts, read_as, unread_fields
from selectit.data.plain_rows import plain_schema, read_plain
from selectit.data.records import Record, record_schema, record_table
from selectit.data.samples import check_contexts, rated_turns, read_inputs
from selectit.data.sources import HINT, Source
from selectit.data.turns import digest_turns, read_turns
from selectit.data.words import count_words
from selectit.errors import DataError

_SHOWN = 10

_MESSAGE = 500
"""Characters of what is said of one row: names of fields are data, and may be long."""

_TOGETHER = 4096

_MAX_TOGETHER = 1_000_000_000
"""The most characters in so many rows: whoever reads a data set, and a run later, holds as many at once."""


@dataclass(frozen=True, slots=True)
class ReadSpec:
    """How a data set is read."""

    layout: Layout | None = None
    """None = found from the first record that has one."""
    which: str = "last"
    """The answers that are rated; see `samples.build_samples`."""
    limit: int | None = None
    """The most rows to read."""
    roles: Roles = ()
    """What speakers are called; see `Layout.roles`."""


@dataclass(slots=True)
class ReadReport:
    """What reading has found so far: complete when `read_records` is exhausted."""

    layout: Layout | None = None
    rows: int = 0
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)
    """The fields that were read, each with what it was read as."""
    unread: Counter[str] = field(default_factory=Counter)
    """The fields that were not, with how many rows have them."""
    parts: set[str] = field(default_factory=set)
    """Of a map, those that some row has."""
    held: int = 0
    """Characters of the rows since the last that is a multiple of _TOGETHER."""


def read_records(
    source: Source, found: ReadReport, spec: ReadSpec = ReadSpec(), rejected: IO[bytes] | None = None
) -> Iterator[Record]:
    """The good records in order, numbered from 0.

    Args:
        source: from `open_source`.
        found: filled on the way.
        spec: how.
        rejected: takes a line of JSON for each bad row, which is then left out; None = bad rows are an error.

    Raises:
        DataError: the files are broken, every row is bad for one reason, there is no row, or, after the last row and
            without `rejected`, any row was bad (the first ten are listed).
    """
    for block in _read_blocks(source, found, spec):
        yield from _read_block(block, source, found, spec, rejected)
    _check_end(source, found, rejected)


def read_tables(
    source: Source, found: ReadReport, spec: ReadSpec = ReadSpec(), rejected: IO[bytes] | None = None
) -> Iterator[pa.Table]:
    """The good records in order, as tables of `records.record_schema`, each of some rows. See `read_records`."""
    schema = record_schema(source.schema)
    for block in _read_blocks(source, found, spec):
        table = _read_plain_block(block, found, spec.which, schema)
        if table is None:
            table = record_table(list(_read_block(block, source, found, spec, rejected)), schema)
        yield table
    _check_end(source, found, rejected)


def _read_plain_block(block: Block, found: ReadReport, which: str, schema: pa.Schema) -> pa.Table | None:
    """The rows at once; None where they are to be looked at one by one."""
    if found.layout is None:
        return None
    columns = block.columns(plain_schema(found.layout))
    plain = None if columns is None else read_plain(columns[0], found.layout, which)
    if columns is None or plain is None:
        return None
    raw = columns[1]
    rest = (found.rows + len(raw)) % _TOGETHER
    held = 2 * raw.nbytes + (found.held if found.rows % _TOGETHER else 0)
    if held > _MAX_TOGETHER:
        return None
    found.held = held if rest >= len(raw) else 2 * raw.slice(len(raw) - rest).nbytes
    known = read_as(found.layout)
    found.read |= {name: known[name] for name in plain.read}
    found.unread.update(plain.unread)
    found.parts |= {part for part, path in found.layout.fields if path in plain.read}
    row = pa.array(np.arange(found.rows, found.rows + len(raw)))
    found.rows += len(raw)
    left_out = pa.array([[]], schema.field("left_out").type).take(pa.array(np.zeros(len(raw), np.int64)))
    return pa.Table.from_arrays([row, plain.digest, plain.words, plain.turns, left_out, raw], schema=schema)


def _read_block(
    block: Block, source: Source, found: ReadReport, spec: ReadSpec, rejected: IO[bytes] | None
) -> Iterator[Record]:
    for item in block.items():
        try:
            record = _record(item, found, spec)
        except RowError as error:
            _reject(item, str(error)[:_MESSAGE], found, rejected)
            continue
        found.held = _characters(record) + (found.held if found.rows % _TOGETHER else 0)
        if found.held > _MAX_TOGETHER:
            raise DataError(
                f"{source.name}, {item.place}: {found.rows % _TOGETHER + 1:,} rows up to this one have more than "
                f"{_MAX_TOGETHER // 1_000_000:,} million characters together",
                "Instructions and responses are shorter: leave out or cut the longest rows.",
            )
        found.rows += 1
        yield record


def _check_end(source: Source, found: ReadReport, rejected: IO[bytes] | None) -> None:
    """Raise DataError where rows are bad that may not be, no row is good, or the map names a field that is nowhere."""
    if found.bad_rows and (rejected is None or not found.rows):
        raise DataError(_bad_rows(source, found), _MEND if found.rows else _NONE_GOOD)
    if not found.rows:
        raise DataError(f"{source.name} has no rows", HINT)
    assert found.layout is not None  # there is a good row
    absent = next((path for part, path in found.layout.fields if part not in found.parts), None)
    if absent is not None:
        raise DataError(f"--map names the field {absent!r}, which no row of {source.name} has", _LAYOUT_HINT)


_MEND = "Mend these rows, or leave them out with --bad-rows skip; lines count from 1, records from 0."
_NONE_GOOD = (
    "No row can be used. Mend them, or say with --format, --map or --roles what they are; lines count from 1, records "
    "from 0."
)

_AHEAD = 20
"""Rows among which one must show the layout."""

_LAYOUT_HINT = (
    "Name the layout with --format, or the fields with --map instruction=…,response=… (dots for fields within fields)."
)


def _read_blocks(source: Source, found: ReadReport, spec: ReadSpec) -> Iterator[Block]:
    """All blocks, once `found.layout` is known: from the first row that has one, or the one that is named.

    Raises DataError, which says what is wrong with the first row, where none of the first ones has a layout.
    """
    blocks = read_blocks(source, spec.limit)
    layout = found.layout = dataclasses.replace(spec.layout, roles=spec.roles) if spec.layout else None
    if layout is not None and layout.name:
        return blocks
    ahead: list[Block] = []
    while sum(block.rows for block in ahead) < _AHEAD and (block := next(blocks, None)) is not None:
        ahead.append(block)
    first: tuple[str, LayoutError] | None = None
    for item in itertools.islice(itertools.chain.from_iterable(block.items() for block in ahead), _AHEAD):
        if item.problem or not isinstance(item.value, dict):
            continue
        try:
            found.layout = layout or detect(item.value, spec.roles)
            check_parts(item.value, found.layout)
            break
        except LayoutError as error:
            first = first or (item.place, error)
    else:
        if first is not None:
            place, unknown = first
            message = f"{source.name}, {place}: {unknown.what[:_MESSAGE]}"
            raise DataError(message, unknown.way_on or _LAYOUT_HINT) from unknown
    return itertools.chain(ahead, blocks)


def _characters(record: Record) -> int:
    """How much text of a row is held: its turns and, where that is kept, its own JSON, which is no shorter."""
    if isinstance(record.raw, str):
        return 2 * len(record.raw)
    characters = 0
    for turn in record.turns:  # a loop: a generator costs twice as much for two turns
        characters += len(turn.text)
    return characters


def _record(item: RawValue, found: ReadReport, spec: ReadSpec) -> Record:
    if item.problem:
        raise RowError(item.problem)
    if found.layout is None:  # nothing among the first items is an object
        if not isinstance(item.value, dict):
            raise RowError("it is not an object with fields")
        found.layout = detect(item.value, spec.roles)
    found.parts |= check_parts(item.value, found.layout)
    conversation, left_out = read_turns(item.value, found.layout)
    rated = rated_turns(conversation, spec.which)
    check_contexts(conversation, rated)
    words = sum(count_words(conversation[place].text) for place in rated)
    inputs = read_inputs(item.value, found.layout)
    _note_fields(item.value, found)
    return Record(found.rows, digest_turns(conversation), conversation, item.raw, words, left_out, inputs)


def _note_fields(record: Mapping[str, Any], found: ReadReport) -> None:
    """Count what of a record is read, and what is not."""
    assert found.layout is not None
    known = read_as(found.layout)
    if len(found.read) < len(known):
        at = record.get if found.layout.name else functools.partial(find_field, record)
        found.read |= {name: known[name] for name in known if at(name) is not None}
    found.unread.update(unread_fields(found.layout, record))


def _reject(item: RawValue, problem: str, found: ReadReport, rejected: IO[bytes] | None) -> None:
    found.bad_rows += 1
    if len(found.bad) < _SHOWN:
        found.bad.append(f"  {item.place}: {problem}")
    if rejected is not None:
        line = json.dumps({"place": item.place, "problem": problem, "raw": _raw_text(item.raw)})
        rejected.write(line.encode() + b"\n")


def _raw_text(raw: Any) -> str | None:
    """A record as a text; None where there is none, or Python has no value for it (a time beyond its years)."""
    try:
        return raw if isinstance(raw, str | None) else str(raw.as_py())
    except (ValueError, OverflowError):
        return None


def _bad_rows(source: Source, found: ReadReport) -> str:
    more = found.bad_rows - len(found.bad)
    count = "1 row" if found.bad_rows == 1 else f"{found.bad_rows:,} rows"
    listed = "\n".join(found.bad) + (f"\n  … and {more:,} more" if more else "")
    return f"{source.name}: {count} of {found.rows + found.bad_rows:,} can't be used\n{listed}"
