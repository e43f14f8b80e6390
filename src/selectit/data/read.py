"""Reading a data set in one pass: whatever file it is, checked row by row, memory bounded by the largest record."""

from __future__ import annotations

import base64
import codecs
import contextlib
import dataclasses
import datetime
import decimal
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from selectit.data import columns, json_text, tables, write
from selectit.data.damage import reading
from selectit.data.formats import (
    Layout,
    LayoutError,
    RowError,
    check_contexts,
    check_parts,
    detect,
    digest_turns,
    rated_turns,
    read_as,
    read_inputs,
    read_turns,
    unread_fields,
)
from selectit.data.json_text import RawValue
from selectit.data.records import Record
from selectit.errors import DataError, SettingsError, nearest

_SHOWN = 10
_MESSAGE = 500
"""Characters of what is said of one row: names of fields are data, and may be long."""

_TOGETHER = 4096
_MAX_TOGETHER = 1_000_000_000
"""The most characters in so many rows: whoever reads a data set, and a run later, holds as many at once."""

_HINT = "A data set is JSON, JSON Lines (both also .gz or .zst), Parquet, a folder of these, or a hub id."
_MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"PAR1": "parquet", b"ARROW1": "an Arrow file"}
_ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst", ".parquet")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a data set and how they are written."""

    name: str
    """For messages and names of files."""
    files: tuple[Path, ...]
    kind: str
    """'json' (an array), 'jsonl', 'objects' (JSON, not one a line), 'parquet', 'arrow' (a folder of `datasets`), or
    'folder' (several of these)."""
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


@dataclass(slots=True)
class ReadReport:
    """What reading has found so far: complete when `read_records` is exhausted."""

    layout: Layout | None = None
    rows: int = 0
    bad_rows: int = 0
    bad: list[str] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)
    """The fields that were read, each with what it was read as."""
    unread: Counter[str] = field(default_factory=Counter)
    """The fields that were not, with how many rows have them."""
    parts: set[str] = field(default_factory=set)
    """Of a map, those that some row has."""


@contextlib.contextmanager
def open_source(data: str, split: str | None = None, subset: str | None = None) -> Iterator[Source]:
    """The data set that a name stands for: '-' is standard input, then a file, a folder, a hub id.

    Raises DataError, and SettingsError where `split` or `subset` would have no effect.
    """
    if data == "-":
        _refuse_split(split, "standard input is one file")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stdin"
            with path.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            source = _checked(_file(path, "standard input"))
            yield dataclasses.replace(source, name="stdin", written="jsonl", suffix=".jsonl")
        return
    path = Path(data)
    if subset is not None and (path.exists() or not _HUB_ID.fullmatch(data)):
        raise SettingsError("--subset does nothing here: only data sets of the hub have subsets", "Leave it out.")
    try:
        if path.is_dir():
            yield _checked(_folder(path, split))
        elif not path.exists() and _HUB_ID.fullmatch(data):
            yield _from_hub(data, split, subset)
        else:
            _refuse_split(split, f"{_shown(path)} is one file")
            yield _checked(_file(path, _shown(path)))
    except OSError as error:
        if error.filename is None or Path(error.filename) not in (path, *path.parents):
            raise
        raise DataError(f"can't read {data}: {error.strerror}", f"Look for a typing error. {_HINT}") from error


def _refuse_split(split: str | None, why: str) -> None:
    if split is not None:
        raise SettingsError(f"--split {split} does nothing here: {why}", "Leave it out, or name the folder.")


def _checked(source: Source) -> Source:
    """The source. Raises DataError where it is a table with a column that can't be kept."""
    if source.schema is not None:
        columns.check_schema(source.name, source.schema, source.kind)
    return source


