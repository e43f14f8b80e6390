"""The stored ratings of some rows of a run, as a page shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.numerics.segments import mean_by_row
from selectit.runs.annotators import Annotator, annotators, read_unit, units
from selectit.runs.files import column, numbers
from selectit.runs.prompt_sets import stored_prompts
from selectit.runs.run import Run
from selectit.runs.stored import is_answered
from selectit.signals.arrays import FLAG_SMALLER_BATCH, Float64, Int64
from selectit.signals.base import Stored
from selectit.signals.requests import RatingPrompt


@dataclass(frozen=True, slots=True)
class PageRatings:
    """What M models answered to K prompts with R labels about P rows."""

    models: tuple[str, ...]
    """(M,)."""
    prompts: tuple[RatingPrompt, ...]
    """(K,)."""
    chances: Float64
    """(P, M, K, R) probabilities over the whole vocabulary, the mean where several answers of a row are rated."""
    flags: NDArray[np.uint8]
    """(P,) what was noted of a row under any prompt; that a batch was halved says nothing of the row."""
    tokens: Int64
    """(P,) of the longest text that was rated under the first prompt, the prompt's own included."""
    errors: Mapping[int, str]
    """Row to the first reason why it has no rating."""

    @property
    def mean_labels(self) -> Float64:
        """(P, M, K) the mean label, from 1 to R, by the labels' shares of their mass; NaN = missing."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Float64 = self.chances @ np.arange(1.0, self.chances.shape[-1] + 1) / self.chances.sum(axis=-1)
        return found


def read_ratings(run: Run, config: Mapping[str, Any], rows: Int64) -> PageRatings | None:
    """The finished ratings that a choice was made by, else the first prompt set's of the run; None = there are none.

    Args:
        run: whose rows they are.
        config: the settings of the choice, as they are stored.
        rows: (P,) in rising order.
    """
    models, sets = set(_named(config, "models")), set(_named(config, "prompts"))
    used = [annotator for annotator in annotators(run) if not models or annotator.path.name in models]
    k = config.get("k") if "prompts" in config else None  # without prompts it is something else, such as neighbours
    for path, prompts in stored_prompts(run).items():
        if used and (not sets or path.stem in sets):
            asked = prompts.first(k or len(prompts.texts))
            finished = [each for each in asked if all(is_answered(run, annotator, each) for annotator in used)]
            if finished:
                return _load(run, used, finished, rows)
    return None


def _named(config: Mapping[str, Any], key: str) -> Iterator[str]:
    """What settings, and those within them, say under a name."""
    for name, value in config.items():
        if name == key:
            yield from [value] if isinstance(value, str) else value
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping):
                yield from _named(inner, key)


def _load(run: Run, used: Sequence[Annotator], prompts: Sequence[RatingPrompt], rows: Int64) -> PageRatings:
    tables = [[_read(run, annotator, prompt, rows) for prompt in prompts] for annotator in used]
    stored = [
        [Stored(annotator.name, annotator.manifest["parameters"], table) for table in each]
        for annotator, each in zip(used, tables, strict=True)
    ]
    ratings = prompts[0].stack(prompts, stored)
    chances = np.exp(ratings.logprob.astype(np.float64)).reshape(len(ratings.row), -1)
    means = np.stack([mean_by_row(each, ratings.row, len(rows)) for each in chances.T], axis=1)
    flags, tokens = np.zeros(len(rows), np.uint8), np.zeros(len(rows), np.int64)
    noted = np.bitwise_or.reduce(ratings.flags.reshape(len(ratings.row), -1), axis=1)
    np.bitwise_or.at(flags, ratings.row, noted & np.uint8(255 - FLAG_SMALLER_BATCH))
    np.maximum.at(tokens, ratings.row, ratings.tokens[:, 0, 0])
    errors: dict[int, str] = {}
    for table in (table for each in tables for table in each):
        if table["error"].null_count < len(table):
            for place, error in zip(numbers(table["row"]).tolist(), table["error"].to_pylist(), strict=True):
                if error:
                    errors.setdefault(int(rows[place]), error)
    shape = (len(rows), *ratings.logprob.shape[1:])
    return PageRatings(ratings.models, tuple(prompts), means.reshape(shape), flags, tokens, errors)


def _read(run: Run, annotator: Annotator, prompt: RatingPrompt, rows: Int64) -> pa.Table:
    """The answers about these rows, whose `row` is the place among them."""
    found = []
    for unit in units(run, annotator, [prompt]):
        first, last = np.searchsorted(rows, [unit.start, unit.stop])
        if first == last:
            continue
        table = read_unit(run, unit, ["row", *prompt.columns, "tokens", "flags", "error"])
        row = numbers(table["row"])
        if last - first < unit.stop - unit.start:
            there = np.flatnonzero(np.isin(row, rows[first:last]))
            table, row = table.take(column(there)), row[there]
        found.append(table.set_column(0, "row", column(first + np.searchsorted(rows[first:last], row))))
    return pa.concat_tables(found)
