"""The files a user asked for: the subset, the rest with its reasons, or the data with new rows."""

from __future__ import annotations

import filecmp
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.atomic_files import folder_beside, replacing, sync, sync_tree
from selectit.config.settings import Settings
from selectit.data import write
from selectit.data.columns import TABLES
from selectit.data.memory import Data, Held, hold
from selectit.errors import RunError, SettingsError
from selectit.jsonable import digest_of
from selectit.runs.files import write_json
from selectit.runs.run import Run
from selectit.runs.source import data_name
from selectit.signals.arrays import Int64

STDOUT = Path("-")


def resolve_destination(run: Run, settings: Settings, data: Data | None, kind: str = "selected") -> Path | None:
    """The file to write (STDOUT for data from standard input without --out), checked before hours are spent.

    Without --out it is <name>.<kind>.<ext> here, and none for data in memory.

    Args:
        run: of the data.
        settings: `out` and `rest`.
        data: as of `source.create`; None = it is in the run alone.
        kind: what is written.

    Raises SettingsError where it can't be written, would be the data itself, or is the same as --rest; RunError where
    it is a folder with something of somebody else in it.
    """
    named = None if data is None else hold(data)
    files = [] if named is None or isinstance(named, Held) else named
    usual = "-" if files == ["-"] else f"{data_name(str(run.manifest['data']))}.{kind}{_suffix(run, kind)}"
    out = settings.out or (None if isinstance(named, Held) else usual)
    if out is not None and _suffix(run, kind) != run.manifest["suffix"]:
        _refuse_csv(run, Path(out), usual)
    for flag, path in (("--out", out), ("--rest", settings.rest)):
        if path is not None and path != "-":
            _check_destination(run, flag, Path(path), files)
    if out is not None and settings.rest is not None and Path(out).resolve() == Path(settings.rest).resolve():
        raise SettingsError(f"--out and --rest are both {out}", "Name two files.")
    if out == "-" and run.manifest["written"] in TABLES:
        raise SettingsError("a table can't be written to standard output", "Name a file with --out.")
    if out == "-" and sys.stdout is None:
        raise SettingsError("standard output is closed", "Name a file with --out.")
    return None if out is None else Path(out)


def _suffix(run: Run, kind: str) -> str:
    """The ending of what is written: of new rows never that of CSV, where a text may be a formula."""
    return ".jsonl" if kind != "selected" and run.manifest["written"] == "csv" else str(run.manifest["suffix"])


def _refuse_csv(run: Run, out: Path, usual: str) -> None:
    if _kind_of(run, out)[0] not in ("json", "jsonl"):
        raise SettingsError(
            f"--out {out}: new rows are not written as CSV, where a text may be a formula", f"Name {usual}."
        )


def _check_destination(run: Run, flag: str, path: Path, files: Sequence[str]) -> None:
    """Raise SettingsError or RunError where a file or folder can't be written; see `resolve_destination`."""
    if path.exists() and any(Path(file).exists() and path.samefile(file) for file in files):
        raise SettingsError(f"{flag} {path} is the data itself", "Name another file.")
    if path.exists() and not path.is_dir() and not path.is_file():
        raise SettingsError(f"{flag} {path} is neither a file nor a folder", "Name a file, or - for standard output.")
    if path.is_dir() and run.manifest["written"] != "arrow":
        raise SettingsError(f"{flag} {path} is a folder", "Name a file.")
    if path.is_dir():
        _check_folder(path)
    if path.resolve().is_relative_to(run.path.resolve()):
        raise SettingsError(f"{flag} {path} lies in the run directory, which has its own files", "Name another place.")
    check_ending(run, flag, path)
    check_writable_parent(flag, path)


