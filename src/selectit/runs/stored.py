"""The stored answers of a run as arrays, and what its records hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from selectit.data.fields import find_field
from selectit.data.tables import decode_record
from selectit.errors import MissingError, RunError
from selectit.runs.annotators import Annotator, annotators, read_unit, require, stored_columns, units
from selectit.runs.files import numbers
from selectit.runs.run import Run
from selectit.runs.selections import read_selection
from selectit.runs.sums import DamagedError
from selectit.signals.arrays import Embeddings, Float64, Int64
from selectit.signals.base import Arrays, SignalRequest, Stored
from selectit.signals.embeddings import EMBEDDED, EmbeddingRequest
from selectit.signals.requests import Request
from selectit.signals.states import StateRequest

A = TypeVar("A", bound=Arrays)


def load_arrays(run: Run, annotators: Sequence[Annotator], requests: Sequence[SignalRequest[A, Any]]) -> A:
    """What models have answered to requests of one signal, as a method reads it.

    Raises:
        MissingError: units are missing; it says how many, and how to go on.
        RunError: what is stored does not fit together.
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
    rows = [numbers(one.table["row"]) for each in stored for one in each]
    if not all(np.array_equal(row, rows[0]) for row in rows):
        folders = ", ".join(sorted(annotator.folder(requests[0]).parent.as_posix() for annotator in annotators))
        raise RunError(f"what is stored in {folders} is not of the same answers", f"See: selectit verify {run.path}")
    return requests[0].stack(requests, stored)


def names_of_scores(run: Run) -> list[str]:
    """The names of all stored scores, also of those whose numbers or settings are gone."""
    return sorted({path.stem for path in (run.path / "scores").glob("[!.]*") if path.suffix in (".parquet", ".toml")})


def read_scores(run: Run, name: str) -> pa.Table:
    """Scores by their name in the run, of all rows in order, and what they are made of. Raises DamagedError."""
    path = run.path / "scores" / f"{name}.parquet"
    table = run.read_part(path, None)
    kinds = [table.schema.field(column).type if column in table.column_names else None for column in ("row", "score")]
    whole = kinds == [pa.int64(), pa.float64()] and not table["row"].null_count
    if not whole or not np.array_equal(numbers(table["row"]), np.arange(run.rows)):
        raise DamagedError(path, "it is not of the scores of all rows", run.place(path))
    return table


_NOT_OF_SCORES = ("budget", "allow_fewer", "order", "filters")
"""What the settings of a selection say beside those of its scores."""


def find_scores(run: Run, config: Mapping[str, Any]) -> str | None:
    """The name of the scores that a selection with these settings was made by.

    None = its method chooses a set, or the scores are gone. Raises DamagedError.
    """
    paths = {name: run.path / "scores" / f"{name}.toml" for name in names_of_scores(run)}
    stored = {name: run.read_toml(path) for name, path in paths.items() if path.exists()}
    found = [name for name, each in stored.items() if _is_of(each, config)]
    # A selection of an older version has lost a method's own `order` to that of the rows.
    older = [name for name, each in stored.items() if _is_of({**each, "order": config.get("order")}, config)]
    return next(iter(found or (older if len(older) == 1 else [])), None)


def _is_of(scores: Mapping[str, Any], selection: Mapping[str, Any]) -> bool:
    """Whether a selection with these settings is made by scores with those."""
    same = all(key in selection and selection[key] == value for key, value in scores.items())
    return same and set(selection) - set(scores) <= set(_NOT_OF_SCORES)


@dataclass(frozen=True, slots=True)
class StoredSelection:
    """A selection of a run of N rows, with the scores that it was made by."""

    run: Run
    name: str
    config: Mapping[str, Any]
    cut: float
    """The lowest score that was kept; NaN = there is none."""
    rows: Int64
    """The chosen rows, in the order of choice."""
    why: tuple[str, ...]
    """Of each, why."""
    scores: str
    """The name of the scores; '' = the method chooses a set, or they are gone."""
    score: Float64
    """(N,) higher = keep, NaN = none."""
    parts: Mapping[str, Float64]
    """What each score was made of: (N,) each."""


def load_selection(run: Run, name: str) -> StoredSelection:
    """A selection of the run. Raises DamagedError where something of it is not as it was written."""
    folder = run.path / "selections" / name
    config, chosen = run.read_toml(folder / "config.toml"), read_selection(run, name)
    cut = run.read_json(folder / "summary.json")["cut"]
    scores = find_scores(run, config)
    table = None if scores is None else read_scores(run, scores)
    return StoredSelection(
        run=run,
        name=name,
        config=config,
        cut=math.nan if cut is None else float(cut),
        rows=numbers(chosen["row"]),
        why=tuple(chosen["why"].to_pylist()),
        scores=scores or "",
        score=np.full(run.rows, math.nan) if table is None else numbers(table["score"]),
        parts={} if table is None else {key: numbers(table[key]) for key in table.column_names[2:]},
    )


def is_answered(run: Run, annotator: Annotator, request: Request) -> bool:
    """Whether all units of a request are there."""
    return all(unit.path.exists() for unit in units(run, annotator, [request]))


def find_embeddings(run: Run) -> tuple[str, Embeddings]:
    """Vectors of all rows, and whose they are, in words; those of the first encoder, else a model's hidden states.

    Raises MissingError: there are none.
    """
    for kind in (EmbeddingRequest, StateRequest):
        for annotator in annotators(run, kind.signal):
            for text in EMBEDDED:
                request = kind(text)
                if is_answered(run, annotator, request):
                    about = "instruction and response" if text == "both" else text
                    return f"{annotator.name}, {about}", load_arrays(run, [annotator], [request])
    raise MissingError(
        f"{run.path} has no embeddings of all rows",
        f"Collect them with the encoder minilm, or another: selectit rate --run {run.path} --method kcenter",
    )


def failures(run: Run, annotators: Sequence[Annotator], requests: Sequence[Request]) -> dict[int, str]:
    """Why rows have no rating, or other signal: row to the first reason found."""
    found: dict[int, str] = {}
    for annotator in annotators:
        for unit in units(run, annotator, requests):
            failed = read_unit(run, unit, ["row", "error"]).drop_null()
            for row, error in zip(failed["row"].to_pylist(), failed["error"].to_pylist(), strict=True):
                found.setdefault(row, error)
    return found


def field_of(run: Run, name: str) -> tuple[str, ...]:
    """A field of each record as text; dots for fields within fields, '' where there is none."""
    records = (
        decode_record(raw) if isinstance(raw, str) else raw
        for part in run.source(["raw"])
        for raw in part["raw"].to_pylist()
    )
    values = (find_field(record, name) for record in records)
    return tuple("" if value is None else str(value) for value in values)
