"""The files of a data set: where they are, and how they are written."""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import glob
import gzip
import hashlib
import io
import itertools
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa

from selectit.data import columns, csv_text, folders, hub, json_text, memory, tables
from selectit.data.damage import reading
from selectit.data.memory import Data, Held
from selectit.errors import DataError, SettingsError, nearest_path

logger = logging.getLogger(__name__)

HINT = (
    "A data set is JSON, JSON Lines, CSV, TSV (all also .gz or .zst), Parquet, Arrow, Feather, one file or several, a "
    "folder of these, or a hub id."
)
_MAGIC = {
    b"\x1f\x8b": "gz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"FEA1": "feather 1",
}
_SAID_BY = {"gz": "gz", "zst": "zst", "parquet": "parquet", "arrow": "arrow", "feather": "arrow", "ipc": "arrow"}
_SAID_BY |= dict.fromkeys(("json", "jsonl", "ndjson", "csv", "tsv", "txt"), "")
"""What the last ending of a name says the first bytes are; '' = text."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_ENDINGS = re.compile(r"(\.(json|jsonl|ndjson|csv|tsv|parquet|arrow|feather|ipc))?(\.(gz|zst))?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a data set and how they are written."""

    name: str
    """For messages and names of files."""
    files: tuple[Path, ...]
    kind: str
    """'json' (an array), 'jsonl', 'objects' (JSON, not one a line), 'csv', 'parquet', 'ipc' (an Arrow or Feather file),
    'stream' (an Arrow stream), 'arrow' (a folder of `datasets`), or 'folder' (several of these); in memory 'table' or
    'records'."""
    written: str
    """The kind in which a part of it is written: its own, or 'jsonl' for several files and for pipes."""
    suffix: str
    """The ending of what is written: '.json', '.jsonl.gz', '' for an Arrow folder."""
    compression: str = ""
    indent: str = ""
    """What stands before the first record of an array: line break and spaces."""
    delimiter: str = ""
    """What stands between the cells of a CSV file."""
    schema: pa.Schema | None = None
    """Of a table."""
    left_out: tuple[str, ...] = ()
    """The files of a folder or a pattern that are not read, each with the reason."""
    held: Held | None = None
    """A table in memory."""
    lines: IO[bytes] | None = None
    """Records in memory, as lines of JSON in a temporary file: a data set is read more than once."""


@contextlib.contextmanager
def open_source(data: Data, split: str | None = None, subset: str | None = None) -> Iterator[Source]:
    """The data set in memory, or that names stand for: '-' is standard input, then files, a folder, a hub id.

    Raises DataError, and SettingsError where `split` or `subset` would have no effect.
    """
    held = memory.hold(data, split)
    with contextlib.ExitStack() as stack:
        yield _held_source(held, stack) if isinstance(held, Held) else _named_source(held, split, subset, stack)


def _held_source(held: Held, stack: contextlib.ExitStack) -> Source:
    """A data set in memory; `stack` closes what is made for it."""
    if held.schema is not None:
        return _checked(Source(memory.NAME, (), "table", "parquet", ".parquet", schema=held.schema, held=held))
    lines = stack.enter_context(tempfile.TemporaryFile())
    lines.writelines(held.lines())
    return Source(memory.NAME, (), "records", "jsonl", ".jsonl", lines=lines)


