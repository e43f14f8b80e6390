"""The analyses of a selection, as numbers that the page and the figures draw. Pure: arrays in, small results out.

N rows of the data; `chosen` are the rows of a selection, best first. Scores are higher = keep, NaN = none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError
from selectit.methods._base import ScoringMethod
from selectit.methods.selectit import token_scores
from selectit.numerics.ranking import chance_jaccard, jaccard, ranking, spearman
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Int64, Ratings, Signals

BINS = 32
"""Of a histogram."""
PARTS = 20
"""Of a ranking: 5 % of the rows each."""
K_VALUES = (1, 2, 3, 4, 5, 7, 9)
ALPHAS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many rows have a value in each of B bins, of all and of the chosen ones."""

    edges: Float64
    """(B + 1,) rising. A bin has its lower edge and not its upper one; the last has both."""
    all: Int64
    """(B,)."""
    chosen: Int64
    """(B,)."""
    above: tuple[int, int] = (0, 0)
    """Rows of all, and of the chosen, with a larger value than the last edge; they are counted in the last bin."""
    missing: tuple[int, int] = (0, 0)
    """Rows of both without a value; they are counted in no bin."""


def build_histogram(values: NDArray[Any], chosen: Int64, bins: int = BINS, highest: float = 1.0) -> Histogram:
    """The histogram of (N,) values, in bins of equal width from the smallest to the `highest` quantile of them.

    Infinite values are in the outer bins.
    """
    known = values[~np.isnan(values)].astype(np.float64)
    finite = known[np.isfinite(known)]
    low, high = (float(finite.min()), float(np.quantile(finite, highest))) if len(finite) else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # all values are one, but for rounding: bins about it
        half = max(0.5, 1e-6 * abs(low))
        low, high = low - half, high + half
    edges = np.linspace(low, high, bins + 1)
    some = values[chosen].astype(np.float64)
    some = some[~np.isnan(some)]
    counts = [np.histogram(np.clip(each, low, high), edges)[0].astype(np.int64) for each in (known, some)]
    return Histogram(
        edges=edges,
        all=counts[0],
        chosen=counts[1],
        above=(int((known > high).sum()), int((some > high).sum())),
        missing=(len(values) - len(known), len(chosen) - len(some)),
    )


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long the responses of all rows, and of the chosen ones, are, in words."""

    histogram: Histogram
    """Up to the length that 1 % of the rows exceed."""
    mean_all: float
    mean_chosen: float
    """NaN where no row is chosen."""
    median_all: float
    median_chosen: float


def measure_lengths(lengths: Int64, chosen: Int64) -> Lengths:
    """The lengths of (N,) responses; words are those of `data.words`, `Rows.response_words` of a run."""
    some = lengths[chosen]
    means = [float(each.mean()) if len(each) else math.nan for each in (lengths, some)]
    medians = [float(np.median(each)) if len(each) else math.nan for each in (lengths, some)]
    return Lengths(build_histogram(lengths, chosen, highest=0.99), *means, *medians)


@dataclass(frozen=True, slots=True)
class Calculations:
    """How many rows ask for a calculation, along the ranking: the paper's analysis of what is chosen."""

    shares: Float64
    """(P,) share of such rows in each part of the ranking, best part first, in [0, 1]."""
    rows: Int64
    """(P,) rows of each part."""
    share_all: float
    share_chosen: float
    """NaN where no row is chosen."""


