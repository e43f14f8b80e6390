"""Columns of tables as a run stores them, which is in Parquet, and back as they were."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selectit.errors import DataError

TABLES = ("parquet", "arrow", "ipc", "stream")
"""The kinds of files that are tables: Parquet, a folder of `datasets`, an Arrow or Feather file, an Arrow stream."""


def open_writer(file: IO[bytes], schema: pa.Schema, kind: str) -> Any:
    """What writes a table of such a kind, one of TABLES, part by part."""
    if kind == "parquet":
        return pq.ParquetWriter(file, schema, compression="zstd")
    return pa.ipc.new_file(file, schema) if kind == "ipc" else pa.ipc.new_stream(file, schema)


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with the types in which a run stores the columns: those that Parquet holds to the last bit.

    Views are texts and bytes, runs their values, extensions what they are made of, times the numbers behind them where
    Parquet would round or overflow.
    """
    return pa.schema([field.with_type(_stored_type(field.type)) for field in schema])


def _stored_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _stored_type(kind.storage_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored_type(field.type)) for field in kind])
    if pa.types.is_map(kind):
        item = kind.item_field.with_type(_stored_type(kind.item_type))
        return pa.map_(kind.key_field.with_type(_stored_type(kind.key_type)), item, kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_stored_type(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_stored_type(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_stored_type(kind.value_type)))
    if pa.types.is_run_end_encoded(kind) or (pa.types.is_dictionary(kind) and kind.value_type not in _TEXTS):
        return _stored_type(kind.value_type)
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.int64()
    return _STORED.get(kind, kind)


_TEXTS = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
_INTERVAL = pa.month_day_nano_interval()
_STORED = {
    pa.string_view(): pa.large_string(),
    pa.binary_view(): pa.large_binary(),
    _INTERVAL: pa.binary(16),
    pa.date64(): pa.int64(),
    pa.time32("s"): pa.int32(),
}


def to_stored(columns: Sequence[pa.Array], schema: pa.Schema) -> list[pa.Array]:
    """Columns as a run stores them: of the types of `schema`, which `stored_schema` made. Raises ArrowException."""
    return [_to_type(column, field.type) for column, field in zip(columns, schema, strict=True)]


def from_stored(columns: Sequence[pa.Array], schema: pa.Schema) -> list[pa.Array]:
    """Stored columns as they were: of the types of the table's own `schema`. Raises ArrowException."""
    return [_from_type(column, field.type) for column, field in zip(columns, schema, strict=True)]


def _to_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_run_end_encoded(column.type):
        return _to_type(_compute().run_end_decode(column), kind)
    if column.type == _INTERVAL:
        return column.view(kind)  # no cast knows it; its 16 bytes are what it is
    return column.cast(kind)


def _compute() -> ModuleType:
    """pyarrow.compute, which takes a tenth of a second to load."""
    return importlib.import_module("pyarrow.compute")


def _from_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_run_end_encoded(kind):
        return _compute().run_end_encode(_from_type(column, kind.value_type), run_end_type=kind.run_end_type)
    if kind == _INTERVAL:
        return column.view(kind)
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(column.type):
        coded = _from_type(column, kind.value_type).dictionary_encode()
        return pa.DictionaryArray.from_arrays(
            coded.indices.cast(kind.index_type), coded.dictionary, ordered=kind.ordered
        )
    return column.cast(kind)


def decode_names(fields: Iterable[pa.Field]) -> None:
    """Raise UnicodeDecodeError where a name is not UTF-8: Arrow finds out only when it is asked."""
    for field in fields:
        assert field.name is not None
        decode_names(field.type.field(place) for place in range(field.type.num_fields))


def check_schema(path: Path | str, schema: pa.Schema, kind: str) -> None:
    """Refuse a table that could be rated and not be written again: two columns of one name, a type that is not stored.

    Args:
        path: for the message.
        schema: the table's.
        kind: one of TABLES, as which it would be written.

    Raises:
        DataError: it names the column.
    """
    twice = next((name for place, name in enumerate(schema.names) if name in schema.names[:place]), None)
    if twice is not None:
        raise DataError(f"{path} has two columns with the name {twice!r}", "Rename one of them.")
    try:
        _pass_through(schema, kind)
    except (pa.ArrowException, ValueError):
        for field in schema:
            try:
                _pass_through(pa.schema([field]), kind)
            except (pa.ArrowException, ValueError) as error:
                raise DataError(
                    f"{path}: the column {field.name!r} can't be kept as it is, since its type is {field.type}",
                    "Convert the column, or leave it out.",
                ) from error
        raise


def _pass_through(schema: pa.Schema, kind: str) -> None:
    """Store no rows of such a table, read them, and write them as the table's own kind. Raises where that fails."""
    for field in schema:
        _check_names(field.type)
    stored = stored_schema(schema)
    empty = [pa.nulls(0, field.type) for field in schema]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(to_stored(empty, stored), schema=stored), file)
    with pq.ParquetFile(file) as kept:
        columns = [column.combine_chunks().take(pa.nulls(0, pa.int64())) for column in kept.read().columns]
    back = from_stored(columns, schema)
    with open_writer(io.BytesIO(), schema, kind) as writer:
        writer.write_table(pa.Table.from_arrays(back, schema=schema))