def fingerprint(source: Source) -> str:
    """sha256 of the files' bytes, hexadecimal; of several files also of their names."""
    digests = []
    for path in source.files:
        with path.open("rb") as file, reading(path):
            digests.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if source.kind in ("json", "jsonl", "objects", "parquet"):
        return digests[0][1]
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def read_records(
    source: Source,
    found: ReadReport,
    *,
    layout: Layout | None,
    which: str,
    limit: int | None,
    rejected: IO[bytes] | None = None,
) -> Iterator[Record]:
    """The good records in order, numbered from 0.

    Args:
        source: from `open_source`.
        found: filled on the way.
        layout: None = found from the first record that has one.
        which: the answers that are rated; see `formats.build_samples`.
        limit: the most rows to read.
        rejected: takes a line of JSON for each bad row, which is then left out; None = bad rows are an error.

    Raises:
        DataError: the files are broken, every row is bad for one reason, there is no row, or, after the last row and
            without `rejected`, any row was bad (the first ten are listed).
    """
    characters = 0
    for item in _settle_layout(itertools.islice(read_items(source), limit), source, found, layout):
        try:
            record = _record(item, found, which)
        except RowError as error:
            _reject(item, str(error)[:_MESSAGE], found, rejected)
            continue
        characters = _characters(record) + (characters if found.rows % _TOGETHER else 0)
        if characters > _MAX_TOGETHER:
            raise DataError(
                f"{source.name}, {item.place}: {found.rows % _TOGETHER + 1:,} rows up to this one have more than "
                f"{_MAX_TOGETHER // 1_000_000:,} million characters together",
                "Instructions and responses are shorter: leave out or cut the longest rows.",
            )
        found.rows += 1
        yield record
    total = found.rows + found.bad_rows
    if found.bad_rows and (rejected is None or not found.rows):
        raise DataError(
            _bad_rows(source, found), "Mend these rows, or leave them out with --bad-rows skip; lines count from 1."
        )
    if not total:
        raise DataError(f"{source.name} has no rows", _HINT)
    assert found.layout is not None  # there is a good row
    absent = next((path for part, path in found.layout.fields if part not in found.parts), None)
    if absent is not None:
        raise DataError(f"--map names the field {absent!r}, which no row of {source.name} has", _LAYOUT_HINT)


_AHEAD = 20
"""Rows among which one must show the layout."""

_LAYOUT_HINT = (
    "Name the layout with --format, or the fields with --map instruction=…,response=… (dots for fields within fields)."
)


def _settle_layout(
    items: Iterator[RawValue], source: Source, found: ReadReport, layout: Layout | None
) -> Iterator[RawValue]:
    """All items, once `found.layout` is known: from the first that has one, or the one that is named.

    Raises DataError, which says what is wrong with the first item, where none of the first ones has a layout.
    """
    found.layout = layout
    if layout is not None and layout.name:
        return items
    ahead: list[RawValue] = []
    first: tuple[str, LayoutError] | None = None
    for item in itertools.islice(items, _AHEAD):
        ahead.append(item)
        if item.problem or not isinstance(item.value, dict):
            continue
        try:
            found.layout = layout or detect(item.value)
            check_parts(item.value, found.layout)
            break
        except LayoutError as error:
            first = first or (item.place, error)
    else:
        if first is not None:
            raise DataError(f"{source.name}, {first[0]}: {str(first[1])[:_MESSAGE]}", _LAYOUT_HINT) from first[1]
    return itertools.chain(ahead, items)


def _characters(record: Record) -> int:
    """How much text of a row is held: its turns and, where that is kept, its own JSON, which is no shorter."""
    if isinstance(record.raw, str):
        return 2 * len(record.raw)
    characters = 0
    for turn in record.turns:  # a loop: a generator costs twice as much for two turns
        characters += len(turn.text)
    return characters


def _record(item: RawValue, found: ReadReport, which: str) -> Record:
    if item.problem:
        raise RowError(item.problem)
    if found.layout is None:  # nothing among the first items is an object
        if not isinstance(item.value, dict):
            raise RowError("it is not an object with fields")
        found.layout = detect(item.value)
    found.parts |= check_parts(item.value, found.layout)
    conversation, left_out = read_turns(item.value, found.layout)
    rated = rated_turns(conversation, which)
    check_contexts(conversation, rated)
    words = sum(len(conversation[place].text.split()) for place in rated)
    inputs = read_inputs(item.value, found.layout)
    _note_fields(item.value, found)
    return Record(found.rows, digest_turns(conversation), conversation, item.raw, words, left_out, inputs)


def _note_fields(record: Mapping[str, Any], found: ReadReport) -> None:
    """Count what of a record is read, and what is not."""
    assert found.layout is not None
    known = read_as(found.layout)
    if len(found.read) < len(known):
        found.read |= {name: known[name] for name in known if record.get(name) is not None}
    found.unread.update(unread_fields(found.layout, record))


def _reject(item: RawValue, problem: str, found: ReadReport, rejected: IO[bytes] | None) -> None:
    found.bad_rows += 1
    if len(found.bad) < _SHOWN:
        found.bad.append(f"  {item.place}: {problem}")
    if rejected is not None:
        line = json.dumps({"place": item.place, "problem": problem, "raw": _raw_text(item.raw)})
        rejected.write(line.encode() + b"\n")


