"""Writing chosen records in the kind of file they came from."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.data.columns import check_schema, from_stored, open_writer, stored_schema, to_stored
from selectit.data.csv_text import write_csv
from selectit.data.tables import without_nulls
from selectit.errors import DataError

FIELD = "selectit"
"""The one field that --with-scores and --rest add."""


def order_texts(rows: NDArray[np.int64], rising: Iterable[pa.Array]) -> Iterator[str]:
    """The texts of `rows` in their order, from the texts of the same rows in rising order, some at a time.

    They wait in a temporary file, not in memory, until it is their turn. Mapped, it would count as memory once more.
    """
    ends, row = np.zeros(len(rows) + 1, dtype=np.int64), 0
    with tempfile.TemporaryFile() as spool:
        for texts in rising:
            own = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
            ends[row + 1 : row + 1 + len(texts)] = spool.tell() + (own[1:] - own[0]).astype(np.int64)
            spool.write(memoryview(texts.buffers()[2] or b"")[own[0] : own[-1]])
            row += len(texts)
        spool.flush()
        place = np.argsort(np.argsort(rows, kind="stable"))
        for start in range(0, len(place), GROUP_ROWS):
            group = place[start : start + GROUP_ROWS]
            for begin, end in zip(ends[group].tolist(), ends[group + 1].tolist(), strict=True):
                yield os.pread(spool.fileno(), end - begin, begin).decode()


def on_one_line(raw: str) -> str:
    """A record's own text on one line: a line break inside a JSON string is always escaped."""
    return "".join(map(str.strip, raw.split("\n")))


def add_field(raw: str, value: Mapping[str, Any]) -> str:
    """The record's own text with one more field at its end; nothing else of it changes.

    Raises DataError where it has a field of that name.
    """
    if FIELD in json.loads(raw, parse_int=float):
        raise DataError(
            f"a record has a field {FIELD!r} already, and one of that name would be added", "Rename it in the data."
        )
    body = raw.rstrip()[:-1]
    inner = body.rstrip()
    space = body[len(inner) :]  # an indented record keeps its closing brace on its own line
    lead = "" if inner.endswith("{") else ","
    gap = _inner_indent(raw)
    return f"{inner}{lead}{gap}{json.dumps(FIELD)}: {json.dumps(value)}{space}}}"


def write_texts(file: IO[bytes], written: str, indent: str, compression: str, texts: Iterable[str]) -> None:
    """Write records as a JSON array ('json', each after `indent`) or JSON Lines ('jsonl')."""
    with _compress(file, compression) as out:
        if written == "jsonl":
            for text in texts:
                out.write(text.encode() + b"\n")
            return
        separator = indent or "\n"
        out.write(b"[")
        for place, text in enumerate(texts):
            out.write((("," if place else "") + separator + text).encode())
        out.write(b"\n]\n")


def write_cells(file: IO[bytes], delimiter: str, compression: str, like: str, texts: Iterable[str]) -> None:
    """Write records of one set of fields as a CSV file; `like` is one of them, where there may be none to write."""
    records = map(json.loads, texts)
    first = next(records, None)
    names = list(json.loads(like) if first is None else first)
    with _compress(file, compression) as out:
        write_csv(out, delimiter, names, [] if first is None else itertools.chain([first], records))


def format_record(record: Mapping[str, Any], like: str, indent: str) -> str:
    """A record as JSON: on one line, or on lines of its own where the record `like` is, each after `indent`."""
    if "\n" not in like:
        return json.dumps(record, ensure_ascii=False)
    return json.dumps(record, ensure_ascii=False, indent=2).replace("\n", indent or "\n")


def write_table(
    file: IO[bytes],
    kind: str,
    rows: NDArray[np.int64],
    parts: Iterable[pa.Table],
    schema: pa.Schema,
    values: Sequence[Mapping[str, Any]] | None,
) -> None:
    """Write rows of a table as a file of its kind; 'arrow' is the data file of a folder that `datasets` loads.

    Args:
        file: what is written to.
        kind: one of columns.TABLES.
        rows: row numbers, in the order wanted.
        parts: the stored column `raw` in source order, from row 0 on.
        schema: the table's; with `values` there is a column more, and no metadata, which may be untrue of that.
        values: one for each of `rows`, or None.

    Raises:
        DataError: the table has a column of the name that would be added, or one that this kind of file can't hold.
    """
    check_schema("the data", schema, kind)
    added = None if values is None else pa.array(list(values))
    written = schema
    if added is not None:
        if FIELD in schema.names:
            raise DataError(f"the data has a column {FIELD!r} already", "Rename it in the data.")
        written = schema.append(pa.field(FIELD, added.type)).remove_metadata()
    _write_parts(file, kind, written, _chosen_parts(rows, parts, schema, written, added))


def _chosen_parts(
    rows: NDArray[np.int64], parts: Iterable[pa.Table], schema: pa.Schema, written: pa.Schema, added: pa.Array | None
) -> Iterator[pa.Table]:
    start = 0
    for group in _groups(rows, parts, stored_schema(schema)):
        extra = [] if added is None else [added.slice(start, len(group))]
        own = from_stored([column.combine_chunks() for column in group.columns], schema)
        yield pa.Table.from_arrays([*own, *extra], schema=written)
        start += len(group)


