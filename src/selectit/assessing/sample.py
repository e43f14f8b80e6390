"""Rows drawn of a data set, as a run inside its run, so that models are asked about them, and resumed, like any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selectit.assessing.texts import draw_order
from selectit.runs.annotators import annotators, units
from selectit.runs.run import Run
from selectit.runs.source import create_pairs_run
from selectit.runs.targets import write_pairs
from selectit.signals.requests import Request


def draw_rows(run: Run, sample: int, seed: int) -> list[int]:
    """So many rows, or all, in the order of the draw: the first of more are fewer."""
    return draw_order(run, seed)[:sample]


def open_sample_run(run: Run, rows: Sequence[int], seed: int) -> Run:
    """The run of these rows' rated pairs, in this order."""
    place = {row: at for at, row in enumerate(rows)}
    pairs = write_pairs(sorted(run.samples_at(np.sort(rows)), key=lambda pair: place[pair.row]))
    return create_pairs_run(run.path / "assess" / f"rows-{len(rows)}-seed{seed}", pairs)


def is_answered(run: Run, model: str, request: Request) -> bool:
    """Whether a model of that name has answered a request, or one that holds it, for every row."""
    return any(
        all(unit.path.exists() for unit in units(run, annotator, [enough]))
        for annotator in annotators(run, request.signal)
        if annotator.name == model
        for enough in (request, *request.wider)
    )
