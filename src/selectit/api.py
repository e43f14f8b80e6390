"""The stages of the program as functions; the command's verbs have the same names."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w
from numpy.typing import NDArray

from selectit import comparison
from selectit import methods as method_files
from selectit import models as model_files
from selectit import prompts as prompt_files
from selectit.collect import Progress, Silent
from selectit.config import DEFAULT_MODEL, Settings
from selectit.engines.loading import check_server
from selectit.errors import RunError, SettingsError
from selectit.estimate import Cost, estimate
from selectit.executors import rate as collect_ratings
from selectit.gather import Answered, collect, gather
from selectit.models import Model
from selectit.output import destination, write_rows
from selectit.prompts import PromptSet, RatingPrompt
from selectit.ratings import Rater, failures, load_ratings, models_in, named_rater, raters
from selectit.run import Run, column, create, digest_of, open_run, replacing, text_column, write_json, write_table
from selectit.schema import (
    SELECTION_SCHEMA,
    Float64,
    Int64,
    LossText,
    Method,
    ScoringMethod,
    Selection,
    Signals,
)
from selectit.selection import Budget, chosen, intersection, parse_keep, rank_average, top, union
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
    parts = _parts(settings, old)
    if any(_rates(part.method) for part in parts):
        run, rating, prompts, first = _to_rate(data, settings)
        first = prompts.first(_most_prompts(parts)) if settings.combine else first
        _rate(run, rating, prompts, first, progress or Silent())
    else:
        run = old or _run(data, settings)
    _collect(run, parts, progress or Silent())
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
    run, settings, _, first = _to_rate(data, settings)
    settings = dataclasses.replace(settings, engine=settings.engine or _engine_of(run, settings.model))
    models = [_model(name, settings) for name in settings.model]
    small = None if proxy is None else _model(proxy, settings)
    return estimate(run, models, small, first, settings, sample, progress or Silent())


def score(run: str | Path, settings: Settings = Settings(), progress: Progress | None = None) -> Scores:
    """Score a run's rows from its stored signals and store the scores. Loads no model.

    Raises:
        SelectitError: settings that the method refuses, or signals that are not there.
    """
    opened = open_run(run)
    parts = _parts(settings, opened)
    chooses = [part.settings.method for part in parts if not isinstance(part.method, ScoringMethod)]
    if chooses or settings.combine_by != "rank":
        what = chooses[0] if chooses else f"--combine-by {settings.combine_by}"
        raise SettingsError(f"{what} chooses a set and scores no rows", "Use it with selectit select.")
    scored = [_score(opened, part.settings, part.method, None, progress or Silent()) for part in parts]
    return scored[0].scores if settings.combine is None else _rank_average(opened, settings, parts, scored).scores


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
    parts = _parts(settings, old)
    budget = _budget(settings, parts)
    prompts = _prompts(settings, old)
    first = prompts.first(_most_prompts(parts))
    rates = any(_rates(part.method) for part in parts)
    if data is not None:
        settings, parts = _with_models(settings, parts, rates)
        for part in parts:
            _check_raters(part.method, settings.model, len(prompts.labels))
    run = old or _run(data, settings)
    out = destination(run, settings, data)
    budget.count(run.rows)
    rated = _rate(run, settings, prompts, first, progress) if data is not None and rates else None
    if data is not None:
        _collect(run, parts, progress)
    scored, selection = _scored_choice(run, settings, parts, rated, budget, progress)
    config = {**scored.config, "budget": budget.label, "allow_fewer": budget.allow_fewer, "order": settings.order}
    scores = None if scored.chooses_set else scored.scores.score
    facts = summarise(
        run, scored.signals.rows, scores, selection, scored.raters, scored.signals.stored_ratings, scored.about
    )
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = _selection_name(run, settings, f"{scored.label}-{budget.label}", config)
        _store_selection(run, name, selection, config, facts)
    order = np.argsort(selection.rows) if settings.order == "source" else np.arange(len(selection.rows))
    values = _with_scores(order, selection) if settings.with_scores else None
    write_rows(run, out, selection.rows[order], values, force=settings.force)
    if settings.rest is not None:
        write_rows(run, Path(settings.rest), *_rest(run, selection, scored), force=settings.force)
    return Selected(run.path, name, out, selection, facts)


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
    named = [_named(text, settings, opened) for text in methods]
    outcomes = [_outcome(opened, part, settings, progress or Silent()) for part in named]
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


def _to_rate(data: str | Path | None, settings: Settings) -> tuple[Run, Settings, PromptSet, tuple[RatingPrompt, ...]]:
    """The run, the settings with the models named, the prompts, and those of them that are asked."""
    old = _run(None, settings) if data is None else None
    prompts = _prompts(settings, old)
    first = prompts.first(settings.k or K)
    run = old or _run(data, settings)
    names = settings.model or tuple(models_in(run) if data is None else ()) or (DEFAULT_MODEL,)
    return run, dataclasses.replace(settings, model=names), prompts, first


def _rate(
    run: Run, settings: Settings, prompts: PromptSet, first: tuple[RatingPrompt, ...], progress: Progress
) -> list[Rater]:
    engine = settings.engine or _engine_of(run, settings.model)
    tokenizer = settings.tokenizer
    if engine == "server" and tokenizer is None:
        tokenizer = _tokenizer_of(run, settings.model)
    check_server(dataclasses.replace(settings, engine=engine, tokenizer=tokenizer), prompts.chat)
    settings = dataclasses.replace(settings, engine=engine, tokenizer=tokenizer)
    models = [_model(name, settings) for name in settings.model]
    try:
        return collect_ratings(run, models, first, settings, progress)
    finally:
        # Only a set under which there are ratings: one whose labels were refused leaves nothing behind.
        if any(run.path.glob(f"ratings/*/prompt-{first[0].fingerprint}/part-*")):
            _store_prompts(run, prompts)


def _collect(run: Run, parts: Sequence[_Part], progress: Progress) -> None:
    """Collect what the methods ask of models but ratings."""
    for part in parts:
        collect(run, part.method, part.settings, _resolver(part.settings), progress)


def _engine_of(run: Run, names: Sequence[str]) -> str:
    """The engine that has rated with these models, else hf."""
    used = {str(rater.manifest["settings"]["engine"]) for rater in raters(run) if rater.name in names}
    if len(used) > 1:
        raise SettingsError(f"{run.path} has ratings by the engines {', '.join(sorted(used))}", "Say which: --engine.")
    return used.pop() if used else "hf"


def _tokenizer_of(run: Run, names: Sequence[str]) -> str | None:
    """The tokenizer that servers of these models were rated with; '' = none, None = they were not."""
    stored = [rater.manifest["settings"] for rater in raters(run) if rater.name in names]
    used = {str(settings["tokenizer"]) for settings in stored if settings["engine"] == "server"}
    if len(used) > 1:
        raise SettingsError(f"{run.path} was rated with several tokenizers", 'Say which: --tokenizer NAME, or "".')
    return used.pop() if used else None


def _model(name: str, settings: Settings) -> Model:
    if settings.engine == "server":
        words = model_files.resolve_tokenizer(settings.tokenizer) if settings.tokenizer else None
        digest = digest_of({"server": name, "tokenizer": words.digest if words else ""})
        return Model(name, words.path if words else "", digest, packaged=False)
    if settings.engine == "fake":
        return Model(name, "", digest_of({"fake": name}), packaged=False)
    return model_files.resolve(name, accept_terms=settings.accept_terms)


def _resolver(settings: Settings) -> Callable[[str], Model]:
    return lambda name: _model(name, settings)


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
    answered: tuple[Answered, ...]
    config: dict[str, Any]
    label: str
    """For the names of files."""
    about: str
    """What the method says of itself."""
    chooses_set: bool


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the methods that are combined or compared, or the only one."""

    weight: float
    settings: Settings
    method: Method


