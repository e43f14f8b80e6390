"""Selections as they are stored in a run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.config import Settings
from selectit.errors import SettingsError
from selectit.runs.files import column, free_name, text_column, write_json, write_table, write_toml
from selectit.runs.run import Run
from selectit.selection.choose import Selection
from selectit.selection.summary import Summary


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


def store_selection(run: Run, name: str, selection: Selection, config: Mapping[str, Any], summary: Summary) -> None:
    folder = run.path / "selections" / name
    write_toml(folder / "config.toml", config)
    write_json(folder / "summary.json", dataclasses.asdict(summary))
    columns = [
        column(np.arange(1, len(selection.rows) + 1)),
        column(selection.rows),
        column(selection.scores),
        text_column(selection.why),
    ]
    write_table(folder / "rows.parquet", pa.table(columns, schema=SELECTION_SCHEMA))


SELECTION_SCHEMA = pa.schema([("rank", pa.int64()), ("row", pa.int64()), ("score", pa.float64()), ("why", pa.string())])
