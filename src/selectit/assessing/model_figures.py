"""How a model finds a data set: the distribution of its losses and ratings, over all rows or over a sample of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.assessing.sample import has_answered, is_folder, open_sample_run
from selectit.assessing.texts import QUANTILES
from selectit.config.settings import Settings
from selectit.engines.loading import gives
from selectit.numerics.statistics import bootstrap_median
from selectit.progress import Progress
from selectit.runs.annotators import models_in
from selectit.runs.run import Run
from selectit.selection.collect import collect_all
from selectit.selection.resolve import resolve
from selectit.selection.score import Scores, score_part
from selectit.selection.spec import MethodSpec, Plan, list_requests, needs_ratings
from selectit.signals.arrays import Float64


@dataclass(frozen=True, slots=True)
class _Figure:
    """What is measured, the method that measures it, the signal that it reads, and where it puts the values."""

    name: str
    method: str
    signal: str
    values: Callable[[Scores], Float64]


_FIGURES = (  # one pass with and one without the question serve the first three
    _Figure("IFD", "ifd", "losses", lambda scores: scores.parts["ifd"]),
    _Figure("perplexity", "perplexity", "losses", lambda scores: scores.parts["perplexity"]),
    _Figure("RSR", "rsr:template=alpaca", "losses", lambda scores: scores.parts["rsr"]),
    _Figure("rating", "expected-rating:k=1", "ratings", lambda scores: scores.score),
)


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a model makes of the rows: 'IFD', 'perplexity', 'RSR' or 'rating' (expected, under the first prompt)."""

    figure: str
    model: str
    rows: int
    """How many have a value."""
    drawn: bool
    """Whether they are of a sample; else they are all that is stored."""
    tenth: float
    """The 10th percentile; NaN where no row has a value, and so are the others."""
    quarter: float
    median: float
    three_quarters: float
    ninetieth: float
    interval: tuple[float, float] | None
    """95 % of the median, by a bootstrap over the rows of a sample; None = all rows are in."""


def measure_models(
    run: Run, rows: Sequence[int], settings: Settings, seed: int, progress: Progress
) -> tuple[Distribution, ...]:
    """What each model of the settings, or without any each that has answered for all rows, makes of the data.

    Args:
        run: of the data; what it holds for all rows is read, and only the rest asked about a sample.
        rows: the sample.
        settings: `model` names those that may be loaded; without it none is.
        seed: of the bootstrap and the sample's folder.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy.
    """
    names = settings.model or tuple(dict.fromkeys((*models_in(run, "losses"), *models_in(run, "ratings"))))
    return tuple(one for name in names for one in _measure(run, rows, name, settings, seed, progress))


def _measure(
    run: Run, rows: Sequence[int], name: str, settings: Settings, seed: int, progress: Progress
) -> Iterator[Distribution]:
    here = dataclasses.replace(settings, model=(name,), target=(), target_by=None, decontaminate=(), data_dir=None)
    asks = name in settings.model and not is_folder(run, name)
    figures = [each for each in _FIGURES if settings.engine is None or gives(settings.engine, each.signal)]
    plan = resolve(here, run, [each.method for each in figures], asks=asks)
    stored = [_is_stored(run, name, plan, part, settings) for part in plan.parts]
    sample = None
    if asks and not all(stored):
        sample = open_sample_run(run, rows, seed)
        collect_all(sample, _without(plan, stored), progress)
    for figure, part, whole in zip(figures, plan.parts, stored, strict=True):
        of = run if whole else sample
        if of is not None:
            scores = score_part(of, part, plan.prompts, None, progress).scores
            yield _describe(figure.name, name, figure.values(scores), None if whole else seed)


def _is_stored(run: Run, name: str, plan: Plan, part: MethodSpec, settings: Settings) -> bool:
    """Whether the model has answered for all rows what the method reads."""
    prompts = plan.rating_prompts if needs_ratings(part.method) else ()
    requests = (*list_requests(part.method), *prompts)
    return all(has_answered(run, name, request, settings) for request in requests)


def _without(plan: Plan, stored: Sequence[bool]) -> Plan:
    """The plan without the methods that are answered for."""
    parts = tuple(part for part, whole in zip(plan.parts, stored, strict=True) if not whole)
    rated = any(needs_ratings(part.method) for part in parts)
    return dataclasses.replace(plan, parts=parts, rating_prompts=plan.rating_prompts if rated else ())


def _describe(figure: str, model: str, values: Float64, seed: int | None) -> Distribution:
    """The distribution of the values that there are; `seed`: of the bootstrap of a sample, None = all rows are in."""
    known = values[np.isfinite(values)]
    quantiles = np.quantile(known, QUANTILES).tolist() if len(known) else [np.nan] * len(QUANTILES)
    interval = None
    if len(known) and seed is not None:
        estimate = bootstrap_median(known, seed)
        interval = (estimate.low, estimate.high)
    tenth, quarter, median, three_quarters, ninetieth = quantiles
    return Distribution(
        figure=figure,
        model=model,
        rows=len(known),
        drawn=seed is not None,
        tenth=tenth,
        quarter=quarter,
        median=median,
        three_quarters=three_quarters,
        ninetieth=ninetieth,
        interval=interval,
    )
