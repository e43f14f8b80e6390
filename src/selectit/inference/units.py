"""The work units of a run: which are not finished, and the one function that has an engine do some of them.

A unit is (signal, model, request, row range). It is fixed by the manifests, not by who does it, and it is
finished when its file has its final name; so resuming, another prompt, another model and several machines are one
mechanism. Who does them, this process or those of a cluster, `execute` decides.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines.loading import load_engine
from selectit.errors import EngineError, RunError, SettingsError
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import (
    UNIT_SIZE,
    Annotator,
    Unit,
    annotators,
    asked,
    find_annotator,
    identity_of,
    read_unit,
    units,
)
from selectit.runs.files import slug
from selectit.runs.run import Run
from selectit.signals.arrays import FLAG_NO_ROOM
from selectit.signals.base import Answers, Engine, OnBatch
from selectit.signals.requests import Request

log = logging.getLogger(__name__)


def refuse_twice(models: Sequence[Model]) -> None:
    """Raise SettingsError where two of the models are the same weights."""
    if len({model.digest for model in models}) < len(models):
        names = ", ".join(model.name for model in models)
        raise SettingsError(f"two of the models {names} are the same weights", "Name each model once.")


@dataclass(frozen=True, slots=True)
class Task:
    """What one model is to answer: all that a process with an engine needs to know, here or on another machine."""

    run: Run
    model: Model
    requests: tuple[Request, ...]
    """All of one signal."""
    settings: Settings

    @property
    def signal(self) -> str:
        """The signal of the requests."""
        return self.requests[0].signal

    def annotator(self) -> Annotator | None:
        """The stored annotator that goes on; None = it is still to be begun."""
        return find_annotator(self.run, self.model.digest, self.settings, self.signal)

    def load(self, stored: Mapping[str, Any]) -> Engine:
        """The engine with the model; what the settings leave open, `stored` decides where it has it."""
        return load_engine(self.model, self.settings, stored, self.signal)

    def units(self, annotator: Annotator) -> Sequence[Unit]:
        """The units of this share, finished or not."""
        share, shares = self.settings.share_numbers()
        return units(self.run, annotator, self.requests)[share::shares]

    def is_due(self) -> bool:
        """Whether any of its answers is not there yet; it may be damaged."""
        annotator = self.annotator()
        return annotator is None or any(not os.path.lexists(unit.path) for unit in self.units(annotator))

    def pending(self, some: Iterable[Unit]) -> list[Unit]:
        """Those of `some` that have to be done: not finished, or to be tried again."""
        return [unit for unit in some if not self._is_done(unit)]

    def _is_done(self, unit: Unit) -> bool:
        if not os.path.lexists(unit.path):
            return False
        if not self.run.is_whole(unit.path):
            return False
        return not (self.settings.retry_errors and _has_errors(self.run, unit))


@dataclass(frozen=True, slots=True)
class Done:
    """What rating a group of units came to."""

    rows: int
    """Rows of all its units together, as progress counts them."""
    ratings: int
    """Answers rated, each prompt counted; equal texts are rated once and count once."""
    tokens: int
    seconds: float


def begin_annotator(task: Task, settings: Mapping[str, Any], parameters: int) -> Annotator:
    """The annotator of an engine with these settings: a new one, or the one that another process began meanwhile."""
    with task.run.lock("plan", wait=True):
        return task.annotator() or _new_annotator(task, settings, parameters)


def check_settings(annotator: Annotator, settings: Mapping[str, Any]) -> None:
    """Raise RunError where an engine would not answer as the annotator has answered."""
    if dict(settings) != annotator.manifest["settings"]:
        raise RunError(
            f"{annotator.path} was rated with {annotator.manifest['settings']}, and here it would be {dict(settings)}",
            "Go on where it was begun, or begin a new run with --run.",
        )


@contextmanager
def begin_groups(task: Task, annotator: Annotator, progress: Progress) -> Iterator[list[list[Unit]]]:
    """The groups of units that are to be done, with progress from the first to the last."""
    mine = task.units(annotator)
    pending = task.pending(mine)
    total, left = (sum(unit.stop - unit.start for unit in some) for some in (mine, pending))
    for unit in pending:
        if os.path.lexists(unit.path) and not task.run.is_whole(unit.path):
            log.warning("%s is damaged: its rows are done again", unit.path)
    progress.start(f"{task.requests[0].doing} {task.model.name}", total, total - left)
    try:
        yield groups(pending)
    finally:
        progress.finish()


def _has_errors(run: Run, unit: Unit) -> bool:
    errors = read_unit(run, unit, ["error"])["error"]
    return bool(errors.null_count < len(errors))


def _new_annotator(task: Task, settings: Mapping[str, Any], parameters: int) -> Annotator:
    model = task.model
    manifest = {
        "model": model.name,
        "digest": model.digest,
        "packaged": model.packaged,
        **({"tuned": True} if model.tuned else {}),
        "parameters": parameters,
        "settings": dict(settings),
        "asked": asked(task.settings, task.signal),
        "order": len(annotators(task.run, task.signal)),
        "unit_size": task.settings.unit_size or UNIT_SIZE,
    }
    path = task.run.path / task.signal / f"{slug(model.name)}-{identity_of(manifest)}"
    task.run.write_json(path / "manifest.json", manifest)
    return Annotator(path, manifest)


def groups(pending: Sequence[Unit]) -> list[list[Unit]]:
    """The units that go to the engine in one call: those whose prompts can share one reading of the same samples."""
    found: list[list[Unit]] = []
    for unit in pending:
        last = found[-1][-1] if found else None
        fresh = last is not None and not unit.path.exists() and not last.path.exists()
        if last is not None and fresh and last.request.shares_reading(unit.request) and unit.start == last.start:
            found[-1].append(unit)
        else:
            found.append([unit])
    return found


def do_group(run: Run, group: Sequence[Unit], engine: Engine, on_rows: Callable[[float, int], None]) -> Done:
    """Do units of the same rows and store each; of one that is there, only the rows that failed.

    The only place that asks an engine about the data, whoever holds it.

    Args:
        run: where the samples lie.
        group: one of `groups`.
        engine: loaded with the settings of the units' annotator.
        on_rows: called as it goes on with so many rows more (parts of one, where a row has several answers), and the
            tokens of their texts.

    Raises:
        EngineError: every row failed; nothing is stored.
    """
    start, stop = group[0].start, group[0].stop
    samples = run.samples(start, stop)
    stored = read_unit(run, group[0]) if run.is_whole(group[0].path) else None
    again = range(len(samples)) if stored is None else [i for i, e in enumerate(stored["error"].to_pylist()) if e]
    began = time.perf_counter()
    # A unit counts its rows, however many answers they have and however few of them are tried again.
    rows_each = (stop - start) / max(len(again), 1)
    asked = [samples[i] for i in again]
    found = _ask(
        engine, [unit.request for unit in group], asked, lambda done, tokens: on_rows(done * rows_each, tokens)
    )
    tables = [unit.request.table(asked, answer) for unit, answer in zip(group, found.answers, strict=True)]
    seconds = time.perf_counter() - began
    for table in tables:
        _refuse_failed(table, start, len(samples))
    for unit, table in zip(group, tables, strict=True):
        if stored is not None:
            rows = [row for row in stored.to_pylist() if not row["error"]] + table.to_pylist()
            table = pa.Table.from_pylist(sorted(rows, key=lambda row: (row["row"], row["item"])), schema=table.schema)
        note_request(run, unit)
        run.write_table(unit.path, table)
        log.debug("finished %s", unit.path)
    return Done((stop - start) * len(group), found.asked, found.tokens, seconds)


def _ask(engine: Engine, requests: Sequence[Request], samples: Sequence[Sample], on_batch: OnBatch) -> Answers:
    """What the engine says to requests of one signal. Raises SettingsError where it can't be asked."""
    kind = type(requests[0])
    if not isinstance(engine, kind.capability):
        raise SettingsError(
            f"the engine {engine.settings['engine']} gives no {kind.signal}", "Use --engine hf for this method."
        )
    return kind.ask_all(engine, requests, samples, on_batch)


def add_timing(annotator: Annotator, run: Run, done: Done) -> None:
    """Add what a group took to the run's timing: seconds of the engine, whoever held it."""
    run.add_timing(
        f"{annotator.signal}/{annotator.path.name}", seconds=done.seconds, ratings=done.ratings, tokens=done.tokens
    )


def _refuse_failed(table: pa.Table, start: int, samples: int) -> None:
    """Raise EngineError where every sample of a unit failed, and not for want of room."""
    errors, flags = table["error"].to_pylist(), table["flags"].to_pylist()
    failed = [error for error, flag in zip(errors, flags, strict=True) if error and not flag & FLAG_NO_ROOM]
    if len(failed) == samples > 1:
        raise EngineError(
            f"all {samples} rows from row {start} failed: {failed[0]}",
            "Nothing of this unit was stored. Mend the cause and type the same command again.",
        )


def note_request(run: Run, unit: Unit) -> None:
    """Write beside a unit what was asked, where it does not stand there."""
    manifest = unit.path.parent / "manifest.json"
    if not manifest.exists():
        run.write_json(manifest, unit.request.about)