def _parts(settings: Settings, run: Run | None) -> list[_Part]:
    """The method of the settings, or the methods that are combined. Raises SettingsError."""
    if settings.combine is None:
        return [_Part(1.0, settings, _method(settings, run))]
    fresh = Settings()
    for name in ("method", *_OF_ONE_METHOD, "param"):
        if getattr(settings, name) != getattr(fresh, name):
            flag = "--" + name.replace("_", "-")
            raise SettingsError(
                f"{flag} is of one method, and --combine names several",
                "Write parameters where the method is named, for example: 'selectit:alpha=0.4;k=3:0.7,length:0.3'.",
            )
    parts = [_named(text.strip(), settings, run) for text in settings.combine.split(",")]
    if len(parts) < 2:
        raise SettingsError(f"--combine names one method: {settings.combine}", "Name two or more, or use --method.")
    for part in parts:
        if settings.combine_by == "rank" and not isinstance(part.method, ScoringMethod):
            raise SettingsError(
                f"{part.settings.method} chooses a set and has no ranks", "Add --combine-by union or intersection."
            )
    return parts


def _named(text: str, settings: Settings, run: Run | None) -> _Part:
    """A method as 'name:parameter=value;parameter=value', with ':weight' at the end or without."""
    before, colon, last = text.rpartition(":")
    weight = 1.0
    if colon and re.fullmatch(r"[-+.\deE]+|nan|inf", last):
        text, weight = before, _weight(text, last)
    name, parameters = method_files.spelled(text)
    alone = dataclasses.replace(settings, method=name, param={})
    return _Part(weight, alone, _built(alone, parameters, run))


