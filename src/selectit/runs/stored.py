"""The stored answers of a run as arrays, and what its records hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from selectit.data.tables import decode_record
from selectit.runs.annotators import Annotator, require, stored_columns, units
from selectit.runs.files import read_part
from selectit.runs.run import Run
from selectit.signals.base import Arrays, SignalRequest, Stored
from selectit.signals.requests import Request

A = TypeVar("A", bound=Arrays)


def load_arrays(run: Run, annotators: Sequence[Annotator], requests: Sequence[SignalRequest[A, Any]]) -> A:
    """What models have answered to requests of one signal, as a method reads it.

    Raises:
        RunError: units are missing; it says how many, and how to go on.
    """
    for annotator in annotators:
        require(run, annotator, requests)
    names = ["row", *requests[0].columns, "tokens", "flags"]
    stored = [
        [
            Stored(annotator.name, annotator.manifest["parameters"], stored_columns(run, annotator, request, names))
            for request in requests
        ]
        for annotator in annotators
    ]
    return requests[0].stack(requests, stored)


def failures(run: Run, annotators: Sequence[Annotator], requests: Sequence[Request]) -> dict[int, str]:
    """Why rows have no rating, or other signal: row to the first reason found."""
    found: dict[int, str] = {}
    for annotator in annotators:
        for unit in units(run, annotator, requests):
            table = read_part(unit.path, ["row", "error"])
            if table["error"].null_count < len(table):
                for row, error in zip(table["row"].to_pylist(), table["error"].to_pylist(), strict=True):
                    if error:
                        found.setdefault(row, error)
    return found


def field_of(run: Run, name: str) -> tuple[str, ...]:
    """A field of each record as text; dots for fields within fields, '' where there is none."""
    return tuple(
        _at(decode_record(raw) if isinstance(raw, str) else raw, name)
        for part in run.source(["raw"])
        for raw in part["raw"].to_pylist()
    )


def _at(record: Any, name: str) -> str:
    for key in name.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return "" if record is None else str(record)
