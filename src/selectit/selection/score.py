"""From settings to scores: which methods with what parameters, alone or combined, and what they make of a run."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit import methods as method_files
from selectit.config.settings import Settings
from selectit.errors import SettingsError, nearest
from selectit.methods._base import Method, ScoringMethod, TargetMethod
from selectit.numerics.choosers import Choice
from selectit.numerics.groups import group_fields, group_instructions
from selectit.numerics.ranking import intersection, rank_average, union
from selectit.progress import Progress, Silent
from selectit.runs.annotators import Annotator, stored_columns
from selectit.runs.files import column, numbers
from selectit.runs.run import Run, open_run
from selectit.runs.selections import Selection
from selectit.runs.stored import field_of, names_of_scores, read_scores
from selectit.selection.choose import Budget, select_set, select_top
from selectit.selection.collect import Answered, load_signals
from selectit.selection.resolve import resolve
from selectit.selection.spec import MethodSpec, Plan, to_toml_parameters
from selectit.signals.arrays import Float64, Signals, Target
from selectit.signals.prompts import PromptSet


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
    annotators: tuple[Annotator, ...]
    answered: tuple[Answered, ...]
    config: dict[str, Any]
    label: str
    """For the names of files."""
    about: str
    """What the method says of itself."""
    chooses_set: bool


def score_part(
    run: Run,
    spec: MethodSpec,
    prompts: PromptSet | None,
    rated: Sequence[Annotator] | None,
    progress: Progress,
) -> Scored:
    """Load what the method needs, score, store. `rated` are the raters of this call, else the run's."""
    method = spec.method
    loaded = load_signals(run, spec, prompts, rated, progress)
    config: dict[str, Any] = {"method": spec.settings.method, **to_toml_parameters(method), **loaded.config}
    signals, used, answered = loaded.signals, loaded.raters, loaded.answered
    inner = {
        text: score_part(run, spec.reads[text], prompts, rated, progress)
        if text in spec.reads
        else _load_stored(run, text)
        for text in method_files.list_score_texts(method)
    }
    if inner:
        signals = dataclasses.replace(signals, stored_scores={text: each.scores.score for text, each in inner.items()})
        config["scores"] = {text: each.scores.name for text, each in inner.items()}
        answered = (*answered, *(one for each in inner.values() for one in each.answered))
    if not isinstance(method, ScoringMethod):
        none = Scores(method.label, np.full(run.rows, math.nan), {})
        return Scored(none, signals, used, answered, config, method.label, method.about, chooses_set=True)
    scores = store_scores(run, method.label, config, method.score(signals), method.parts(signals))
    return Scored(scores, signals, used, answered, config, method.label, method.about, chooses_set=False)


def _load_stored(run: Run, text: str) -> Scored:
    """The scores of a `ScoreOf` that the run has already. Raises SettingsError."""
    name = text.removeprefix(method_files.STORED)
    known = names_of_scores(run)
    if name not in known:
        raise SettingsError(f"{run.path} has no scores {name!r}", nearest(name, known) if known else "Score it first.")
    scores = Scores(name, numbers(read_scores(run, name)["score"]), {})
    return Scored(scores, Signals(run.basic_rows()), (), (), {}, name, "", chooses_set=False)


def store_scores(
    run: Run, label: str, config: Mapping[str, Any], values: Float64, parts: Mapping[str, NDArray[Any]]
) -> Scores:
    """Store scores in the run under their label, or a free name like it."""
    with run.lock("results", f"another selectit is writing results into {run.path}"):
        name = run.free_name(run.path / "scores", label, config)
        columns = {"row": np.arange(run.rows), "score": values, **parts}
        table = pa.table({key: column(np.asarray(each)) for key, each in columns.items()})
        run.write_table(run.path / "scores" / f"{name}.parquet", table)
        run.write_toml(run.path / "scores" / f"{name}.toml", config)
    return Scores(name, values, parts)


def combine_ranks(run: Run, settings: Settings, parts: Sequence[MethodSpec], scored: Sequence[Scored]) -> Scored:
    """Several methods' scores as one, stored; each method's own stand among the parts."""
    values = rank_average([each.scores.score for each in scored], [part.weight for part in parts])
    whole = _combine(settings, parts, scored, chooses_set=False)
    columns = {f"{place}.{each.label}": each.scores.score for place, each in enumerate(scored, start=1)}
    return dataclasses.replace(whole, scores=store_scores(run, whole.label, whole.config, values, columns))


def _combine(settings: Settings, parts: Sequence[MethodSpec], scored: Sequence[Scored], *, chooses_set: bool) -> Scored:
    """What several methods read and were, as of one; its scores are still to come."""
    rating = next((each for each in scored if each.annotators), scored[0])
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
    return Scored(none, rating.signals, rating.annotators, answered, config, label, "", chooses_set)