def _weight(text: str, number: str) -> float:
    hint = "A weight is a number above 0, for example 0.5."
    try:
        weight = float(number)
    except ValueError as error:
        raise SettingsError(f"{text!r}: {number!r} is no weight", hint) from error
    if not 0 < weight < math.inf:
        raise SettingsError(f"{text!r}: the weight is {number}", hint)
    return weight


_OF_ONE_METHOD = ("level", "profile", "alpha", "weights", "min_prompts", "seed")


def _method(settings: Settings, run: Run | None) -> Method:
    """The method with the parameters that were given."""
    for key in settings.param:
        if key in (*_OF_ONE_METHOD, "k"):
            raise SettingsError(f"--param {key}: it has a flag of its own", f"Write --{key.replace('_', '-')}.")
    return _built(settings, {name: getattr(settings, name) for name in _OF_ONE_METHOD} | dict(settings.param), run)


def _built(settings: Settings, parameters: Mapping[str, Any], run: Run | None) -> Method:
    """The method of the settings with these parameters, and the defaults that depend on the models."""
    given = dict(parameters)
    if settings.method == "selectit":
        models = settings.model or (models_in(run) if run is not None else ())
        given["k"] = given.get("k") or settings.k  # for the other methods k is only how many prompts `rate` asks
        given["level"] = given.get("level") or ("model" if len(models) > 1 else "sentence")
    if settings.method == "length" and settings.model and "unit" not in given:
        given["unit"] = "tokens"
    return method_files.build(settings.method, given)


def _prompts_of(method: Method) -> int:
    prompts = getattr(method, "prompts", 1)
    return int(prompts)


def _most_prompts(parts: Sequence[_Part]) -> int:
    return max(_prompts_of(part.method) for part in parts)


def _rates(method: Method) -> bool:
    return "ratings" in method.needs


def _with_models(settings: Settings, parts: Sequence[_Part], rates: bool) -> tuple[Settings, list[_Part]]:
    """The settings, of each part too, with the default model where none is named and one is needed."""
    model = settings.model or ((DEFAULT_MODEL,) if rates else ())
    settings = dataclasses.replace(settings, model=model)
    return settings, [
        dataclasses.replace(part, settings=dataclasses.replace(part.settings, model=model)) for part in parts
    ]


