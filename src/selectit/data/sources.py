"""The files of a data set: where they are, and how they are written."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from selectit.data import columns, folders, hub, json_text, memory, tables
from selectit.data.damage import reading
from selectit.data.memory import Data, Held
from selectit.errors import DataError, SettingsError

HINT = "A data set is JSON, JSON Lines (both also .gz or .zst), Parquet, a folder of these, or a hub id."
_MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"PAR1": "parquet", b"ARROW1": "an Arrow file"}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a data set and how they are written."""

    name: str
    """For messages and names of files."""
    files: tuple[Path, ...]
    kind: str
    """'json' (an array), 'jsonl', 'objects' (JSON, not one a line), 'parquet', 'arrow' (a folder of `datasets`), or
    'folder' (several of these); in memory 'table' or 'records'."""
    written: str
    """The kind in which a part of it is written: its own, or 'jsonl' for a folder and standard input."""
    suffix: str
    """The ending of what is written: '.json', '.jsonl.gz', '' for an Arrow folder."""
    compression: str = ""
    indent: str = ""
    """What stands before the first record of an array: line break and spaces."""
    schema: pa.Schema | None = None
    """Of a table."""
    left_out: tuple[str, ...] = ()
    """The files of a folder that are not read, each with the reason."""
    held: Held | None = None
    """What is in memory, where it is no file."""


@contextlib.contextmanager
def open_source(given: Data, split: str | None = None, subset: str | None = None) -> Iterator[Source]:
    """The data set in memory, or the one that a name stands for: '-' is standard input, then file, folder, hub id.

    Raises DataError, and SettingsError where `split` or `subset` would have no effect.
    """
    held = memory.hold(given, split)
    if isinstance(held, memory.Held):
        yield _checked(_held_source(held))
        return
    data = str(held)
    if data == "-":
        _refuse_split(split, "standard input is one file")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stdin"
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            source = _checked(file_source(path, "standard input"))
            yield dataclasses.replace(source, name="stdin", written="jsonl", suffix=".jsonl")
        return
    path = Path(data)
    if subset is not None and (path.exists() or not _HUB_ID.fullmatch(data)):
        raise SettingsError("--subset does nothing here: only data sets of the hub have subsets", "Leave it out.")
    try:
        if path.is_dir():
            yield _checked(_folder(path, split))
        elif not path.exists() and _HUB_ID.fullmatch(data):
            yield Source(data.partition("/")[2], hub.fetch(data, split, subset), "folder", "jsonl", ".jsonl")
        else:
            _refuse_split(split, f"{shown(path)} is one file")
            yield _checked(file_source(path, shown(path)))
    except OSError as error:
        if error.filename is None or Path(error.filename) not in (path, *path.parents):
            raise
        raise DataError(f"can't read {data}: {error.strerror}", f"Look for a typing error. {HINT}") from error


def _held_source(held: memory.Held) -> Source:
    if held.schema is None:
        return Source(memory.NAME, (), "records", "jsonl", ".jsonl", held=held)
    return Source(memory.NAME, (), "table", "parquet", ".parquet", schema=held.schema, held=held)


def _refuse_split(split: str | None, why: str) -> None:
    if split is not None:
        raise SettingsError(f"--split {split} does nothing here: {why}", "Leave it out, or name the folder.")


def _checked(source: Source) -> Source:
    """The source. Raises DataError where it is a table with a column that can't be kept."""
    if source.schema is not None:
        columns.check_schema(source.name, source.schema, source.written)
    return source


