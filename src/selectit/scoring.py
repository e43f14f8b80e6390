"""From settings to scores: which methods with what parameters, alone or combined, and what they make of a run."""

from __future__ import annotations

import dataclasses
import itertools
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

from selectit import comparison
from selectit import methods as method_files
from selectit.collect import Progress
from selectit.config import Settings
from selectit.errors import RunError, SettingsError, nearest
from selectit.gather import Answered, check, collect, gather
from selectit.prompts import PromptSet, RatingPrompt
from selectit.rating import model_named, prompts_of_run
from selectit.ratings import Rater, load_ratings, models_in, named_rater, stored_columns
from selectit.run import (
    Run,
    column,
    digest_of,
    numbers,
    read_part,
    replacing,
    write_table,
)
from selectit.schema import (
    Float64,
    Instead,
    LossText,
    Method,
    ScoringMethod,
    Selection,
    Signals,
)
from selectit.selection import Budget, chosen, intersection, parse_keep, rank_average, top, union
from selectit.works import passes


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one method in one run."""

    name: str
    score: Float64
    """(N,) higher = keep; NaN = could not be scored."""
    parts: Mapping[str, NDArray[Any]]
    """What each score was made of: named columns of length N."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a method, or several combined, made of a run."""

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
class Part:
    """One of the methods that are combined or compared, or the only one."""

    weight: float
    settings: Settings
    method: Method


_OF_ONE_METHOD = ("level", "profile", "alpha", "weights", "min_prompts", "seed")


def parts_of(settings: Settings, run: Run | None) -> list[Part]:
    """The method of the settings, or the methods that are combined. Raises SettingsError."""
    if settings.combine is None:
        return [Part(1.0, settings, method_of(settings, run))]
    fresh = Settings()
    for name in ("method", *_OF_ONE_METHOD, "param"):
        if getattr(settings, name) != getattr(fresh, name):
            flag = "--" + name.replace("_", "-")
            raise SettingsError(
                f"{flag} is of one method, and --combine names several",
                "Write parameters where the method is named, for example: 'selectit:alpha=0.4;k=3:0.7,length:0.3'.",
            )
    parts = [part_named(text.strip(), settings, run) for text in settings.combine.split(",")]
    if len(parts) < 2:
        raise SettingsError(f"--combine names one method: {settings.combine}", "Name two or more, or use --method.")
    for part in parts:
        if settings.combine_by == "rank" and not isinstance(part.method, ScoringMethod):
            raise SettingsError(
                f"{part.settings.method} chooses a set and has no ranks", "Add --combine-by union or intersection."
            )
    return parts


def part_named(text: str, settings: Settings, run: Run | None) -> Part:
    """A method as 'name:parameter=value;parameter=value', with ':weight' at the end or without."""
    before, colon, last = text.rpartition(":")
    weight = 1.0
    if colon and re.fullmatch(r"[-+.\deE]+|nan|inf", last):
        text, weight = before, _weight(text, last)
    name, parameters = method_files.spelled(text)
    alone = dataclasses.replace(settings, method=name, param={})
    return Part(weight, alone, _built(alone, parameters, run))


def with_inner(parts: Sequence[Part], run: Run | None, outer: tuple[str, ...] = ()) -> list[Part]:
    """The methods and all those whose scores they read, and theirs. Raises SettingsError where they go in a circle."""
    found = list(parts)
    for part in parts:
        for text in method_files.read_scores(part.method):
            if text in outer:
                raise SettingsError(
                    f"the scores of {text!r} are made of themselves", "Name other methods in its parameters."
                )
            if not text.startswith(method_files.STORED):
                found += with_inner([_scoring(text, part.settings, run)], run, (*outer, text))
    return found


def _scoring(text: str, settings: Settings, run: Run | None) -> Part:
    """The method of a `ScoreOf`. Raises SettingsError where it chooses a set."""
    plain = {name: getattr(Settings(), name) for name in (*_OF_ONE_METHOD, "k")}
    part = part_named(text, dataclasses.replace(settings, **plain), run)
    if not isinstance(part.method, ScoringMethod):
        raise SettingsError(f"{text!r} chooses a set and scores no rows", "Name a method that scores rows.")
    return part


