"""Selections as they are stored in a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError, nearest
from selectit.runs.files import (
    column,
    numbers,
    text_column,
)
from selectit.runs.run import Run, open_run
from selectit.runs.sums import DamagedError
from selectit.signals.arrays import Float64, Int64

ALL = "all"
"""In the place of a selection's name: every row of the source."""


SELECTION_SCHEMA = pa.schema([("rank", pa.int64()), ("row", pa.int64()), ("score", pa.float64()), ("why", pa.string())])
REST, GROUPS = "rest.parquet", "groups.parquet"
PAGE = "report.html"
"""The page of a selection, beside its rows."""
ASIDE = {
    REST: pa.schema([("row", pa.int64()), ("step", pa.string()), ("kept_row", pa.int64()), ("why", pa.string())]),
    GROUPS: pa.schema([("row", pa.int64()), ("group", pa.string()), ("note", pa.string())]),
}
"""Files beside a selection's rows: why the others were not chosen, and the group of each row."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen rows in order. All arrays have the same length."""

    rows: Int64
    scores: Float64
    """NaN throughout for a method that chooses a set."""
    why: tuple[str, ...]
    cut: float
    """The lowest score that was kept; NaN without scores."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """How many rows were chosen for the examples of each group of a target; empty = they were chosen for none."""


@dataclass(frozen=True, slots=True)
class Unchosen:
    """Why a row was not chosen."""

    step: str
    """'decontaminate', 'dedup', 'cascade', 'score', 'best-of', 'quota', 'cut', 'diversity' or 'method'."""
    reason: str
    """In words, the same for all rows that went for it."""
    detail: str = ""
    """What it was for this row."""
    kept_row: int | None = None
    """The row that it was too much like, or that is better."""

    @property
    def why(self) -> str:
        """The reason with its detail."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True, slots=True)
class Aside:
    """What is stored of a selection beside its rows, where rows were filtered or grouped."""

    rest: Mapping[int, Unchosen]
    """Why each of the other rows was not chosen."""
    groups: tuple[str, ...] = ()
    """(N,) the group of each row; () = there are none."""
    notes: Mapping[int, str] = field(default_factory=dict)
    """What else is to be said of a row."""


def name_selection(run: Run, settings: Settings, label: str, config: Mapping[str, Any]) -> str:
    """The selection's name in the run. Raises SettingsError where --name is no name, or is taken."""
    if settings.name is None:
        return run.free_name(run.path / "selections", label, config)
    if not re.fullmatch(r"[\w.+-]{1,100}", settings.name) or settings.name.startswith("."):
        raise SettingsError(
            f"--name {settings.name!r} is not a valid name", "Use letters, digits, '.', '-', '_'; at most 100."
        )
    if run.free_name(run.path / "selections", settings.name, config) != settings.name and not settings.force:
        raise SettingsError(
            f"{run.path} has a selection {settings.name!r} with other settings",
            "Name another with --name, or replace it with --force.",
        )
    return settings.name


def store_selection(
    run: Run,
    name: str,
    selection: Selection,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    aside: Aside | None = None,
) -> None:
    """Store a selection with the settings that made it and its figures (plain values)."""
    folder = run.path / "selections" / name
    if (folder / PAGE).exists() and run.read_toml(folder / "config.toml") != config:
        (folder / PAGE).unlink()  # of a selection of this name that --force replaces
    run.write_toml(folder / "config.toml", config)
    run.write_json(folder / "summary.json", summary)
    columns = [
        column(np.arange(1, len(selection.rows) + 1)),
        column(selection.rows),
        column(selection.scores),
        text_column(selection.why),
    ]
    tables = {} if aside is None else dict(_tables_of(aside))
    for file in ASIDE:
        if file in tables:
            run.write_table(folder / file, tables[file])
        else:  # of a selection of this name that --force replaces
            (folder / file).unlink(missing_ok=True)
    run.write_table(folder / "rows.parquet", pa.table(columns, schema=SELECTION_SCHEMA))


def _tables_of(aside: Aside) -> Iterator[tuple[str, pa.Table]]:
    rows = sorted(aside.rest)
    reasons = [aside.rest[row] for row in rows]
    columns = [rows, *([getattr(each, name) for each in reasons] for name in ("step", "kept_row", "why"))]
    yield REST, pa.table(columns, schema=ASIDE[REST])
    if aside.groups:
        row = range(len(aside.groups))
        yield GROUPS, pa.table([list(row), aside.groups, [aside.notes.get(each) for each in row]], schema=ASIDE[GROUPS])


