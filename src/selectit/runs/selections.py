"""Selections as they are stored in a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.array_types import Float64, Int64
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.runs.files import column, free_name, text_column, write_json, write_table, write_toml
from selectit.runs.run import Run

SELECTION_SCHEMA = pa.schema([("rank", pa.int64()), ("row", pa.int64()), ("score", pa.float64()), ("why", pa.string())])


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen rows in order. All arrays have the same length."""

    rows: Int64
    scores: Float64
    """NaN throughout for a method that chooses a set."""
    why: tuple[str, ...]
    cut: float
    """The lowest score that was kept; NaN without scores."""


def name_selection(run: Run, settings: Settings, label: str, config: Mapping[str, Any]) -> str:
    """The selection's name in the run. Raises SettingsError where --name is no name, or is taken."""
    if settings.name is None:
        return free_name(run.path / "selections", label, config)
    if not re.fullmatch(r"[\w.+-]{1,100}", settings.name) or settings.name.startswith("."):
        raise SettingsError(f"--name {settings.name!r} is no name", "Use letters, digits, '.', '-', '_'; at most 100.")
    if free_name(run.path / "selections", settings.name, config) != settings.name and not settings.force:
        raise SettingsError(
            f"{run.path} has a selection {settings.name!r} with other settings", "Name another, or add --force."
        )
    return settings.name


def store_selection(
    run: Run, name: str, selection: Selection, config: Mapping[str, Any], summary: Mapping[str, Any]
) -> None:
    """Store a selection with the settings that made it and its figures (plain values)."""
    folder = run.path / "selections" / name
    write_toml(folder / "config.toml", config)
    write_json(folder / "summary.json", summary)
    columns = [
        column(np.arange(1, len(selection.rows) + 1)),
        column(selection.rows),
        column(selection.scores),
        text_column(selection.why),
    ]
    write_table(folder / "rows.parquet", pa.table(columns, schema=SELECTION_SCHEMA))