def _named_source(names: Sequence[str], split: str | None, subset: str | None, stack: contextlib.ExitStack) -> Source:
    """What names stand for; `stack` closes what is made for it."""
    files, left_out = _expand(names, split)
    split = None if any(map(_is_pattern, names)) else split  # it was asked for among what the pattern matches
    name = files[0]
    path = Path(name)
    from_hub = len(files) == 1 and not path.exists() and not _in_folder(path) and _HUB_ID.fullmatch(name) is not None
    if subset is not None and not from_hub:
        raise SettingsError("--subset does nothing here: only data sets of the hub have subsets", "Leave it out.")
    if from_hub:
        return Source(name.partition("/")[2], hub.fetch(name, split, subset), "folder", "jsonl", ".jsonl")
    if len(files) > 1:
        _refuse_split(split, "files are named, and all of them are read")
        return _several(files, left_out, Path(stack.enter_context(tempfile.TemporaryDirectory())))
    if _is_pipe(name):
        _refuse_split(split, f"{_shown_pipe(name)} is one file")
        copy = _copy_pipe(name, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        source = _checked(file_source(copy, _shown_pipe(name)))
        return dataclasses.replace(source, name=copy.name, written="jsonl", suffix=".jsonl", schema=None)
    if path.is_dir():
        return _checked(_folder(path, split))
    _refuse_split(split, f"{shown(path)} is one file")
    with _finding(path):
        source = _checked(file_source(path, shown(path)))
    return dataclasses.replace(source, left_out=_list_left_out(left_out))


def _in_folder(path: Path) -> bool:
    """Whether a path begins with a folder that is there, so that its end is wrong: it is no hub id."""
    return len(path.parts) > 1 and Path(path.parts[0]).is_dir()


def _is_pattern(name: str) -> bool:
    return glob.has_magic(str(name)) and not Path(name).exists()


def _expand(data: Sequence[str], split: str | None) -> tuple[list[str], dict[Path, str]]:
    """The names, patterns as the files of one split that they match, and what else these match. Raises DataError."""
    files: list[str] = []
    left_out: dict[Path, str] = {}
    for name in map(str, data):
        if not _is_pattern(name):
            files.append(name)
            continue
        found = [Path(each) for each in sorted(glob.glob(name, recursive=True))]
        left_out |= {each: why for each in found if (why := folders.refuse_file(each))}
        matched = [each for each in found if each.is_file() and each not in left_out]
        if not matched:
            raise DataError(f"no data file matches {name}", f"Look for a typing error. {HINT}")
        fixed = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(name).parts))
        others = folders.find_other_splits({each: each.relative_to(fixed) for each in matched}, name, split)
        files += [str(each) for each in matched if each not in others]
        left_out |= others
    twice = next((name for place, name in enumerate(files) if name in files[:place]), None)
    if twice is not None:
        raise DataError(f"{twice} is named twice", "Name it once.")
    return files, left_out


def _several(names: Sequence[str], left_out: Mapping[Path, str], folder: Path) -> Source:
    """Several files as one data set, in the order in which they are named."""
    files = []
    for place, name in enumerate(names):
        if Path(name).is_dir():
            raise DataError(f"{name} is a folder, and beside it others are named", "Name files, or one folder.")
        (folder / str(place)).mkdir()
        files.append(_copy_pipe(name, folder / str(place)) if _is_pipe(name) else Path(name))
        with _finding(files[-1]):
            file_source(files[-1], shown(Path(name)))  # so that each is known to be there before any is read
    name = f"{strip_ending(shown(Path(files[0].name)))}-and-{len(files) - 1}-more"
    splits = {split for each in names if (split := folders.split_of(Path(Path(each).name)))}
    if len(splits) > 1:
        logger.info("the names tell the splits %s; all files are read, since each is named", ", ".join(sorted(splits)))
    return Source(name, tuple(files), "folder", "jsonl", ".jsonl", left_out=_list_left_out(left_out))


def _list_left_out(left_out: Mapping[Path, str]) -> tuple[str, ...]:
    return tuple(f"{shown(file)} ({why})" for file, why in sorted(left_out.items()))


@contextlib.contextmanager
def _finding(path: Path) -> Iterator[None]:
    """Turn what is raised where a file is not there, or its folder is not, into a DataError."""
    try:
        yield
    except OSError as error:
        if error.filename is None or Path(error.filename) not in (path, *path.parents):
            raise
        hint = f"{nearest_path(path) or 'Look for a typing error.'} {HINT}"
        raise DataError(f"can't read {path}: {error.strerror}", hint) from error


def _is_pipe(name: str) -> bool:
    return name == "-" or Path(name).is_fifo()


def _shown_pipe(name: str) -> str:
    return "standard input" if name == "-" else shown(Path(name))


def _copy_pipe(name: str, folder: Path) -> Path:
    """What comes out of a pipe, as a file: a data set is read more than once. /dev/fd/63 is called pipe."""
    own = Path(name).name
    copy = folder / ("stdin" if name in ("-", "/dev/stdin") else "pipe" if own.isdigit() else own)
    with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else _open_pipe(name) as pipe, copy.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return copy


def _open_pipe(name: str) -> IO[bytes]:
    """The pipe, once something writes into it; a note where that takes its time."""
    note = threading.Timer(_PATIENCE, logger.info, ("waiting for %s, a pipe, to be written", shown(Path(name))))
    note.daemon = True
    note.start()
    try:
        return open(name, "rb")  # until then it waits here
    finally:
        note.cancel()


_PATIENCE = 3.0
"""Seconds."""


