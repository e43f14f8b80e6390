"""Parquet, Arrow and Feather files, and the folders that `datasets` saves: rows with their Arrow types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selectit.data import columns
from selectit.data.damage import reading
from selectit.data.fields import Unseen
from selectit.data.json_text import MAX_RECORD, RawValue
from selectit.data.layouts import MEDIA
from selectit.data.unpacking import limited
from selectit.errors import DataError, nearest
from selectit.jsonable import parse_json

_BATCH = 1024
_BUFFER = 1 << 20
"""Bytes of a Parquet column that are read at once."""

_MAX_UNPACKED = 256 << 20
"""Bytes that so many rows may take beyond those they share: a quarter of a MB for each."""

_MAX_REPEATED = 64 << 10
"""Bytes of a text that a row may have any number of times, in a list."""

_HINT = "Save the data set again with save_to_disk."


_DECODER = json.JSONDecoder(parse_int=lambda text: int(text) if len(text) < 4000 else float(text))
"""Reads what was read before: int refuses more than 4,300 digits."""


def decode_record(raw: str) -> Any:
    """The value of a stored record's own JSON text."""
    return _DECODER.decode(raw)


def arrow_files(folder: Path, split: str | None) -> list[Path]:
    """The data files of a folder that `datasets` saved, in order. Raises DataError."""
    described = folder / "dataset_dict.json"
    if described.is_file():
        splits = _texts(described, _json(described).get("splits", []))
        if split is None and len(splits) != 1:
            raise DataError(f"{folder} has the splits {', '.join(splits) or 'none'}", "Name one with --split.")
        if split is not None and split not in splits:
            raise DataError(f"{folder} has no split {split!r}", nearest(split, splits))
        folder = folder / (split or splits[0])
    state = folder / "state.json"
    entries = _json(state).get("_data_files", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{state}: _data_files is not a list of files", _HINT)
    names = _texts(state, [entry.get("filename") for entry in entries])
    if not names:
        raise DataError(f"{state} names no data files", _HINT)
    return [folder / name for name in names]


def _texts(path: Path, values: Any) -> list[str]:
    """Names of files and folders in a list. Raises DataError where it holds something else, or leads elsewhere."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{path} has something else where names belong", _HINT)
    for name in values:
        if Path(name).name != name or name == ".." or "\0" in name:
            raise DataError(f"{path} names {name!r}, which is not in this folder", _HINT)
    return values


def read_schema(path: Path, kind: str) -> pa.Schema:
    """The file's Arrow schema with its metadata. Raises DataError."""
    with reading(path):
        if kind == "parquet":
            schema = pq.read_schema(path)
        else:
            with pa.OSFile(str(path)) as file:
                schema = (pa.ipc.open_file if kind == "ipc" else pa.ipc.open_stream)(file).schema
        columns.decode_names(schema)
        return schema


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a table that follow each other; `raw` is an Arrow struct, and nulls count as missing fields."""

    path: Path
    first: int
    """The number of the first row in the file."""
    stored: pa.RecordBatch
    """The columns as a run stores them."""
    raw: pa.StructArray

    def items(self) -> Iterator[RawValue]:
        """The rows one by one. Raises DataError where the file is damaged."""
        with reading(self.path):
            rows = zip(self.raw, values(self.stored), _unseen(self.stored), strict=True)
            for place, (scalar, value, unseen) in enumerate(rows):
                yield RawValue(f"row {self.first + place}", scalar, unseen | value)

    def columns(self) -> tuple[pa.Table, pa.StructArray] | None:
        """The rows at once: the columns, and `raw`; None where they are damaged."""
        table = pa.Table.from_batches([self.stored])
        try:
            table.validate(full=True)
        except pa.ArrowException:
            return None
        return table, self.raw


def read_parts(path: Path, kind: str, schema: pa.Schema | None) -> Iterator[Part]:
    """The rows of one file.

    Args:
        path: the file.
        kind: one of columns.TABLES.
        schema: the whole table's; `raw` then has the types in which a run stores its columns. None where the file
            stands for itself, and its rows become JSON: `raw` has the table's own types.

    Raises:
        DataError: the file is damaged, has other columns, or fills the memory.
    """
    own = read_schema(path, kind)
    if schema is not None and not own.equals(schema):
        raise DataError(f"{path} has other columns than the first file of this data set", _HINT)
    yield from split_batches(path, _batches(path, kind), own, schema)


def split_batches(
    path: Path, batches: Iterator[pa.RecordBatch], own: pa.Schema, schema: pa.Schema | None
) -> Iterator[Part]:
    """The rows of batches with the schema `own`; see `read_parts`."""
    stored_schema = columns.stored_schema(own)
    number = 0
    with reading(path):
        for batch in batches:
            for part in _parts(path, batch, number):
                kept = columns.to_stored(part.columns, stored_schema)
                stored = pa.RecordBatch.from_arrays(kept, schema=stored_schema)
                yield Part(path, number, stored, (part if schema is None else stored).to_struct_array())
                number += len(part)


def _parts(path: Path, batch: pa.RecordBatch, first: int) -> Iterator[pa.RecordBatch]:
    """The batch, whose first row is row `first` of the file, in parts of some thousand rows.

    Raises DataError where a part takes very much more memory than in the file.
    """
    for start in range(0, len(batch), _BATCH):
        part = batch.slice(start, _BATCH)
        size = sum(columns.unpacked_size(column) for column in part.columns)
        if size > _MAX_UNPACKED:
            raise DataError(
                f"{path}: the {len(part):,} rows from row {first + start:,} on take {size >> 20:,} MB when they are "
                f"unpacked, and may take {_MAX_UNPACKED >> 20}",
                "Instructions and responses are shorter: leave out or cut the longest rows.",
            )
        yield part


def plain_records(raw: pa.ChunkedArray) -> Iterator[Mapping[str, Any]]:
    """The records of the stored column `raw`, JSON texts or Arrow rows, as plain values."""
    if pa.types.is_struct(raw.type):
        yield from values(pa.RecordBatch.from_struct_array(raw.combine_chunks()))
    else:
        yield from map(decode_record, raw.to_pylist())


def values(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows as plain values, without nulls, without bytes, and with True for images that are there."""
    plain = {field.name: (field.type, _plain_type(field.type)) for field in batch.schema}
    media = {
        name: _is_there(batch.column(name)) for name, (own, kind) in plain.items() if name in MEDIA and kind != own
    }
    shown = {name: kind for name, (_, kind) in plain.items() if kind is not None and name not in media}
    columns = {name: _cast(batch.column(name), kind) for name, kind in shown.items()}
    table = pa.table(columns) if columns else None
    for place, value in enumerate([{}] * len(batch) if table is None else table.to_pylist()):
        yield without_nulls(value) | {name: True for name, rows in media.items() if rows[place]}


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _unseen(batch: pa.RecordBatch) -> Iterator[dict[str, Unseen]]:
    """For each row the columns of bytes that have something there, which `values` leaves out."""
    kinds = {name: batch.schema.field(name).type for name in batch.schema.names}
    there = {name: _is_there(batch.column(name)) for name, kind in kinds.items() if _plain_type(kind) is None}
    for place in range(len(batch)):
        yield {name: Unseen(str(kinds[name])) for name, rows in there.items() if rows[place]}


def _is_there(column: pa.Array) -> list[bool]:
    """For each row whether it has something in a column; an empty list is nothing."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return [bool(length) for length in pc.list_value_length(column).to_pylist()]
    return [bool(there) for there in column.is_valid().to_pylist()]


def _plain_type(kind: pa.DataType) -> pa.DataType | None:
    """The type as which a column is looked into; None = not at all.

    Bytes are left out, since they may be pictures; times are numbers, since Python can't hold all of them.
    """
    if pa.types.is_struct(kind):
        inner = [field.with_type(plain) for field in kind if (plain := _plain_type(field.type)) is not None]
        return pa.struct(inner) if inner or not kind.num_fields else None
    if pa.types.is_nested(kind):
        inner = [kind.field(place).type for place in range(kind.num_fields)]
        return kind if all(_plain_type(each) == each for each in inner) else _plain_list(kind)
    if pa.types.is_temporal(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    bytes_like = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return None if bytes_like else kind


def _plain_list(kind: pa.DataType) -> pa.DataType | None:
    """As of `_plain_type`, of a list whose values are not all plain."""
    if pa.types.is_map(kind):
        key, item = _plain_type(kind.key_type), _plain_type(kind.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    value = _plain_type(kind.value_type)
    if value is None:
        return None
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(value, kind.list_size)
    return (pa.large_list if pa.types.is_large_list(kind) else pa.list_)(value)


def without_nulls(value: Any) -> Any:
    """The value without the fields that are null: a table has no other way to leave a field out."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _batches(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    batches = _parquet_batches(path) if kind == "parquet" else _arrow_batches(path, kind)
    while True:
        with limited(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _arrow_batches(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path)) as file:
        for batch in _batches_of_file(file) if kind == "ipc" else pa.ipc.open_stream(file):
            batch.validate(full=True)  # a wrong offset is memory of somebody else, or the end of the process
            yield batch


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    bulky = _bulky_columns(path)
    # Without a buffer all of a row group is read before its first row, and it may be the whole file.
    with pq.ParquetFile(path, page_checksum_verification=True, buffer_size=_BUFFER) as file:
        yield from _packed_batches(path, file, bulky) if bulky else file.iter_batches(batch_size=_BATCH)


_NO_NUMBERS = (pa.ArrowNotImplementedError, OSError)
"""What Arrow says of texts that it can't read as numbers into a dictionary, which are no damage."""


def _batches_of_file(file: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    reader = pa.ipc.open_file(file)
    yield from (reader.get_batch(number) for number in range(reader.num_record_batches))


def _packed_batches(path: Path, file: pq.ParquetFile, bulky: list[str]) -> Iterator[pa.RecordBatch]:
    """The batches of a Parquet file with some columns as numbers into their dictionaries."""
    with pq.ParquetFile(path, read_dictionary=bulky, page_checksum_verification=True, buffer_size=_BUFFER) as packed:
        for group in range(file.num_row_groups):
            done = seen = 0
            try:
                for batch in packed.iter_batches(batch_size=_BATCH, row_groups=[group]):
                    yield batch
                    done += len(batch)
            except _NO_NUMBERS:  # the dictionary of a list ends within the group: read on without it
                for batch in file.iter_batches(batch_size=_BATCH, row_groups=[group]):
                    if seen + len(batch) > done:
                        yield batch.slice(max(done - seen, 0))
                    seen += len(batch)


def _bulky_columns(path: Path) -> list[str]:
    """The text columns of a Parquet file that may fill the memory, to be read as numbers into their dictionary.

    A row takes some bits in the file for a text of the dictionary, and in memory all its length. To know the longest
    texts takes a row of each group; what the file says of its columns is not asked, since a wrong word there is the end
    of the process.
    """
    with pq.ParquetFile(path) as file:
        leaves = [file.schema.column(place) for place in range(len(file.schema))]
    texts = [leaf for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    bulky: set[str] = set()
    with pq.ParquetFile(path, read_dictionary=[leaf.path for leaf in texts], buffer_size=1 << 16) as file:
        for number in range(file.num_row_groups if texts else 0):
            group = file.metadata.row_group(number)
            if group.total_byte_size > group.num_rows * MAX_RECORD + _MAX_UNPACKED:
                raise DataError(
                    f"{path}: its rows have more than {MAX_RECORD >> 20} MB each",
                    "Instructions and responses are shorter: leave out the longest rows.",
                )
            for leaf in texts:
                most = _MAX_REPEATED if leaf.max_repetition_level else _MAX_UNPACKED // _BATCH
                if _longest_text(file, number, leaf.path) > most:
                    bulky.add(leaf.path)
    return sorted(bulky)


def _longest_text(file: pq.ParquetFile, group: int, name: str) -> int:
    """The length of the longest text in the dictionary of a column in a group; 0 where it has none."""
    rows = file.iter_batches(batch_size=1, row_groups=[group], columns=[name], use_threads=False)
    try:
        first = next(rows, None)
    except _NO_NUMBERS:
        return 0
    return 0 if first is None else max(n for column in first.columns for n in columns.longest_texts(column))


def _json(path: Path) -> dict[str, Any]:
    with reading(path):
        text = path.read_text(encoding="utf-8")
    try:
        found = parse_json(text)
    except ValueError as error:
        raise DataError(f"can't read {path}: {error}", _HINT) from error
    if not isinstance(found, dict):
        raise DataError(f"can't read {path}: it is not an object", _HINT)
    return found
