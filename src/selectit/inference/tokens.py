"""The tokens of the responses, counted by a model's tokenizer and stored: no model is loaded."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa

from selectit.config.settings import Settings
from selectit.engines.loading import load_counter
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import UNIT_SIZE
from selectit.runs.files import numbers, part_name, slug
from selectit.runs.run import Run
from selectit.runs.sums import DamagedError
from selectit.signals.arrays import Int64

TOKENS_SCHEMA = pa.schema([("row", pa.int64()), ("tokens", pa.int64())])


def count_tokens(run: Run, model: Model, settings: Settings, progress: Progress) -> Int64:
    """(N,) tokens of every response under a model's tokenizer; counted once, then read."""
    folder = run.path / "tokens" / f"{slug(model.name)}-{model.digest[:8]}"
    ranges = [(start, min(start + UNIT_SIZE, run.rows)) for start in range(0, run.rows, UNIT_SIZE)]
    pending = [(n, *span) for n, span in enumerate(ranges) if not run.is_whole(folder / part_name(n))]
    with run.lock("tokens", f"another selectit is counting tokens in {run.path}") if pending else nullcontext():
        if pending:
            run.write_json(folder / "manifest.json", {"model": model.name, "digest": model.digest})
            counter = load_counter(model, settings)
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
            run.write_table(folder / part_name(number), table)
            progress.advance(stop - start, int(counts.sum()))
        if pending:
            progress.finish()
    return np.concatenate([_read_counts(run, folder / part_name(n), *span) for n, span in enumerate(ranges)])


def _read_counts(run: Run, path: Path, start: int, stop: int) -> Int64:
    table = run.read_part(path)
    if table.schema != TOKENS_SCHEMA or not np.array_equal(numbers(table["row"]), np.arange(start, stop)):
        raise DamagedError(path, f"it is not of rows {start} to {stop - 1}", run.place(path))
    return numbers(table["tokens"])
