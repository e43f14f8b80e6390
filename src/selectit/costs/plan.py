"""What a rating will cost: tokens counted with the tokenizer, time and memory from a small measured sample.

Of the run directory only the source and a target's examples are written, as `rate` would write them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.groups import MethodOptions, ParameterOptions, TargetOptions
from selectit.config.options import given
from selectit.config.settings import Settings
from selectit.costs.measure import Drawn, Half, Memory, Trial, measure, part_bytes
from selectit.costs.passes import SignalCost, count_passes
from selectit.costs.token_counts import (
    Lot,
    TextLengths,
    even_by_length,
    extrapolate,
    fewer_prompts,
    space_evenly,
    text_lengths,
    tokens_in_texts,
    tokens_to_compute,
)
from selectit.data.memory import Data
from selectit.data.records import Sample
from selectit.engines import loading
from selectit.engines.base import CountsTokens
from selectit.engines.loading import load_counter
from selectit.errors import SettingsError
from selectit.inference.rate import find_engine, find_model, open_or_create_run
from selectit.inference.units import refuse_twice
from selectit.models.files import Model
from selectit.progress import Progress, Silent
from selectit.runs.annotators import UNIT_SIZE, Annotator, find_annotator, units
from selectit.runs.run import Run
from selectit.selection.resolve import resolve, resolve_rating
from selectit.selection.spec import Plan
from selectit.signals.arrays import Int64
from selectit.signals.ratings import LAYOUTS, SAMPLE_FIRST, TEMPLATE, RatingPrompt
from selectit.signals.requests import Request

COUNTED_ROWS = 20_000
"""Tokens are counted on so many rows at most, evenly spaced; each stands for its neighbours."""
FEWER = (3, 1)
"""Numbers of prompts whose cost is shown beside K's."""


@dataclass(frozen=True, slots=True)
class TextStats:
    """Tokens of the rated texts, over all answers and prompts, before any is cut."""

    mean: float
    median: float
    percentile_95: float
    longest: int
    rating_prompt: float
    """Mean tokens of the rating prompt: everything but the sample."""
    sample: float
    """Mean tokens of instruction and response."""
    limit: int | None
    """Longest text that is read whole; None = not known."""
    over_limit: int
    """Answers whose text is longer under at least one prompt."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The sample that was rated."""

    answers: int
    passes: int
    tokens: int
    """That had to be computed."""
    seconds: float
    load_seconds: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another way to rate the same rows, and what it would cost."""

    option: str
    passes: int
    tokens: int
    """That would have to be computed."""
    seconds: float
    measured: bool
    """Whether it was timed in this way; else the time goes by the tokens."""


@dataclass(frozen=True, slots=True)
class ModelCost:
    """What one model has still to do, and what that costs."""

    model: str
    parameters: int | None
    settings: Mapping[str, str | int]
    """The engine's, resolved."""
    text: TextStats
    passes: int
    """Ratings still to be made; each is one forward pass over one text."""
    passes_done: int
    """Ratings that the run holds already."""
    text_tokens: int = 0
    """Of all texts still to be read."""
    tokens: int = 0
    """That have to be computed of them, where what several texts share is read once."""
    measured: Measured | None = None
    """None where nothing is to be done."""
    seconds: float = 0.0
    """Expected, without loading the model."""
    seconds_low: float = 0.0
    """The same at the rate of the quicker half of the sample."""
    seconds_high: float = 0.0
    """The same at the rate of the slower half."""
    memory: Memory | None = None
    rating_bytes: int = 0
    """Of the ratings that will be written."""
    choices: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rating will cost."""

    run: Path
    data: str
    rows: int
    answers: int
    """Rated answers: one a row, or several with --turns each. Estimated where not all rows were counted."""
    counted_rows: int
    prompts: int
    layout: str
    """'prompt-first', 'sample-first', or 'own' for a prompt file's own template."""
    passes: int
    """Ratings, of all models."""
    seconds: float
    """Of rating by all models, loading too."""
    source_bytes: int
    """Of the copy of the source in the run directory, which is there now."""
    models: tuple[ModelCost, ...]
    """Those that rate; none where the method reads no ratings."""
    proxy: ModelCost | None
    signals: tuple[SignalCost, ...] = ()
    """What else the method, where one is named, asks of models."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for every model."""

    run: Run
    prompts: Sequence[RatingPrompt]
    turned: Sequence[RatingPrompt]
    """The prompts with the sample first; none where they are not in the paper's layout."""
    settings: Settings
    sample: int
    progress: Progress
    samples: Sequence[Sample]
    """The answers whose tokens are counted."""
    row: Int64
    """(I,) the row of every answer of the run."""
    stands: Int64
    """(I,) which of `samples` stands for it."""


