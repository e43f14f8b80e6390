"""The stages of the program as functions; the command's verbs have the same names."""

from __future__ import annotations

import dataclasses
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selectit import cascade, comparison
from selectit import methods as method_files
from selectit import models as model_files
from selectit.collect import Progress, Silent
from selectit.config import DEFAULT_MODEL, Settings
from selectit.errors import SettingsError
from selectit.estimate import Cost, estimate
from selectit.output import destination, write_rows
from selectit.prompts import PromptSet
from selectit.rating import model_named, prompts_of_run, rate_prompts, run_of, to_rate
from selectit.ratings import engine_of, failures
from selectit.run import (
    Run,
    column,
    open_run,
    text_column,
    write_json,
    write_table,
)
from selectit.schema import (
    SELECTION_SCHEMA,
    Int64,
    ScoringMethod,
    Selection,
)
from selectit.scoring import (
    Part,
    Scored,
    Scores,
    budget_of,
    check_all,
    collect_all,
    free_name,
    outcome_of,
    part_named,
    parts_of,
    passes_of,
    prompts_asked_by,
    rank_averaged,
    rates_pairs,
    score_part,
    scored_choice,
    seconds_of,
    with_inner,
    write_toml,
)
from selectit.selection import Budget
from selectit.stages import Stages, check_budget, stages_of
from selectit.summary import Summary, describe_row, describe_run, summarise

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
    parts: list[Part]
    prompts: PromptSet
    stages: Stages | None
    """None = no cascade."""
    budget: Budget
    out: Path


