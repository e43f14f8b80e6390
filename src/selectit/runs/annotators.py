"""What models have answered: which model with what settings, which units there are, and their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from selectit.config.settings import Settings
from selectit.errors import RunError, nearest
from selectit.runs.files import part_name, read_json, read_part
from selectit.runs.run import Run
from selectit.signals.base import SignalRequest
from selectit.signals.requests import Request, kinds


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
    """Every model that has answered for a signal of the run, in the order in which they began."""
    found = [Annotator(file.parent, read_json(file)) for file in (run.path / signal).glob("*/manifest.json")]
    return sorted(found, key=lambda annotator: (annotator.manifest["order"], annotator.path.name))


def models_in(run: Run, signal: str = "ratings") -> list[str]:
    """The names of the models that have answered anything for a signal, in the order in which they began."""
    return list(
        dict.fromkeys(annotator.name for annotator in annotators(run, signal) if any(annotator.path.glob("*/part-*")))
    )


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
    """The stored rater of that name (or folder name) that the settings allow. Raises RunError."""
    same = [annotator for annotator in annotators(run, signal) if name in (annotator.name, annotator.path.name)]
    same = [annotator for annotator in same if any(annotator.path.glob("*/part-*"))] or same  # not what only began
    if not same:
        known = models_in(run, signal)
        raise RunError(f"{run.path} has no {signal} by {name!r}", nearest(name, known) if known else "")
    if len({annotator.manifest["digest"] for annotator in same}) > 1:
        folders = ", ".join(annotator.path.name for annotator in same)
        raise RunError(f"{name} has answered for {run.path} with different weights", f"Name the folder: {folders}")
    annotator = _fitting(same, settings)
    if annotator is None:
        raise RunError(
            f"{run.path} has {signal} by {name}, but none with these settings",
            "Leave out --engine, --dtype, --max-tokens, --overflow, --missing-label and --batch-tokens, or rate with "
            "them first.",
        )
    return annotator


def _fitting(same: Sequence[Annotator], settings: Settings) -> Annotator | None:
    wanted = asked(settings, same[0].signal) if same else {}

    def fits(annotator: Annotator) -> bool:
        stored = {**annotator.manifest["settings"], "unit_size": annotator.unit_size}
        return all(value is None or stored.get(key, value) == value for key, value in wanted.items())

    fitting = [annotator for annotator in same if fits(annotator)]
    exact = [annotator for annotator in fitting if _said(annotator.manifest["asked"]) == _said(wanted)]
    if len(fitting) > 1 and len(exact) != 1:
        told = "; ".join(f"{annotator.path.name}: {annotator.manifest['settings']}" for annotator in fitting)
        raise RunError(
            f"{fitting[0].name} has rated with several settings: {told}",
            "Say which with --engine, --dtype, --max-tokens, --overflow, --missing-label, --unit-size, or --model "
            "FOLDER.",
        )
    return next(iter(exact or fitting), None)


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
    return pa.concat_tables([read_part(unit.path, names) for unit in units(run, annotator, [request])])


def require(run: Run, annotator: Annotator, requests: Sequence[Request]) -> None:
    """Raise RunError where units are missing; it says how many, and how to go on."""
    wanted = units(run, annotator, requests)
    missing = sum(not unit.path.exists() for unit in wanted)
    if missing:
        about = {"missing": missing, "wanted": len(wanted), "requests": len(requests), "run": run.path}
        about |= {"signal": annotator.signal, "model": annotator.name}
        raise RunError(*(text.format(**about) for text in requests[0].unfinished))
