"""The stages of the program as functions; the command's verbs have the same names."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit.array_types import Int64
from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.errors import SettingsError
from selectit.inference.rate import prompts_of_run, rate_prompts, run_of
from selectit.progress import Progress, Silent
from selectit.runs.output import resolve_destination, write_rows
from selectit.runs.run import Run
from selectit.runs.selections import Selection, name_selection, store_selection
from selectit.runs.stored import failures
from selectit.selection import cascade
from selectit.selection.cascade import Stages, check_budget, stages_of
from selectit.selection.choose import Budget
from selectit.selection.collect import collect_all
from selectit.selection.score import Scored, passes_of, scored_choice, seconds_of
from selectit.selection.spec import (
    MethodSpec,
    budget_of,
    check_all,
    method_specs,
    needs_ratings,
    required_prompts,
    with_dependencies,
)
from selectit.selection.summary import Summary, summarise
from selectit.signals.prompts import PromptSet

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Selected:
    """What `select` did."""

    run: Path
    name: str
    out: Path
    selection: Selection
    summary: Summary
    passes: float
    """Of a model a row, that the method's signals take."""
    seconds: float | None
    """What they took, as far as timing.json tells; None = it does not."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What `select` is to do, checked before anything is rated."""

    run: Run
    settings: Settings
    parts: list[MethodSpec]
    prompts: PromptSet
    stages: Stages | None
    """None = no cascade."""
    budget: Budget
    out: Path


def select(
    data: str | Path | None = None, settings: Settings = Settings(), progress: Progress | None = None
) -> Selected:
    """The whole job: read, rate what is not rated yet, score, choose, write the subset.

    Args:
        data: a file, a folder, a hub id or '-' (standard input). None chooses from the run that `settings.run` names,
            and loads no model.
        settings: everything else.
        progress: told what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    progress = progress or Silent()
    job = _resolved(data, settings)
    run, settings, budget = job.run, job.settings, job.budget
    if job.stages is None:
        done = None
        scored, selection, facts = _in_one_stage(job, data is not None, progress)
    else:
        done = cascade.cascaded(run, job.stages, budget, progress, rates=data is not None, sample=cascade.SAMPLE)
        scored, selection, facts = done.scored, done.selection, done.summary
    config = {**scored.config, "budget": budget.label, "allow_fewer": budget.allow_fewer, "order": settings.order}
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = name_selection(run, settings, f"{scored.label}-{budget.label}", config)
        store_selection(run, name, selection, config, dataclasses.asdict(facts))
    order = np.argsort(selection.rows) if settings.order == "source" else np.arange(len(selection.rows))
    values = _with_scores(order, selection) if settings.with_scores else None
    write_rows(run, job.out, selection.rows[order], values, force=settings.force)
    if settings.rest is not None:
        failed, dropped = (_failures(run, scored), {}) if done is None else (done.failed(), done.dropped())
        write_rows(run, Path(settings.rest), *_rest(run, selection, scored, failed, dropped), force=settings.force)
    spent = seconds_of(run if done is None else done.second.run, scored)
    return Selected(run.path, name, job.out, selection, facts, passes_of(scored), spent)


def _resolved(data: str | Path | None, settings: Settings) -> _Job:
    """Whatever is wrong with the settings is said here, the data read and nothing rated. Raises SelectitError."""
    old = run_of(None, settings) if data is None else None
    _refuse_idle(settings, reads=data is not None)
    parts = method_specs(settings, old)
    budget = budget_of(settings, parts)
    prompts = prompts_of_run(settings, old)
    every = with_dependencies(parts, old)
    required_prompts(every, prompts)
    if data is not None:
        settings, parts = _with_models(settings, parts, any(needs_ratings(part.method) for part in every))
        every = with_dependencies(parts, old)
        check_all(every, prompts)
    stages = None if settings.cascade is None else stages_of(settings, prompts, old)
    run = old or run_of(data, settings)
    out = resolve_destination(run, settings, data)
    budget.count(run.rows)
    if stages is not None:
        check_budget(stages, budget, run.rows)
    return _Job(run, settings, parts, prompts, stages, budget, out)


def _in_one_stage(job: _Job, rates: bool, progress: Progress) -> tuple[Scored, Selection, Summary]:
    """Rate and collect, where `rates`, then score and choose."""
    run, settings = job.run, job.settings
    rated = None
    if rates:
        every = with_dependencies(job.parts, None)
        if any(needs_ratings(part.method) for part in every):
            asked = required_prompts(every, job.prompts)
            rated = rate_prompts(run, settings, job.prompts, asked, progress)
        collect_all(run, every, progress)
    scored, selection = scored_choice(run, settings, job.parts, rated, job.budget, progress)
    facts = summarise(
        run,
        scored.signals.rows,
        None if scored.chooses_set else scored.scores.score,
        selection,
        scored.annotators,
        scored.signals.stored.get("ratings"),
        scored.about,
        scored.answered,
    )
    return scored, selection, facts


def _with_models(settings: Settings, parts: Sequence[MethodSpec], rates: bool) -> tuple[Settings, list[MethodSpec]]:
    """The settings, of each part too, with the default model where none is named and one is needed."""
    model = settings.model or ((DEFAULT_MODEL,) if rates else ())
    settings = dataclasses.replace(settings, model=model)
    return settings, [
        dataclasses.replace(part, settings=dataclasses.replace(part.settings, model=model)) for part in parts
    ]


def _refuse_idle(settings: Settings, *, reads: bool) -> None:
    """Refuse options that would do nothing: those of reading and rating without data, and --share with a choice."""
    fresh = Settings()
    idle = (
        ("share",)
        if reads
        else ("share", "limit", "format", "map", "turns", "bad_rows", "split", "subset", "retry_errors", "executor")
    )
    for name in idle:
        if getattr(settings, name) != getattr(fresh, name):
            flag = "--" + name.replace("_", "-")
            raise SettingsError(
                f"{flag} does nothing here: it is for reading or rating", "Use it with selectit rate, or name the data."
            )


def _with_scores(order: Int64, selection: Selection) -> list[dict[str, Any]]:
    """What --with-scores adds to each record, in the order of writing."""
    return [
        {"row": int(selection.rows[at]), "rank": int(at) + 1, "score": _plain(selection.scores[at])} for at in order
    ]


def _failures(run: Run, scored: Scored) -> dict[int, str]:
    """Why rows have no signal."""
    reasons: dict[int, str] = {}
    for annotator, requests in scored.answered:
        reasons = failures(run, [annotator], requests) | reasons
    return reasons


def _rest(
    run: Run, selection: Selection, scored: Scored, failed: Mapping[int, str], dropped: Mapping[int, str]
) -> tuple[Int64, list[dict[str, Any]]]:
    """The rows that were not chosen, in source order, and why."""
    rows = np.setdiff1d(np.arange(run.rows), selection.rows)
    values = []
    for row in rows.tolist():
        score = _plain(scored.scores.score[row])
        if scored.chooses_set:
            why = f"not chosen: {failed[row]}" if row in failed else "not chosen"
        elif row in dropped:
            why = dropped[row]
        elif score is None:
            why = f"no score: {failed.get(row) or scored.about or 'not scored'}"
        else:
            why = "below the cut"
        values.append({"row": row, "score": score, "why": why})
    return rows, values


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
