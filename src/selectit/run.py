"""The run directory: the only state of the program.

    manifest.json          the source's identity
    source/part-*.parquet  every record, canonical and raw
    prompts/*.toml         the prompt sets that were used
    ratings/<model>/<prompt>/part-*.parquet
    losses/ embeddings/ judgements/ rewards/ <model>/<what was asked>/part-*.parquet
    tokens/<tokenizer>/part-*.parquet
    scores/  selections/
    probes/ cascades/ <name>/run/     data sets made of this one's rows, each with a run of its own
    timing.json            durations: the one file that may differ between equal runs

A file that has its final name is whole: it is written beside, synced and renamed. Locks are the operating system's
and go when a process dies.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import itertools
import json
import os
import shutil
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from selectit.config import Settings
from selectit.data import formats, read
from selectit.errors import DataError, RunError
from selectit.schema import Int64, Record, Rows, Sample, Turn, source_schema

PART_ROWS = 4096
"""Rows in one part of the source."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory with its source. Open one with `create` or `open_run`."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """How many records the source has."""
        return int(self.manifest["rows"])

    def source(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The parts of the source in order, with the columns named (of `schema.source_schema`)."""
        for part in range(-(-self.rows // PART_ROWS)):
            yield read_part(self.path / "source" / part_name(part), columns)

    def source_rows(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows [start, stop) of the source."""
        first, last = start // PART_ROWS, (stop - 1) // PART_ROWS
        parts = [read_part(self.path / "source" / part_name(part), columns) for part in range(first, last + 1)]
        return pa.concat_tables(parts).slice(start - first * PART_ROWS, stop - start)

    def basic_rows(self) -> Rows:
        """What every method may know of the rows without a model."""
        parts = list(self.source(["digest", "words"]))
        digest = np.concatenate([np.array(part["digest"].to_pylist(), dtype="V16") for part in parts])
        return Rows(digest, _occurrences(digest), np.concatenate([numbers(part["words"]) for part in parts]))

    def samples(self, start: int, stop: int) -> list[Sample]:
        """The rated pairs of rows [start, stop)."""
        return self._samples(self.source_rows(start, stop, ["row", "turns"]))

    def samples_at(self, rows: Int64) -> list[Sample]:
        """The rated pairs of these rows, which are in rising order."""
        found: list[Sample] = []
        for part in np.unique(rows // PART_ROWS):
            table = read_part(self.path / "source" / part_name(part), ["row", "turns"])
            found += self._samples(table.take(column(rows[rows // PART_ROWS == part] - part * PART_ROWS)))
        return found

    def _samples(self, table: pa.Table) -> list[Sample]:
        which = self.manifest["identity"]["turns"]
        return [
            sample
            for row, turns in zip(table["row"].to_pylist(), table["turns"].to_pylist(), strict=True)
            for sample in formats.samples(row, [Turn(**turn) for turn in turns], which)
        ]

    @property
    def table_schema(self) -> pa.Schema | None:
        """Of the data, where it is a table."""
        path = self.path / "source" / "schema.arrow"
        return pa.ipc.read_schema(pa.py_buffer(path.read_bytes())) if path.exists() else None

    @contextmanager
    def lock(self, name: str, busy: str = "", *, wait: bool = False) -> Iterator[None]:
        """Hold one of the run's locks. Raises RunError with the text `busy` where another process holds it."""
        path = self.path / "locks" / name
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(busy, "Wait until it has ended, or stop it; nothing of it is lost.") from error
            yield

    def add_timing(self, key: str, **amounts: float) -> None:
        """Add seconds and counts to timing.json under `key`."""
        path = self.path / "timing.json"
        (self.path / "locks").mkdir(exist_ok=True)
        with (self.path / "locks" / "timing").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            timing = read_json(path) if path.exists() else {}
            entry = timing.setdefault(key, {})
            for name, amount in amounts.items():
                entry[name] = round(entry.get(name, 0) + amount, 3)
            write_json(path, timing)

    def timing(self) -> dict[str, dict[str, float]]:
        """All that was added."""
        path = self.path / "timing.json"
        return read_json(path) if path.exists() else {}


def open_run(path: str | Path) -> Run:
    """An existing run directory. Raises RunError."""
    path = Path(path)
    manifest = path / "manifest.json"
    if not manifest.is_file():
        raise RunError(
            f"{path} is not a run directory: it has no manifest.json",
            "Name the folder that `selectit select` or `selectit rate` printed, or start with a data file.",
        )
    found = read_json(manifest)
    if not {"identity", "rows", "written"} <= set(found):
        raise RunError(f"{manifest} is not the manifest of a run", "Name the folder above, which has source/ in it.")
    return Run(path, found)


def create(data: str | Path, settings: Settings) -> Run:
    """The run of a data set: opened where it is there, else read, checked and written.

    Args:
        data: a file, a folder, a hub id, or '-' for standard input.
        settings: `run` names the directory, None = selectit-runs/<name>-<8 digits of the source's fingerprint> here;
            and what of the data is read, and how.

    Raises:
        DataError: the data can't be read, or has bad rows; nothing is left behind.
        RunError: `run` holds another source, or another process is writing it.
    """
    layout = formats.layout_of(settings.format, settings.map)
    with read.opened(str(data), settings.split, settings.subset) as source:
        return _create(source, settings, layout)


def _create(source: read.Source, settings: Settings, layout: formats.Layout | None) -> Run:
    before = _times(source)
    identity = {
        "sha256": read.fingerprint(source),
        "limit": settings.limit,
        "format": settings.format,
        "map": settings.map,
        "turns": settings.turns,
        "bad_rows": settings.bad_rows,
    }
    fingerprint = digest_of(identity)
    run = settings.run
    path = Path(run) if run is not None else Path("selectit-runs") / f"{data_name(source.name)}-{fingerprint[:8]}"
    if (path / "manifest.json").is_file():
        return _same_source(open_run(path), source, identity)
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file", "Name a folder for the run with --run.")
    if path.is_dir() and any(not _begun(entry) for entry in path.iterdir()):
        raise RunError(f"{path} is not empty and is not a run directory", "Name another folder with --run.")
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        with Run(path, {}).lock("plan", f"another selectit is reading into {path}"):
            if (path / "manifest.json").is_file():  # written while we waited for nobody: the other one was quick
                return _same_source(open_run(path), source, identity)
            return _write_source(path, source, layout, identity, before)
    except DataError:
        if fresh:
            shutil.rmtree(path)
        raise


def data_name(data: str) -> str:
    """The name of a data set without folders and endings: 'alpaca' of 'data/alpaca.jsonl.gz'."""
    name = Path(data).resolve().name
    return name.partition(".")[0] or name


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
        raise RunError(f"{path} is damaged: it is no object", "Restore it, or remove it and run again.")
    return value


def read_toml(path: Path) -> dict[str, Any]:
    """Settings that are stored in the run. Raises RunError where they are damaged or gone."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise RunError(f"{path} is damaged or gone: {error}", "Score or select again.") from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the name `path`, synced, when the block ends well; else nothing is left of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    _remove_leftovers(path)
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that were killed while they wrote `path` have left."""
    start = f".{path.name}.{socket.gethostname()}-"
    for leftover in path.parent.glob(glob.escape(start) + "*.tmp"):
        process = leftover.name[len(start) : -len(".tmp")]
        if process.isdigit() and not _alive(int(process)):
            leftover.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync_folder(path: Path) -> None:
    """Make a rename in the folder outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _begun(entry: Path) -> bool:
    """Whether a source that was interrupted may have left this entry."""
    return entry.name in ("locks", "source", "source.partial") or entry.name.startswith(".manifest.json")


def _same_source(run: Run, source: read.Source, identity: Mapping[str, Any]) -> Run:
    stored = run.manifest["identity"]
    changed = [key for key in identity if stored.get(key) != identity[key]]
    if changed:
        what = {"sha256": f"the content of {source.name}"}
        differ = ", ".join(what.get(key, "--" + key.replace("_", "-")) for key in changed)
        raise RunError(
            f"{run.path} is the run of another source: {differ} differs",
            "Leave --run out or name a new folder.",
        )
    return run


def _write_source(
    path: Path,
    source: read.Source,
    layout: formats.Layout | None,
    identity: Mapping[str, Any],
    before: list[tuple[int, int]],
) -> Run:
    partial, final = path / "source.partial", path / "source"
    for leftover in (partial, final):  # without a manifest neither is finished
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    found = read.Checked()
    skip = identity["bad_rows"] == "skip"
    with (partial / "rejected.jsonl").open("wb") if skip else nullcontext() as rejected:
        records = read.records(
            source, found, layout=layout, which=identity["turns"], limit=identity["limit"], rejected=rejected
        )
        schema = source_schema(source.schema)
        for number in itertools.count():
            part = list(itertools.islice(records, PART_ROWS))
            if not part:
                break
            write_table(partial / part_name(number), _part(part, schema))
    if source.schema is not None:
        (partial / "schema.arrow").write_bytes(source.schema.serialize())
    if _times(source) != before:
        raise DataError(f"{source.name} changed while it was read", "Run again when it is finished.")
    partial.rename(final)
    sync_folder(path)
    assert found.layout is not None  # there is at least one good row
    manifest = {
        "data": Path(source.name).name,
        "identity": identity,
        "rows": found.rows,
        "skipped_rows": found.bad_rows,
        "layout": found.layout.label,
        "written": source.written,
        "compression": source.suffix.rpartition(".")[2] if source.suffix.endswith((".gz", ".zst")) else "",
        "indent": source.indent,
        "suffix": source.suffix,
    }
    write_json(path / "manifest.json", manifest)
    return Run(path, manifest)


def _part(records: Sequence[Record], schema: pa.Schema) -> pa.Table:
    columns = {
        "row": [record.row for record in records],
        "digest": [record.digest for record in records],
        "words": [record.words for record in records],
        "turns": [[{"role": turn.role, "text": turn.text} for turn in record.turns] for record in records],
        "left_out": [record.left_out for record in records],
        "raw": _raw([record.raw for record in records], schema.field("raw").type),
    }
    return pa.table(columns, schema=schema)


def _raw(values: Sequence[Any], kind: pa.DataType) -> Any:
    """The records; of a table they are pyarrow's scalars, which make no array of a type that is in part unknown."""
    if not pa.types.is_struct(kind) or not _untyped(kind):
        return values
    fields = []
    for field in kind:
        column = [value[field.name] for value in values]
        if _untyped(field.type):
            items = [each.as_py() for each in column]
        else:
            items = [each if each.is_valid else None for each in column]  # a map's null scalar makes no array
        fields.append(pa.array(items, field.type))
    return pa.StructArray.from_arrays(fields, fields=list(kind))


def _untyped(kind: pa.DataType) -> bool:
    """Whether a column, or something in it, is null throughout and so has no type."""
    return pa.types.is_null(kind) or any(_untyped(kind.field(place).type) for place in range(kind.num_fields))


def _times(source: read.Source) -> list[tuple[int, int]]:
    return [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in source.files)]


def _occurrences(digest: NDArray[np.void]) -> Int64:
    """(N,) how many earlier entries are equal."""
    _, group = np.unique(digest, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    counts = np.diff(np.r_[starts, len(order)])
    occurrence = np.empty(len(order), dtype=np.int64)
    occurrence[order] = np.arange(len(order)) - np.repeat(starts, counts)
    return occurrence


def digest_of(identity: Mapping[str, Any] | Sequence[Any]) -> str:
    """sha256 over plain values, hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
