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
import tomli_w
from numpy.typing import NDArray

from selectit import methods as method_files
from selectit import models as model_files
from selectit import prompts as prompt_files
from selectit.collect import Progress, Silent, count_tokens
from selectit.config import DEFAULT_MODEL, Settings
from selectit.errors import RunError, SettingsError, nearest
from selectit.executors import rate as collect_ratings
from selectit.models import Model
from selectit.output import destination, write_rows
from selectit.prompts import PromptSet, RatingPrompt
from selectit.ratings import Rater, failures, load_ratings, models_in, named_rater, raters
from selectit.run import (
    Run,
    column,
    create,
    digest_of,
    numbers,
    open_run,
    read_part,
    replacing,
    text_column,
    write_json,
    write_table,
)
from selectit.schema import SELECTION_SCHEMA, Float64, Int64, Method, ScoringMethod, Selection, Signals
from selectit.selection import Budget, chosen, parse_keep, top
from selectit.summary import Summary, describe_row, describe_run, summarise

log = logging.getLogger(__name__)

K = 5


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one method in one run."""

    name: str
    score: Float64
    """(N,) higher = keep; NaN = could not be scored."""
    parts: Mapping[str, NDArray[Any]]
    """What each score was made of: named columns of length N."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What `select` did."""

    run: Path
    name: str
    out: Path
    selection: Selection
    summary: Summary


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
    old = _run(None, settings) if data is None else None
    prompts = _prompts(settings, old)
    first = prompts.first(settings.k or K)
    run = old or _run(data, settings)
    names = settings.model or tuple(models_in(run) if data is None else ()) or (DEFAULT_MODEL,)
    _rate(run, dataclasses.replace(settings, model=names), prompts, first, progress or Silent())
    return run.path


def score(run: str | Path, settings: Settings = Settings(), progress: Progress | None = None) -> Scores:
    """Score a run's rows from its stored signals and store the scores. Loads no model.

    Raises:
        SelectitError: settings that the method refuses, or signals that are not there.
    """
    opened = open_run(run)
    method = _method(settings, opened)
    method_files.with_inner(method)  # refuses a circle
    if not isinstance(method, ScoringMethod):
        raise SettingsError(f"{settings.method} chooses a set and scores no rows", "Use it with selectit select.")
    return _score(opened, settings, method, None, progress or Silent()).scores


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
    old = _run(None, settings) if data is None else None
    # Whatever is wrong with the settings is said before anything is rated.
    _refuse_idle(settings, reads=data is not None)
    method = _method(settings, old)
    budget = _budget(settings, method)
    prompts = _prompts(settings, old)
    first = prompts.first(_prompts_of(method))
    if data is not None:
        settings = dataclasses.replace(settings, model=settings.model or _default_models(method))
        _check_raters(method, settings.model, len(prompts.labels))
    run = old or _run(data, settings)
    out = destination(run, settings, data)
    budget.count(run.rows)
    rated = _rate(run, settings, prompts, first, progress) if data is not None and _rates(method) else None
    scored = _score(run, settings, method, rated, progress)
    selection = _choose(method, scored, budget, run.rows)
    config = {**scored.config, "budget": budget.label, "allow_fewer": budget.allow_fewer, "order": settings.order}
    scores = None if scored.chooses_set else scored.scores.score
    about = getattr(method, "about", "")
    facts = summarise(run, scored.signals.rows, scores, selection, scored.raters, scored.signals.stored_ratings, about)
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = _selection_name(run, settings, f"{method.label}-{budget.label}", config)
        _store_selection(run, name, selection, config, facts)
    order = np.argsort(selection.rows) if settings.order == "source" else np.arange(len(selection.rows))
    values = _with_scores(order, selection) if settings.with_scores else None
    write_rows(run, out, selection.rows[order], values, force=settings.force)
    if settings.rest is not None:
        write_rows(run, Path(settings.rest), *_rest(run, selection, scored), force=settings.force)
    return Selected(run.path, name, out, selection, facts)


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


