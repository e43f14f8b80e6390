"""Cheap first, thorough later: all rows are rated with few prompts or a small model, and only the best of them fully.

What goes on is a data set of its own, with a run directory of its own inside the data's run: so it is rated, stored and
resumed like any other. A random sample of all rows goes with it, which says what the first rating has lost.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.config.settings import Settings
from selectit.data.layouts import DATA_LAYOUTS
from selectit.errors import RunError, SettingsError
from selectit.inference.execute import check_models
from selectit.inference.rate import find_raters, rate_prompts
from selectit.inference.units import Task, note_request
from selectit.methods._base import ScoringMethod
from selectit.numerics.ranking import ranking
from selectit.numerics.row_random import shuffle_rows
from selectit.numerics.statistics import wilson
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, stored_columns, units
from selectit.runs.files import column, numbers
from selectit.runs.output import write_rows
from selectit.runs.run import Run, open_run
from selectit.runs.selections import Unchosen
from selectit.runs.source import create
from selectit.runs.stored import failures
from selectit.selection.cascade_report import CascadeStats
from selectit.selection.choose import Budget
from selectit.selection.choose_rows import Choice, choose_rows
from selectit.selection.collect import collect_signals
from selectit.selection.resolve import Stages, required_prompts
from selectit.selection.score import Scored, score_part, store_scores
from selectit.selection.spec import MethodSpec, Plan
from selectit.selection.summary import Summary, packaged_note, rating_stats, summarise
from selectit.signals.arrays import Float64, Int64
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import Request

SAMPLE = 200
"""Rows of all that `select` and `rate` draw for the agreement with the full choice."""


_BOOL = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class First:
    """What the first rating says."""

    scored: Scored
    ranked: Int64
    """(S,) the rows with a score, best first."""
    went_on: _BOOL
    """(N,) the best of them, and the rows without a score, of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Second:
    """The data set of the rows that are rated fully."""

    name: str
    run: Run
    rows: Int64
    """(F,) which rows of the data they are, rising."""
    went_on: _BOOL
    """(F,)"""
    sampled: _BOOL
    """(F,)"""


@dataclass(frozen=True, slots=True)
class Cascaded:
    """What a cascade came to."""

    scored: Scored
    """Scores of all rows of the data; NaN for those that did not go on."""
    choice: Choice
    summary: Summary
    first: First
    second: Second
    full: Scored
    """Scores of the rows of `second`."""

    def dropped(self) -> dict[int, Unchosen]:
        """Why rows did not go on."""
        cheap, dear = self.first.scored.annotators[0].name, self.full.annotators[0].name
        by = "" if cheap == dear else f" by {cheap}"
        assert self.summary.cascade is not None
        after = f"dropped by the cascade after K={self.summary.cascade.first_prompts}{by}"
        ranks = {row: rank for rank, row in enumerate(self.first.ranked.tolist(), start=1)}
        return {
            row: Unchosen("cascade", after, f"rank {ranks[row]} of {len(ranks)}")
            for row in np.flatnonzero(~self.first.went_on).tolist()
        }

    def failed(self) -> dict[int, str]:
        """Why rows have no score although they went on."""
        return {
            int(self.second.rows[at]): why
            for annotator, requests in self.full.answered
            for at, why in failures(self.second.run, [annotator], requests).items()
        }


def rate_stages(
    run: Run, stages: Stages, progress: Progress, *, rates: bool, sample: int
) -> tuple[First, Second, Scored]:
    """Both ratings, where they are not there yet, and what the method makes of them.

    Args:
        run: of the data.
        stages: with the models named where `rates`.
        progress: shows what is going on.
        rates: False = everything has to be there.
        sample: rows of all that are drawn for the agreement with the full choice.

    Raises:
        SelectitError: as of `rate`; RunError where something has to be there and is not.
    """
    if rates and not stages.one_model:
        check_models(_tasks(run, stages))
    first = _rate_first(run, stages, progress, rates)
    second = _open_second(run, stages, first, sample, rates=rates)
    full = stages.full
    if rates and stages.one_model:
        for annotator, requests in first.scored.answered:
            carry(run, annotator, requests, second)
    if rates and full.settings.engine is None:  # the one that rated first, not what a new run would take
        engine = str(first.scored.annotators[0].manifest["settings"]["engine"])
        full = dataclasses.replace(full, settings=dataclasses.replace(full.settings, engine=engine))
    return first, second, _score_stage(second.run, full, stages.prompts, progress, rates)