def _weight(text: str, number: str) -> float:
    hint = "A weight is a number above 0, for example 0.5."
    try:
        weight = float(number)
    except ValueError as error:
        raise SettingsError(f"{text!r}: {number!r} is no weight", hint) from error
    if not 0 < weight < math.inf:
        raise SettingsError(f"{text!r}: the weight is {number}", hint)
    return weight


def method_of(settings: Settings, run: Run | None) -> Method:
    """The method with the parameters that were given."""
    for key in settings.param:
        if key in flags_of(settings.method):
            raise SettingsError(f"--param {key}: it has a flag of its own", f"Write --{key.replace('_', '-')}.")
    return _built(settings, {name: getattr(settings, name) for name in _OF_ONE_METHOD} | dict(settings.param), run)


def flags_of(name: str) -> tuple[str, ...]:
    """The parameters of a method that have a flag of their own, as fields of `Settings`."""
    return (*_OF_ONE_METHOD, *(("k",) if method_files.takes_prompts(name) else ()))


def _built(settings: Settings, parameters: Mapping[str, Any], run: Run | None) -> Method:
    """The method of the settings with these parameters, and the defaults that depend on the models."""
    given = dict(parameters)
    if method_files.takes_prompts(settings.method):
        given["k"] = given.get("k") or settings.k  # for the other methods k is only how many prompts `rate` asks
    if settings.method == "selectit":
        models = settings.model or (models_in(run) if run is not None else ())
        given["level"] = given.get("level") or ("model" if len(models) > 1 else "sentence")
    if settings.method == "length" and settings.model and "unit" not in given:
        given["unit"] = "tokens"
    return method_files.build(settings.method, given)


def prompts_asked(method: Method) -> int:
    """How many rating prompts a method reads; 1 for one that reads none."""
    prompts = getattr(method, "prompts", 1)
    return int(prompts)


def prompts_asked_by(parts: Sequence[Part], prompts: PromptSet, least: int = 1) -> tuple[RatingPrompt, ...]:
    """All that the methods ask raters: the first of the prompts, at least so many, and those with other text in them.

    Raises SettingsError where the set is smaller.
    """
    first = prompts.first(max(least, *(prompts_asked(part.method) for part in parts)))
    changed = (prompt for part in parts for prompt in prompts_instead(part.method, prompts))
    return tuple(dict.fromkeys((*first, *changed)))


def prompts_instead(method: Method, prompts: PromptSet) -> tuple[RatingPrompt, ...]:
    """A method's rating prompts with other text in the sample's place; none where it reads no such ratings."""
    others = [need for need in method.needs if isinstance(need, Instead)]
    return tuple(prompt.instead(other) for other in others for prompt in prompts.first(prompts_asked(method)))


def check_all(parts: Sequence[Part], prompts: PromptSet | None = None) -> None:
    """Refuse, before anything is read or rated, what the methods' signals can't be collected with.

    Args:
        parts: with all the methods that they read.
        prompts: where the models that rate are known already: what methods say of them and of the labels too.
    """
    for part in parts:
        check(part.method, part.settings)
        if prompts is not None:
            check_raters(part, len(prompts.labels))


def check_raters(part: Part, labels: int) -> None:
    """Let a method that rates say what is wrong with the models or labels."""
    check_them = getattr(part.method, "check", None)
    if check_them is not None:
        check_them(part.settings.model, labels)


def collect_all(run: Run, parts: Sequence[Part], progress: Progress) -> None:
    """Collect what the methods ask of models but ratings; losses that hold those of other methods first."""
    for part in sorted(parts, key=lambda part: any(isinstance(n, LossText) and not n.both for n in part.method.needs)):
        collect(run, part.method, part.settings, model_named, progress)


def rates_pairs(method: Method) -> bool:
    """Whether a method reads ratings."""
    return "ratings" in method.needs


