"""The only loop that calls an engine: it does the work units of a run that are not finished.

A unit is (model, prompt, row range). It is fixed by the manifests, not by who does it, and it is finished when its
file has its final name; so resuming, another prompt, another model and several machines are one mechanism.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from selectit.config import Settings
from selectit.engines.base import CountsTokens, RatesLabels, RatingBatch
from selectit.errors import EngineError, RunError, SettingsError
from selectit.models import Model
from selectit.prompts import RatingPrompt
from selectit.run import Run, digest_of, part_name, read_json, write_json, write_table
from selectit.schema import FLAG_EMPTY, FLAG_NO_ROOM, TOKENS_SCHEMA, Int64, Ratings, Sample, ratings_schema

log = logging.getLogger(__name__)

UNIT_SIZE = 512
BATCH_TOKENS = 2048
"""Small enough for the activations to stay in a processor's cache."""
MAX_TOKENS = 4096
"""The limit of a rated text where the model's context is longer."""


class Progress(Protocol):
    """Told what is going on; the command draws it."""

    def start(self, what: str, total: int, done: int) -> None:
        """A stage of `total` ratings begins, `done` of which are there already."""

    def advance(self, ratings: int, tokens: int) -> None:
        """So many ratings more, for which the model read so many tokens."""

    def finish(self) -> None:
        """The stage has ended."""


