"""From what methods made of a run to the chosen rows.

First what may not be chosen is left out; then each group gives its share, of the best by the score, or of rows unlike
each other among the best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from selectit import methods as method_files
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.methods._base import Method, ScoringMethod, SetMethod, TargetMethod
from selectit.methods._tuning import TuningSetMethod, TuningTargetMethod, tunes
from selectit.numerics import choosers
from selectit.numerics.groups import find_best
from selectit.numerics.ranking import intersection, ranking, union
from selectit.numerics.subsets import nearest_of
from selectit.numerics.vectors import row_vectors
from selectit.procedures.follow import AnsweredPass, follow
from selectit.progress import Progress
from selectit.runs.annotators import Annotator
from selectit.runs.run import Run
from selectit.runs.selections import Selection, Unchosen
from selectit.selection.choose import (
    Budget,
    Groups,
    check_filled,
    check_set,
    name_groups,
    rank_candidates,
    select_set,
    select_top,
)
from selectit.selection.collect import Answered
from selectit.selection.filter import Candidates, filter_rows, read_alternatives
from selectit.selection.score import Scored, combine, combine_ranks, score_part
from selectit.selection.spec import Plan
from selectit.signals.arrays import Embeddings, Float64, Int64, Signals, Target


@dataclass(frozen=True, slots=True)
class DiversityStep:
    """The method that chooses among the best, with its signals, and how many of the best it sees."""

    method: SetMethod
    scored: Scored
    pool: Budget | None
    """None = twice what is kept."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen rows, and what is known of the others."""

    selection: Selection
    candidates: Candidates
    passed_over: Mapping[int, Unchosen] = field(default_factory=dict)
    """Why rows of the pool were not chosen."""
    step: DiversityStep | None = None
    pool: int = 0
    """How many of the best the step saw."""
    passes: tuple[AnsweredPass, ...] = ()
    """Those of models that were tuned while a set was chosen."""
    beaten: Mapping[int, Unchosen] = field(default_factory=dict)
    """Of --best-of: which better row of the same group each of the others gave way to."""

    @property
    def answered(self) -> tuple[Answered, ...]:
        """Who was asked for the filters, the groups and the step."""
        return (*self.candidates.answered, *(() if self.step is None else self.step.scored.answered))


@dataclass(frozen=True, slots=True)
class SetChooser:
    """Has set methods choose; those that tune a model on the way are followed, and their passes noted."""

    run: Run
    settings: Settings
    progress: Progress
    asks: bool
    """Whether models may be tuned and asked."""
    passes: list[AnsweredPass] = field(default_factory=list)

    def read(self, method: SetMethod, signals: Signals, allowed: Int64) -> Signals:
        """The signals of all rows that a method chooses by: with what models say that it tunes on allowed rows."""
        if not (tunes(method) and isinstance(method, TuningTargetMethod)):
            return signals
        steps, every = method.steps(signals, allowed), np.arange(self.run.rows)
        target = signals.target.examples
        done = follow(self.run, steps, every, self.settings, self.progress, asks=self.asks, target=target)
        self.passes.extend(done.passes)
        return done.result

    def choose(self, method: SetMethod, signals: Signals, rows: Int64, wanted: int) -> choosers.Choice:
        """What a method chooses of these rows of the run, and for which examples of a target; -1 = for none.

        `signals` are those of the rows alone, and the choice is told in their numbers.
        """
        if isinstance(method, TargetMethod):
            found = method.choose(signals, wanted)
            return choosers.Choice(check_set(found.rows, wanted, len(rows)), found.targets)
        if isinstance(method, TuningSetMethod):
            steps = method.steps(signals, wanted)
            done = follow(self.run, steps, rows, self.settings, self.progress, asks=self.asks)
            self.passes.extend(done.passes)
            chosen = done.result
        else:
            chosen = method.select(signals, wanted)
        chosen = check_set(chosen, wanted, len(rows))
        return choosers.Choice(chosen, np.full(len(chosen), -1))


def score_and_choose(
    run: Run, plan: Plan, rated: Sequence[Annotator] | None, progress: Progress
) -> tuple[Scored, Choice]:
    """Score by the method, or by each that is combined, and choose."""
    settings, parts = plan.settings, plan.parts
    scored = [score_part(run, part, plan.prompts, rated, progress, asks=plan.asks) for part in parts]
    if settings.combine is None:
        choice = choose_rows(run, plan, parts[0].method, scored[0], rated, progress)
        return scored[0].after(choice.passes), choice
    if settings.combine_by == "rank":
        whole = combine_ranks(run, settings, parts, scored)
        choice = choose_rows(run, plan, None, whole, rated, progress)
        return whole.after(choice.passes), choice
    candidates = filter_rows(run, plan.filters, settings)
    chooser = SetChooser(run, settings, progress, plan.asks)
    choices = [
        choose(part.method, each, plan.budget, candidates, chooser).selection
        for part, each in zip(parts, scored, strict=True)
    ]
    whole = combine(settings, parts, scored, chooses_set=True).after(chooser.passes)
    names = [part.settings.method for part in parts]
    return whole, Choice(_combine_choices(settings.combine_by, names, choices), candidates)