# Reading and rating


def _run(data: str | Path | None, settings: Settings) -> Run:
    if data is None:
        if settings.run is None:
            raise SettingsError("there is neither a data file nor a run", "Name a data file, or a run with --run.")
        return open_run(settings.run)
    run = create(data, settings)
    log.info("run directory: %s (%d rows, layout %s)", run.path, run.rows, run.manifest["layout"])
    if run.manifest["skipped_rows"]:
        log.info("%d bad rows were left out: %s", run.manifest["skipped_rows"], run.path / "source" / "rejected.jsonl")
    return run


def _rate(
    run: Run, settings: Settings, prompts: PromptSet, first: tuple[RatingPrompt, ...], progress: Progress
) -> list[Rater]:
    engine = settings.engine or _engine_of(run, settings.model)
    settings = dataclasses.replace(settings, engine=engine)
    models = [_model(name, settings) for name in settings.model]
    try:
        return collect_ratings(run, models, first, settings, progress)
    finally:
        # Only a set under which there are ratings: one whose labels were refused leaves nothing behind.
        if any(run.path.glob(f"ratings/*/prompt-{first[0].fingerprint}/part-*")):
            _store_prompts(run, prompts)


def _engine_of(run: Run, names: Sequence[str]) -> str:
    """The engine that has rated with these models, else hf."""
    used = {str(rater.manifest["settings"]["engine"]) for rater in raters(run) if rater.name in names}
    if len(used) > 1:
        raise SettingsError(f"{run.path} has ratings by the engines {', '.join(sorted(used))}", "Say which: --engine.")
    return used.pop() if used else "hf"


def _model(name: str, settings: Settings) -> Model:
    if settings.engine == "fake":
        return Model(name, "", digest_of({"fake": name}), packaged=False)
    return model_files.resolve(name, accept_terms=settings.accept_terms)


def _store_prompts(run: Run, prompts: PromptSet) -> None:
    path = run.path / "prompts" / f"{prompts.fingerprint}.toml"
    if not path.exists():
        with replacing(path) as file:
            tomli_w.dump(prompt_files.to_toml_table(prompts), file)


def _prompts(settings: Settings, run: Run | None) -> PromptSet:
    """The prompt set of the settings, or the only one that the run was rated with."""
    if run is None or settings.prompts or settings.labels or settings.chat or settings.layout:
        return prompt_files.changed(
            prompt_files.load(settings.prompts), settings.labels, settings.chat, settings.layout
        )
    used = sorted((run.path / "prompts").glob("*.toml"))
    if len(used) > 1:
        raise SettingsError(
            f"{run.path} was rated with several prompt sets", f"Name one: {', '.join(f'--prompts {p}' for p in used)}"
        )
    return prompt_files.load(used[0] if used else None)


# Scoring


@dataclass(frozen=True, slots=True)
class _Scored:
    scores: Scores
    signals: Signals
    raters: tuple[Rater, ...]
    prompts: tuple[RatingPrompt, ...]
    config: dict[str, Any]
    chooses_set: bool


def _method(settings: Settings, run: Run | None) -> Method:
    """The method with the parameters that were given, and the defaults that depend on the models."""
    named = ("level", "profile", "alpha", "weights", "min_prompts", "seed")
    for key in settings.param:
        if key in (*named, "k"):
            raise SettingsError(f"--param {key}: it has a flag of its own", f"Write --{key.replace('_', '-')}.")
    given = {name: getattr(settings, name) for name in named} | dict(settings.param)
    if settings.method == "selectit":
        models = settings.model or (models_in(run) if run is not None else ())
        given["k"] = settings.k  # for the other methods k is only how many prompts `rate` asks
        given["level"] = settings.level or ("model" if len(models) > 1 else "sentence")
    if settings.method == "length" and settings.model and "unit" not in given:
        given["unit"] = "tokens"
    return method_files.build(settings.method, given)