class Silent:
    """Progress for callers that want none."""

    def start(self, what: str, total: int, done: int) -> None:
        return

    def advance(self, ratings: int, tokens: int) -> None:
        return

    def finish(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class Rater:
    """A model with resolved settings, and its folder of ratings in a run."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.manifest["model"])

    @property
    def unit_size(self) -> int:
        return int(self.manifest["unit_size"])

    def prompt_folder(self, prompt: RatingPrompt) -> Path:
        return self.path / f"prompt-{prompt.fingerprint}"


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows [start, stop) under one prompt; finished when `path` exists."""

    prompt: RatingPrompt
    start: int
    stop: int
    path: Path


def raters(run: Run) -> list[Rater]:
    """Every rater whose ratings the run holds, by folder name."""
    return [Rater(file.parent, read_json(file)) for file in sorted((run.path / "ratings").glob("*/manifest.json"))]


def find_rater(run: Run, name: str, digest: str | None, settings: Settings) -> Rater | None:
    """The stored rater that the settings allow: what they leave open, the stored one has decided.

    Args:
        run: the run.
        name: the model's name, looked at where `digest` is None.
        digest: identity of the weights.
        settings: those given must be the stored ones.
    """
    asked = {
        "engine": settings.engine,
        "dtype": None if settings.dtype == "auto" else settings.dtype,
        "max_tokens": settings.max_tokens,
        "batch_tokens": settings.batch_tokens,
        "overflow": settings.overflow,
    }
    fitting = []
    for rater in raters(run):
        manifest = rater.manifest
        same_model = manifest["digest"] == digest if digest is not None else rater.name == name
        stored = {"overflow": settings.overflow, **manifest["settings"]}
        fits = all(stored.get(key) == value for key, value in asked.items() if value is not None)
        if same_model and fits and settings.unit_size in (None, rater.unit_size):
            fitting.append(rater)
    # Of several, the one that was asked for in the same words.
    return min(fitting, key=lambda rater: rater.manifest["asked_dtype"] != settings.dtype, default=None)


def units(run: Run, rater: Rater, prompts: Sequence[RatingPrompt]) -> list[Unit]:
    """All units of a rater: row range after row range, all prompts of each."""
    return [
        Unit(prompt, start, min(start + rater.unit_size, run.rows), rater.prompt_folder(prompt) / part_name(number))
        for number, start in enumerate(range(0, run.rows, rater.unit_size))
        for prompt in prompts
    ]


def rate(
    run: Run, models: Sequence[Model], prompts: Sequence[RatingPrompt], settings: Settings, progress: Progress
) -> list[Rater]:
    """Do every unit of these models and prompts that is not finished; models are loaded one at a time.

    Raises:
        RunError: another process rates the same share.
        EngineError: a whole unit failed.
    """
    share, shares = settings.share_numbers()
    busy = f"another selectit is rating share {share}/{shares} of {run.path}"
    with run.lock(f"rate-{share}-of-{shares}", busy):
        return [_rate_with(run, model, prompts, settings, progress) for model in models]


def _rate_with(
    run: Run, model: Model, prompts: Sequence[RatingPrompt], settings: Settings, progress: Progress
) -> Rater:
    rater = find_rater(run, model.name, model.digest, settings)
    if rater is not None and not _pending(run, rater, prompts, settings):
        return rater
    log.info("loading %s", model.name)
    engine = load_engine(model, settings, rater.manifest["settings"] if rater is not None else {})
    try:
        if rater is None:
            rater = _new_rater(run, model, engine, settings)
        elif dict(engine.settings) != rater.manifest["settings"]:
            raise RunError(
                f"{rater.path} was rated with {rater.manifest['settings']}, and here it would be {engine.settings}",
                "Go on where it was begun, or begin a new run with --run.",
            )
        pending = _pending(run, rater, prompts, settings)
        done = sum(unit.stop - unit.start for unit in units(run, rater, prompts) if unit.path.exists())
        progress.start(f"rating with {model.name}", run.rows * len(prompts), done)
        try:
            for unit in pending:
                _rate_unit(run, rater, unit, engine, progress)
        finally:
            progress.finish()
    finally:
        engine.close()
    return rater


def _pending(run: Run, rater: Rater, prompts: Sequence[RatingPrompt], settings: Settings) -> list[Unit]:
    share, shares = settings.share_numbers()
    mine = units(run, rater, prompts)[share::shares]
    return [
        unit
        for unit in mine
        if not unit.path.exists()
        or (settings.retry_errors and pq.read_table(unit.path)["error"].null_count < unit.stop - unit.start)
    ]


def _new_rater(run: Run, model: Model, engine: RatesLabels, settings: Settings) -> Rater:
    manifest = {
        "model": model.name,
        "digest": model.digest,
        "packaged": model.packaged,
        "parameters": engine.parameters,
        "settings": dict(engine.settings),
        "asked_dtype": settings.dtype,
        "unit_size": settings.unit_size or UNIT_SIZE,
    }
    identity = {key: manifest[key] for key in ("digest", "settings", "unit_size")}
    path = run.path / "ratings" / f"{slug(model.name)}-{digest_of(identity)[:8]}"
    write_json(path / "manifest.json", manifest)
    return Rater(path, manifest)


def _rate_unit(run: Run, rater: Rater, unit: Unit, engine: RatesLabels, progress: Progress) -> None:
    about = unit.path.parent / "manifest.json"
    if not about.exists():
        write_json(
            about, {"prompt": unit.prompt.text, "template": unit.prompt.template, "labels": list(unit.prompt.labels)}
        )
    samples = run.samples(unit.start, unit.stop)
    stored = pq.read_table(unit.path) if unit.path.exists() else None
    again = range(len(samples)) if stored is None else [i for i, e in enumerate(stored["error"].to_pylist()) if e]
    began = time.perf_counter()
    batch = engine.rate(unit.prompt, [samples[i] for i in again], progress.advance)
    seconds = time.perf_counter() - began
    failed = [error for error, flag in zip(batch.errors, batch.flags, strict=True) if error and not flag & FLAG_NO_ROOM]
    if len(failed) == len(samples) > 1:
        raise EngineError(
            f"all {len(samples)} rows from row {unit.start} failed: {failed[0]}",
            "Nothing of this unit was stored. Mend the cause and type the same command again.",
        )
    table = _unit_table([samples[i] for i in again], batch, unit.prompt)
    if stored is not None:
        rows = [row for row in stored.to_pylist() if not row["error"]] + table.to_pylist()
        table = pa.Table.from_pylist(sorted(rows, key=lambda row: (row["row"], row["item"])), schema=table.schema)
    write_table(unit.path, table)
    log.debug("finished %s", unit.path)
    run.add_timing(f"ratings/{rater.path.name}", seconds=seconds, ratings=len(again), tokens=int(batch.tokens.sum()))


def _unit_table(samples: Sequence[Sample], batch: RatingBatch, prompt: RatingPrompt) -> pa.Table:
    empty = np.array([FLAG_EMPTY if not sample.response else 0 for sample in samples], dtype=np.uint8)
    labels = len(prompt.labels)
    return pa.table(
        {
            "row": [sample.row for sample in samples],
            "item": [sample.item for sample in samples],
            "logprob": pa.FixedSizeListArray.from_arrays(pa.array(batch.logprob.ravel(), pa.float32()), labels),
            "mass": np.exp(batch.logprob.astype(np.float64)).sum(axis=1).astype(np.float32),
            "tokens": batch.tokens.astype(np.int32),
            "flags": batch.flags | empty,
            "error": list(batch.errors),
        },
        schema=ratings_schema(labels),
    )


def load_ratings(run: Run, raters: Sequence[Rater], prompts: Sequence[RatingPrompt]) -> Ratings:
    """The stored ratings as arrays.

    Raises:
        RunError: units are missing; it says how many, and how to go on.
    """
    for rater in raters:
        wanted = units(run, rater, prompts)
        missing = sum(not unit.path.exists() for unit in wanted)
        if missing:
            raise RunError(
                f"{missing} of {len(wanted)} units of {rater.name} are not rated yet in {run.path}",
                f"Finish them with: selectit rate --run {run.path} --model {rater.name} --k {len(prompts)}",
            )
    columns = [[_column(run, rater, prompt) for prompt in prompts] for rater in raters]
    first = columns[0][0]
    return Ratings(
        logprob=np.stack([np.stack([c.logprob for c in row], axis=1) for row in columns], axis=1),
        row=first.row,
        flags=np.stack([np.stack([c.flags for c in row], axis=1) for row in columns], axis=1),
        tokens=np.stack([np.stack([c.tokens for c in row], axis=1) for row in columns], axis=1),
        parameters=np.array([rater.manifest["parameters"] for rater in raters], dtype=np.int64),
        models=tuple(rater.name for rater in raters),
    )


def failures(run: Run, raters: Sequence[Rater], prompts: Sequence[RatingPrompt]) -> dict[int, str]:
    """Why rows have no rating: row to the first reason found."""
    found: dict[int, str] = {}
    for rater in raters:
        for unit in units(run, rater, prompts):
            table = pq.read_table(unit.path, columns=["row", "error"])
            if table["error"].null_count < len(table):
                for row, error in zip(table["row"].to_pylist(), table["error"].to_pylist(), strict=True):
                    if error:
                        found.setdefault(row, error)
    return found


@dataclass(frozen=True, slots=True)
class _Column:
    """One model under one prompt."""

    row: Int64
    logprob: Any
    flags: Any
    tokens: Any


def _column(run: Run, rater: Rater, prompt: RatingPrompt) -> _Column:
    names = ["row", "logprob", "flags", "tokens"]
    parts = [pq.read_table(unit.path, columns=names) for unit in units(run, rater, [prompt])]
    table = pa.concat_tables(parts).combine_chunks()
    logprob = table["logprob"].chunk(0).flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return _Column(*(table[name].to_numpy() if name != "logprob" else logprob for name in names))


def count_tokens(run: Run, model: Model, settings: Settings, progress: Progress) -> Int64:
    """(N,) tokens of every response under a model's tokenizer; counted once, then read."""
    folder = run.path / "tokens" / f"{slug(model.name)}-{model.digest[:8]}"
    ranges = [(start, min(start + UNIT_SIZE, run.rows)) for start in range(0, run.rows, UNIT_SIZE)]
    pending = [(n, *span) for n, span in enumerate(ranges) if not (folder / part_name(n)).exists()]
    with run.lock("tokens", f"another selectit is counting tokens in {run.path}") if pending else nullcontext():
        if pending:
            write_json(folder / "manifest.json", {"model": model.name, "digest": model.digest})
            counter = _token_counter(model, settings)
            progress.start(f"counting tokens with {model.name}", run.rows, run.rows - sum(b - a for _, a, b in pending))
        for number, start, stop in pending:
            samples = run.samples(start, stop)
            counts = np.zeros(stop - start, dtype=np.int64)
            np.add.at(
                counts,
                [sample.row - start for sample in samples],
                counter.count_tokens([sample.response for sample in samples]),
            )
            table = pa.table({"row": np.arange(start, stop), "tokens": counts}, schema=TOKENS_SCHEMA)
            write_table(folder / part_name(number), table)
            progress.advance(stop - start, int(counts.sum()))
        if pending:
            progress.finish()
    parts = [pq.read_table(folder / part_name(number))["tokens"].to_numpy() for number in range(len(ranges))]
    return np.concatenate(parts)


def load_engine(model: Model, settings: Settings, stored: Mapping[str, Any]) -> RatesLabels:
    """Load a model into the engine of the settings; what they leave open, `stored` decides where it has it."""
    max_tokens = settings.max_tokens or stored.get("max_tokens")
    if settings.engine == "fake":
        from selectit.engines.fake import FakeEngine

        return FakeEngine(model.name, max_tokens or MAX_TOKENS)
    hf = _hf()
    context = hf.context_length(model.path, settings.trust_remote_code)
    if max_tokens is not None and max_tokens > context:
        raise SettingsError(
            f"--max-tokens is {max_tokens}, and {model.name} reads {context} tokens at most", "Give a smaller number."
        )
    engine: RatesLabels = hf.load(
        model.path,
        dtype=stored.get("dtype", settings.dtype),
        max_tokens=max_tokens or min(context, MAX_TOKENS),
        batch_tokens=settings.batch_tokens or stored.get("batch_tokens", BATCH_TOKENS),
        overflow=settings.overflow,
        threads=stored.get("threads"),
        device_map=settings.device_map,
        trust_remote_code=settings.trust_remote_code,
    )
    return engine


def _token_counter(model: Model, settings: Settings) -> CountsTokens:
    if settings.engine == "fake":
        from selectit.engines.fake import FakeEngine

        return FakeEngine(model.name, 0)
    counter: CountsTokens = _hf().load_counter(model.path, settings.trust_remote_code)
    return counter


def _hf() -> Any:
    try:
        from selectit.engines import hf
    except ImportError as error:
        raise SettingsError(
            f"the engine hf needs torch and transformers: {error}", "Install them: pip install 'selectit[hf]'"
        ) from error
    return hf


def slug(name: str) -> str:
    """A name fit for a folder: the last parts of an id or path, without special characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name.strip("./ "))[-60:].strip("-.").lower() or "model"
