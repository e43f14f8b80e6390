"""What rating costs, model by model: tokens are counted with the tokenizer, time and memory measured on a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.config.settings import Settings
from selectit.costs.measure import Drawn, Half, Memory, Trial, measure, part_bytes
from selectit.costs.token_counts import (
    Lot,
    TextLengths,
    even_by_length,
    fewer_prompts,
    text_lengths,
    tokens_in_texts,
    tokens_to_compute,
)
from selectit.data.records import Sample
from selectit.engines.base import CountsTokens
from selectit.engines.loading import load_counter
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import UNIT_SIZE, Annotator, find_annotator, units
from selectit.runs.run import Run
from selectit.signals.arrays import Int64
from selectit.signals.ratings import SAMPLE_FIRST, TEMPLATE, RatingPrompt
from selectit.signals.requests import Request

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
class RatingJob:
    """What is the same for every model."""

    run: Run
    prompts: Sequence[RatingPrompt]
    settings: Settings
    sample: int
    progress: Progress
    samples: Sequence[Sample]
    """The answers whose tokens are counted."""
    row: Int64
    """(I,) the row of every answer of the run."""
    stands: Int64
    """(I,) which of `samples` stands for it."""

    @property
    def sample_first(self) -> list[RatingPrompt]:
        """The prompts with the sample first; none where they are not in the paper's layout."""
        return [dataclasses.replace(each, template=SAMPLE_FIRST) for each in self.prompts if each.template == TEMPLATE]


def estimate_rating(job: RatingJob, model: Model) -> ModelCost:
    """What one model has still to do. It rates a sample, unless nothing is left. Raises as `measure`."""
    not_begun = {"unit_size": job.settings.unit_size or UNIT_SIZE, "settings": {}, "parameters": 0}
    annotator = find_annotator(job.run, model.digest, job.settings) or Annotator(
        job.run.path / "ratings" / "none", not_begun
    )
    counter = load_counter(model, job.settings)
    stored, first = annotator.manifest["settings"], job.prompts[0]
    counted = counter.count_tokens([first.render(each.instruction, each.response) for each in job.samples])
    own = np.maximum(counted - counter.count_tokens([first.render("", "")]), 0)
    lots = _pending(job, annotator, job.prompts)
    passes = sum(lot.passes for lot in lots)
    done = len(job.row) * len(job.prompts) - passes
    if not lots:
        text = _text_stats(_lengths(counter, job.prompts, own, stored, 0).take(job.stands))
        return ModelCost(model.name, annotator.manifest["parameters"] or None, stored, text, passes=0, passes_done=done)
    drawn = _draw(job, own, lots)
    trial = measure(model, job.settings, stored, job.prompts, job.sample_first, drawn, job.progress)
    added = trial.added(counted)
    lengths = _lengths(counter, job.prompts, own, trial.settings, added)
    cost = _cost(job, model, lots, trial, lengths, done)
    if trial.other is None:
        return cost
    turned = _lengths(counter, job.sample_first, own, trial.settings, added)
    choice = _other_layout(job, trial.other, _pending(job, annotator, job.sample_first), turned, trial)
    return dataclasses.replace(cost, choices=(choice, *cost.choices))


def _pending(job: RatingJob, annotator: Annotator, prompts: Sequence[RatingPrompt]) -> list[Lot]:
    """What the annotator has still to do, row range after row range."""
    place: dict[Request, int] = {prompt: number for number, prompt in enumerate(prompts)}
    ranges: dict[tuple[int, int], list[int]] = {}
    for unit in units(job.run, annotator, prompts):
        if not unit.path.exists():
            ranges.setdefault((unit.start, unit.stop), []).append(place[unit.request])
    return [Lot(slice(*np.searchsorted(job.row, span).tolist()), tuple(todo)) for span, todo in ranges.items()]


def _draw(job: RatingJob, own: Int64, lots: Sequence[Lot]) -> Drawn:
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


def _cost(
    job: RatingJob, model: Model, lots: Sequence[Lot], trial: Trial, lengths: TextLengths, done: int
) -> ModelCost:
    every = lengths.take(job.stands)
    budget = _batch_tokens(trial)
    tokens, passes = tokens_to_compute(every, lots, budget), sum(lot.passes for lot in lots)
    halves = [_half_tokens(half, lengths, budget) for half in trial.halves]
    seconds = [half.seconds for half in trial.halves]
    rate = sum(halves) / sum(seconds)
    rates = [one / time for one, time in zip(halves, seconds, strict=True)]
    part, rating = part_bytes(trial.tables(job.samples, job.prompts[0]))
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


def _other_layout(job: RatingJob, half: Half, lots: Sequence[Lot], lengths: TextLengths, trial: Trial) -> Alternative:
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