def is_taken(path: Path) -> bool:
    """Whether there is a file, or a folder with something in it."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def check_new_file(flag: str, path: Path, suffix: str) -> None:
    """Raise SettingsError where a file of this kind (".toml") can't be written, or its ending says another kind."""
    if path.suffix.lower() != suffix and _names_kind(path.suffix):
        raise SettingsError(f"{flag} {path}: {suffix[1:].upper()} is written", f"Name {path.with_suffix(suffix)}.")
    if path.exists() and not path.is_file():
        raise SettingsError(f"{flag} {path} is no file", f"Name a file that ends in {suffix}.")
    there = next(folder for folder in path.absolute().parents if folder.exists())  # the others are made
    _check_writable(flag, there)


def check_new_folder(flag: str, path: Path) -> None:
    """Raise SettingsError where a folder can't be written, or its name has the ending of a file."""
    if path.exists() and not path.is_dir():
        raise SettingsError(f"{flag} {path} is a file", "Name a folder.")
    ending = path.suffix.lower()  # folders named *.parquet are common
    if not path.is_dir() and ending in _FILES and ending != ".parquet":
        raise SettingsError(
            f"{flag} {path}: a folder is written, and no {ending} file", f"Name {path.with_suffix('')}, for example."
        )
    _check_writable(flag, next(folder for folder in path.absolute().parents if folder.exists()))


def check_writable_parent(flag: str, path: Path) -> None:
    """Raise SettingsError where the folder of a file is not there, or can't be written into."""
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"{flag}: there is no folder {path.parent}", "Make it, or name another.")
    _check_writable(flag, path.absolute().parent)


def _check_writable(flag: str, folder: Path) -> None:
    if not folder.is_dir():
        raise SettingsError(f"{flag}: {folder} is no folder", "Name another place.")
    try:
        with tempfile.TemporaryFile(dir=folder):  # permissions alone do not say it: of /proc, or of a disk that is full
            pass
    except OSError as error:
        raise SettingsError(
            f"{flag}: nothing can be written into {folder}: {error.strerror}", "Name another folder."
        ) from error


def check_ending(run: Run, flag: str, path: Path) -> None:
    """Raise SettingsError where an ending says another kind than what is written, which no program would read."""
    kind, compression = _kind_of(run, path)
    written = run.manifest["written"]
    ending = "".join(_ending(path))
    if written == "arrow" and path.suffix.lower() not in _FILES:
        return  # a folder's name has dots as it likes
    if kind is not None and kind not in _list_kinds(written):
        better = path.name[: len(path.name) - len(ending)] + ("" if written == "arrow" else run.manifest["suffix"])
        known = [each for each, kind in _KINDS.items() if kind in _list_kinds(written) and not better.endswith(each)]
        others = f" (or end it in {', '.join(known)})" if known else ""
        raise SettingsError(
            f"{flag} {path}: {_CALLED[written]} is written, as the data is, and no {ending}",
            f"Name {path.with_name(better)}{others}; selectit export writes a selection in other kinds.",
        )
    if written in TABLES and compression:
        raise SettingsError(f"{flag} {path}: a table is not compressed once more", f"Leave out .{compression}.")


_CALLED = {"json": "JSON", "jsonl": "JSON", "csv": "CSV", "parquet": "Parquet", "ipc": "an Arrow file"}
_CALLED |= {"stream": "an Arrow stream", "arrow": "a folder as datasets saves it"}
_KINDS = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
_KINDS |= dict.fromkeys((".arrow", ".feather", ".ipc"), "ipc")
_FILES = (
    *_KINDS, ".avro", ".bin", ".bz2", ".db", ".docx", ".gguf", ".gz", ".html", ".lz4", ".md", ".ods", ".orc", ".pdf",
    ".pkl", ".png", ".pt", ".pth", ".py", ".safetensors", ".sqlite", ".svg", ".tar", ".tgz", ".toml", ".txt", ".xls",
    ".xlsx", ".xml", ".xz", ".yaml", ".yml", ".zip", ".zst",
)  # fmt: skip
"""Endings that say what is in a file, and that no folder has."""