def _tasks(run: Run, stages: Stages) -> Iterator[Task]:
    """What both models are asked, by the engine of the first where none is named."""
    engine = stages.full.settings.engine
    for spec in (stages.first, stages.full):
        settings, models = find_raters(run, dataclasses.replace(spec.settings, engine=engine), stages.prompts)
        engine = settings.engine
        yield from (Task(run, model, required_prompts([spec], stages.prompts), settings) for model in models)


def _rate_first(run: Run, stages: Stages, progress: Progress, rates: bool) -> First:
    scored = _score_stage(run, stages.first, stages.prompts, progress, rates)
    assert isinstance(stages.first.method, ScoringMethod)
    ranked = ranking(scored.scores.score, stages.first.method.tie_break(scored.signals))
    went_on = np.isnan(scored.scores.score)
    went_on[ranked[: stages.amount.count(run.rows)]] = True
    return First(scored, ranked, went_on)


def _score_stage(run: Run, spec: MethodSpec, prompts: PromptSet, progress: Progress, rates: bool) -> Scored:
    """The scores of one way of rating; where `rates`, what is missing is rated before."""
    rated = None
    if rates:
        rated = rate_prompts(run, spec.settings, prompts, required_prompts([spec], prompts), progress)
    return score_part(run, spec, prompts, rated, progress)


def _open_second(run: Run, stages: Stages, first: First, sample: int, *, rates: bool) -> Second:
    """The data set of the rows that are rated fully, written where it is not there: their own records."""
    drawn = np.zeros(run.rows, np.bool_)
    drawn[shuffle_rows(first.scored.signals.rows, "cascade")[:sample]] = True
    rows = np.flatnonzero(first.went_on | drawn).astype(np.int64)
    digest = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:8]
    name = f"{first.scored.label}-{stages.amount.label}-{digest}"
    folder = run.path / "cascades" / name
    if os.path.lexists(folder / "run" / "manifest.json"):
        inner = open_run(folder / "run")
    elif rates:
        inner = _create(run, folder, rows)
    else:
        raise RunError(
            f"{run.path} has no ratings of such a cascade: its second stage was not begun",
            "Name the data, or rate it first: selectit rate with the same --cascade, --cascade-k and --cascade-model.",
        )
    if inner.rows != len(rows):
        raise RunError(f"{inner.path} has {inner.rows} rows, and {len(rows)} go on", f"Remove {folder} and rate again.")
    return Second(name, inner, rows, first.went_on[rows], drawn[rows])


def _create(run: Run, folder: Path, rows: Int64) -> Run:
    """A run of these rows, read as the data was."""
    path = folder / f"rows{run.manifest['suffix']}"
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(run, path, rows, None, force=True)
    layout = str(run.manifest["layout"])
    as_read = {"format": layout} if layout in DATA_LAYOUTS else {"map": layout}
    turns, roles = str(run.manifest["identity"]["turns"]), tuple(run.manifest["identity"].get("roles", ()))
    return create(path, Settings(run=str(folder / "run"), turns=turns, roles=roles, **as_read))  # type: ignore[arg-type]


def carry(run: Run, annotator: Annotator, requests: Sequence[Request], second: Second) -> None:
    """Give the second stage the ratings that its rows have from the first, so that nothing is rated twice."""
    same = Annotator(second.run.path / annotator.signal / annotator.path.name, {**annotator.manifest, "order": 0})
    if not (same.path / "manifest.json").exists():
        second.run.write_json(same.path / "manifest.json", same.manifest)
    for request in requests:
        missing = [unit for unit in units(second.run, same, [request]) if not unit.path.exists()]
        if not missing:
            continue
        table = stored_columns(run, annotator, request, None)
        table = table.take(column(np.flatnonzero(np.isin(numbers(table["row"]), second.rows))))
        row = np.searchsorted(second.rows, numbers(table["row"])).astype(np.int64)
        table = table.set_column(table.schema.get_field_index("row"), table.schema.field("row"), column(row))
        for unit in missing:
            start, stop = np.searchsorted(row, (unit.start, unit.stop)).tolist()
            note_request(second.run, unit)
            second.run.write_table(unit.path, table.slice(start, stop - start))


def run_cascade(run: Run, plan: Plan, stages: Stages, progress: Progress, *, rates: bool, sample: int) -> Cascaded:
    """Rate in two stages, score, choose, and say what that saved and lost. Arguments and errors as of `rate_stages`."""
    first, second, full = rate_stages(run, stages, progress, rates=rates, sample=sample)
    if rates:
        collect_signals(run, plan, progress)
    scored = _map_scores(run, stages, first, second, full)
    choice = choose_rows(run, plan, stages.full.method, scored, None, progress)
    stats = _measure_cascade(stages, plan.budget, first, second, full)
    found = summarise(run, scored, choice, rating_stats(full))
    return Cascaded(scored, choice, _with_cascade(found, stats, first, second, full), first, second, full)


