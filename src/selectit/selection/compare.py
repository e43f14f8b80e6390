"""`compare`: how far the scores and choices of several methods agree, from stored columns."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.jsonable import without_nan
from selectit.numerics.ranking import chance_jaccard, jaccard, spearman
from selectit.progress import Progress, Silent
from selectit.runs.run import Run, open_run
from selectit.selection.choose_rows import choose_rows
from selectit.selection.resolve import resolve, resolve_budget
from selectit.selection.score import count_passes, estimate_seconds, score_part
from selectit.selection.spec import MethodSpec, Plan
from selectit.signals.arrays import Float64, Int64
from selectit.text_tables import notebook_html, table_lines


@dataclass(frozen=True, slots=True)
class MethodOutcome:
    """What one method made of the rows."""

    name: str
    scores: Float64 | None
    """(N,); None for a method that chooses a set."""
    chosen: Int64
    passes: float
    """Passes of a model a row."""
    seconds: float | None
    """What its signals took, as far as timing.json tells; None = it does not."""


@dataclass(frozen=True, slots=True)
class MethodStats:
    """The figures of one method. None = undefined."""

    name: str
    kept: int
    unscored: int
    passes_per_row: float
    seconds: float | None
    length_correlation: float | None
    """Spearman's rank correlation of score and words of the response; None for a method that chooses a set."""
    mean_words: float | None
    """Mean words of the responses that were kept."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two methods agree. None = undefined."""

    a: str
    b: str
    spearman: float | None
    """Rank correlation of their scores, where both scored."""
    jaccard: float | None
    """Shared rows over the rows of either choice."""
    chance: float | None
    """The same for choices of these sizes by chance."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several methods on the rows of one run."""

    rows: int
    mean_words: float
    """Mean words of all responses."""
    methods: tuple[MethodStats, ...]
    pairs: tuple[Agreement, ...]

    def _repr_html_(self) -> str:
        return notebook_html(comparison_lines(self))


def compare_outcomes(outcomes: Sequence[MethodOutcome], words: Int64) -> Comparison:
    """The figures of methods and of all pairs.

    Args:
        outcomes: two or more, each of the same N rows.
        words: (N,) words of the responses.
    """
    methods = tuple(_method(outcome, words) for outcome in outcomes)
    pairs = tuple(_pair(a, b, len(words)) for a, b in itertools.combinations(outcomes, 2))
    return Comparison(len(words), float(words.mean()), methods, pairs)


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """The comparison as a table of text."""
    yield f"{comparison.rows:,} rows, {comparison.mean_words:.1f} words a response"
    header = ("method", "kept", "no score", "passes", "seconds", "length corr.", "mean words")
    yield from table_lines(
        header,
        [
            (
                stats.name,
                f"{stats.kept:,}",
                f"{stats.unscored:,}",
                f"{stats.passes_per_row:g}",
                _figure(stats.seconds, "{:,.0f}"),
                _figure(stats.length_correlation, "{:+z.2f}"),
                _figure(stats.mean_words, "{:.1f}"),
            )
            for stats in comparison.methods
        ],
    )
    yield ""
    yield from table_lines(
        ("pair", "", "spearman", "jaccard", "by chance"),
        [
            (pair.a, pair.b, *(_figure(v, f) for v, f in zip(
                (pair.spearman, pair.jaccard, pair.chance), ("{:+z.2f}", "{:.2f}", "{:.2f}"), strict=True)))
            for pair in comparison.pairs
        ],
        names=2,
    )  # fmt: skip


def _method(outcome: MethodOutcome, words: Int64) -> MethodStats:
    scores = outcome.scores
    return MethodStats(
        name=outcome.name,
        kept=len(outcome.chosen),
        unscored=0 if scores is None else int(np.isnan(scores).sum()),
        passes_per_row=outcome.passes,
        seconds=outcome.seconds,
        length_correlation=None if scores is None else without_nan(spearman(scores, words.astype(np.float64))),
        mean_words=float(words[outcome.chosen].mean()) if len(outcome.chosen) else None,
    )


def _pair(a: MethodOutcome, b: MethodOutcome, rows: int) -> Agreement:
    both = a.scores is not None and b.scores is not None
    return Agreement(
        a=a.name,
        b=b.name,
        spearman=without_nan(spearman(a.scores, b.scores)) if both else None,  # type: ignore[arg-type]
        jaccard=without_nan(jaccard(a.chosen, b.chosen)),
        chance=without_nan(chance_jaccard(len(a.chosen), len(b.chosen), rows)),
    )


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def compare(
    run: str | Path, methods: Sequence[str], settings: Settings = Settings(), progress: Progress | None = None
) -> Comparison:
    """What several methods make of a run: how far their scores and choices agree, and their cost. Loads no model.

    Args:
        run: with the signals that the methods read.
        methods: two or more, each 'name' or 'name:parameter=value;parameter=value'.
        settings: `keep` (None = 20 %), and which raters and prompts. A method that can't fill its choice has fewer
            rows; one with a size of its own (full, fixed) keeps that.
        progress: shows what is going on.

    Raises:
        SelectitError: as of `score`.
    """
    if len(methods) < 2:
        raise SettingsError("it takes two methods or more to compare", "Name them: --methods selectit,length,random")
    opened = open_run(run)
    plan = resolve(settings, opened, methods, asks=False)
    outcomes = [score_for_comparison(opened, plan, part, progress or Silent()) for part in plan.parts]
    return compare_outcomes(outcomes, opened.basic_rows().response_words)


def score_for_comparison(run: Run, plan: Plan, part: MethodSpec, progress: Progress) -> MethodOutcome:
    """What one method of a plan makes of a run, for a comparison."""
    scored = score_part(run, part, plan.prompts, None, progress)
    settings = plan.settings
    own_size = part.method.keep is not None
    budget = resolve_budget(dataclasses.replace(settings, keep=None) if own_size else settings, [part])
    budget = dataclasses.replace(budget, allow_fewer=True)
    choice = choose_rows(run, plan, part.method, scored, None, progress, budget)
    rows, scored = choice.selection.rows, scored.after(choice.passes)
    scores = None if scored.chooses_set else scored.scores.score
    return MethodOutcome(scored.scores.name, scores, rows, count_passes(scored), estimate_seconds(run, scored))