def _list_kinds(written: str) -> tuple[str, ...]:
    """What can be written of data of a kind: JSON of any but a table, which is written as it is."""
    return (written,) if written in TABLES else (written, "json", "jsonl")


def _names_kind(ending: str) -> bool:
    """Whether the end of a name says a kind of file, as .txt does, and .5, .20pct or .final does not."""
    return ending.lower() in _FILES


def _ending(path: Path) -> tuple[str, str]:
    """The ending that says what is in a file, and that of its compression; '' = none does."""
    *_, before, last = ("", "", *(suffix.lower() for suffix in path.suffixes))
    compression = last if last in (".gz", ".zst") else ""
    kind = before if compression else last
    return kind if _names_kind(kind) else "", compression


def _kind_of(run: Run, path: Path) -> tuple[str | None, str]:
    """The kind and the compression that the ending of a file says, or that of the data; None = it says no kind."""
    kind, compression = _ending(path)
    if path == STDOUT or (not kind and not compression) or kind + compression == run.manifest["suffix"]:
        return None, run.manifest["compression"]
    return _KINDS.get(kind, "other") if kind else None, compression.lstrip(".")


def write_rows(
    run: Run,
    out: Path,
    rows: Int64,
    values: Sequence[Mapping[str, Any]] | None,
    *,
    force: bool,
    flag: str = "--out",
) -> None:
    """Write records in the kind of file they came from.

    Args:
        run: the run.
        out: the file; STDOUT for standard output.
        rows: row numbers, in the order wanted.
        values: one for each, as a field `selectit`; None = the records as they were.
        force: replace what is there and differs.
        flag: the option that names `out`, for the error.

    Raises:
        RunError: `out` is there, differs, and `force` is off. It stays as it was.
    """
    _put(
        run,
        out,
        lambda file: _write_file(run, out, file, rows, values),
        "selection",
        lambda: {"rows": rows.tolist(), **run.manifest},
        force=force,
        flag=flag,
    )


def write_longer(
    run: Run, out: Path, new: Sequence[Mapping[str, Any]], fields: Sequence[pa.Field], *, force: bool
) -> None:
    """Write all records as they were, and new ones after them, in the kind of file that the data is.

    Args:
        run: the run.
        out: as for `write_rows`.
        new: records in the layout of the data, with `fields` more.
        fields: columns that the new records have beside those of the data.
        force: as for `write_rows`.

    Raises:
        DataError: the data is a table that can't hold a new record.
        RunError: as of `write_rows`.
    """
    _put(
        run,
        out,
        lambda file: _write_longer(run, out, file, new, fields),
        "expansion",
        lambda: {"new": new, **run.manifest},
        force=force,
    )