def score_part(
    run: Run, settings: Settings, method: Method, rated: Sequence[Rater] | None, progress: Progress
) -> Scored:
    """Load what the method needs, score, store. `rated` are the raters of this call, else the run's."""
    gathered = gather(run, method, settings, model_named, progress)
    config: dict[str, Any] = {"method": settings.method, **_parameters(method), **gathered.config}
    signals = gathered.signals
    used: tuple[Rater, ...] = ()
    answered = gathered.answered
    if "ratings" in method.needs:
        prompts = prompts_of_run(settings, run)
        used = tuple(rated or _stored_raters(run, settings, method))
        first = prompts.first(prompts_asked(method))
        signals = dataclasses.replace(signals, stored_ratings=load_ratings(run, used, first))
        instead = prompts_instead(method, prompts)
        if instead:
            signals = dataclasses.replace(signals, stored_ratings_instead=load_ratings(run, used, instead))
        config |= {"models": [rater.path.name for rater in used], "prompts": prompts.fingerprint}
        answered = (*answered, *((rater, (*first, *instead)) for rater in used))
    inner = {text: _score_of(run, settings, text, rated, progress) for text in method_files.read_scores(method)}
    if inner:
        signals = dataclasses.replace(signals, stored_scores={text: each.scores.score for text, each in inner.items()})
        config["scores"] = {text: each.scores.name for text, each in inner.items()}
        answered = (*answered, *(one for each in inner.values() for one in each.answered))
    about = str(getattr(method, "about", ""))
    if not isinstance(method, ScoringMethod):
        none = Scores(method.label, np.full(run.rows, math.nan), {})
        return Scored(none, signals, used, answered, config, method.label, about, chooses_set=True)
    values = method.score(signals)
    explain = getattr(method, "parts", None)
    parts = explain(signals) if explain is not None else {}
    scores = store_scores(run, method.label, config, values, parts)
    return Scored(scores, signals, used, answered, config, method.label, about, chooses_set=False)


def _score_of(run: Run, settings: Settings, text: str, rated: Sequence[Rater] | None, progress: Progress) -> Scored:
    """The scores that a method reads of another one: computed and stored like any, or read where they are stored."""
    if not text.startswith(method_files.STORED):
        part = _scoring(text, settings, run)
        return score_part(run, part.settings, part.method, rated, progress)
    name = text.removeprefix(method_files.STORED)
    known = [each.stem for each in (run.path / "scores").glob("*.parquet")]
    if name not in known:
        raise SettingsError(f"{run.path} has no scores {name!r}", nearest(name, known) if known else "Score it first.")
    path = run.path / "scores" / f"{name}.parquet"
    scores = Scores(name, numbers(read_part(path, ["score"])["score"]), {})
    return Scored(scores, Signals(run.basic_rows()), (), (), {}, name, "", chooses_set=False)


def store_scores(
    run: Run, label: str, config: Mapping[str, Any], values: Float64, parts: Mapping[str, NDArray[Any]]
) -> Scores:
    """Store scores in the run under their label, or a free name like it."""
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = free_name(run.path / "scores", label, config)
        columns = {"row": np.arange(run.rows), "score": values, **parts}
        table = pa.table({key: column(np.asarray(each)) for key, each in columns.items()})
        write_table(run.path / "scores" / f"{name}.parquet", table)
        write_toml(run.path / "scores" / f"{name}.toml", config)
    return Scores(name, values, parts)


def rank_averaged(run: Run, settings: Settings, parts: Sequence[Part], scored: Sequence[Scored]) -> Scored:
    """Several methods' scores as one, stored; each method's own stand among the parts."""
    values = rank_average([each.scores.score for each in scored], [part.weight for part in parts])
    whole = _together(settings, parts, scored, chooses_set=False)
    columns = {f"{place}.{each.label}": each.scores.score for place, each in enumerate(scored, start=1)}
    return dataclasses.replace(whole, scores=store_scores(run, whole.label, whole.config, values, columns))


def _together(settings: Settings, parts: Sequence[Part], scored: Sequence[Scored], *, chooses_set: bool) -> Scored:
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
    return Scored(none, rating.signals, rating.raters, answered, config, label, "", chooses_set)


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


