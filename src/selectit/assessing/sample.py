"""Rows drawn of a data set, as a run inside its run, so that models are asked about them, and resumed, like any."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from selectit.assessing.texts import draw_order
from selectit.config.settings import Settings
from selectit.engines.loading import DEFAULT, engine_for
from selectit.inference.rate import find_model
from selectit.runs.annotators import annotators, find_named
from selectit.runs.run import Run
from selectit.runs.source import create_pairs_run, pair_records
from selectit.runs.stored import is_answered
from selectit.signals.requests import Request, kinds


def draw_rows(run: Run, sample: int, seed: int) -> list[int]:
    """So many rows, or all, in the order of the draw: the first of more are fewer."""
    return draw_order(run, seed)[:sample]


def open_sample_run(run: Run, rows: Sequence[int], seed: int) -> Run:
    """The run of these rows' rated pairs, in this order."""
    place = {row: at for at, row in enumerate(rows)}
    pairs = sorted(run.samples_at(np.sort(rows)), key=lambda pair: place[pair.row])
    return create_pairs_run(run.path / "assess" / f"rows-{len(rows)}-seed{seed}", pair_records(pairs))


def has_answered(run: Run, name: str, request: Request, settings: Settings) -> bool:
    """Whether a model has answered a request, or one that holds it, for every row.

    Args:
        run: of the data.
        name: of the model, or of its folder in the run.
        request: what it was asked.
        settings: with which it was asked; where they name the model, it must have the weights that it has now.

    Raises:
        RunError: several such models have answered, and the settings do not say which.
        ModelError: there is no model of that name.
    """
    stored = find_named(run, name, settings, request.signal)
    if stored is None:
        return False
    if name == stored.name and name in (*settings.model, settings.encoder):
        here = dataclasses.replace(settings, engine=engine_for(settings.engine or DEFAULT, request))
        if stored.manifest["digest"] != find_model(name, here).digest:
            return False
    return any(is_answered(run, stored, enough) for enough in (request, *request.wider))


def is_folder(run: Run, name: str) -> bool:
    """Whether a name is that of a model's folder in the run, whose answers are read and which is asked nothing."""
    return any(annotator.path.name == name for signal in kinds() for annotator in annotators(run, signal))