def _prompts_of(method: Method) -> int:
    """The most prompts that the method, or one whose scores it reads, is scored from."""
    return max(int(getattr(each, "prompts", 1)) for each in method_files.with_inner(method))


def _rates(method: Method) -> bool:
    return any("ratings" in each.needs for each in method_files.with_inner(method))


def _default_models(method: Method) -> tuple[str, ...]:
    return (DEFAULT_MODEL,) if _rates(method) else ()


def _check_raters(method: Method, models: tuple[str, ...], labels: int) -> None:
    """Let a method that rates say what is wrong with the models or labels."""
    for each in method_files.with_inner(method):
        check = getattr(each, "check", None)
        if check is not None:
            check(models, labels)


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


def _score(run: Run, settings: Settings, method: Method, rated: Sequence[Rater] | None, progress: Progress) -> _Scored:
    """Load what the method needs, score, store. `rated` are the raters of this call, else the run's."""
    config: dict[str, Any] = {"method": settings.method, **_parameters(method)}
    signals = Signals(run.basic_rows())
    used: tuple[Rater, ...] = ()
    first: tuple[RatingPrompt, ...] = ()
    if "ratings" in method.needs:
        prompts = _prompts(settings, run)
        used = tuple(rated or _stored_raters(run, settings, method))
        first = prompts.first(_prompts_of(method))
        ratings = load_ratings(run, used, first)
        signals = dataclasses.replace(signals, stored_ratings=ratings)
        config |= {"models": [rater.path.name for rater in used], "prompts": prompts.fingerprint}
    if "tokens" in method.needs:
        if len(settings.model) != 1:
            raise SettingsError("tokens are counted by one model's tokenizer", "Name it with --model.")
        model = _model(settings.model[0], settings)
        signals = dataclasses.replace(signals, stored_tokens=count_tokens(run, model, settings, progress))
        config["tokenizer"] = model.name
    inner = {text: _score_of(run, settings, text, rated, progress) for text in method_files.read_scores(method)}
    if inner:
        signals = dataclasses.replace(signals, stored_scores={text: each.scores.score for text, each in inner.items()})
        config["scores"] = {text: each.scores.name for text, each in inner.items()}
        used = used or next((each.raters for each in inner.values() if each.raters), ())
        first = first or max((each.prompts for each in inner.values()), key=len)
    if not isinstance(method, ScoringMethod):
        none = Scores(method.label, np.full(run.rows, math.nan), {})
        return _Scored(none, signals, used, first, config, chooses_set=True)
    values = method.score(signals)
    explain = getattr(method, "parts", None)
    parts = explain(signals) if explain is not None else {}
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = _free_name(run.path / "scores", method.label, config)
        columns = {"row": np.arange(run.rows), "score": values, **parts}
        table = pa.table({key: column(np.asarray(each)) for key, each in columns.items()})
        write_table(run.path / "scores" / f"{name}.parquet", table)
        _write_toml(run.path / "scores" / f"{name}.toml", config)
    return _Scored(Scores(name, values, parts), signals, used, first, config, chooses_set=False)


def _score_of(run: Run, settings: Settings, text: str, rated: Sequence[Rater] | None, progress: Progress) -> _Scored:
    """The scores that a method reads of another one: computed and stored like any, or read where they are stored."""
    if not text.startswith(method_files.STORED):
        inner = method_files.scoring(text)
        return _score(run, dataclasses.replace(settings, method=text.split()[0]), inner, rated, progress)
    name = text.removeprefix(method_files.STORED)
    path = run.path / "scores" / f"{name}.parquet"
    if not path.exists():
        known = [each.stem for each in (run.path / "scores").glob("*.parquet")]
        raise SettingsError(f"{run.path} has no scores {name!r}", nearest(name, known) if known else "Score it first.")
    stored = numbers(read_part(path, ["score"])["score"])
    return _Scored(Scores(name, stored, {}), Signals(run.basic_rows()), (), (), {}, chooses_set=False)