def rate(data: str | Path | None, settings: Settings = Settings(), progress: Progress | None = None) -> Path:
    """Ask the models for ratings and store them: the only stage that loads a model.

    Args:
        data: a file, a folder, a hub id or '-'; None goes on with the run that `settings.run` names.
        settings: the source, the raters and, for `k`, the method.
        progress: told what is going on.

    Returns:
        The run directory.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    old = run_of(None, settings) if data is None else None
    if settings.cascade is not None:
        stages_of(settings, prompts_of_run(settings, old), old)  # says what is wrong before anything is read
        run, settings, prompts, _ = to_rate(data, settings)
        stages = stages_of(settings, prompts, old)
        cascade.rate_stages(run, stages, progress or Silent(), rates=True, sample=cascade.SAMPLE)
        return run.path
    every = with_inner(parts_of(settings, old), old)
    check_all(every)
    if any(rates_pairs(part.method) for part in every):
        run, rating, prompts, first = to_rate(data, settings)
        asked = prompts_asked_by(every, prompts, least=1 if settings.combine else len(first))
        rate_prompts(run, rating, prompts, asked, progress or Silent())
    else:
        run = old or run_of(data, settings)
    collect_all(run, every, progress or Silent())
    return run.path


def plan(
    data: str | Path | None,
    settings: Settings = Settings(),
    sample: int = 64,
    proxy: str | None = None,
    progress: Progress | None = None,
) -> Cost:
    """What `rate` with the same settings will cost: tokens, time, memory and disk, and what would cost less.

    Writes the run directory's copy of the source, which `rate` and `select` use, and nothing else. Loads the models,
    and rates a few answers that are thrown away.

    Args:
        data: as for `rate`.
        settings: as for `rate`.
        sample: answers to rate for the measurement, drawn evenly by length; 2 or more.
        proxy: a smaller model to measure beside; None = none.
        progress: told what is going on.

    Raises:
        SelectitError: whatever would stop the rating.
    """
    if sample < 2:
        raise SettingsError(f"--sample is {sample}", "It is a number of 2 or more: its halves are compared.")
    run, settings, _, first = to_rate(data, settings)
    settings = dataclasses.replace(settings, engine=settings.engine or engine_of(run, settings.model))
    models = [model_named(name, settings) for name in settings.model]
    small = None if proxy is None else model_named(proxy, settings)
    return estimate(run, models, small, first, settings, sample, progress or Silent())


def score(run: str | Path, settings: Settings = Settings(), progress: Progress | None = None) -> Scores:
    """Score a run's rows from its stored signals and store the scores. Loads no model.

    Raises:
        SelectitError: settings that the method refuses, or signals that are not there.
    """
    opened = open_run(run)
    parts = parts_of(settings, opened)
    with_inner(parts, opened)  # refuses a circle
    chooses = [part.settings.method for part in parts if not isinstance(part.method, ScoringMethod)]
    if chooses or settings.combine_by != "rank":
        what = chooses[0] if chooses else f"--combine-by {settings.combine_by}"
        raise SettingsError(f"{what} chooses a set and scores no rows", "Use it with selectit select.")
    scored = [score_part(opened, part.settings, part.method, None, progress or Silent()) for part in parts]
    return scored[0].scores if settings.combine is None else rank_averaged(opened, settings, parts, scored).scores


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
    job = _checked(data, settings)
    run, settings, budget = job.run, job.settings, job.budget
    if job.stages is None:
        done = None
        scored, selection, facts = _in_one_stage(job, data is not None, progress)
    else:
        done = cascade.cascaded(run, job.stages, budget, progress, rates=data is not None, sample=cascade.SAMPLE)
        scored, selection, facts = done.scored, done.selection, done.summary
    config = {**scored.config, "budget": budget.label, "allow_fewer": budget.allow_fewer, "order": settings.order}
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = _selection_name(run, settings, f"{scored.label}-{budget.label}", config)
        _store_selection(run, name, selection, config, facts)
    order = np.argsort(selection.rows) if settings.order == "source" else np.arange(len(selection.rows))
    values = _with_scores(order, selection) if settings.with_scores else None
    write_rows(run, job.out, selection.rows[order], values, force=settings.force)
    if settings.rest is not None:
        failed, dropped = (_failures(run, scored), {}) if done is None else (done.failed(), done.dropped())
        write_rows(run, Path(settings.rest), *_rest(run, selection, scored, failed, dropped), force=settings.force)
    spent = seconds_of(run if done is None else done.second.run, scored)
    return Selected(run.path, name, job.out, selection, facts, passes_of(scored), spent)


def compare(
    run: str | Path, methods: Sequence[str], settings: Settings = Settings(), progress: Progress | None = None
) -> comparison.Comparison:
    """What several methods make of a run: how far their scores and choices agree, and their cost. Loads no model.

    Args:
        run: with the signals that the methods read.
        methods: two or more, each 'name' or 'name:parameter=value;parameter=value'.
        settings: `keep` (None = 20 %), and which raters and prompts. A method that can't fill its choice has fewer
            rows; one with a size of its own (full, fixed) keeps that.
        progress: told what is going on.

    Raises:
        SelectitError: as of `score`.
    """
    if len(methods) < 2:
        raise SettingsError("it takes two methods or more to compare", "Name them: --methods selectit,length,random")
    opened = open_run(run)
    named = [part_named(text, settings, opened) for text in methods]
    outcomes = [outcome_of(opened, part, settings, progress or Silent()) for part in named]
    return comparison.compare(outcomes, opened.basic_rows().response_words)


def show(run: str | Path, row: int | None = None) -> dict[str, Any]:
    """What a run holds, or everything known of one row, as plain values.

    Raises:
        RunError: no such run or row.
    """
    opened = open_run(run)
    return describe_run(opened) if row is None else describe_row(opened, row)


def methods() -> dict[str, str]:
    """Every method by name with the first line of its description."""
    return {name: method_files.summary(method_files.lookup(name)) for name in method_files.names()}


def models() -> dict[str, dict[str, Any]]:
    """The models that come from the package registry: what they are, their licence, whether they are here."""
    return {
        name: {
            "what": model.what,
            "parameters": model.parameters,
            "licence": model.licence,
            "fetched": model_files.fetched(name),
        }
        for name, model in model_files.PACKAGED.items()
    }


def _checked(data: str | Path | None, settings: Settings) -> _Job:
    """Whatever is wrong with the settings is said here, the data read and nothing rated. Raises SelectitError."""
    old = run_of(None, settings) if data is None else None
    _refuse_idle(settings, reads=data is not None)
    parts = parts_of(settings, old)
    budget = budget_of(settings, parts)
    prompts = prompts_of_run(settings, old)
    every = with_inner(parts, old)
    prompts_asked_by(every, prompts)
    if data is not None:
        settings, parts = _with_models(settings, parts, any(rates_pairs(part.method) for part in every))
        every = with_inner(parts, old)
        check_all(every, prompts)
    stages = None if settings.cascade is None else stages_of(settings, prompts, old)
    run = old or run_of(data, settings)
    out = destination(run, settings, data)
    budget.count(run.rows)
    if stages is not None:
        check_budget(stages, budget, run.rows)
    return _Job(run, settings, parts, prompts, stages, budget, out)


def _in_one_stage(job: _Job, rates: bool, progress: Progress) -> tuple[Scored, Selection, Summary]:
    """Rate and collect, where `rates`, then score and choose."""
    run, settings = job.run, job.settings
    rated = None
    if rates:
        every = with_inner(job.parts, None)
        if any(rates_pairs(part.method) for part in every):
            asked = prompts_asked_by(every, job.prompts)
            rated = rate_prompts(run, settings, job.prompts, asked, progress)
        collect_all(run, every, progress)
    scored, selection = scored_choice(run, settings, job.parts, rated, job.budget, progress)
    facts = summarise(
        run,
        scored.signals.rows,
        None if scored.chooses_set else scored.scores.score,
        selection,
        scored.raters,
        scored.signals.stored_ratings,
        scored.about,
        scored.answered,
    )
    return scored, selection, facts


def _with_models(settings: Settings, parts: Sequence[Part], rates: bool) -> tuple[Settings, list[Part]]:
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


def _selection_name(run: Run, settings: Settings, label: str, config: Mapping[str, Any]) -> str:
    """The selection's name in the run. Raises SettingsError where --name is no name, or is taken."""
    if settings.name is None:
        return free_name(run.path / "selections", label, config)
    if not re.fullmatch(r"[\w.+-]{1,100}", settings.name) or settings.name.startswith("."):
        raise SettingsError(f"--name {settings.name!r} is no name", "Use letters, digits, '.', '-', '_'; at most 100.")
    if free_name(run.path / "selections", settings.name, config) != settings.name and not settings.force:
        raise SettingsError(
            f"{run.path} has a selection {settings.name!r} with other settings", "Name another, or add --force."
        )
    return settings.name


def _store_selection(run: Run, name: str, selection: Selection, config: Mapping[str, Any], summary: Summary) -> None:
    folder = run.path / "selections" / name
    write_toml(folder / "config.toml", config)
    write_json(folder / "summary.json", dataclasses.asdict(summary))
    columns = [
        column(np.arange(1, len(selection.rows) + 1)),
        column(selection.rows),
        column(selection.scores),
        text_column(selection.why),
    ]
    write_table(folder / "rows.parquet", pa.table(columns, schema=SELECTION_SCHEMA))


def _with_scores(order: Int64, selection: Selection) -> list[dict[str, Any]]:
    """What --with-scores adds to each record, in the order of writing."""
    return [
        {"row": int(selection.rows[at]), "rank": int(at) + 1, "score": _plain(selection.scores[at])} for at in order
    ]


def _failures(run: Run, scored: Scored) -> dict[int, str]:
    """Why rows have no signal."""
    reasons: dict[int, str] = {}
    for rater, works in scored.answered:
        reasons = failures(run, [rater], works) | reasons
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