def estimate(
    run: Run,
    models: Sequence[Model],
    proxy: Model | None,
    prompts: Sequence[RatingPrompt],
    settings: Settings,
    sample: int,
    progress: Progress,
    asked: Plan | None = None,
) -> Cost:
    """Count, measure and add up what rating `run` with `models` under `prompts` will cost.

    Args:
        run: what it holds of these ratings costs nothing.
        models: loaded one at a time; none where nothing is rated.
        proxy: measured beside them; None = none.
        prompts: of one template.
        settings: of the models that rate.
        sample: answers to rate for the measurement, drawn evenly by length.
        progress: shows what is going on.
        asked: the methods whose other signals are counted; None = none are.

    Raises:
        SelectitError: whatever would stop the rating itself.
    """
    refuse_twice([*models, *([] if proxy is None else [proxy])])
    rows = space_evenly(run.rows, COUNTED_ROWS)
    samples = run.samples_at(rows)
    each = np.bincount(np.searchsorted(rows, [one.row for one in samples]), minlength=len(rows))
    row, stands = extrapolate(each, run.rows)
    job = _Job(run, prompts, _turned(prompts), settings, sample, progress, samples, row, stands)
    costs = tuple(_model_cost(job, model) for model in models)
    return Cost(
        run=run.path,
        data=str(run.manifest["data"]),
        rows=run.rows,
        answers=len(row),
        counted_rows=len(rows),
        prompts=len(prompts),
        layout={template: name for name, template in LAYOUTS.items()}.get(prompts[0].template, "own"),
        passes=sum(cost.passes for cost in costs),
        seconds=sum(cost.seconds + (cost.measured.load_seconds if cost.measured else 0.0) for cost in costs),
        source_bytes=sum(file.stat().st_size for file in (run.path / "source").iterdir()),
        models=costs,
        proxy=None if proxy is None else _model_cost(job, proxy),
        signals=() if asked is None else count_passes(run, asked, row),
    )


def _turned(prompts: Sequence[RatingPrompt]) -> list[RatingPrompt]:
    if prompts[0].template != TEMPLATE:
        return []
    return [dataclasses.replace(prompt, template=SAMPLE_FIRST) for prompt in prompts]


def _model_cost(job: _Job, model: Model) -> ModelCost:
    not_begun = {"unit_size": job.settings.unit_size or UNIT_SIZE, "settings": {}, "parameters": 0}
    annotator = find_annotator(job.run, model.digest, job.settings) or Annotator(
        job.run.path / "ratings" / "none", not_begun
    )
    counter = load_counter(model, job.settings)
    first = job.prompts[0]
    counted = counter.count_tokens([first.render(each.instruction, each.response) for each in job.samples])
    own = np.maximum(counted - counter.count_tokens([first.render("", "")]), 0)
    lots = _pending(job, annotator, job.prompts)
    passes = sum(lot.passes for lot in lots)
    done = len(job.row) * len(job.prompts) - passes
    if not lots:
        lengths = _lengths(counter, job.prompts, own, annotator.manifest["settings"], 0)
        text = _text_stats(lengths.take(job.stands))
        return ModelCost(
            model.name, annotator.manifest["parameters"] or None, annotator.manifest["settings"], text, 0, done
        )
    stored = annotator.manifest["settings"]
    drawn = _draw(job, own, lots)
    trial = measure(model, job.settings, stored, job.prompts, job.turned, drawn, job.progress)
    added = trial.added(counted)
    lengths = _lengths(counter, job.prompts, own, trial.settings, added)
    cost = _cost(job, model, lots, trial, lengths, done)
    if trial.other is None:
        return cost
    turned = _lengths(counter, job.turned, own, trial.settings, added)
    choice = _other_layout(job, trial.other, _pending(job, annotator, job.turned), turned, trial)
    return dataclasses.replace(cost, choices=(choice, *cost.choices))


def _pending(job: _Job, annotator: Annotator, prompts: Sequence[RatingPrompt]) -> list[Lot]:
    """What the annotator has still to do, row range after row range."""
    place: dict[Request, int] = {prompt: number for number, prompt in enumerate(prompts)}
    ranges: dict[tuple[int, int], list[int]] = {}
    for unit in units(job.run, annotator, prompts):
        if not unit.path.exists():
            ranges.setdefault((unit.start, unit.stop), []).append(place[unit.request])
    return [Lot(slice(*np.searchsorted(job.row, span).tolist()), tuple(todo)) for span, todo in ranges.items()]


def _draw(job: _Job, own: Int64, lots: Sequence[Lot]) -> Drawn:
    """The sample: of the counted answers with something to do, evenly by length, in halves that alternate."""
    todo = np.unique(np.concatenate([job.stands[lot.answers] for lot in lots]))
    places = todo[even_by_length(own[todo], job.sample)]
    halves = tuple(half for half in (places[::2], places[1::2]) if len(half))
    return Drawn(job.samples, halves, int(todo[own[todo].argmax()]))


def _lengths(
    counter: CountsTokens, prompts: Sequence[RatingPrompt], own: Int64, settings: Mapping[str, str | int], added: int
) -> TextLengths:
    limit = settings.get("max_tokens")
    refuse = settings.get("overflow") == "refuse"
    return text_lengths(
        counter.count_tokens, prompts, own, added=added, limit=None if limit is None else int(limit), refuse=refuse
    )


