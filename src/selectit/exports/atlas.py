"""All rows with their places on a map, as Embedding Atlas reads them: Parquet with coordinates and neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.data.tables import plain_records
from selectit.exports.layouts import find_left_behind
from selectit.numerics.neighbours import nearest
from selectit.numerics.projection import draw_sample, project
from selectit.numerics.vectors import row_vectors, unit
from selectit.runs.run import Run
from selectit.runs.stored import find_embeddings
from selectit.signals.arrays import Float32, Float64, Int64

ATLAS = "atlas"
NEIGHBOURS = 15
"""Of each row, itself among them: as many as Embedding Atlas looks for where it is given none."""


_NEAR = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("row", pa.int64()),
        ("chosen", pa.bool_()),
        ("rank", pa.int64()),
        ("score", pa.float64()),
        ("words", pa.int64()),
        ("projection_x", pa.float32()),
        ("projection_y", pa.float32()),
        ("neighbors", _NEAR),
    ]
)
"""`neighbors.ids` are places in the file, from 0; distances are 1 - cosine. Without a rank or score they are null."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the M rows with a vector lie."""

    rows: Int64
    """(M,) rising."""
    missing: Int64
    """(B,) the other rows."""
    points: Float32
    """(M, 2)."""
    near: NDArray[np.int32]
    """(M, k) the nearest rows, as places among the M, the nearest first."""
    distances: Float32
    """(M, k) 1 - cosine."""


def place_rows(run: Run) -> Places:
    """The places of a run's rows by its embeddings. Raises RunError: it has none; SettingsError as of `nearest`."""
    vectors = row_vectors(find_embeddings(run)[1], run.rows)
    there = np.asarray(np.isfinite(vectors).all(axis=1))
    points = project(vectors, draw_sample(run.basic_rows())).points[there]
    gap, near = nearest(unit(vectors[there]), NEIGHBOURS)
    return Places(np.flatnonzero(there), np.flatnonzero(~there), points, near, np.clip(gap / 2, 0, 2))


def list_left_behind(run: Run) -> set[str]:
    """The fields of the source that the map has no place for."""
    layout = str(run.manifest["layout"])
    records = (record for part in run.source(["raw"]) for record in plain_records(part["raw"]))
    return set().union(*(find_left_behind(ATLAS, layout, record) for record in records))


def map_parts(run: Run, places: Places, chosen: Int64, scores: Float64 | None) -> Iterator[pa.Table]:
    """The rows of `places`, part by part of the source, in the column `raw`; the others are null.

    Args:
        run: whose rows they are.
        places: of its rows.
        chosen: the selection, best first.
        scores: (N,) of all rows; None = there are none.
    """
    rank = np.zeros(run.rows, np.int64)
    rank[chosen] = np.arange(1, len(chosen) + 1)
    words = run.basic_rows().response_words
    values = np.full(run.rows, np.nan) if scores is None else scores
    for start, stop in run.part_ranges():
        # Of several rated answers the last, whose question holds the others.
        texts = {each.row: f"{each.instruction}\n\n{each.response}" for each in run.samples(start, stop)}
        first, last = np.searchsorted(places.rows, [start, stop])
        part: list[dict[str, object] | None] = [None] * (stop - start)
        for at, row in enumerate(places.rows[first:last].tolist(), start=first):
            part[row - start] = {
                "text": texts[row],
                "row": row,
                "chosen": bool(rank[row]),
                "rank": int(rank[row]) or None,
                "score": None if np.isnan(values[row]) else float(values[row]),
                "words": int(words[row]),
                "projection_x": places.points[at, 0],
                "projection_y": places.points[at, 1],
                "neighbors": {"ids": places.near[at], "distances": places.distances[at]},
            }
        yield pa.table({"raw": pa.array(part, pa.struct(list(SCHEMA)))})