def _check_raters(method: Method, models: tuple[str, ...], labels: int) -> None:
    """Let a method that rates say what is wrong with the models or labels."""
    check = getattr(method, "check", None)
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
    gathered = gather(run, method, settings, _resolver(settings), progress)
    config: dict[str, Any] = {"method": settings.method, **_parameters(method), **gathered.config}
    signals = gathered.signals
    used: tuple[Rater, ...] = ()
    answered = gathered.answered
    if "ratings" in method.needs:
        prompts = _prompts(settings, run)
        used = tuple(rated or _stored_raters(run, settings, method))
        first = prompts.first(_prompts_of(method))
        ratings = load_ratings(run, used, first)
        signals = dataclasses.replace(signals, stored_ratings=ratings)
        config |= {"models": [rater.path.name for rater in used], "prompts": prompts.fingerprint}
        answered = (*answered, *((rater, first) for rater in used))
    about = str(getattr(method, "about", ""))
    if not isinstance(method, ScoringMethod):
        none = Scores(method.label, np.full(run.rows, math.nan), {})
        return _Scored(none, signals, used, answered, config, method.label, about, chooses_set=True)
    values = method.score(signals)
    explain = getattr(method, "parts", None)
    parts = explain(signals) if explain is not None else {}
    scores = _stored(run, method.label, config, values, parts)
    return _Scored(scores, signals, used, answered, config, method.label, about, chooses_set=False)


def _stored(
    run: Run, label: str, config: Mapping[str, Any], values: Float64, parts: Mapping[str, NDArray[Any]]
) -> Scores:
    """Store scores in the run under their label, or a free name like it."""
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = _free_name(run.path / "scores", label, config)
        columns = {"row": np.arange(run.rows), "score": values, **parts}
        table = pa.table({key: column(np.asarray(each)) for key, each in columns.items()})
        write_table(run.path / "scores" / f"{name}.parquet", table)
        _write_toml(run.path / "scores" / f"{name}.toml", config)
    return Scores(name, values, parts)


def _rank_average(run: Run, settings: Settings, parts: Sequence[_Part], scored: Sequence[_Scored]) -> _Scored:
    """Several methods' scores as one, stored; each method's own stand among the parts."""
    values = rank_average([each.scores.score for each in scored], [part.weight for part in parts])
    whole = _together(settings, parts, scored, chooses_set=False)
    columns = {f"{place}.{each.label}": each.scores.score for place, each in enumerate(scored, start=1)}
    return dataclasses.replace(whole, scores=_stored(run, whole.label, whole.config, values, columns))


def _together(settings: Settings, parts: Sequence[_Part], scored: Sequence[_Scored], *, chooses_set: bool) -> _Scored:
    """What several methods read and were, as of one; its scores are still to come."""
    rating = next((each for each in scored if each.raters), scored[0])
    names = [re.sub(r"[^\w.-]+", "_", part.settings.method) for part in parts]
    weighted = [f"{name}{part.weight:g}" for name, part in zip(names, parts, strict=True)]
    config = {
        "method": "combine",
        "by": settings.combine_by,
        "weights": [part.weight for part in parts],
        "parts": [each.config for each in scored],
    }
    label = f"{settings.combine_by}-{'+'.join(names if chooses_set else weighted)}"
    none = Scores(label, np.full(len(scored[0].signals.rows), math.nan), {})
    answered = tuple(itertools.chain.from_iterable(each.answered for each in scored))
    return _Scored(none, rating.signals, rating.raters, answered, config, label, "", chooses_set)


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


def _budget(settings: Settings, parts: Sequence[_Part]) -> Budget:
    """Where neither an amount nor a minimum score is given: that of the only method (`keep`), else 20 %."""
    default = getattr(parts[0].method, "keep", "20%") if len(parts) == 1 else "20%"
    keep = default if settings.keep is None and settings.min_score is None else settings.keep
    size = {} if keep is None else parse_keep(keep)
    return Budget(**size, min_score=settings.min_score, allow_fewer=settings.allow_fewer)  # type: ignore[arg-type]