def budget_of(settings: Settings, parts: Sequence[Part]) -> Budget:
    """Where neither an amount nor a minimum score is given: the only method's (`keep`, `min_score`), else 20 %."""
    keep, min_score = settings.keep, settings.min_score
    if keep is None and min_score is None:
        only = parts[0].method if len(parts) == 1 else None
        keep, min_score = getattr(only, "keep", "20%"), getattr(only, "min_score", None)
    size = {} if keep is None else parse_keep(keep)
    return Budget(**size, min_score=min_score, allow_fewer=settings.allow_fewer)  # type: ignore[arg-type]


def scored_choice(
    run: Run,
    settings: Settings,
    parts: Sequence[Part],
    rated: Sequence[Rater] | None,
    budget: Budget,
    progress: Progress,
) -> tuple[Scored, Selection]:
    """Score by the method, or by each that is combined, and choose."""
    scored = [score_part(run, part.settings, part.method, rated, progress) for part in parts]
    if settings.combine is None:
        return scored[0], choose(parts[0].method, scored[0], budget, run.rows)
    if settings.combine_by == "rank":
        whole = rank_averaged(run, settings, parts, scored)
        return whole, top(whole.scores.score, budget)
    choices = [choose(part.method, each, budget, run.rows) for part, each in zip(parts, scored, strict=True)]
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


def choose(method: Method, scored: Scored, budget: Budget, rows: int) -> Selection:
    """The best of `rows` rows, or the set that the method chooses."""
    if isinstance(method, ScoringMethod):
        tie_break = getattr(method, "tie_break", None)
        ties = getattr(method, "ties", "smaller") if tie_break is None else tie_break(scored.signals)
        return top(scored.scores.score, budget, ties=ties)
    return chosen(method.select(scored.signals, budget.count(rows)), budget, rows)


def outcome_of(run: Run, part: Part, settings: Settings, progress: Progress) -> comparison.Outcome:
    """What one method makes of a run, for a comparison."""
    scored = score_part(run, part.settings, part.method, None, progress)
    own = getattr(part.method, "keep", None) is not None  # full and fixed have a size of their own
    budget = budget_of(dataclasses.replace(settings, keep=None) if own else settings, [part])
    budget = dataclasses.replace(budget, allow_fewer=True)
    rows = choose(part.method, scored, budget, run.rows).rows
    scores = None if scored.chooses_set else scored.scores.score
    return comparison.Outcome(scored.scores.name, scores, rows, passes_of(scored), seconds_of(run, scored))


def passes_of(scored: Scored) -> int:
    """Passes of a model a row, or generations, that the method's signals take."""
    return sum(passes(work) for _, works in scored.answered for work in works)


def seconds_of(run: Run, scored: Scored) -> float | None:
    """Seconds that the method's signals took, at the mean rate of the run's timing; None where it does not say."""
    total, timing = 0.0, run.timing()
    for rater, works in scored.answered:
        spent = timing.get(f"{rater.signal}/{rater.path.name}", {})
        if not spent.get("ratings"):
            return None
        by_row = sum(passes(work) > 0 for work in works)  # one text for all rows takes no time a row
        total += spent["seconds"] / spent["ratings"] * _items(run, scored) * by_row
    return total


def _items(run: Run, scored: Scored) -> int:
    """Rated answers of all rows."""
    signals = scored.signals
    stored = (
        signals.stored_ratings,
        signals.stored_losses,
        signals.stored_embeddings,
        signals.stored_judgements,
        signals.stored_rewards,
    )
    found = next((signal for signal in stored if signal is not None), None)
    if found is not None:
        return len(found.row)
    # The method reads other methods' scores alone: the signals are theirs.
    rater, work = next((rater, work) for rater, works in scored.answered for work in works if passes(work) > 0)
    return len(stored_columns(run, rater, work, ["row"]))


def free_name(folder: Path, name: str, config: Mapping[str, Any]) -> str:
    """`name`, or with a suffix where other settings (another model, other prompts) have taken it."""
    for stored in (folder / f"{name}.toml", folder / name / "config.toml"):
        if stored.exists() and stored.read_text(encoding="utf-8") != tomli_w.dumps(config):
            return f"{name}-{digest_of(dict(config))[:6]}"
    return name


def write_toml(path: Path, config: Mapping[str, Any]) -> None:
    """Write settings so that the file is whole or as it was."""
    with replacing(path) as file:
        tomli_w.dump(config, file)
