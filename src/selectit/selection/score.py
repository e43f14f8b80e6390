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
from numpy.typing import NDArray

from selectit import methods as method_files
from selectit.config.settings import Settings
from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.methods._tuning import TuningScoringMethod
from selectit.numerics.ranking import rank_average
from selectit.procedures.follow import AnsweredPass, follow_scoring
from selectit.progress import Progress, Silent
from selectit.runs.annotators import Annotator, stored_columns
from selectit.runs.files import column, numbers
from selectit.runs.run import Run, open_run
from selectit.runs.stored import names_of_scores, read_scores
from selectit.selection.collect import Answered, load_signals
from selectit.selection.resolve import resolve
from selectit.selection.spec import MethodSpec, to_toml_parameters
from selectit.selection.tuning_report import count_tuning_seconds, measure_tunings
from selectit.signals.arrays import Float64, Signals
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
    passes: tuple[AnsweredPass, ...] = ()
    """Those of a method that tunes models on the way; of those about all rows `answered` tells too."""

    def after(self, passes: Sequence[AnsweredPass]) -> Scored:
        """The same after so many passes of tuned models more."""
        if not passes:
            return self
        names = [each.tuned.model.name for each in (*self.passes, *passes) if each.tuned is not None]
        return dataclasses.replace(
            self,
            answered=(*self.answered, *((each.annotator, (each.request,)) for each in passes if not each.within)),
            config={**self.config, "tuned": list(dict.fromkeys(names))},
            passes=(*self.passes, *passes),
        )


def score_part(
    run: Run,
    spec: MethodSpec,
    prompts: PromptSet | None,
    rated: Sequence[Annotator] | None,
    progress: Progress,
    known: Mapping[str, Scored] = {},
    *,
    asks: bool = False,
) -> Scored:
    """Load what the method needs, score, store.

    Args:
        run: with the signals that the method needs.
        spec: the method.
        prompts: of ratings; None where the method reads none.
        rated: the raters of this call; None = the run's.
        progress: shows what is going on.
        known: scores that the method may read which are neither stored under a name nor those of a method.
        asks: whether a method that tunes models on the way may do so; else all is there already.
    """
    method = spec.method
    loaded = load_signals(run, spec, prompts, rated, progress)
    inner: dict[str, Scored] = {}
    for text in method_files.list_score_texts(method):
        if text in known:
            inner[text] = known[text]
        elif text in spec.reads:
            inner[text] = score_part(run, spec.reads[text], prompts, rated, progress, asks=asks)
        else:
            inner[text] = _load_stored(run, text)
    config: dict[str, Any] = {"method": spec.settings.method, **to_toml_parameters(method), **loaded.config}
    if inner:
        config["scores"] = {text: each.scores.name for text, each in inner.items()}
    scored = Scored(
        scores=Scores(method.label, np.full(run.rows, math.nan), {}),
        signals=dataclasses.replace(
            loaded.signals, stored_scores={text: each.scores.score for text, each in inner.items()}
        ),
        annotators=loaded.raters,
        answered=(*loaded.answered, *(one for each in inner.values() for one in each.answered)),
        config=config,
        label=method.label,
        about=method.about,
        chooses_set=not isinstance(method, ScoringMethod),
        passes=tuple(one for each in inner.values() for one in each.passes),
    )
    if not isinstance(method, ScoringMethod):
        return scored
    if isinstance(method, TuningScoringMethod):
        done = follow_scoring(run, method, scored.signals, spec.settings, progress, asks=asks)
        scored = dataclasses.replace(scored, signals=done.result).after(done.passes)
    values, parts = method.score(scored.signals), method.parts(scored.signals)
    return dataclasses.replace(scored, scores=store_scores(run, method.label, scored.config, values, parts))


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
    whole = combine(settings, parts, scored, chooses_set=False)
    columns = {f"{place}.{each.label}": each.scores.score for place, each in enumerate(scored, start=1)}
    return dataclasses.replace(whole, scores=store_scores(run, whole.label, whole.config, values, columns))


def combine(settings: Settings, parts: Sequence[MethodSpec], scored: Sequence[Scored], *, chooses_set: bool) -> Scored:
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
    passes = tuple(itertools.chain.from_iterable(each.passes for each in scored))
    return Scored(none, rating.signals, rating.annotators, answered, config, label, "", chooses_set, passes)


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
    tuning = count_tuning_seconds(measure_tunings(scored.passes), timing)
    for each in scored.passes:
        if each.within:
            total += each.run.timing().get(f"{each.annotator.signal}/{each.annotator.path.name}", {}).get("seconds", 0)
    return None if tuning is None else total + tuning


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
