"""`select`: the whole job, from data to the chosen rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit.config.groups import ExecutionOptions, ReadingOptions, ResumeOptions, SourceOptions
from selectit.config.options import flag, given
from selectit.config.settings import GROUPS, Settings
from selectit.data import memory
from selectit.data.memory import Data
from selectit.errors import RunError, SettingsError
from selectit.inference.rate import open_or_create_run
from selectit.jsonable import plain, without_nan
from selectit.progress import Progress, Silent
from selectit.runs.files import slug
from selectit.runs.output import is_taken, resolve_destination, write_rows
from selectit.runs.run import Run
from selectit.runs.selections import Selection, Unchosen, name_selection, selections, store_selection
from selectit.selection import cascade
from selectit.selection.cascade import check_budget
from selectit.selection.choose_rows import Choice, score_and_choose, step_label, to_config
from selectit.selection.collect import collect_all
from selectit.selection.resolve import resolve, resolve_cascade
from selectit.selection.rest import build_aside, explain_rest, find_failures, to_records
from selectit.selection.score import Scored, count_passes, estimate_seconds
from selectit.selection.spec import Plan, to_toml_parameters
from selectit.selection.summary import Summary, rating_stats, summarise, summary_lines
from selectit.signals.arrays import Int64
from selectit.text_tables import notebook_html


@dataclass(frozen=True, slots=True)
class Selected:
    """What `select` did."""

    run: Path
    name: str
    out: Path | None
    """The file that was written; None for a data set in memory without `Settings.out`."""
    selection: Selection
    summary: Summary
    passes: float
    """Passes of a model, or replies, that the method's signals take for each row."""
    seconds: float | None
    """What they took in all, by timing.json; None = it does not say."""
    data: Any = None
    """The chosen rows of a data set in memory, in the type and with the columns that it has, as Settings.order says;
    None where a file was given."""

    def _repr_html_(self) -> str:
        where = [f"selection {self.name}", f"run       {self.run}"]
        where += [f"subset    {self.out}"] if self.out is not None else []
        return notebook_html([*summary_lines(self.summary, {}), *where])


def select(data: Data | None = None, settings: Settings = Settings(), progress: Progress | None = None) -> Selected:
    """The whole job: read, rate what is not rated yet, score, choose, write the subset.

    Args:
        data: a file, a folder, a hub id, '-' (standard input), or a data set in memory: a `datasets.Dataset` or
            `DatasetDict` (with `Settings.split`), a pandas or polars frame, a pyarrow table, an iterable of dicts.
            None chooses from the run that `settings.run` names, and loads no model.
        settings: everything else.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    progress = progress or Silent()
    held = None if data is None else memory.hold(data, settings.split)
    rates = held is not None
    old = None if rates else open_or_create_run(None, settings)
    _refuse_idle(settings, reads=rates)
    plan = resolve(settings, old, asks=rates)
    stages, budget = resolve_cascade(plan, old), plan.budget
    run = old or open_or_create_run(held, settings)
    out = resolve_destination(run, settings, held)
    budget.count(run.rows)
    if rates and not settings.force:
        named = {"--out": out, "--rest": None if settings.rest is None else Path(settings.rest)}
        _refuse_conflicts(run, plan, {flag: file for flag, file in named.items() if file is not None})
    done = None
    if stages is None:
        scored, choice, summary = _in_one_stage(run, plan, rates, progress)
    else:
        check_budget(stages, budget, run.rows)
        done = cascade.run_cascade(run, plan, stages, progress, rates=rates, sample=cascade.SAMPLE)
        scored, choice, summary = done.scored, done.choice, done.summary
    summary = dataclasses.replace(summary, options=plain(_options(plan)))
    selection, rest = choice.selection, {}
    if settings.rest is not None or plan.narrows:
        failed, dropped = (find_failures(run, scored), {}) if done is None else (done.failed(), done.dropped())
        rest = explain_rest(run, choice, scored, failed, dropped)
    name = _store(run, plan, scored, choice, summary, rest)
    order = np.argsort(selection.rows) if settings.order == "source" else np.arange(len(selection.rows))
    values = _with_scores(order, selection) if settings.with_scores else None
    if out is not None:
        write_rows(run, out, selection.rows[order], values, force=settings.force)
    if settings.rest is not None:
        write_rows(run, Path(settings.rest), *to_records(rest, scored), force=settings.force, flag="--rest")
    spent = estimate_seconds(run if done is None else done.second.run, scored)
    return Selected(
        run.path,
        name,
        out,
        selection,
        summary,
        count_passes(scored),
        spent,
        memory.take_rows(held, selection.rows[order]),
    )


def _options(plan: Plan) -> dict[str, Any]:
    """What has to be asked for once more to choose the same rows of the run."""
    groups = [group for group in GROUPS if group.decides and group not in (SourceOptions, ReadingOptions)]
    order = {} if plan.settings.order == "score" else {"order": plan.settings.order}
    return given(plan.settings, *groups) | order


def _store(run: Run, plan: Plan, scored: Scored, choice: Choice, summary: Summary, rest: Mapping[int, Unchosen]) -> str:
    """Store the selection, with why the other rows were not chosen where they were filtered; its name."""
    budget = plan.budget
    own = {"budget": budget.label, "allow_fewer": budget.allow_fewer, "order": plan.settings.order}
    config = scored.config | own | scored.config  # in this order; a method may have an `order` too, as length has
    if plan.narrows:  # under one name, since a method's parameters have names of their own
        config["filters"] = plan.filters.config | to_config(choice)
    label = f"{scored.label}{_name_target(plan.settings)}-{budget.label}{plan.filters.label}{step_label(choice)}"
    aside = build_aside(choice, rest) if plan.narrows else None
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = name_selection(run, plan.settings, label, config)
        store_selection(run, name, choice.selection, config, dataclasses.asdict(summary), aside)
    return name


def _name_target(settings: Settings) -> str:
    """The target as part of a selection's name: '-to-sums', '-to-sums-and-1-more'; '' = there is none."""
    if not settings.target:
        return ""
    first, *more = settings.target
    return f"-to-{slug(Path(first).name.partition('.')[0])[:24]}{f'-and-{len(more)}-more' * bool(more)}"


