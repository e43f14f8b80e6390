"""The run directory: the only state of the program.

    manifest.json          the source's identity
    source/part-*.parquet  every record, canonical and raw
    prompts/*.toml         the prompt sets that were used
    ratings/<model>/<prompt>/part-*.parquet
    <signal>/<model>/<what was asked>/part-*.parquet      losses, embeddings and so on: see `signals.requests`
    tokens/<tokenizer>/part-*.parquet
    scores/  selections/
    probes/ cascades/ <name>/run/     data sets made of this one's rows, each with its own run
    targets/ <digest>/run/            the examples that rows were chosen towards, likewise
    tuned/<identity>/                 models that a method tuned on the way
    answers/<digest>/run/             what these answered to some of the rows, to be asked about
    assess/<sample>/run/              rows drawn to be judged as a whole data set
    timing.json            durations: the one file that may differ between equal runs

A file that has its final name is whole: it is written beside, synced and renamed. Locks are the operating system's
and go when a process dies.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import fcntl
import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w
from numpy.typing import NDArray

from selectit.data import layouts, samples
from selectit.data.columns import TABLES
from selectit.data.records import Sample, Turn
from selectit.data.tables import plain_records
from selectit.errors import RunError
from selectit.jsonable import digest_of
from selectit.runs import files
from selectit.runs.files import column, numbers, part_name
from selectit.runs.manifest import MANIFEST_PLACE, read_manifest
from selectit.runs.sums import DamagedError, Place, check_parquet, read_bytes
from selectit.signals.arrays import Int64
from selectit.signals.rows import Rows, build_rows

PART_ROWS = 4096
"""Rows in one part of the source. Nobody outside this module needs to know."""


@dataclass(frozen=True)
class Run:
    """A run directory with its source. Open one with `create` or `open_run`."""

    path: Path
    manifest: Mapping[str, Any]
    has_sums: bool = False
    """Whether every file states a sum; False = it was begun by an older version, whose files state none."""

    @property
    def rows(self) -> int:
        """How many records the source has."""
        return int(self.manifest["rows"])

    @property
    def source_parts(self) -> int:
        """How many parts the source has."""
        return -(-self.rows // PART_ROWS)

    def source(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The parts of the source in order, with the columns named (of `records.record_schema`)."""
        for part in range(self.source_parts):
            yield self.source_part(part, columns)

    def part_ranges(self) -> Iterator[tuple[int, int]]:
        """Rows [start, stop) of each part of the source: as many as fit into memory whatever the data."""
        for start in range(0, self.rows, PART_ROWS):
            yield start, min(start + PART_ROWS, self.rows)

    def source_rows(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows [start, stop) of the source."""
        first, last = start // PART_ROWS, (stop - 1) // PART_ROWS
        parts = [self.source_part(part, columns) for part in range(first, last + 1)]
        return pa.concat_tables(parts).slice(start - first * PART_ROWS, stop - start)

    def source_at(self, rows: Int64, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These rows, which are in rising order and may repeat: a table for each part that has some of them."""
        for part in np.unique(rows // PART_ROWS):
            here = rows[rows // PART_ROWS == part] - part * PART_ROWS
            yield self.source_part(part, columns).take(column(here))

    def source_part(self, number: int, columns: Sequence[str]) -> pa.Table:
        """A part of the source. Raises DamagedError."""
        path = self.path / "source" / part_name(number)
        part, rows = self.read_part(path, columns), min(PART_ROWS, self.rows - number * PART_ROWS)
        if len(part) != rows:
            raise DamagedError(path, f"it has {len(part)} rows, and the run has {rows} there", self.place(path))
        return part

    def place(self, path: Path) -> Place:
        """Where a file of this run belongs. Raises RunError where a folder on the way to it is a link."""
        self._refuse_links(path)
        if path == self.path / "manifest.json":
            return MANIFEST_PLACE
        file = path.relative_to(self.path).as_posix()
        has_sum = self.has_sums and file != "timing.json"
        return Place(self._source, file, has_sum)

    @cached_property
    def _source(self) -> str:
        """The source's name in each file's place; worked out once, not for each of thousands of parts."""
        return digest_of(self.manifest["identity"])[:16]

    def _refuse_links(self, path: Path) -> None:
        for folder in path.relative_to(self.path).parents[:-1]:
            if (self.path / folder).is_symlink():
                raise RunError(
                    f"{self.path / folder} is a link, and a run has none", "Put the folder itself in its place."
                )

    def read_part(self, path: Path, columns: Sequence[str] | None = None) -> pa.Table:
        """A stored Parquet file of this run. Raises as `files.read_part`, and so do the others."""
        return files.read_part(path, columns, self.place(path))

    def write_table(self, path: Path, table: pa.Table) -> None:
        """Store a Parquet file in this run."""
        files.write_table(path, table, self.place(path))

    def read_json(self, path: Path) -> dict[str, Any]:
        """A stored JSON object of this run."""
        return files.read_json(path, self.place(path))

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        """Store a JSON object in this run."""
        files.write_json(path, value, self.place(path))

    def read_toml(self, path: Path) -> dict[str, Any]:
        """Stored settings of this run."""
        return files.read_toml(path, self.place(path))

    def write_toml(self, path: Path, config: Mapping[str, Any]) -> None:
        """Store settings in this run."""
        files.write_toml(path, config, self.place(path))

    def check_part(self, path: Path) -> bool:
        """Raise as `read_part` where a stored Parquet file is not whole; whether it has sums."""
        return check_parquet(path, self.place(path))

    def is_whole(self, path: Path) -> bool:
        """Whether a stored Parquet file is there and whole. Raises RunError where it belongs elsewhere."""
        try:
            self.check_part(path)
        except DamagedError:
            return False
        return True

    def free_name(self, folder: Path, name: str, config: Mapping[str, Any]) -> str:
        """`name`, or with a suffix where other settings (another model, other prompts) have taken it."""
        for path in (folder / f"{name}.toml", folder / name / "config.toml"):
            if path.exists() and files.read_toml_text(path, self.place(path)) != tomli_w.dumps(config):
                return f"{name}-{digest_of(dict(config))[:6]}"
        return name

    def basic_rows(self) -> Rows:
        """What every method may know of the rows without a model."""
        digest, words = np.empty(self.rows, "V16"), np.empty(self.rows, np.int64)
        for (start, stop), part in zip(self.part_ranges(), self.source(["digest", "words"]), strict=True):
            digest[start:stop] = _digests(part["digest"].combine_chunks())
            words[start:stop] = numbers(part["words"])
        return dataclasses.replace(build_rows(digest, words), layout=self.layout)

    def samples(self, start: int, stop: int) -> list[Sample]:
        """The rated pairs of rows [start, stop)."""
        return self._samples(self.source_rows(start, stop, self._sample_columns))

    def samples_at(self, rows: Int64) -> list[Sample]:
        """The rated pairs of these rows, which are in rising order."""
        return [sample for table in self.source_at(rows, self._sample_columns) for sample in self._samples(table)]

    @property
    def layout(self) -> layouts.Layout:
        """How its records were read."""
        label = self.manifest["layout"]
        found = layouts.Layout(label) if label in layouts.DATA_LAYOUTS else layouts.parse_map(label)
        return dataclasses.replace(found, roles=layouts.parse_roles(self.manifest["identity"].get("roles", [])))

    @property
    def _sample_columns(self) -> list[str]:
        return ["row", "turns", *(["raw"] if layouts.has_inputs(self.layout) else [])]

    def _samples(self, table: pa.Table) -> list[Sample]:
        """The stored turns are texts as they are rated; which part of one is an input, the record says."""
        which, layout = self.manifest["identity"]["turns"], self.layout
        inputs: Iterable[Mapping[str, str]] = [{}] * len(table)
        if layouts.has_inputs(layout):
            inputs = (samples.read_inputs(record, layout) for record in plain_records(table["raw"]))
        return [
            sample
            for row, turns, extra in zip(table["row"].to_pylist(), table["turns"].to_pylist(), inputs, strict=True)
            for sample in samples.build_samples(row, [Turn(**turn) for turn in turns], which, extra)
        ]

    @property
    def table_schema(self) -> pa.Schema | None:
        """Of the data, where it is a table. Raises DamagedError."""
        path = self.path / "source" / "schema.arrow"
        if self.manifest["written"] not in TABLES:
            return None
        data, place = read_bytes(path, self.place(path)), self.place(path)
        stated = self.manifest.get("files", {}).get(path.name)  # older runs state none
        if stated is not None and stated != hashlib.sha256(data).hexdigest():
            raise DamagedError(path, "its sum differs", place)
        try:
            return pa.ipc.read_schema(pa.py_buffer(data))
        except (pa.ArrowException, OSError) as error:
            raise DamagedError(path, error, place) from error

    @contextmanager
    def lock(self, name: str, busy: str = "", *, wait: bool = False) -> Iterator[None]:
        """Hold one of the run's locks. Raises RunError with the text `busy` where another process holds it."""
        with self._lock_file(name) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(busy, "Wait until it ends, or stop it; nothing it has done is lost.") from error
            yield

    @contextmanager
    def _lock_file(self, name: str) -> Iterator[int]:
        path = self.path / "locks" / name
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
        self._refuse_links(path)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):
                raise
            raise RunError(
                f"{path} can't be locked: {error.strerror}", f"Remove {path.parent}: it is made anew."
            ) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def add_timing(self, key: str, **amounts: float) -> None:
        """Add seconds and counts to timing.json under `key`."""
        with self.lock("timing", wait=True):
            timing = self.timing()
            entry = timing.setdefault(key, {})
            for name, amount in amounts.items():
                entry[name] = round(entry.get(name, 0) + amount, 3)
            path = self.path / "timing.json"
            self._refuse_links(path)
            files.write_json(path, timing)  # without a sum: it decides nothing, and differs from run to run

    def timing(self) -> dict[str, dict[str, float]]:
        """All that was added. Raises DamagedError."""
        path = self.path / "timing.json"
        if not os.path.lexists(path):
            return {}
        found = self.read_json(path)
        if not all(_is_amounts(key, entry) for key, entry in found.items()):
            raise DamagedError(path, "it is not of seconds and counts", self.place(path))
        return found


def in_parts(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of all tables in tables of one part of a source each."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while sum(map(len, waiting)) >= PART_ROWS:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, PART_ROWS)
            waiting = [joined.slice(PART_ROWS)]
    if any(map(len, waiting)):
        yield pa.concat_tables(waiting)


def _is_amounts(key: str, entry: Any) -> bool:
    """Whether an entry of timing.json has what is read of it: a model's answers are counted, a training's are not."""
    needed = {"seconds", "tokens", *(["ratings"] if "/" in key.partition(" ")[0] else [])}
    return (
        isinstance(entry, dict)
        and needed <= set(entry)
        and all(isinstance(value, int | float) and 0 <= value < math.inf for value in entry.values())
    )


RUNS = Path("selectit-runs")
"""Where runs are made that have no name."""


def _hint_runs(path: Path) -> str:
    """A hint that names the run nearest in name to a path that is none, of those beside it and those in `RUNS`."""
    there = {each.parent.name: each.parent for folder in (path.parent, RUNS) for each in folder.glob("*/manifest.json")}
    begun = [name for name in sorted(there) if path.name and name.startswith(path.name)]
    close = difflib.get_close_matches(path.name, there, n=1) or begun[:1]
    return f"Did you mean {there[close[0]]}?" if close else ""


def open_run(path: str | Path) -> Run:
    """An existing run directory. Raises RunError."""
    path = Path(path)
    manifest = path / "manifest.json"
    if not os.path.lexists(manifest):
        raise RunError(
            f"{path} is not a run directory: it has no manifest.json",
            _hint_runs(path)
            or "Name a folder that selectit select or rate printed (selectit show lists those here), or "
            "start with a data file.",
        )
    run = Run(path, *read_manifest(manifest))
    beyond = path / "source" / part_name(run.source_parts)
    if beyond.exists():
        raise DamagedError(manifest, f"it says {run.rows} rows, and there is {beyond}", MANIFEST_PLACE)
    return run


def _digests(column: pa.FixedSizeBinaryArray) -> NDArray[np.void]:
    return np.frombuffer(column.buffers()[1], "V16")[column.offset : column.offset + len(column)]