def _combine_choices(by: str, names: Sequence[str], choices: Sequence[Selection]) -> Selection:
    """The rows that any, or every, choice has. Raises SettingsError where there is none."""
    rows = (union if by == "union" else intersection)([each.rows for each in choices])
    if not len(rows):
        raise SettingsError("no row is chosen by every method", "Keep more with --keep, or use --combine-by union.")
    reasons = [dict(zip(each.rows.tolist(), each.why, strict=True)) for each in choices]
    why = tuple(
        "; ".join(f"{name}: {reason[row]}" for name, reason in zip(names, reasons, strict=True) if row in reason)
        for row in rows.tolist()
    )
    return Selection(rows, np.full(len(rows), math.nan), why, math.nan)


def choose_rows(
    run: Run,
    plan: Plan,
    method: Method | None,
    scored: Scored,
    rated: Sequence[Annotator] | None,
    progress: Progress,
    budget: Budget | None = None,
) -> Choice:
    """Filter, and choose of what is left.

    Args:
        run: with all that the plan reads.
        plan: which says what is left out, what groups give, and how the best are told apart.
        method: that scored or will choose; None = ranks of several were combined.
        scored: what it made of the run.
        rated: the raters of this call; None = the run's.
        progress: shows what is going on.
        budget: instead of the plan's.

    Raises:
        SettingsError: fewer rows can be chosen than are asked for.
        RunError: something that the plan reads is missing.
    """
    by_score = plan.filters.dedup is not None and not scored.chooses_set
    order = _best_first(scored.scores.score, tie_break(method, scored)) if by_score else None
    candidates = filter_rows(run, plan.filters, plan.settings, order)
    candidates = replace(candidates, alternatives=read_alternatives(run, plan.budget.best_of))
    step = None
    if plan.diversity is not None:
        assert isinstance(plan.diversity.method, SetMethod)
        known = {method_files.POOL: scored}
        made = score_part(run, plan.diversity, plan.prompts, rated, progress, known, asks=plan.asks)
        step = DiversityStep(plan.diversity.method, made, plan.pool)
    chooser = SetChooser(run, plan.settings, progress, plan.asks)
    choice = choose(method, scored, budget or plan.budget, candidates, chooser, step)
    beaten = _find_beaten(scored.scores.score, tie_break(method, scored), candidates, plan.budget.best_of)
    return replace(choice, beaten=beaten, passes=tuple(chooser.passes))


def _find_beaten(
    scores: Float64, ties: str | Float64, candidates: Candidates, best_of: str | None
) -> dict[int, Unchosen]:
    """The candidates that are not the best of their group."""
    if candidates.alternatives is None:
        return {}
    order = ranking(np.where(candidates.allowed, scores, np.nan), ties)
    best, reason = find_best(order, candidates.alternatives), f"is not the best of its {best_of}"
    others = np.sort(order[best[order] != order])
    return {
        row: Unchosen("best-of", reason, f"row {other} is", other)
        for row, other in zip(others.tolist(), best[others].tolist(), strict=True)
    }


def tie_break(method: Method | None, scored: Scored) -> str | Float64:
    """Which of two rows with equal scores comes first."""
    return method.tie_break(scored.signals) if isinstance(method, ScoringMethod) else "smaller"


def _best_first(scores: Float64, ties: str | Float64) -> Int64:
    """All rows, those without a score at the end."""
    return np.concatenate([ranking(scores, ties), np.flatnonzero(np.isnan(scores))])


def choose(
    method: Method | None,
    scored: Scored,
    budget: Budget,
    candidates: Candidates,
    chooser: SetChooser,
    step: DiversityStep | None = None,
) -> Choice:
    """The best of the candidates, those of the best that a diversity step takes, or the set that the method chooses.

    Arguments and errors as of `choose_rows`.
    """
    if isinstance(method, SetMethod):
        return Choice(_choose_set(chooser, method, scored.signals, budget, candidates), candidates)
    ties = tie_break(method, scored)
    if step is None:
        top = select_top(
            scored.scores.score,
            budget,
            ties=ties,
            allowed=candidates.allowed,
            alternatives=candidates.alternatives,
            groups=candidates.groups,
        )
        return Choice(top, candidates)
    return _diversify(chooser, scored, budget, candidates, step, ties)


def _choose_set(
    chooser: SetChooser, method: SetMethod, signals: Signals, budget: Budget, candidates: Candidates
) -> Selection:
    groups, rows = candidates.groups, np.flatnonzero(candidates.allowed)
    wanted = budget.count(len(rows), len(candidates.allowed))
    if not method.names_rows:
        found = _select_of(chooser, method, signals, rows, groups, wanted)
        selection = select_set(found.rows, wanted, budget, groups)
        return _name_targets(selection, found, signals.target) if isinstance(method, TargetMethod) else selection
    total = len(signals.rows)
    named = check_set(method.select(signals, total), total, total)
    named = named[candidates.allowed[named]]
    return select_set(named[:wanted] if groups is None else groups.take(named, wanted), wanted, budget, groups)


