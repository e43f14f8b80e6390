"""Writing chosen records in the kind of file they came from."""

from __future__ import annotations

import contextlib
import gzip
import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from selectit.errors import DataError
from selectit.schema import Int64

FIELD = "selectit"
"""The one field that --with-scores and --rest add."""


def in_order(rows: Int64, stored: Iterable[tuple[int, str]]) -> Iterator[str]:
    """The raw texts of `rows`, in that order, from a pass over all stored (row, raw) in source order.

    The chosen texts wait in a temporary file, not in memory, until it is their turn.
    """
    rank_of = {int(row): rank for rank, row in enumerate(rows)}
    offset = array("q", bytes(8 * len(rows)))
    length = array("q", bytes(8 * len(rows)))
    with tempfile.TemporaryFile() as spool:
        for row, raw in stored:
            rank = rank_of.get(row)
            if rank is not None:
                data = raw.encode()
                offset[rank], length[rank] = spool.tell(), len(data)
                spool.write(data)
        for rank in range(len(rows)):
            spool.seek(offset[rank])
            yield spool.read(length[rank]).decode()


def with_field(raw: str, value: Mapping[str, Any]) -> str:
    """The record's own text with one more field at its end; nothing else of it changes.

    Raises DataError where it has a field of that name.
    """
    if FIELD in json.loads(raw, parse_int=float):
        raise DataError(
            f"a record has a field {FIELD!r} already, and one of that name would be added", "Rename it in the data."
        )
    body = raw.rstrip()[:-1]
    inner = body.rstrip()
    space = body[len(inner) :]  # an indented record keeps its closing brace on a line of its own
    lead = "" if inner.endswith("{") else ","
    gap = _inner_indent(raw)
    return f"{inner}{lead}{gap}{json.dumps(FIELD)}: {json.dumps(value)}{space}}}"


def write_texts(file: IO[bytes], written: str, indent: str, compression: str, texts: Iterable[str]) -> None:
    """Write records as a JSON array ('json', each after `indent`) or JSON Lines ('jsonl')."""
    with _compressed(file, compression) as out:
        if written == "jsonl":
            for text in texts:
                out.write(text.encode() + b"\n")
            return
        separator = indent or "\n"
        out.write(b"[")
        for place, text in enumerate(texts):
            out.write((("," if place else "") + separator + text).encode())
        out.write(b"\n]\n")


def table_of(
    rows: Int64, parts: Iterable[pa.Table], schema: pa.Schema, values: Sequence[Mapping[str, Any]] | None
) -> pa.Table:
    """The rows of a table in that order, in its own schema, with a column for `values` where they are given.

    Args:
        rows: row numbers.
        parts: the stored columns `row` and `raw`, in source order.
        schema: the table's.
        values: one for each of `rows`.

    Raises:
        DataError: the table has a column of that name.
    """
    import pyarrow.compute as pc  # a tenth of a second that only tables need

    wanted = pa.array(rows)
    kept = pa.concat_tables([part.filter(pc.is_in(part["row"], wanted)) for part in parts])
    place = pc.index_in(wanted, value_set=kept["row"].combine_chunks())
    structs = kept["raw"].combine_chunks().take(place)
    table = pa.Table.from_arrays(structs.flatten(), schema=schema)
    if values is None:
        return table
    if FIELD in schema.names:
        raise DataError(f"the data has a column {FIELD!r} already", "Rename it in the data.")
    # What the metadata says of the columns is not true any more.
    return table.append_column(FIELD, pa.array(list(values))).replace_schema_metadata(None)


def write_table(file: IO[bytes], kind: str, table: pa.Table) -> None:
    """Write a Parquet file, or the data file of a folder that `datasets` loads ('arrow')."""
    if kind == "parquet":
        pq.write_table(table, file, compression="zstd")
        return
    with pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


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
def _compressed(file: IO[bytes], compression: str) -> Iterator[IO[bytes]]:
    if compression == "gz":
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as out:  # no name, no time: equal bytes
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