def score_and_choose(
    run: Run, plan: Plan, rated: Sequence[Annotator] | None, progress: Progress
) -> tuple[Scored, Selection]:
    """Score by the method, or by each that is combined, and choose."""
    settings, parts, budget = plan.settings, plan.parts, plan.budget
    scored = [score_part(run, part, plan.prompts, rated, progress) for part in parts]
    groups = read_groups(run, budget.best_of)
    if settings.combine is None:
        return scored[0], choose(parts[0].method, scored[0], budget, run.rows, groups)
    if settings.combine_by == "rank":
        whole = combine_ranks(run, settings, parts, scored)
        return whole, select_top(whole.scores.score, budget, groups=groups)
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
    whole = _combine(settings, parts, scored, chooses_set=True)
    return whole, Selection(rows, np.full(len(rows), math.nan), why, math.nan)


def read_groups(run: Run, best_of: str | None) -> list[Hashable] | None:
    """(rows,) of which group each row is; None = there are none. Raises SettingsError where no record has the field."""
    if best_of is None:
        return None
    if best_of == "instruction":
        return group_instructions(run.samples(0, run.rows), run.rows)
    values = field_of(run, best_of)
    if not any(values):
        raise SettingsError(
            f"no record has a field {best_of!r}", "Name one with --best-of, or write --best-of instruction."
        )
    return group_fields(values)


def choose(
    method: Method, scored: Scored, budget: Budget, rows: int, groups: Sequence[Hashable] | None = None
) -> Selection:
    """The best of `rows` rows, of each group one at most, or the set that the method chooses."""
    if isinstance(method, ScoringMethod):
        return select_top(scored.scores.score, budget, ties=method.tie_break(scored.signals), groups=groups)
    if isinstance(method, TargetMethod):
        return _name_targets(method.choose(scored.signals, budget.count(rows)), scored.signals.target, budget, rows)
    return select_set(method.select(scored.signals, budget.count(rows)), budget, rows)


def _name_targets(choice: Choice, target: Target, budget: Budget, rows: int) -> Selection:
    """A choice as a selection that says of each row which example of the target it is for."""
    groups = tuple(target.groups[place] for place in target.group[choice.targets].tolist())
    selection = select_set(choice.rows, budget, rows)
    why = tuple(
        f"{each}, for example {example} of the target ({group})"
        for each, example, group in zip(selection.why, choice.targets.tolist(), groups, strict=True)
    )
    kept = {name: groups.count(name) for name in target.groups}
    return dataclasses.replace(selection, why=why, groups=kept)


def count_passes(scored: Scored) -> int:
    """Passes of a model a row, or generations, that the method's signals take."""
    return sum(request.passes for _, requests in scored.answered for request in requests)


def estimate_seconds(run: Run, scored: Scored) -> float | None:
    """Seconds that the method's signals took, at the mean rate of the run's timing; None where it does not say."""
    total, timing = 0.0, run.timing()
    for annotator, requests in scored.answered:
        spent = timing.get(f"{annotator.signal}/{annotator.path.name}", {})
        if not spent.get("ratings"):
            return None
        by_row = sum(request.passes > 0 for request in requests)  # one text for all rows takes no time a row
        total += spent["seconds"] / spent["ratings"] * _items(run, scored) * by_row
    return total


def _items(run: Run, scored: Scored) -> int:
    """Rated answers of all rows."""
    found = next(iter(scored.signals.stored.values()), None)
    if found is not None:
        return len(found.row)
    # The method reads other methods' scores alone: the signals are theirs.
    annotator, request = next(
        (annotator, request) for annotator, requests in scored.answered for request in requests if request.passes > 0
    )
    return len(stored_columns(run, annotator, request, ["row"]))


def score(run: str | Path, settings: Settings = Settings(), progress: Progress | None = None) -> Scores:
    """Score a run's rows from its stored signals and store the scores. Loads no model.

    Raises:
        SelectitError: settings that the method refuses, or signals that are not there.
    """
    opened = open_run(run)
    plan = resolve(settings, opened, asks=False)
    chooses = [part.settings.method for part in plan.parts if not isinstance(part.method, ScoringMethod)]
    if chooses or settings.combine_by != "rank":
        what = chooses[0] if chooses else f"--combine-by {settings.combine_by}"
        raise SettingsError(f"{what} chooses a set and scores no rows", "Use it with selectit select.")
    scored = [score_part(opened, part, plan.prompts, None, progress or Silent()) for part in plan.parts]
    return scored[0].scores if settings.combine is None else combine_ranks(opened, settings, plan.parts, scored).scores