def _raw_text(raw: Any) -> str | None:
    """A record as a text; None where there is none, or Python has no value for it (a time beyond its years)."""
    try:
        return raw if isinstance(raw, str | None) else str(raw.as_py())
    except (ValueError, OverflowError):
        return None


def _bad_rows(source: Source, found: ReadReport) -> str:
    more = found.bad_rows - len(found.bad)
    count = "1 row" if found.bad_rows == 1 else f"{found.bad_rows:,} rows"
    listed = "\n".join(found.bad) + (f"\n  … and {more:,} more" if more else "")
    return f"{source.name}: {count} of {found.rows + found.bad_rows:,} can't be used\n{listed}"


def read_items(source: Source) -> Iterator[RawValue]:
    """Every value of the files, in order, before it is interpreted. Raises DataError where a file is broken."""
    for path in source.files:
        part = _file(path, _shown(path)) if source.kind == "folder" else source
        for item in _values(path, part, source.schema):
            if source.kind == "folder":
                item = dataclasses.replace(item, place=f"{path.name}, {item.place}")
            yield _as_line(item) if source.written == "jsonl" else item


def _as_line(item: RawValue) -> RawValue:
    """The item with its text on one line, whatever it came from."""
    if item.problem:
        return item
    if isinstance(item.raw, str):
        return dataclasses.replace(item, raw=write.on_one_line(item.raw))
    try:
        plain = {name: _plain(value) for name, value in item.raw.items()}
        return dataclasses.replace(item, raw=json.dumps(plain, ensure_ascii=False, default=_as_text))
    except (TypeError, ValueError, OverflowError) as error:
        return dataclasses.replace(item, problem=f"it has a value that JSON can't hold: {error}")


def _plain(scalar: pa.Scalar[Any]) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, ImportError):  # a time that Python can't hold, as one of nanoseconds
        text = scalar.cast(pa.string()).as_py()
        if "out of range" in text:  # Arrow writes that instead of a time
            raise
        return text


