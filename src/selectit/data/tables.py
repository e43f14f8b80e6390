"""Parquet files, and the Arrow folders that `datasets` saves: rows with their Arrow types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selectit.data import columns
from selectit.data.damage import reading
from selectit.data.json_text import MAX_RECORD, RawValue
from selectit.errors import DataError, nearest
from selectit.parsing import parse_json

_BATCH = 1024
_MAX_UNPACKED = 256 << 20
"""Bytes that so many rows may take beyond those they share: a quarter of a MB for each."""

_MAX_NESTED = 2 << 30
"""Bytes of the texts in lists of one row group; Arrow's own limit for one array."""

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
        if Path(name).name != name:
            raise DataError(f"{path} names {name!r}, which is not in this folder", _HINT)
    return values


def read_schema(path: Path, kind: str) -> pa.Schema:
    """The file's Arrow schema with its metadata. Raises DataError."""
    with reading(path):
        if kind == "parquet":
            return pq.read_schema(path)
        with pa.OSFile(str(path)) as file:
            return pa.ipc.open_stream(file).schema


def read_rows(path: Path, kind: str, schema: pa.Schema | None) -> Iterator[RawValue]:
    """The rows of one file; `raw` is an Arrow struct scalar, and nulls count as missing fields of `value`.

    Args:
        path: the file.
        kind: 'parquet' or 'arrow'.
        schema: the whole table's; `raw` then has the types in which a run stores its columns. None where the file
            stands for itself, and its rows become JSON: `raw` has the table's own types.

    Raises:
        DataError: the file is damaged, has other columns, or fills the memory.
    """
    own = read_schema(path, kind)
    if schema is not None and not own.equals(schema):
        raise DataError(f"{path} has other columns than the first file of this data set", _HINT)
    stored_schema = columns.stored_schema(own)
    number = 0
    with reading(path):
        for batch in _batches(path, kind):
            for part in _parts(path, batch, number):
                kept = columns.to_stored(part.columns, stored_schema)
                stored = pa.RecordBatch.from_arrays(kept, schema=stored_schema)
                rows = part.to_struct_array() if schema is None else stored.to_struct_array()
                for scalar, value in zip(rows, values(stored), strict=True):
                    yield RawValue(f"row {number} of the file", scalar, value)
                    number += 1


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
    """The rows as plain values: the columns that may hold text, without nulls."""
    columns = [name for name in batch.schema.names if _may_hold_text(batch.schema.field(name).type)]
    for value in batch.select(columns).to_pylist():
        yield without_nulls(value)


def _may_hold_text(kind: pa.DataType) -> bool:
    """Whether to look into a column: times and bytes are kept as they are, and some times Python can't hold."""
    if pa.types.is_nested(kind):
        return all(_may_hold_text(kind.field(place).type) for place in range(kind.num_fields))
    return not (pa.types.is_temporal(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def without_nulls(value: Any) -> Any:
    """The value without the fields that are null: a table has no other way to leave a field out."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def _batches(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    if kind == "parquet":
        with pq.ParquetFile(path, read_dictionary=_bulky_columns(path), page_checksum_verification=True) as file:
            yield from file.iter_batches(batch_size=_BATCH)
    else:
        with pa.OSFile(str(path)) as file:
            for batch in pa.ipc.open_stream(file):
                batch.validate(full=True)  # a wrong offset is memory of somebody else, or the end of the process
                yield batch


def _bulky_columns(path: Path) -> list[str]:
    """The text columns of a Parquet file that may fill the memory, to be read as numbers into their dictionary.

    A row takes some bits in the file for a text of the dictionary, and in memory all its length. To know the longest
    texts takes a row of each group.
    """
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        leaves = [file.schema.column(place) for place in range(metadata.num_columns)]
    texts = [place for place, leaf in enumerate(leaves) if leaf.physical_type == "BYTE_ARRAY"]
    bulky = set()
    with pq.ParquetFile(path, read_dictionary=[leaves[place].path for place in texts], buffer_size=1 << 20) as file:
        for group in range(metadata.num_row_groups):
            chunks = {place: metadata.row_group(group).column(place) for place in texts}
            _check_lengths(path, chunks.values())
            packed = [place for place in texts if chunks[place].has_dictionary_page]
            names = [leaves[place].path for place in packed]
            first = next(file.iter_batches(batch_size=1, row_groups=[group], columns=names), None) if names else None
            if first is None:
                continue
            longest = [length for column in first.columns for length in columns.longest_texts(column)]
            for place, length in zip(packed, longest, strict=True):
                nested = leaves[place].max_repetition_level > 0
                if length * _BATCH > _MAX_UNPACKED or (nested and length * chunks[place].num_values > _MAX_NESTED):
                    bulky.add(leaves[place].path)
    return sorted(bulky)


def _check_lengths(path: Path, chunks: Iterable[pq.ColumnChunkMetaData]) -> None:
    """Raise DataError where the texts of a column are so long that one page of them fills the memory."""
    for chunk in chunks:
        if chunk.total_uncompressed_size > chunk.num_values * MAX_RECORD + _MAX_UNPACKED:
            raise DataError(
                f"{path}: the values of the column {chunk.path_in_schema!r} are longer than {MAX_RECORD >> 20} MB",
                "Instructions and responses are shorter: leave out the longest rows.",
            )


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