def _map_scores(run: Run, stages: Stages, first: First, second: Second, full: Scored) -> Scored:
    """The full scores as scores of the data's rows, stored there; those of rows that did not go on are left out."""

    def spread(values: NDArray[Any], which: _BOOL) -> Float64:
        whole = np.full(run.rows, math.nan)
        whole[second.rows[which]] = values[which]
        return whole

    everywhere = np.ones(len(second.rows), np.bool_)
    parts = {name: spread(values, everywhere) for name, values in full.scores.parts.items()}
    config = {
        **full.config,
        "cascade": {
            "run": second.run.path.relative_to(run.path).as_posix(),
            "first": first.scored.config,
            "goes_on": stages.amount.label,
            "went_on": int(second.went_on.sum()),
            "sample": int(second.sampled.sum()),
        },
    }
    label = f"{full.label}-cascade-{stages.amount.label}"
    values = spread(full.scores.score, second.went_on)
    scores = store_scores(run, label, config, values, {**parts, "first": first.scored.scores.score})
    return dataclasses.replace(full, scores=scores, signals=first.scored.signals, config=config, label=label)


def _measure_cascade(stages: Stages, budget: Budget, first: First, second: Second, full: Scored) -> CascadeStats:
    cheap, dear = first.scored.signals.ratings, full.signals.ratings
    (annotator, requests), (full_annotator, full_requests) = first.scored.answered[0], full.answered[0]
    best = best_of_sample(budget, len(first.went_on), full.scores.score[second.sampled])
    hits = int(second.went_on[second.sampled][best].sum())
    whole = second.sampled.sum() == len(first.went_on)
    share = None if whole or not len(best) else wilson(hits, len(best))
    tokens = cheap.tokens.astype(np.float64)
    each, each_full = (sum(request.passes for request in some) for some in (requests, full_requests))
    return CascadeStats(
        first_model=annotator.name,
        first_prompts=stages.first.method.prompts,
        full_model=full_annotator.name,
        full_prompts=stages.full.method.prompts,
        went_on=int(second.went_on.sum()),
        fully_rated=len(second.rows),
        first_ratings=len(cheap.row) * each,
        second_ratings=len(dear.row) * (each_full - (each if stages.one_model else 0)),
        full_ratings=len(cheap.row) * each_full,
        length=float(tokens.mean() / max(tokens[np.isin(cheap.row, second.rows)].mean(), 1.0)),
        first_timing=f"ratings/{annotator.path.name}",
        second_timing=f"{_within(second)}ratings/{full_annotator.path.name}",
        sample=int(second.sampled.sum()),
        best=len(best),
        best_went_on=hits,
        low=None if share is None else share.low,
        high=None if share is None else share.high,
    )


def _within(second: Second) -> str:
    return f"cascades/{second.name}/run/"


def best_of_sample(budget: Budget, rows: int, scores: Float64) -> Int64:
    """Places of the rows of the sample that full ratings of all rows would choose: the same share as of all."""
    best = ranking(scores)
    if budget.min_score is not None:
        best = best[scores[best] >= budget.min_score]
    return best if budget.only_threshold else best[: max(1, round(budget.count(rows) / rows * len(scores)))]


def _with_cascade(found: Summary, stats: CascadeStats, first: First, second: Second, full: Scored) -> Summary:
    """The summary of the full ratings with what the cascade has to say."""
    raters = tuple(dataclasses.replace(each, within=_within(second)) for each in found.raters)
    if stats.first_model != stats.full_model:
        raters = (*rating_stats(first.scored), *raters)
    return dataclasses.replace(
        found,
        raters=raters,
        unscored_rows=found.unscored_rows - int((~first.went_on).sum()),
        note=packaged_note((*first.scored.annotators, *full.annotators)),
        cascade=stats,
    )


def check_budget(stages: Stages, budget: Budget, rows: int) -> None:
    """Raise SettingsError where fewer rows would go on than the budget keeps."""
    goes_on = stages.amount.count(rows)
    if not budget.only_threshold and goes_on < min(budget.count(rows), rows):
        raise SettingsError(
            f"--cascade lets {goes_on:,} of {rows:,} rows go on, and {budget.count(rows):,} are to be kept",
            "Let more go on, or keep fewer with --keep.",
        )