def _stored_raters(run: Run, settings: Settings, method: Method) -> list[Rater]:
    """The run's raters that the settings name, or all of them; one for each model."""
    known = models_in(run)
    if not known:
        raise RunError(f"{run.path} has no ratings", f"Rate it first: selectit rate --run {run.path} --model NAME")
    by_place = getattr(method, "weights", ()) or getattr(method, "profile", "") == "official"
    if len(known) > 1 and by_place and not settings.model:
        raise SettingsError(
            f"the weights go by the order of the models, and {run.path} has {', '.join(known)}",
            "Give the order: --model once for each.",
        )
    return [named_rater(run, name, settings) for name in settings.model or known]


def _parameters(method: Method) -> dict[str, Any]:
    assert dataclasses.is_dataclass(method)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(method).items()
        if value is not None  # TOML has none
    }


# Choosing and writing


def _budget(settings: Settings, method: Method) -> Budget:
    """Where neither an amount nor a minimum score is given: the method's own (`keep`, `min_score`), else 20 %."""
    keep, min_score = settings.keep, settings.min_score
    if keep is None and min_score is None:
        keep, min_score = getattr(method, "keep", "20%"), getattr(method, "min_score", None)
    size = {} if keep is None else parse_keep(keep)
    return Budget(**size, min_score=min_score, allow_fewer=settings.allow_fewer)  # type: ignore[arg-type]


def _choose(method: Method, scored: _Scored, budget: Budget, rows: int) -> Selection:
    if isinstance(method, ScoringMethod):
        tie_break = getattr(method, "tie_break", None)
        ties = getattr(method, "ties", "smaller") if tie_break is None else tie_break(scored.signals)
        return top(scored.scores.score, budget, ties=ties)
    return chosen(method.select(scored.signals, budget.count(rows)), budget, rows)


def _selection_name(run: Run, settings: Settings, label: str, config: Mapping[str, Any]) -> str:
    """The selection's name in the run. Raises SettingsError where --name is no name, or is taken."""
    if settings.name is None:
        return _free_name(run.path / "selections", label, config)
    if not re.fullmatch(r"[\w.+-]{1,100}", settings.name) or settings.name.startswith("."):
        raise SettingsError(f"--name {settings.name!r} is no name", "Use letters, digits, '.', '-', '_'; at most 100.")
    if _free_name(run.path / "selections", settings.name, config) != settings.name and not settings.force:
        raise SettingsError(
            f"{run.path} has a selection {settings.name!r} with other settings", "Name another, or add --force."
        )
    return settings.name


def _free_name(folder: Path, name: str, config: Mapping[str, Any]) -> str:
    """`name`, or with a suffix where other settings (another model, other prompts) have taken it."""
    for stored in (folder / f"{name}.toml", folder / name / "config.toml"):
        if stored.exists() and stored.read_text(encoding="utf-8") != tomli_w.dumps(config):
            return f"{name}-{digest_of(dict(config))[:6]}"
    return name


def _write_toml(path: Path, config: Mapping[str, Any]) -> None:
    with replacing(path) as file:
        tomli_w.dump(config, file)


def _store_selection(run: Run, name: str, selection: Selection, config: Mapping[str, Any], summary: Summary) -> None:
    folder = run.path / "selections" / name
    _write_toml(folder / "config.toml", config)
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


def _rest(run: Run, selection: Selection, scored: _Scored) -> tuple[Int64, list[dict[str, Any]]]:
    """The rows that were not chosen, in source order, and why."""
    rows = np.setdiff1d(np.arange(run.rows), selection.rows)
    reasons = failures(run, scored.raters, scored.prompts)
    values = []
    for row in rows:
        score = _plain(scored.scores.score[row])
        why = "below the cut" if score is not None else f"no score: {reasons.get(int(row), 'not scored')}"
        values.append({"row": int(row), "score": score, "why": "not chosen" if scored.chooses_set else why})
    return rows, values


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
