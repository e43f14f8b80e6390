"""Parquet files, and the Arrow folders that `datasets` saves: rows with their Arrow types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selectit.data.json_text import RawValue
from selectit.errors import DataError, nearest

_BATCH = 1024


_DECODER = json.JSONDecoder(parse_int=lambda text: int(text) if len(text) < 4000 else float(text))
"""Reads what was read before: int refuses more than 4,300 digits."""


def arrow_files(folder: Path, split: str | None) -> list[Path]:
    """The data files of a folder that `datasets` saved, in order. Raises DataError."""
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits", [])
        if split is None and len(splits) != 1:
            raise DataError(f"{folder} has the splits {', '.join(splits)}", "Name one with --split.")
        if split is not None and split not in splits:
            raise DataError(f"{folder} has no split {split!r}", nearest(split, splits))
        folder = folder / (split or splits[0])
    names = [entry["filename"] for entry in _json(folder / "state.json").get("_data_files", [])]
    if not names:
        raise DataError(f"{folder / 'state.json'} names no data files", "Save the data set again with save_to_disk.")
    return [folder / name for name in names]


def read_schema(path: Path, kind: str) -> pa.Schema:
    """The file's Arrow schema with its metadata. Raises DataError."""
    with _reading(path):
        if kind == "parquet":
            return pq.read_schema(path)
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_stream(file).schema


def read_rows(path: Path, kind: str) -> Iterator[RawValue]:
    """The rows of one file; `raw` is an Arrow struct scalar, and nulls count as missing fields of `value`."""
    number = 0
    with _reading(path):
        for batch in _batches(path, kind):
            for scalar, value in zip(batch.to_struct_array(), values(batch), strict=True):
                yield RawValue(f"row {number} of the file", scalar, value)
                number += 1


def plain_records(raw: pa.ChunkedArray) -> Iterator[Mapping[str, Any]]:
    """The records of the stored column `raw`, JSON texts or Arrow rows, as plain values."""
    if pa.types.is_struct(raw.type):
        yield from values(pa.RecordBatch.from_struct_array(raw.combine_chunks()))
    else:
        yield from (_DECODER.decode(text) for text in raw.to_pylist())


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
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH)
    else:
        with pa.memory_map(str(path)) as file:
            yield from pa.ipc.open_stream(file)


class _reading:
    """Turn Arrow's complaints about a file into a DataError that names it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException):
            raise DataError(f"{self.path} is damaged: {error}", "Copy or save it again.") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"can't read {path}: {error}", "Save the data set again with save_to_disk.") from error
    return found
