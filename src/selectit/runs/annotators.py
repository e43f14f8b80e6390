"""What models have answered: which model with what settings, which units there are, and their columns."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.config.options import flag
from selectit.config.settings import Settings
from selectit.errors import MissingError, RunError, nearest
from selectit.jsonable import digest_of
from selectit.runs.files import numbers, part_name
from selectit.runs.run import Run
from selectit.runs.sums import DamagedError
from selectit.signals.base import FRAME, SignalRequest
from selectit.signals.requests import Request, kinds

UNIT_SIZE = 512
"""Rows of a unit where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Annotator:
    """A model with resolved settings, and its folder of ratings, or of another signal, in a run."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest["model"])

    @property
    def unit_size(self) -> int:
        return int(self.manifest["unit_size"])

    @property
    def signal(self) -> str:
        """'ratings', 'losses' and so on."""
        return self.path.parent.name

    def folder(self, request: Request) -> Path:
        """Where the units of a request lie."""
        return self.path / request.folder


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows [start, stop) under one request; finished when `path` exists."""

    request: Request
    start: int
    stop: int
    path: Path


def annotators(run: Run, signal: str = "ratings") -> list[Annotator]:
    """Every model that has answered for a signal of the run, in the order in which they began. Raises RunError."""
    folders = [folder for folder in (run.path / signal).glob("[!.]*/") if os.path.lexists(folder / "manifest.json")]
    found = [read_annotator(run, folder) for folder in folders]
    for folder in set((run.path / signal).glob("[!.]*/")) - set(folders):
        if any(folder.glob("*/")):  # one that only began has nothing in it
            path = folder / "manifest.json"
            raise DamagedError(path, "there is no such file", run.place(path))
    return sorted(found, key=lambda annotator: (annotator.manifest["order"], annotator.path.name))


def identity_of(manifest: Mapping[str, Any]) -> str:
    """Eight digits of what decides the answers of a model beside the request: the end of its folder's name."""
    return digest_of({key: manifest[key] for key in ("digest", "settings", "unit_size")})[:8]


MANIFEST = {
    "model": str, "digest": str, "packaged": bool, "parameters": int, "settings": dict, "asked": dict, "order": int,
    "unit_size": int,
}  # fmt: skip
"""What the manifest of a model says, and in what type."""


def read_annotator(run: Run, folder: Path) -> Annotator:
    """The model of a folder, whose manifest says what the folder's name says. Raises RunError."""
    path = folder / "manifest.json"
    found = run.read_json(path)
    wrong = [key for key, kind in MANIFEST.items() if not isinstance(found.get(key), kind)]
    if wrong or found["unit_size"] < 1 or not isinstance(found["settings"].get("engine"), str):
        raise DamagedError(path, f"{wrong[0] if wrong else 'something'} in it is not as it was", run.place(path))
    if not folder.name.endswith(f"-{identity_of(found)}"):
        raise DamagedError(path, "it is not of the model and settings that the folder is named for", run.place(path))
    return Annotator(folder, found)


def models_in(run: Run, signal: str = "ratings") -> list[str]:
    """The names of the models that have answered anything for a signal, in the order in which they began.

    Without those that methods tuned in the run itself.
    """
    own = [each for each in annotators(run, signal) if not each.manifest.get("tuned")]
    return list(dict.fromkeys(annotator.name for annotator in own if _has_asked(annotator)))


def _has_asked(annotator: Annotator) -> bool:
    """Whether a model has begun to answer something; a request that it refused leaves no file."""
    return any(annotator.path.glob("*/[!.]*"))


def request_folders(annotator: Annotator) -> list[Path]:
    """The folders of what a model was asked."""
    return sorted(folder for folder in annotator.path.glob("[!.]*/") if any(folder.glob("[!.]*")))


def asked(settings: Settings, signal: str = "ratings") -> dict[str, str | int | None]:
    """What the settings say of a rater; None = left open. Encoders and reward models have few settings of their own."""
    said: dict[str, str | int | None] = {
        "engine": settings.engine,
        "dtype": None if settings.dtype == "auto" else settings.dtype,
        "max_tokens": settings.max_tokens,
        "batch_tokens": settings.batch_tokens,
        "overflow": settings.overflow,
        "engine_param": json.dumps(dict(settings.engine_param), sort_keys=True) if settings.engine_param else None,
        "missing_label": settings.missing_label,
        "unit_size": settings.unit_size,
        "pooling": settings.pooling,
    }
    return {name: said[name] for name in kinds().get(signal, SignalRequest).heeds or said}


def find_annotator(run: Run, digest: str, settings: Settings, signal: str = "ratings") -> Annotator | None:
    """The stored rater with those weights that the settings allow: what they leave open, the stored one has decided.

    Of several the one that was begun in the same words. Raises RunError where that doesn't decide.
    """
    return _fitting(
        [annotator for annotator in annotators(run, signal) if annotator.manifest["digest"] == digest], settings
    )