def _name_targets(selection: Selection, found: choosers.Choice, target: Target) -> Selection:
    """The selection, which says of each row which example of the target it is for."""
    names = tuple(target.groups[place] for place in target.group[found.targets].tolist())
    why = tuple(
        f"{each}, for example {example} of the target ({name})"
        for each, example, name in zip(selection.why, found.targets.tolist(), names, strict=True)
    )
    return replace(selection, why=why, groups={name: names.count(name) for name in target.groups})


def _select_of(
    chooser: SetChooser, method: SetMethod, signals: Signals, rows: Int64, groups: Groups | None, wanted: int
) -> choosers.Choice:
    """What a method chooses of some rows, of each group its share; the groups take turns in the order."""
    signals = chooser.read(method, signals, rows)
    counts = [wanted] if groups is None else groups.share_out(rows, wanted).tolist()
    of = np.zeros(len(rows), np.int64) if groups is None else groups.of[rows]
    none = np.zeros(0, np.int64)
    chosen, targets = [none], [none]
    for group in np.flatnonzero(counts):
        own, n = rows[of == group], counts[group]
        found = chooser.choose(method, signals if len(own) == len(signals.rows) else signals.take(own), own, n)
        chosen.append(own[found.rows])
        targets.append(found.targets)
    turns = np.argsort(np.concatenate([np.arange(len(each)) for each in chosen]), kind="stable")
    return choosers.Choice(np.concatenate(chosen)[turns], np.concatenate(targets)[turns])


def _diversify(
    chooser: SetChooser,
    scored: Scored,
    budget: Budget,
    candidates: Candidates,
    step: DiversityStep,
    ties: str | Float64,
) -> Choice:
    """Rows unlike each other among the best, of each group its share; the pool of a group is in proportion to it."""
    scores, groups = scored.scores.score, candidates.groups
    found = rank_candidates(scores, budget, ties=ties, allowed=candidates.allowed, alternatives=candidates.alternatives)
    ranked, wanted = found.rows, found.wanted
    size = 2 * wanted if step.pool is None else step.pool.count(int(candidates.allowed.sum()))
    if size < wanted:
        raise SettingsError(f"--pool has {size:,} rows, and {wanted:,} are to be kept", "Give a larger --pool.")
    best = ranked[:size] if groups is None else groups.take(ranked, size)
    check_filled(min(len(best), wanted), wanted, budget)
    rows = _select_of(chooser, step.method, step.scored.signals, np.sort(best), groups, wanted).rows
    chosen = select_set(rows, wanted, replace(budget, min_score=None))
    rank = {row: place for place, row in enumerate(ranked.tolist(), start=1)}
    name = step.scored.scores.name
    why = tuple(
        f"choice {place} of {len(rows)} by {name}, rank {rank[row]} of {len(ranked)}{group}"
        for place, (row, group) in enumerate(zip(rows.tolist(), name_groups(rows, groups), strict=True), start=1)
    )
    chosen = replace(chosen, scores=scores[rows], why=why, cut=float(scores[rows].min(initial=math.inf)))
    return Choice(chosen, candidates, _pass_over(step, np.setdiff1d(best, rows), rows), step, len(best))


def _pass_over(step: DiversityStep, passed: Int64, chosen: Int64) -> dict[int, Unchosen]:
    """Why rows of the pool were not chosen: which chosen row each is nearest to, where the step reads embeddings."""
    reason, signals = f"passed over by {step.scored.scores.name}", step.scored.signals
    found = {row: Unchosen("diversity", reason) for row in passed.tolist()}
    arrays = signals.stored.get("embeddings")
    if not isinstance(arrays, Embeddings):
        return found
    vectors = row_vectors(arrays, len(signals.rows))
    there = np.asarray(np.isfinite(vectors).all(axis=1))
    passed, chosen = passed[there[passed]], chosen[there[chosen]]
    if not len(chosen):
        return found
    nearest, cosine = nearest_of(vectors[passed], vectors[chosen])
    for row, kept, alike in zip(passed.tolist(), chosen[nearest].tolist(), cosine.tolist(), strict=True):
        found[row] = Unchosen("diversity", reason, f"most like row {kept}, cosine {alike:.2f}", kept_row=kept)
    return found


def to_config(choice: Choice) -> dict[str, Any]:
    """The encoder of the filters, and the diversity step, as they are stored with a selection; empty without any."""
    found: dict[str, Any] = {}
    if choice.candidates.answered:
        asked = {annotator.signal: annotator.path.name for annotator, _ in choice.candidates.answered}
        found["encoder"] = asked
    if choice.step is not None:
        found |= {"diversity": choice.step.scored.config, "pool": _name_pool(choice.step)}
    return found


def step_label(choice: Choice) -> str:
    """For file names: '-kcenter-both-seed0-of-40pct'; '' without a step."""
    return "" if choice.step is None else f"-{choice.step.scored.label}-of-{_name_pool(choice.step)}"


def _name_pool(step: DiversityStep) -> str:
    return "twice" if step.pool is None else step.pool.label