def strip_ending(name: str) -> str:
    """The name of a file without the ending that says its kind."""
    return _ENDINGS.sub("", name) or name


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
        raise DataError(f"{name} is a device", HINT)
    with path.open("rb") as file, reading(path):
        start = file.read(40)
    if start.startswith(b"version https://git-lfs"):
        raise DataError(f"{name} is a git-lfs pointer, not the file itself", "Run `git lfs pull` in its folder.")
    magic = next((kind for mark, kind in _MAGIC.items() if start.startswith(mark)), "")
    endings = [ending.lower() for ending in path.suffixes]
    last = endings[-1].lstrip(".") if endings else ""
    if magic == "feather 1":
        raise DataError(f"{name} is Feather of version 1", "Save it again: pandas.read_feather, then to_feather.")
    if last in _SAID_BY and _SAID_BY[last] != magic:
        is_what = f"{magic} data" if magic else "something else"
        raise DataError(f"{name} ends in .{last}, and its content is {is_what}", "Rename it to what it is.")
    if magic in ("parquet", "arrow"):
        return _table_source(path, name, "parquet" if magic == "parquet" else "ipc" if start[:1] == b"A" else "stream")
    return _text_source(path, name, magic)


def _table_source(path: Path, name: str, kind: str) -> Source:
    own = path.suffix.lower()
    suffix = ".parquet" if kind == "parquet" else path.suffix if own.lstrip(".") in _SAID_BY else ".arrow"
    return Source(name, (path,), kind, kind, suffix, schema=tables.read_schema(path, kind))


def _text_source(path: Path, name: str, compression: str) -> Source:
    with decompress(path, compression) as file:
        start = file.read(4096)
        _check_text(start, name)
        suffixes = path.suffixes[-2:] if compression else path.suffixes[-1:]
        ending = suffixes[0].lower() if suffixes else ""
        if ending in (".csv", ".tsv"):
            delimiter = csv_text.find_delimiter(ending, start)
            return Source(name, (path,), "csv", "csv", "".join(suffixes), compression, delimiter=delimiter)
        kind = _json_kind(start, file, name)
    own = _ENDINGS.search(path.name)
    suffix = (own.group() if own else "") or f".{kind}"
    if kind == "objects":
        packed = f".{compression}" if compression else ""
        return Source(name, (path,), kind, "jsonl", f".jsonl{packed}", compression)
    with decompress(path, compression) as file:
        indent = json_text.read_indent(file) if kind == "json" else ""
        return Source(name, (path,), kind, kind, suffix, compression, indent)


def _check_text(start: bytes, name: str) -> None:
    """Raise DataError where a text is none that is read, or empty."""
    if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise DataError(f"{name} is UTF-32", "Convert it: iconv -f UTF-32 -t UTF-8 OLD > NEW")
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(f"{name} is UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    if start[:4] == b"PK\3\4":
        raise DataError(f"{name} is a ZIP archive, as .xlsx files are too", "Unpack it, or save the table as CSV.")
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise DataError(f"{name} {'starts with 4,096 blanks' if start[4095:] else 'is empty'}", HINT)


def _json_kind(start: bytes, file: IO[bytes], name: str) -> str:
    """Which kind of JSON a text is, whose beginning is read already."""
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] not in (b"[", b"{"):
        hint = f"The name of a table of texts ends in .csv or .tsv. {HINT}"
        beginning = text.decode(errors="replace")[:20]
        raise DataError(f"{name} starts with {beginning!r}, which is neither an array nor an object", hint)
    start += file.read(json_text.CHUNK)
    if text[:1] == b"[":
        return "jsonl" if json_text.has_arrays_by_lines(start) else "json"
    return "objects" if json_text.is_not_by_lines(start) else "jsonl"


def _folder(path: Path, split: str | None) -> Source:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        if not (path / "dataset_dict.json").is_file():
            _refuse_split(split, f"{shown(path)} is one split")
        files = tables.arrow_files(path, split)
        return Source(shown(path), tuple(files), "arrow", "arrow", "", schema=tables.read_schema(files[0], "arrow"))
    files, left_out = folders.find_files(path, shown(path), split)
    told = _list_left_out({file.relative_to(path): why for file, why in left_out.items()})
    return Source(shown(path), tuple(files), "folder", "jsonl", ".jsonl", left_out=told)


def fingerprint(source: Source) -> str:
    """sha256 of the files' bytes, hexadecimal; of several files also of their names."""
    if source.held is not None:
        return source.held.fingerprint()
    if source.lines is not None:
        source.lines.seek(0)
        return hashlib.file_digest(source.lines, "sha256").hexdigest()  # type: ignore[arg-type]
    digests = []
    for path in source.files:
        with path.open("rb") as file, reading(path):
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if source.kind not in ("arrow", "folder"):
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