def _scored_choice(
    run: Run,
    settings: Settings,
    parts: Sequence[_Part],
    rated: Sequence[Rater] | None,
    budget: Budget,
    progress: Progress,
) -> tuple[_Scored, Selection]:
    """Score by the method, or by each that is combined, and choose."""
    scored = [_score(run, part.settings, part.method, rated, progress) for part in parts]
    if settings.combine is None:
        return scored[0], _choose(parts[0].method, scored[0], budget, run.rows)
    if settings.combine_by == "rank":
        whole = _rank_average(run, settings, parts, scored)
        return whole, top(whole.scores.score, budget)
    choices = [_choose(part.method, each, budget, run.rows) for part, each in zip(parts, scored, strict=True)]
    rows = (union if settings.combine_by == "union" else intersection)([each.rows for each in choices])
    if not len(rows):
        raise SettingsError("no row is chosen by every method", "Keep more with --keep, or use --combine-by union.")
    reasons = [dict(zip(each.rows.tolist(), each.why, strict=True)) for each in choices]
    names = [part.settings.method for part in parts]
    why = tuple(
        "; ".join(f"{name}: {reason[row]}" for name, reason in zip(names, reasons, strict=True) if row in reason)
        for row in rows.tolist()
    )
    whole = _together(settings, parts, scored, chooses_set=True)
    return whole, Selection(rows, np.full(len(rows), math.nan), why, math.nan)


def _choose(method: Method, scored: _Scored, budget: Budget, rows: int) -> Selection:
    if isinstance(method, ScoringMethod):
        return top(scored.scores.score, budget, ties=getattr(method, "ties", "smaller"))
    return chosen(method.select(scored.signals, budget.count(rows)), budget, rows)


def _outcome(run: Run, part: _Part, settings: Settings, progress: Progress) -> comparison.Outcome:
    """What one method makes of a run, for a comparison."""
    scored = _score(run, part.settings, part.method, None, progress)
    keep = getattr(part.method, "keep", "20%" if settings.keep is None else settings.keep)
    budget = Budget(**parse_keep(keep), allow_fewer=True)  # type: ignore[arg-type]
    rows = _choose(part.method, scored, budget, run.rows).rows
    scores = None if scored.chooses_set else scored.scores.score
    return comparison.Outcome(scored.scores.name, scores, rows, _passes(scored), _seconds(run, scored))


def _passes(scored: _Scored) -> int:
    """Passes of a model a row, or generations, that the method's signals take."""
    works = [work for _, works in scored.answered for work in works]
    return sum(2 * (1 + work.copies) if isinstance(work, LossText) else 1 for work in works)


def _seconds(run: Run, scored: _Scored) -> float | None:
    """Seconds that the method's signals took, at the mean rate of the run's timing; None where it does not say."""
    total, timing = 0.0, run.timing()
    for rater, works in scored.answered:
        spent = timing.get(f"{rater.signal}/{rater.path.name}", {})
        if not spent.get("ratings"):
            return None
        total += spent["seconds"] / spent["ratings"] * _items(scored.signals) * len(works)
    return total


def _items(signals: Signals) -> int:
    """Rated answers of all rows."""
    stored = (
        signals.stored_ratings,
        signals.stored_losses,
        signals.stored_embeddings,
        signals.stored_judgements,
        signals.stored_rewards,
    )
    return next((len(signal.row) for signal in stored if signal is not None), 0)


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
    reasons: dict[int, str] = {}
    for rater, works in scored.answered:
        reasons = failures(run, [rater], works) | reasons
    values = []
    for row in rows:
        score = _plain(scored.scores.score[row])
        why = "below the cut" if score is not None else f"no score: {reasons.get(int(row), 'not scored')}"
        values.append({"row": int(row), "score": score, "why": "not chosen" if scored.chooses_set else why})
    return rows, values


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
