"""The run directory: the only state of the program.

    manifest.json          the source's identity
    source/part-*.parquet  every record, canonical and raw
    prompts/*.toml         the prompt sets that were used
    ratings/<model>/<prompt>/part-*.parquet
    losses/ embeddings/ judgements/ rewards/ <model>/<what was asked>/part-*.parquet
    tokens/<tokenizer>/part-*.parquet
    scores/  selections/
    probes/ cascades/ <name>/run/     data sets made of this one's rows, each with its own run
    timing.json            durations: the one file that may differ between equal runs

A file that has its final name is whole: it is written beside, synced and renamed. Locks are the operating system's
and go when a process dies.
"""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.data import formats
from selectit.data.records import Record, Sample, Turn
from selectit.errors import RunError
from selectit.runs.files import column, numbers, part_name, read_json, read_part, write_json
from selectit.signals.arrays import Int64, Rows

PART_ROWS = 4096
"""Rows in one part of the source. Nobody outside this module needs to know."""


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
        """The parts of the source in order, with the columns named (of `source.source_schema`)."""
        for part in range(-(-self.rows // PART_ROWS)):
            yield self._part(part, columns)

    def part_ranges(self) -> Iterator[tuple[int, int]]:
        """Rows [start, stop) of each part of the source: as many as fit into memory whatever the data."""
        for start in range(0, self.rows, PART_ROWS):
            yield start, min(start + PART_ROWS, self.rows)

    def source_rows(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows [start, stop) of the source."""
        first, last = start // PART_ROWS, (stop - 1) // PART_ROWS
        parts = [self._part(part, columns) for part in range(first, last + 1)]
        return pa.concat_tables(parts).slice(start - first * PART_ROWS, stop - start)

    def source_at(self, rows: Int64, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These rows, which are in rising order and may repeat: a table for each part that has some of them."""
        for part in np.unique(rows // PART_ROWS):
            here = rows[rows // PART_ROWS == part] - part * PART_ROWS
            yield self._part(part, columns).take(column(here))

    def _part(self, number: int, columns: Sequence[str]) -> pa.Table:
        return read_part(self.path / "source" / part_name(number), columns)

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
        return [sample for table in self.source_at(rows, ["row", "turns"]) for sample in self._samples(table)]

    def _samples(self, table: pa.Table) -> list[Sample]:
        which = self.manifest["identity"]["turns"]
        return [
            sample
            for row, turns in zip(table["row"].to_pylist(), table["turns"].to_pylist(), strict=True)
            for sample in formats.build_samples(row, [Turn(**turn) for turn in turns], which)
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
                raise RunError(busy, "Wait until it ends, or stop it; nothing it has done is lost.") from error
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


def in_parts(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in lists, each for one part of a source."""
    remaining = iter(records)
    while part := list(itertools.islice(remaining, PART_ROWS)):
        yield part


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


def _occurrences(digest: NDArray[np.void]) -> Int64:
    """(N,) how many earlier entries are equal."""
    _, group = np.unique(digest, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    counts = np.diff(np.r_[starts, len(order)])
    occurrence = np.empty(len(order), dtype=np.int64)
    occurrence[order] = np.arange(len(order)) - np.repeat(starts, counts)
    return occurrence