def _refuse_conflicts(run: Run, plan: Plan, files: Mapping[str, Path]) -> None:
    """Refuse to rate and choose first, and find then that a file or a selection of something else is in the way.

    What is there may be of this very selection where the run has one of these settings: that is compared later.

    Args:
        run: of the data.
        plan: what is chosen.
        files: that will be written, by the option that names each.

    Raises RunError or SettingsError.
    """
    known = {name: run.read_toml(run.path / "selections" / name / "config.toml") for name in selections(run)}
    same = [name for name, config in known.items() if _may_be_of(plan, config)]
    if plan.settings.name in known and plan.settings.name not in same:
        name_selection(run, plan.settings, plan.settings.name, {})
    if same:
        return
    for name, file in files.items():
        if is_taken(file):
            others = f"; it has {', '.join(known)}" if known else ""
            raise RunError(
                f"{file} is there, and {run.path} has no selection with these settings{others}",
                f"Name another with {name}, or replace it with --force. No row was rated or chosen.",
            )


def _may_be_of(plan: Plan, config: Mapping[str, Any]) -> bool:
    """Whether a stored selection may be what the settings come to, as far as it is known before models are asked."""
    settings, spec, filters = plan.settings, plan.parts[0], config.get("filters", {})
    if bool(filters) != plan.narrows or any(filters.get(key) != value for key, value in plan.filters.config.items()):
        return False
    known: dict[str, Any] = {
        "budget": plan.budget.label, "allow_fewer": plan.budget.allow_fewer, "order": settings.order,
    }  # fmt: skip
    if settings.combine is None:
        known |= {"method": spec.settings.method, **to_toml_parameters(spec.method)}
    if plan.prompts is not None:
        known["prompts"] = plan.prompts.fingerprint
    models = [slug(name) for name in settings.model]
    return all(config[key] == value for key, value in known.items() if key in config) and (
        "models" not in config or [folder.rpartition("-")[0] for folder in config["models"]] == models
    )


def _in_one_stage(run: Run, plan: Plan, rates: bool, progress: Progress) -> tuple[Scored, Choice, Summary]:
    """Rate and collect, where `rates`, then score and choose."""
    rated = collect_all(run, plan, progress) if rates else None
    scored, choice = score_and_choose(run, plan, rated, progress)
    return scored, choice, summarise(run, scored, choice, rating_stats(scored))


def _refuse_idle(settings: Settings, *, reads: bool) -> None:
    """Refuse options that would do nothing: those of reading and rating without data, and --share with a choice."""
    for name in given(settings, SourceOptions, ReadingOptions, ResumeOptions, ExecutionOptions):
        if name == "share" or not reads:
            raise SettingsError(
                f"{flag(name)} does nothing here: it is for reading or rating",
                "Use it with selectit rate, or name the data.",
            )


def _with_scores(order: Int64, selection: Selection) -> list[dict[str, Any]]:
    """What --with-scores adds to each record, in the order of writing."""
    return [
        {"row": int(selection.rows[at]), "rank": int(at) + 1, "score": without_nan(selection.scores[at])}
        for at in order
    ]