def asides(run: Run, name: str) -> list[str]:
    """The files that a selection has beside its rows. Raises DamagedError."""
    filters = run.read_toml(run.path / "selections" / name / "config.toml").get("filters")
    return [] if filters is None else [REST, *([GROUPS] if "by" in filters else [])]


def read_aside(run: Run, name: str, row: int) -> dict[str, Any]:
    """What is stored of a row beside a selection: why it was not chosen, its group, a note; '' where there is none.

    Raises DamagedError.
    """
    found: dict[str, Any] = {"why": "", "group": "", "note": ""}
    for file in asides(run, name):
        table = read_beside(run, name, file)
        at = np.flatnonzero(numbers(table["row"]) == row)
        entry = table.slice(int(at[0]), 1).to_pylist()[0] if len(at) else {}
        found |= {key: entry[key] or "" for key in found if key in entry}
    return found


def read_beside(run: Run, name: str, file: str) -> pa.Table:
    """One of the files that `asides` names. Raises DamagedError."""
    path = run.path / "selections" / name / file
    table = run.read_part(path)
    row = numbers(table["row"]) if table.schema == ASIDE[file] and not table["row"].null_count else np.full(1, -1)
    if not ((row >= 0) & (row < run.rows)).all():
        raise DamagedError(path, "it is not about the rows of this run", run.place(path))
    return table


def selections(run: Run) -> list[str]:
    """The names of the run's selections, also of those that are no longer whole."""
    files = [path for name in ("rows.parquet", "summary.json") for path in run.path.glob(f"selections/*/{name}")]
    return sorted({path.parent.name for path in files})


def find_selection(run: Run, name: str | None) -> str:
    """The name of the selection that is meant: of that name, ALL, or the only one where `name` is None.

    Raises RunError where there is no such selection, SettingsError where there are several to choose from.
    """
    if name != ALL:
        remedy = f"Name one with --selection; {ALL!r} is every row."
        return _pick(run, name, (ALL,), remedy, f"; or take every row with --selection {ALL}")
    if ALL in selections(run):
        raise RunError(f"{run.path} has a selection with the name {ALL!r}", "Select again with another --name.")
    return ALL


def open_selection(text: str | Path) -> tuple[Run, str]:
    """A run and the name of one of its selections: 'RUN:NAME', or 'RUN' where it has only one.

    Raises RunError where there is no such run or selection, SettingsError where the run has several.
    """
    path, name = split_selection(text)
    run = open_run(path)
    return run, _pick(run, name, (), f"Name one: {run.path}:NAME.")


def _pick(run: Run, name: str | None, others: Sequence[str], remedy: str, instead: str = "") -> str:
    """The selection of that name, or the only one.

    Args:
        run: which has it.
        name: None = the only one.
        others: what may be typed in the place of a name.
        remedy: said where there are several and no name.
        instead: said where there is none, after the command that makes one.
    """
    names = selections(run)
    if not names:
        raise RunError(f"{run.path} has no selection", f"Choose first: selectit select --run {run.path}{instead}.")
    if name is None and len(names) > 1:
        raise SettingsError(f"{run.path} has the selections {', '.join(names)}", remedy)
    if name is not None and name not in names:
        raise RunError(f"{run.path} has no selection {name!r}", nearest(name, [*names, *others]))
    return name or names[0]


def split_selection(text: str | Path) -> tuple[Path, str | None]:
    """'RUN:NAME' as the path of a run and the name; a folder of that very name is a run without a name."""
    path, colon, name = str(text).rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), None
    return Path(path), name


def load_rows(run: Run, name: str) -> Int64:
    """The rows of a selection, in its order; of ALL every row."""
    if name == ALL:
        return np.arange(run.rows)
    return numbers(read_selection(run, name)["row"])


def read_selection(run: Run, name: str) -> pa.Table:
    """The rows of a selection with rank, score and why. Raises DamagedError."""
    path = run.path / "selections" / name / "rows.parquet"
    table = run.read_part(path)
    row = numbers(table["row"]) if table.schema == SELECTION_SCHEMA and len(table) else np.zeros(0, np.int64)
    if len(row) != len(table) or not ((row >= 0) & (row < run.rows)).all():
        raise DamagedError(path, "it has not the rows of a selection", run.place(path))
    return table