def _text_stats(lengths: TextLengths) -> TextStats:
    whole = lengths.uncut()
    over = 0 if lengths.limit is None else int((whole.max(axis=0) > lengths.limit).sum())
    return TextStats(
        mean=float(whole.mean()),
        median=float(np.median(whole)),
        percentile_95=float(np.percentile(whole, 95)),
        longest=int(whole.max()),
        rating_prompt=float(lengths.fixed.mean()),
        sample=float(lengths.sample.mean()),
        limit=lengths.limit,
        over_limit=over,
    )


def _cost(job: _Job, model: Model, lots: Sequence[Lot], trial: Trial, lengths: TextLengths, done: int) -> ModelCost:
    every = lengths.take(job.stands)
    budget = _batch_tokens(trial)
    tokens, passes = tokens_to_compute(every, lots, budget), sum(lot.passes for lot in lots)
    halves = [_half_tokens(half, lengths, budget) for half in trial.halves]
    seconds = [half.seconds for half in trial.halves]
    rate = sum(halves) / sum(seconds)
    rates = [one / time for one, time in zip(halves, seconds, strict=True)]
    part, rating = part_bytes(trial, job.samples, job.prompts[0])
    number = sum(len(half.places) for half in trial.halves)
    return ModelCost(
        model=model.name,
        parameters=trial.parameters or None,
        settings=trial.settings,
        text=_text_stats(every),
        passes=passes,
        passes_done=done,
        text_tokens=tokens_in_texts(every, lots),
        tokens=tokens,
        measured=Measured(number, number * len(job.prompts), sum(halves), sum(seconds), trial.load_seconds),
        seconds=tokens / rate,
        seconds_low=tokens / max(rates),
        seconds_high=tokens / min(rates),
        memory=trial.memory,
        rating_bytes=round(part * sum(len(lot.prompts) for lot in lots) + rating * passes),
        choices=_fewer_prompts(every, lots, budget, rate),
    )


def _fewer_prompts(every: TextLengths, lots: Sequence[Lot], budget: int | None, rate: float) -> tuple[Alternative, ...]:
    """The same with fewer prompts, at `rate` tokens a second."""
    choices = []
    for k in (k for k in FEWER if k < len(every.fixed)):
        fewer = fewer_prompts(lots, k)
        tokens = tokens_to_compute(every, fewer, budget)
        choices.append(Alternative(f"--k {k}", sum(lot.passes for lot in fewer), tokens, tokens / rate, measured=False))
    return tuple(choices)


def _other_layout(job: _Job, half: Half, lots: Sequence[Lot], lengths: TextLengths, trial: Trial) -> Alternative:
    """The same with the sample first, at the rate at which half of the sample was rated so."""
    budget = _batch_tokens(trial)
    tokens = tokens_to_compute(lengths.take(job.stands), lots, budget)
    rate = _half_tokens(half, lengths, budget) / half.seconds
    passes = sum(lot.passes for lot in lots)
    return Alternative("--layout sample-first", passes, tokens, tokens / rate, measured=True)


def _half_tokens(half: Half, lengths: TextLengths, budget: int | None) -> int:
    """Tokens that had to be computed for one half of the sample."""
    lot = Lot(slice(0, len(half.places)), tuple(range(len(lengths.fixed))))
    return tokens_to_compute(lengths.take(half.places), [lot], budget)


def _batch_tokens(trial: Trial) -> int | None:
    found = trial.settings.get("batch_tokens")
    return None if found is None else int(found)


def plan(
    data: Data | None,
    settings: Settings = Settings(),
    sample: int = 64,
    proxy: str | None = None,
    progress: Progress | None = None,
) -> Cost:
    """What `rate` with the same settings will cost: tokens, time, memory and disk, and what would cost less.

    Writes only the run's copies of the source and of a target's examples, which `rate` and `select` use. Loads the
    models that rate, which rate a few answers that are thrown away. Where a method or a target is named, only what the
    method reads is rated, and what else it asks of models is counted in passes.

    Args:
        data: as for `rate`.
        settings: as for `rate`.
        sample: answers to rate for the measurement, drawn evenly by length; 2 or more.
        proxy: a smaller model to measure beside; None = none.
        progress: shows what is going on.

    Raises:
        SelectitError: whatever would stop the rating.
    """
    if sample < 2:
        raise SettingsError(f"--sample is {sample}", "It is a number of 2 or more: its halves are compared.")
    old = open_or_create_run(None, settings) if data is None else None
    asked = resolve(settings, old) if given(settings, MethodOptions, TargetOptions, ParameterOptions) else None
    rates = asked is None or bool(asked.rating_prompts)
    settings, first = resolve_rating(asked.settings if asked else settings, old)
    first = asked.rating_prompts if asked and rates else first
    if proxy is not None and not rates:
        raise SettingsError(f"--proxy does nothing: {settings.method} reads no ratings", "Leave it out.")
    if proxy is not None:
        loading.find(settings.engine or loading.DEFAULT).check_name(proxy)
    run = old or open_or_create_run(data, settings)
    settings = dataclasses.replace(settings, engine=settings.engine or find_engine(run, settings.model))
    models = [find_model(name, settings) for name in settings.model if rates]
    small = None if proxy is None else find_model(proxy, settings)
    return estimate(run, models, small, first, settings, sample, progress or Silent(), asked)