def named_annotator(run: Run, name: str, settings: Settings, signal: str = "ratings") -> Annotator:
    """The stored rater of that name (or folder name) that the settings allow. Raises RunError, MissingError."""
    same = _same_name(run, name, signal)
    if not same:
        known = models_in(run, signal)
        raise MissingError(f"{run.path} has no {signal} by {name!r}", nearest(name, known) if known else "")
    annotator = _only(run, same, settings)
    if annotator is None:
        raise MissingError(
            f"{run.path} has {signal} by {name}, but none with these settings",
            "Leave out --engine, --dtype, --max-tokens, --overflow, --missing-label and --batch-tokens, or rate with "
            "them first.",
        )
    return annotator


def find_named(run: Run, name: str, settings: Settings, signal: str) -> Annotator | None:
    """As `named_annotator`; None = there is none of that name, or none with these settings."""
    return _only(run, _same_name(run, name, signal), settings)


def _same_name(run: Run, name: str, signal: str) -> list[Annotator]:
    same = [annotator for annotator in annotators(run, signal) if name in (annotator.name, annotator.path.name)]
    return [annotator for annotator in same if _has_asked(annotator)] or same  # not what only began


def _only(run: Run, same: Sequence[Annotator], settings: Settings) -> Annotator | None:
    """The one of some raters of one name that the settings allow. Raises RunError where they do not decide."""
    if len({annotator.manifest["digest"] for annotator in same}) > 1:
        folders = ", ".join(annotator.path.name for annotator in same)
        raise RunError(
            f"{same[0].name} has answered for {run.path} with different weights", f"Name the folder: {folders}"
        )
    return _fitting(same, settings)


def _fitting(same: Sequence[Annotator], settings: Settings) -> Annotator | None:
    wanted = asked(settings, same[0].signal) if same else {}

    def fits(annotator: Annotator) -> bool:
        stored = _stored(annotator)
        return all(value is None or stored.get(key, value) == value for key, value in wanted.items())

    fitting = [annotator for annotator in same if fits(annotator)]
    exact = [annotator for annotator in fitting if _said(annotator.manifest["asked"]) == _said(wanted)]
    if len(fitting) > 1 and len(exact) != 1:
        told = "; ".join(f"{annotator.path.name}: {annotator.manifest['settings']}" for annotator in fitting)
        differ = [name for name in wanted if len({str(_stored(annotator).get(name)) for annotator in fitting}) > 1]
        folder = f"{flag(kinds().get(fitting[0].signal, SignalRequest).named_by[0])} FOLDER"
        raise RunError(
            f"{fitting[0].name} has given {fitting[0].signal} with several settings: {told}",
            f"Say which with {', or '.join([*map(flag, differ), folder])}.",
        )
    return next(iter(exact or fitting), None)


def _stored(annotator: Annotator) -> dict[str, Any]:
    return {**annotator.manifest["settings"], "unit_size": annotator.unit_size}


def _said(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if value is not None}


def units(run: Run, annotator: Annotator, requests: Sequence[Request]) -> list[Unit]:
    """All units of a rater: row range after row range, all requests of each."""
    return [
        Unit(request, start, min(start + annotator.unit_size, run.rows), annotator.folder(request) / part_name(number))
        for number, start in enumerate(range(0, run.rows, annotator.unit_size))
        for request in requests
    ]


def stored_columns(run: Run, annotator: Annotator, request: Request, names: Sequence[str] | None) -> pa.Table:
    """Columns of all units of a request, None = all, by row. Raises RunError where units are missing."""
    require(run, annotator, [request])
    return pa.concat_tables([read_unit(run, unit, names) for unit in units(run, annotator, [request])])


def read_unit(run: Run, unit: Unit, names: Sequence[str] | None = None) -> pa.Table:
    """Columns of a unit's answers, None = all. Raises RunError where they are not those of its rows and request."""
    wanted = None if names is None else list(dict.fromkeys(("row", *names)))
    table = run.read_part(unit.path, wanted)
    kinds = {**FRAME, **unit.request.columns}
    wrong = [name for name in table.column_names if table.schema.field(name).type != kinds.get(name)]
    if wrong:
        raise DamagedError(unit.path, f"its column {wrong[0]!r} is of another type", run.place(unit.path))
    check_rows(run, unit.path, table, unit.start, unit.stop)
    return table if names is None else table.select(list(names))


def check_rows(run: Run, path: Path, table: pa.Table, start: int, stop: int) -> None:
    """Raise DamagedError unless stored answers are of rows [start, stop), each at least once, in order."""
    column = table["row"] if "row" in table.column_names else None
    row = np.zeros(0) if column is None or column.type != pa.int64() or column.null_count else numbers(column)
    wanted = np.arange(start, stop)
    if np.array_equal(row, wanted):  # one answer for each: quicker than to look for several
        return
    if not np.array_equal(np.unique(row), wanted) or (np.diff(row) < 0).any():
        raise DamagedError(path, f"its rows are not {start} to {stop - 1}", run.place(path))


def require(run: Run, annotator: Annotator, requests: Sequence[Request]) -> None:
    """Raise MissingError where units are missing; it says how many, and how to go on."""
    wanted = units(run, annotator, requests)
    missing = sum(not unit.path.exists() for unit in wanted)
    if missing:
        about = {"missing": missing, "wanted": len(wanted), "requests": len(requests), "run": run.path}
        about |= {"signal": annotator.signal, "model": annotator.name}
        raise MissingError(*(text.format(**about) for text in requests[0].unfinished))