def measure_calculations(calculates: NDArray[np.bool_], scores: Float64 | None, chosen: Int64) -> Calculations:
    """The shares in parts of the ranking, as equal as can be.

    The paper does not say which rows it counted; here it is those whose instruction `numerics.lexical.calculates`.

    Args:
        calculates: (N,) whether a row asks for a calculation.
        scores: (N,); rows without one are in no part. None = the method ranks nothing, and there are no parts.
        chosen: the selection.
    """
    ranked = np.empty(0, np.int64) if scores is None else ranking(scores)
    parts = [part for part in np.array_split(ranked, PARTS) if len(part)]
    return Calculations(
        shares=np.array([calculates[part].mean() for part in parts], np.float64),
        rows=np.array([len(part) for part in parts], np.int64),
        share_all=float(calculates.mean()),
        share_chosen=float(calculates[chosen].mean()) if len(chosen) else math.nan,
    )


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """What another value of a parameter would choose. Shares in [0, 1]; NaN = undefined."""

    value: float
    same: int
    """Of the rows that the own value chooses, how many this one chooses too."""
    jaccard: float
    spearman: float
    """Of both values' scores."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """How the best rows change with one parameter of the method, all else as it is."""

    parameter: str
    own: float
    """Its value in the selection."""
    count: int
    """Rows that are compared: the best so many by each value, without filters and quotas."""
    chance: float
    """The Jaccard index of two choices of so many rows by chance."""
    points: tuple[SweepPoint, ...]
    """Smallest value first; that of `own` is among them."""


def sweep(method: ScoringMethod, signals: Signals, parameter: str, values: Sequence[float], count: int) -> Sweep | None:
    """Score by other values of a parameter and compare the best `count` rows. From stored signals; no model is asked.

    None where the method has no such parameter, or no other value of it gives other scores (`alpha` of one prompt).

    Args:
        method: as it made the selection.
        signals: what it reads; of ratings all prompts that are stored.
        parameter: a field of the method.
        values: of the parameter; its own is added. Those that the method refuses, or for which prompts are missing,
            are left out.
        count: how many rows the selection has.
    """
    if parameter not in {field.name for field in dataclasses.fields(method)}:  # type: ignore[arg-type]
        return None
    own = getattr(method, parameter)
    tried = {value: _score_with(method, signals, parameter, value) for value in sorted({own, *values})}
    scores = {value: each for value, each in tried.items() if each is not None}
    if all(np.array_equal(each, scores[own], equal_nan=True) for each in scores.values()):
        return None
    best = {value: ranking(each, method.tie_break(signals))[:count] for value, each in scores.items()}
    points = [
        SweepPoint(
            value=float(value),
            same=len(np.intersect1d(best[own], best[value])),
            jaccard=jaccard(best[own], best[value]),
            spearman=spearman(scores[own], scores[value]),
        )
        for value in scores
    ]
    return Sweep(parameter, float(own), count, chance_jaccard(count, count, len(signals.rows)), tuple(points))


def _score_with(method: ScoringMethod, signals: Signals, parameter: str, value: float) -> Float64 | None:
    """The scores by another value of a parameter; None where the method refuses it, or prompts are missing."""
    try:
        changed: ScoringMethod = dataclasses.replace(method, **{parameter: value})  # type: ignore[type-var]
        if "ratings" in method.needs and changed.prompts > signals.ratings.logprob.shape[2]:
            return None
        return changed.score(signals)
    except SettingsError:
        return None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far M scores of the same rows agree: of prompts, of models, or of methods."""

    names: tuple[str, ...]
    """(M,)."""
    spearman: Float64
    """(M, M) rank correlations where both scored, in [-1, 1]; NaN = undefined."""
    jaccard: Float64
    """(M, M) of the best `count` rows by each, in [0, 1]."""
    count: int
    chance: float
    """The Jaccard index of two choices of so many rows by chance."""


def measure_agreement(scores: Mapping[str, Float64], count: int) -> Agreement:
    """The matrices of some (N,) scores, by their names."""
    names, size = tuple(scores), len(scores)
    best = [ranking(each)[:count] for each in scores.values()]
    correlation, shared = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for a, name in enumerate(names):
        for b in range(a, size):
            correlation[a, b] = correlation[b, a] = spearman(scores[name], scores[names[b]])
            shared[a, b] = shared[b, a] = jaccard(best[a], best[b])
    rows = len(next(iter(scores.values()))) if size else 0
    return Agreement(names, correlation, shared, count, chance_jaccard(count, count, rows) if rows else math.nan)


def score_prompts(ratings: Ratings, rows: int) -> dict[str, Float64]:
    """(rows,) of each prompt of each model: SelectIT's score of that rating alone, its equation 3; in [0, R]."""
    tokens = token_scores(ratings.logprob)
    several = len(ratings.models) > 1
    return {
        f"{model} prompt {prompt + 1}" if several else f"prompt {prompt + 1}": mean_by_row(
            tokens[:, m, prompt], ratings.row, rows
        )
        for m, model in enumerate(ratings.models)
        for prompt in range(tokens.shape[2])
    }


def score_models(ratings: Ratings, rows: int) -> dict[str, Float64]:
    """(rows,) of each model the mean over its prompts of `score_prompts`; NaN where a rating is missing."""
    means = token_scores(ratings.logprob).mean(axis=2)
    return {model: mean_by_row(means[:, m], ratings.row, rows) for m, model in enumerate(ratings.models)}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one model took for one signal, or a training, as timing.json has it."""

    signal: str
    """'ratings', 'embeddings' and so on; 'train'."""
    model: str
    """Its folder in the run."""
    seconds: float
    answers: int
    """0 = a training."""
    tokens: int
    """0 = they were not counted."""


def list_costs(timing: Mapping[str, Mapping[str, float]]) -> tuple[Cost, ...]:
    """What models took in a run and those within it, the dearest first; `timing` is `read_timing` the run."""
    found = []
    for key, entry in timing.items():
        training = key.startswith("train ")
        signal, model = key.split(" ", 1) if training else key.split("/")[-2:]
        # All signals count their answers as ratings; a training has none.
        found.append(Cost(signal, model, entry["seconds"], int(entry.get("ratings", 0)), int(entry["tokens"])))
    return tuple(sorted(found, key=lambda cost: (-cost.seconds, cost.signal, cost.model)))