def file_source(path: Path, name: str) -> Source:
    """One file; its first bytes show its kind. Raises DataError where it holds no data, or not what its ending says."""
    if path.exists() and not path.is_file():
        raise DataError(
            f"{name} is a pipe or a device, and a data set is read more than once",
            "Send it through standard input: … | selectit select -",
        )
    with path.open("rb") as file, reading(path):
        start = file.read(8)
    magic = next((kind for mark, kind in _MAGIC.items() if start.startswith(mark)), "")
    endings = [ending.lower() for ending in path.suffixes]
    last = endings[-1].lstrip(".") if endings else ""
    if magic == "an Arrow file":
        raise DataError(f"{name} is an Arrow file", "Save it as Parquet, or the whole data set with save_to_disk.")
    if (last in ("gz", "zst", "parquet") or (magic and endings)) and last != magic:
        is_what = f"{magic} data" if magic else "something else"
        raise DataError(f"{name} ends in .{last}, and its content is {is_what}", "Rename it to what it is.")
    if magic == "parquet":
        return Source(name, (path,), "parquet", "parquet", ".parquet", schema=tables.read_schema(path, "parquet"))
    with decompress(path, magic) as file:
        kind = _json_kind(file, name)
    suffix = "".join(path.suffixes[-2:] if magic else path.suffixes[-1:]) or f".{kind}"
    if kind == "objects":
        return Source(name, (path,), kind, "jsonl", ".jsonl" + suffix[5:] * bool(magic), magic)
    with decompress(path, magic) as file:
        return Source(name, (path,), kind, kind, suffix, magic, json_text.read_indent(file) if kind == "json" else "")


def _json_kind(file: IO[bytes], name: str) -> str:
    start = file.read(4096)
    if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise DataError(f"{name} is UTF-32", "Convert it: iconv -f UTF-32 -t UTF-8 OLD > NEW")
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(f"{name} is UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise DataError(f"{name} {'starts with 4,096 blanks' if start[4095:] else 'is empty'}", HINT)
    if name.lower().endswith((".csv", ".tsv")):
        tab = ", delimiter='\\t'" if name.lower().endswith(".tsv") else ""
        raise DataError(
            f"{name} is a table of texts, which is not read",
            'Convert it: python -c "import csv, json, sys; [print(json.dumps(row)) for row in '
            f'csv.DictReader(sys.stdin{tab})]" < {name} > {name[:-4]}.jsonl',
        )
    if text[:1] not in (b"[", b"{"):
        raise DataError(f"{name} starts with {text[:20]!r}, which is neither an array nor an object", HINT)
    if text[:1] == b"[":
        return "json"
    return "objects" if json_text.is_not_by_lines(start + file.read(json_text.CHUNK)) else "jsonl"


def _folder(path: Path, split: str | None) -> Source:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        if not (path / "dataset_dict.json").is_file():
            _refuse_split(split, f"{shown(path)} is one split")
        files = tables.arrow_files(path, split)
        return Source(shown(path), tuple(files), "arrow", "arrow", "", schema=tables.read_schema(files[0], "arrow"))
    files, left_out = folders.find_files(path, shown(path), split)
    told = [f"{shown(file.relative_to(path))} ({why})" for file, why in sorted(left_out.items())]
    return Source(shown(path), tuple(files), "folder", "jsonl", ".jsonl", left_out=tuple(told))


def fingerprint(source: Source) -> str:
    """sha256 of the files' bytes, hexadecimal; of several files also of their names."""
    if source.held is not None:
        return source.held.fingerprint()
    digests = []
    for path in source.files:
        with path.open("rb") as file, reading(path):
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if source.kind in ("json", "jsonl", "objects", "parquet"):
        return digests[0][1]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


@contextlib.contextmanager
def decompress(path: Path, compression: str) -> Iterator[IO[bytes]]:
    """The file's bytes as they were before compression. Raises DataError where they are damaged."""
    with reading(path, "Copy or compress it again."):
        if compression == "gz":
            with gzip.open(path, "rb") as file:
                yield file  # type: ignore[misc]
        elif compression == "zst":
            with pa.input_stream(str(path), compression="zstd") as stream:
                yield io.BufferedReader(stream)
        else:
            with path.open("rb") as file:
                yield file


def shown(path: Path) -> str:
    """A path for messages and names of files: bytes that are not UTF-8 are marked."""
    return os.fsencode(path).decode(errors="replace")
