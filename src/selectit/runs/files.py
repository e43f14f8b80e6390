"""Files of a run directory: read with clear errors, written whole or not at all."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w
from numpy.typing import NDArray

from selectit.atomic_files import replacing
from selectit.runs.sums import (
    DamagedError,
    Place,
    read_bytes,
    read_parquet,
    sealed,
    sealed_text,
    unsealed,
    unsealed_text,
    write_parquet,
)


def slug(name: str) -> str:
    """A name fit for a folder: the last parts of an id or path, without special characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name.strip("./ "))[-60:].strip("-.").lower() or "model"


def part_name(number: int) -> str:
    """The file name of a part."""
    return f"part-{number:05d}.parquet"


def read_part(path: Path, columns: Sequence[str] | None = None, place: Place | None = None) -> pa.Table:
    """A stored Parquet file, or some of its columns.

    Raises:
        DamagedError: it is gone, or its sums are wrong.
        RunError: it is no plain file, or states another place than `place` (None = any).
    """
    return read_parquet(path, None if columns is None else list(columns), place)


def numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers without nulls, as it lies in memory.

    Not `to_numpy`, which loads pandas where it is installed: half a second for nothing.
    """
    return np.from_dlpack(column.combine_chunks())


def column(values: NDArray[Any]) -> pa.Array:
    """The reverse of `numbers`, and like it without pandas."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def text_column(values: Sequence[str]) -> pa.Array:
    """Texts as an Arrow array, without pandas too."""
    offsets = np.zeros(len(values) + 1, np.int32)
    lengths = (len(value if value.isascii() else value.encode()) for value in values)
    np.cumsum(np.fromiter(lengths, np.int32, len(values)), out=offsets[1:])
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer("".join(values).encode()))


def write_table(path: Path, table: pa.Table, place: Place) -> None:
    """Write a Parquet file with its sums so that it is whole or not there."""
    with replacing(path) as file:
        write_parquet(file, table, place)


def write_json(path: Path, value: Mapping[str, Any], place: Place | None = None) -> None:
    """Write a JSON object so that the file is whole or as it was; with a sum where it has a place in a run."""
    value = value if place is None else sealed(value, place)
    with replacing(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path, place: Place | None = None) -> dict[str, Any]:
    """A JSON object that was stored. Raises as `read_part`."""
    value = parse_json(path, read_bytes(path, place), place)
    return value if place is None else unsealed(path, value, place)


def parse_json(path: Path, text: bytes, place: Place | None) -> dict[str, Any]:
    """The JSON object of a file, with its sum. Raises DamagedError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, error, place) from error
    if not isinstance(value, dict):
        raise DamagedError(path, "it is not an object", place)
    return value


def read_toml_text(path: Path, place: Place) -> str:
    """The text of settings that are stored in the run. Raises as `read_part`."""
    try:
        return unsealed_text(path, read_bytes(path, place).decode(), place)
    except UnicodeDecodeError as error:
        raise DamagedError(path, error, place) from error


def read_toml(path: Path, place: Place) -> dict[str, Any]:
    """Settings that are stored in the run. Raises as `read_part`."""
    text = read_toml_text(path, place)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, error, place) from error


def write_toml(path: Path, config: Mapping[str, Any], place: Place | None = None) -> None:
    """Write settings so that the file is whole or as it was; with a sum where it has a place in a run."""
    text = tomli_w.dumps(config)
    with replacing(path) as file:
        file.write((text if place is None else sealed_text(text, place)).encode())