def _check_names(kind: pa.DataType) -> None:
    """Raise ValueError where fields within a field have one name."""
    inner = [kind.field(place) for place in range(kind.num_fields)]
    if len({field.name for field in inner}) < len(inner):
        raise ValueError("two fields of one name")
    for field in inner:
        _check_names(field.type)


def unpacked_size(column: pa.Array) -> int:
    """About how many bytes more a column takes when its rows are read one by one.

    A text in a dictionary, or one that several views show, stands in memory once, and again in every row that is read:
    some KB of a file may become all memory. Of lists each value counts as one, since nulls need no bytes at all.
    """
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return unpacked_size(column.storage)
    if pa.types.is_dictionary(kind):
        return _text_size(column.dictionary, column.indices)
    if kind in (pa.string_view(), pa.binary_view()):
        return _text_size(column)
    if pa.types.is_run_end_encoded(kind):
        return len(column) * _longest(column.values)
    if pa.types.is_struct(kind):
        return sum(unpacked_size(column.field(place)) for place in range(kind.num_fields))
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        values = _list_values(column)
        return len(values) + unpacked_size(values)
    return 0


def _list_values(column: pa.Array) -> pa.Array:
    """All that the lists of a column hold; of views that overlap, what they share once for each."""
    if pa.types.is_list_view(column.type) or pa.types.is_large_list_view(column.type):
        return column.flatten() if np.from_dlpack(column.sizes).sum() < _MAX_VALUES else pa.nulls(_MAX_VALUES)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        return column.values.slice(column.offset * width, len(column) * width)
    first, last = column.offsets[0].as_py(), column.offsets[-1].as_py()
    return column.values.slice(first, last - first)


_MAX_VALUES = 1 << 30


def _text_size(texts: pa.Array, places: pa.Array | None = None) -> int:
    """The length in bytes of all texts, or of those at some places, each as often as it is there."""
    lengths = _lengths(texts)
    if places is not None and len(lengths):
        lengths = lengths[np.from_dlpack(places.drop_null() if places.null_count else places)]
    return int(lengths.sum())


def _longest(texts: pa.Array) -> int:
    return int(_lengths(texts).max(initial=0))


def _lengths(texts: pa.Array) -> NDArray[np.int64]:
    """The length of each text in bytes; none where they are no texts."""
    if not len(texts):
        return np.empty(0, np.int64)
    if texts.type in (pa.string_view(), pa.binary_view()):
        views = np.frombuffer(texts.buffers()[1], np.int32).reshape(-1, 4)  # the length, then where the text is
        return views[texts.offset : texts.offset + len(texts), 0].clip(0).astype(np.int64)
    if texts.type not in _TEXTS:
        return np.empty(0, np.int64)
    width = np.int32 if texts.type in (pa.string(), pa.binary()) else np.int64
    offsets = np.frombuffer(texts.buffers()[1], width)[texts.offset : texts.offset + len(texts) + 1]
    return np.diff(offsets).astype(np.int64)


def longest_texts(column: pa.Array) -> list[int]:
    """The length in bytes of the longest text in the dictionary of each leaf, in their order; 0 where it has none."""
    if isinstance(column, pa.ExtensionArray):
        return longest_texts(column.storage)
    if pa.types.is_struct(column.type):
        fields = [column.field(place) for place in range(column.type.num_fields)]
        return [longest for field in fields for longest in longest_texts(field)]
    if pa.types.is_nested(column.type):
        return longest_texts(column.values)
    if pa.types.is_dictionary(column.type):
        return [_longest(column.dictionary)]
    return [0]