def _put(
    run: Run,
    out: Path,
    fill: Callable[[Any], None],
    what: str,
    identity: Callable[[], Mapping[str, Any]],
    *,
    force: bool,
    flag: str = "--out",
) -> None:
    """Have `fill` write the file, or the data file of a folder, and put it in its place whole.

    `identity` says what a folder holds; it may be long, and a file has no place for it.
    """
    folder = run.manifest["written"] == "arrow"
    out = out.resolve() if folder else out  # through a link to what it points at
    conflict = RunError(
        f"{out} is there and holds something else than this {what}",
        f"Name another with {flag}, or replace it with --force. The {what} is kept in {run.path}.",
    )
    if folder:
        _write_folder(out, fill, identity, None if force else conflict)
    elif out == STDOUT:
        sys.stdout.flush()
        fill(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        with replacing(out.resolve(), keep_equal=True) as file:  # through a link to what it points at
            fill(file)
            file.flush()
            if out.exists() and not force and not filecmp.cmp(file.name, out, shallow=False):
                raise conflict


def _write_file(run: Run, out: Path, file: Any, rows: Int64, values: Sequence[Mapping[str, Any]] | None) -> None:
    manifest = run.manifest
    if manifest["written"] in TABLES:
        write.write_table(file, manifest["written"], rows, run.source(["raw"]), run.table_schema, values)
        return
    rising = run.source_at(np.sort(rows), ["raw"])
    texts = write.order_texts(rows, (part["raw"].combine_chunks() for part in rising))
    if values is not None:
        texts = (write.add_field(text, value) for text, value in zip(texts, values, strict=True))
    _write_texts(run, out, file, texts)


def _write_texts(run: Run, out: Path, file: Any, texts: Iterable[str]) -> None:
    """Write records as the ending of the file says, or as the data is."""
    kind, compression = _kind_of(run, out)
    kind = kind or run.manifest["written"]
    if kind == "csv":
        (like,) = itertools.islice(_raw_texts(run), 1)
        write.write_cells(file, _delimiter(run, out), compression, like, texts)
        return
    if kind == "jsonl" != run.manifest["written"]:
        texts = map(write.on_one_line, texts)
    write.write_texts(file, kind, run.manifest["indent"], compression, texts)


def _delimiter(run: Run, out: Path) -> str:
    """A tab where the ending says so, else that of the data."""
    own = str(run.manifest["delimiter"])
    ending, _ = _ending(out)
    return "\t" if ending == ".tsv" else "," if ending == ".csv" and own == "\t" else own


def _write_longer(run: Run, out: Path, file: Any, new: Sequence[Mapping[str, Any]], fields: Sequence[pa.Field]) -> None:
    manifest = run.manifest
    if manifest["written"] in TABLES:
        write.write_longer_table(file, manifest["written"], run.source(["raw"]), run.table_schema, fields, new)
        return
    (like,) = itertools.islice(_raw_texts(run), 1)
    added = (write.format_record(record, like, manifest["indent"]) for record in new)
    texts = itertools.chain(_raw_texts(run), added)
    _write_texts(run, out, file, texts)


def _write_folder(
    out: Path, fill: Callable[[Any], None], identity: Callable[[], Mapping[str, Any]], conflict: RunError | None
) -> None:
    """A folder as `datasets` saves it, renamed into place when it is whole.

    Where the data there is equal, nothing is touched; where it differs, `conflict` is raised, or with None it is
    replaced. Of what is there nothing goes but the files of such a folder.
    """
    with folder_beside(out) as folder:
        with (folder / write.ARROW_FILE).open("wb") as file:
            fill(file)
        write_json(folder / "state.json", write.arrow_state(digest_of(identity())))
        write_json(folder / _INFO, {})
        if out.exists():
            _check_folder(out)
            there = out / write.ARROW_FILE
            if there.exists() and filecmp.cmp(folder / write.ARROW_FILE, there, shallow=False):
                return
            if there.exists() and conflict is not None:
                raise conflict
        sync_tree(folder)
        with folder_beside(out) as before:
            if out.exists():
                out.rename(before)
            folder.rename(out)
    sync(out.parent)


_INFO = "dataset_info.json"
_FOLDER_FILES = (write.ARROW_FILE, "state.json", _INFO)


def _check_folder(out: Path) -> None:
    """Raise RunError where a folder is neither empty nor one that selectit wrote."""
    found = sorted(entry.name for entry in out.iterdir())
    others = [name for name in found if name not in _FOLDER_FILES]
    if others:
        what = f"{others[0]!r}" + (f" and {len(others) - 1:,} more" if others[1:] else "")
        raise RunError(f"{out} has {what} in it, which a selection would delete", "Name another folder.")
    if found and not (found == sorted(_FOLDER_FILES) and (out / _INFO).read_bytes().strip() == b"{}"):
        raise RunError(f"{out} is a data set that selectit did not write", "Name another folder, or remove it.")


def _raw_texts(run: Run) -> Iterator[str]:
    for part in run.source(["raw"]):
        yield from part["raw"].to_pylist()
