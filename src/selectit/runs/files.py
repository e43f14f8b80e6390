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
import pyarrow.parquet as pq
import tomli_w
from numpy.typing import NDArray

from selectit.atomic_files import replacing
from selectit.errors import RunError
from selectit.jsonable import digest_of


def slug(name: str) -> str:
    """A name fit for a folder: the last parts of an id or path, without special characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name.strip("./ "))[-60:].strip("-.").lower() or "model"


def part_name(number: int) -> str:
    """The file name of a part."""
    return f"part-{number:05d}.parquet"


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A stored Parquet file. Raises RunError where it is damaged or gone."""
    try:
        # Not pq.read_table: it loads pyarrow.dataset, and with that pandas where it is installed.
        with pq.ParquetFile(path) as file:
            return file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, FileNotFoundError) as error:
        raise RunError(
            f"{path} is damaged or gone: {error}", "Remove it if it is a rating: it is computed again. Else begin anew."
        ) from error


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
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file so that it is whole or not there."""
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


def write_json(path: Path, value: object) -> None:
    """Write JSON so that the file is whole or as it was."""
    with replacing(path) as file:
        file.write(json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of the run. Raises RunError where it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}", "Restore it, or remove it and run again.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged: it is not an object", "Restore it, or remove it and run again.")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """Settings that are stored in the run. Raises RunError where they are damaged or gone."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"{path} is damaged or gone: {error}", "Score or select again.") from error


def free_name(folder: Path, name: str, config: Mapping[str, Any]) -> str:
    """`name`, or with a suffix where other settings (another model, other prompts) have taken it."""
    for stored in (folder / f"{name}.toml", folder / name / "config.toml"):
        if stored.exists() and stored.read_text(encoding="utf-8") != tomli_w.dumps(config):
            return f"{name}-{digest_of(dict(config))[:6]}"
    return name


def write_toml(path: Path, config: Mapping[str, Any]) -> None:
    """Write settings so that the file is whole or as it was."""
    with replacing(path) as file:
        tomli_w.dump(config, file)