def _write_parts(file: IO[bytes], kind: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> None:
    """Write the parts of a table. An Arrow file holds one dictionary a column, so that all parts have to be seen."""
    if kind == "ipc" and any(pa.types.is_dictionary(field.type) for field in schema):
        parts = [pa.concat_tables([schema.empty_table(), *parts]).unify_dictionaries()]
    with open_writer(file, schema, kind) as writer:
        for part in parts:
            writer.write_table(part)


def write_longer_table(
    file: IO[bytes],
    kind: str,
    parts: Iterable[pa.Table],
    schema: pa.Schema,
    fields: Sequence[pa.Field],
    new: Sequence[Mapping[str, Any]],
) -> None:
    """Write all rows of a table and new ones after them; see `write_table`.

    Args:
        file: what is written to.
        kind: one of columns.TABLES.
        parts: the stored column `raw` in source order.
        schema: the table's.
        fields: columns that only the new rows have; the others' are null.
        new: what they hold, by column; null where they say nothing.

    Raises:
        DataError: the table can't hold a new row.
    """
    written = pa.schema([*schema, *fields])  # without metadata, which may be untrue of that
    _write_parts(file, kind, written, _longer_parts(parts, schema, fields, new, written))


def _longer_parts(
    parts: Iterable[pa.Table],
    schema: pa.Schema,
    fields: Sequence[pa.Field],
    new: Sequence[Mapping[str, Any]],
    written: pa.Schema,
) -> Iterator[pa.Table]:
    for part in parts:
        nulls = [pa.nulls(len(part), field.type) for field in fields]
        columns = [*from_stored(part["raw"].combine_chunks().flatten(), schema), *nulls]
        yield pa.Table.from_arrays(columns, schema=written)
    for start in range(0, len(new), GROUP_ROWS):
        yield build_table(new[start : start + GROUP_ROWS], written)


def build_table(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """The records as rows of such a table. Raises DataError where it can't hold them."""
    hint = "Convert the data to JSON Lines first."
    kind = pa.struct(list(schema))
    try:
        structs = pa.array(list(records), kind)
    except pa.ArrowException as error:
        raise DataError(f"new rows don't fit the columns of this table: {error}", hint) from error
    lacking = next((name for record in records for name in _empty_fields(record, kind)), "")
    if lacking:
        raise DataError(f"the column {lacking!r} may not be empty, and new rows have nothing for it", hint)
    for held, record in zip(structs.to_pylist(), records, strict=True):
        if without_nulls(held) != record:  # Arrow leaves out what it has no field for
            raise DataError("the columns of this table have no place for some parts of the new rows", hint)
    return pa.Table.from_arrays(structs.flatten(), schema=schema)


def _empty_fields(value: Any, kind: pa.DataType, within: str = "") -> Iterator[str]:
    """The fields that are null and may not be; dots for fields within fields."""
    if pa.types.is_struct(kind) and isinstance(value, Mapping):
        for field in kind:
            if value.get(field.name) is not None:
                yield from _empty_fields(value[field.name], field.type, f"{within}{field.name}.")
            elif not field.nullable:
                yield f"{within}{field.name}"
    elif isinstance(value, list):
        for item in value:
            yield from _empty_fields(item, kind.field(0).type, within)


GROUP_ROWS = 8192


MOST_GROUPS = 64
"""Each group is an open file while the parts are read."""


def _groups(rows: NDArray[np.int64], parts: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in their order, some thousand at a time.

    One pass over the parts puts each row into the temporary file of its group; then each group is put in order.
    """
    size = max(GROUP_ROWS, -(-len(rows) // MOST_GROUPS))
    groups = [rows[start : start + size] for start in range(0, len(rows), size)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{number}" for number in range(len(groups))]
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(pa.OSFile(path, "wb")) for path in paths]
            spools = [stack.enter_context(pa.ipc.new_stream(file, schema)) for file in files]
            _spool([np.sort(group) for group in groups], parts, schema, spools)
        for group, path in zip(groups, paths, strict=True):
            with pa.OSFile(path) as file, pa.ipc.open_stream(file) as spool:
                places = np.argsort(np.argsort(group))  # the spool has the group in source order
                yield spool.read_all().combine_chunks().take(_indices(places))


def _spool(
    groups: Sequence[NDArray[np.int64]], parts: Iterable[pa.Table], schema: pa.Schema, spools: Sequence[Any]
) -> None:
    """Write the rows of each group, which are sorted, to its spool."""
    start = 0
    for part in parts:
        raw = part["raw"].combine_chunks()
        for group, spool in zip(groups, spools, strict=True):
            first, last = np.searchsorted(group, (start, start + len(part)))
            if first < last:
                structs = raw.take(_indices(group[first:last] - start))
                columns = to_stored(structs.flatten(), schema)  # runs of older versions store some as they are
                spool.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        start += len(part)


def _indices(values: NDArray[np.int64]) -> pa.Array:
    """For `take`. Not `pa.array`, which loads pandas where it is installed."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


ARROW_FILE = "data-00000-of-00001.arrow"


def arrow_state(fingerprint: str) -> dict[str, Any]:
    """What `datasets` wants in state.json beside one data file."""
    return {
        "_data_files": [{"filename": ARROW_FILE}],
        "_fingerprint": fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }


@contextlib.contextmanager
def _compress(file: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == "gz":
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as out:  # no name, no time: equal bytes; 9 takes thrice as long
            yield out  # type: ignore[misc]
    elif compression == "zst":
        with pa.CompressedOutputStream(pa.PythonFile(_KeptOpen(file), "w"), "zstd") as out:
            yield out
    else:
        yield file


class _KeptOpen:
    """The file for a stream that closes what it writes to: whoever opened it still has to sync it."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush

    def close(self) -> None:
        """Leave it open."""


def _inner_indent(raw: str) -> str:
    """What stands between the opening brace and the first key in indented JSON, else a space."""
    space = raw[1 : len(raw) - len(raw[1:].lstrip())]
    return space if "\n" in space else " "
