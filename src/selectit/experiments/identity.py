"""What decides the numbers of a cell: its fingerprint changes with all of that, and with nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from selectit import prompts
from selectit.config import Settings
from selectit.data import read
from selectit.evaluation.options import EvalSettings
from selectit.experiments.settings import Cell, Experiment, selecting
from selectit.models import resolve
from selectit.rating import model_named
from selectit.recipes import Recipe
from selectit.run import digest_of

_IDLE = (
    "run", "batch_tokens", "unit_size", "device_map", "trust_remote_code", "accept_terms", "retry_errors", "share",
    "executor", "ray_address", "workers", "worker_cpus", "worker_gpus", "base_url", "concurrency", "out", "rest",
    "name", "order", "with_scores", "force",
)  # fmt: skip
_IDLE_EVALUATION = ("batch_size", "base_url", "judge_url", "trust_remote_code", "accept_terms", "out", "engine_param")
_IDLE_RECIPE = ("accelerate", "gradient_checkpointing", "micro_batch")


def fingerprint(experiment: Experiment, cell: Cell, source: str, rows: int) -> str:
    """16 hexadecimal digits.

    Args:
        experiment: all of it.
        cell: one of its cells.
        source: the digest of the data before anything was left out.
        rows: how many were not.

    Raises:
        SelectitError: a model, a prompt file or data for the evaluation can't be had.
    """
    settings = experiment.settings
    base = resolve(cell.model, accept_terms=settings.accept_terms).digest
    identity: dict[str, Any] = {"data": [source, rows], "base": base, "seed": cell.seed}
    identity["evaluation"] = _evaluation(experiment.evaluation)
    if cell.choice is not None:
        identity["choice"] = _choice(selecting(experiment, cell, ""))
        identity["recipe"] = _recipe(experiment.recipe)
    return digest_of(identity)[:16]


def _choice(settings: Settings) -> dict[str, Any]:
    plain = {name: value for name, value in dataclasses.asdict(settings).items() if name not in _IDLE}
    plain["model"] = [model_named(name, settings).digest for name in settings.model]
    plain["prompts"] = prompts.load(settings.prompts).fingerprint
    plain["param"] = {name: _content(value) for name, value in settings.param.items()}
    return plain


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in recipe.table().items() if name not in _IDLE_RECIPE}


def _evaluation(settings: EvalSettings) -> dict[str, Any]:
    plain = {name: value for name, value in dataclasses.asdict(settings).items() if name not in _IDLE_EVALUATION}
    plain["heldout"] = [_data(path) for path in settings.heldout]
    folder = None if settings.data_dir is None else Path(settings.data_dir)
    files = [] if folder is None else sorted(path for path in folder.rglob("*") if path.is_file())
    plain["data_dir"] = [[str(path.relative_to(folder)), _content(str(path))] for path in files if folder is not None]
    return plain


def _data(path: str) -> str:
    with read.opened(path) as source:
        return read.fingerprint(source)


def _content(value: Any) -> Any:
    """The digest of a file, or of the rows of a selection, that a value names; else the value."""
    if isinstance(value, str):
        for path in (Path(value), Path(value) / "rows.parquet"):
            if path.is_file():
                return hashlib.sha256(path.read_bytes()).hexdigest()
    return value