def _as_text(value: Any) -> str:
    """A value that JSON has no kind for: times as ISO text, bytes in base64, numbers with their digits."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__}")


def _values(path: Path, part: Source, schema: pa.Schema | None) -> Iterator[RawValue]:
    if part.kind in ("parquet", "arrow"):
        yield from tables.read_rows(path, part.kind, schema)
        return
    with _decompress(path, part.compression) as file:
        if part.kind == "jsonl":
            yield from json_text.read_lines(file)
        else:
            yield from (json_text.read_array if part.kind == "json" else json_text.read_objects)(file, part.name)


def _file(path: Path, name: str) -> Source:
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
        is_what = f"{magic} data" if magic else "none of that"
        raise DataError(f"{name} ends in .{last}, and its first bytes are {is_what}", "Rename it to what it is.")
    if magic == "parquet":
        return Source(name, (path,), "parquet", "parquet", ".parquet", schema=tables.read_schema(path, "parquet"))
    with _decompress(path, magic) as file:
        kind = _json_kind(file, name)
    suffix = "".join(path.suffixes[-2:] if magic else path.suffixes[-1:]) or f".{kind}"
    if kind == "objects":
        return Source(name, (path,), kind, "jsonl", ".jsonl" + suffix[5:] * bool(magic), magic)
    with _decompress(path, magic) as file:
        return Source(name, (path,), kind, kind, suffix, magic, json_text.read_indent(file) if kind == "json" else "")


def _shown(path: Path) -> str:
    """A path for messages and names of files: bytes that are not UTF-8 are marked."""
    return os.fsencode(path).decode(errors="replace")


def _json_kind(file: IO[bytes], name: str) -> str:
    start = file.read(4096)
    if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        raise DataError(f"{name} is UTF-32", "Convert it: iconv -f UTF-32 -t UTF-8 OLD > NEW")
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(f"{name} is UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise DataError(f"{name} {'starts with 4,096 blanks' if start[4095:] else 'is empty'}", _HINT)
    if name.lower().endswith((".csv", ".tsv")):
        tab = ", delimiter='\\t'" if name.lower().endswith(".tsv") else ""
        raise DataError(
            f"{name} is a table of texts, which is not read",
            'Convert it: python -c "import csv, json, sys; [print(json.dumps(row)) for row in '
            f'csv.DictReader(sys.stdin{tab})]" < {name} > {name[:-4]}.jsonl',
        )
    if text[:1] not in (b"[", b"{"):
        raise DataError(f"{name} starts with {text[:20]!r}, which is neither an array nor an object", _HINT)
    if text[:1] == b"[":
        return "json"
    return "objects" if json_text.is_not_by_lines(start + file.read(json_text.CHUNK)) else "jsonl"


@contextlib.contextmanager
def _decompress(path: Path, compression: str) -> Iterator[IO[bytes]]:
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


def _folder(path: Path, split: str | None) -> Source:
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        if not (path / "dataset_dict.json").is_file():
            _refuse_split(split, f"{_shown(path)} is one split")
        files = tables.arrow_files(path, split)
        return Source(_shown(path), tuple(files), "arrow", "arrow", "", schema=tables.read_schema(files[0], "arrow"))
    found = [
        file
        for file in sorted(path.rglob("*"))
        if not any(p.startswith(".") for p in file.relative_to(path).parts) and file.name not in _ABOUT
    ]
    left_out = {file: why for file in found if (why := _no_data(file))}
    files = [file for file in found if file not in left_out and not file.is_dir()]
    if not files:
        raise DataError(f"the folder {_shown(path)} has no data files", f"They end in {', '.join(_ENDINGS)}.")
    splits = {file: _split_of(file.relative_to(path)) for file in files}
    wanted = _wanted_splits(_shown(path), {name for name in splits.values() if name}, split)
    left_out |= {file: f"split {splits[file]}" for file in files if splits[file] not in wanted}
    files = [file for file in files if file not in left_out]
    told = [f"{_shown(file.relative_to(path))} ({why})" for file, why in sorted(left_out.items())]
    return Source(_shown(path), tuple(files), "folder", "jsonl", ".jsonl", left_out=tuple(told))


def _no_data(file: Path) -> str:
    """Why something in a folder is not read; '' = it is data, or a folder whose files are seen by themselves."""
    if file.is_dir():
        return "a link to a folder" if file.is_symlink() else ""
    if file.name in _NO_DATA:
        return "says what other files are"
    if not file.name.lower().endswith(_ENDINGS):
        return "not one of the kinds that are read"
    return "" if not file.is_file() or file.stat().st_size else "empty"


_ABOUT = ("README.md", "LICENSE", "LICENSE.txt")
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")


def _split_of(file: Path) -> str:
    """The split that the name of a file, or of a folder that it is in, tells; '' = none."""
    shard = re.fullmatch(r"(.+)-\d{5}-of-\d{5}\..+", file.name)
    for part in (file.name.partition(".")[0], *file.parts[-2::-1]):
        words = re.split("[^a-z]+", part.lower())
        kind = next((_SPLITS[word] for word in words if word in _SPLITS), "")
        if kind:
            return shard[1] if shard and part == file.name.partition(".")[0] else kind
    return ""


_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def _wanted_splits(name: str, splits: set[str], split: str | None) -> set[str]:
    """The splits to read, '' for files that tell none. Raises DataError where it is not clear which."""
    if split is not None:
        wanted = {each for each in splits if split in (each, _split_of(Path(each))) or _SPLITS.get(split) == each}
        if not wanted:
            raise DataError(f"{name} has no files of the split {split!r}", nearest(split, sorted(splits)))
        return wanted
    if len(splits) < 2:
        return {"", *splits}
    training = {each for each in splits if _split_of(Path(each)) == "train"}
    if len(training) != 1:
        raise DataError(f"{name} has the splits {', '.join(sorted(splits))}", "Name one with --split.")
    return {"", *training}


def _from_hub(name: str, split: str | None, subset: str | None) -> Source:
    """The Parquet files that the hub keeps of every data set, in one split of one subset. Raises DataError."""
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError as error:
        raise DataError(f"there is no file {name}", f"For the hub: pip install huggingface_hub. {_HINT}") from error
    pattern = f"{subset or '*'}/{split or 'train'}/*.parquet"
    try:
        folder = Path(
            snapshot_download(name, repo_type="dataset", revision="refs/convert/parquet", allow_patterns=[pattern])
        )
    except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"there is no file {name}, and it can't be fetched from the hub: {reason}",
            "Look for a typing error; for a gated data set accept its terms on its page and run: hf auth login",
        ) from error
    files = sorted(folder.glob(pattern))
    subsets = sorted({file.parent.parent.name for file in files})
    if len(subsets) > 1:
        raise DataError(f"{name} has the subsets {', '.join(subsets)}", "Name one with --subset.")
    if not files:
        raise DataError(f"{name} has no split {split or 'train'!r} in that subset", "Name them: --subset, --split.")
    return Source(name.partition("/")[2], tuple(files), "folder", "jsonl", ".jsonl")
