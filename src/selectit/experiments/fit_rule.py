"""Your own rule for Instruction Mining: what the rows that models were tuned on say about the models' loss.

Cao et al., arXiv 2307.06290: random subsets, a model tuned on each, and the logarithm of its evaluation loss regressed
on the mean indicators of its rows. The subsets, models and losses are an experiment's cells of the choice `random`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from selectit import methods as method_files
from selectit.atomic_files import replacing
from selectit.config.groups import ModelOptions, ParameterOptions, RatingOptions
from selectit.config.options import defaults, names
from selectit.config.settings import Settings
from selectit.errors import DataError, RunError, SettingsError, nearest
from selectit.experiments.cell import ExperimentFolder, check_cells, lock
from selectit.experiments.clean import clean_data
from selectit.experiments.outcomes import Outcome
from selectit.experiments.rule_report import TITLE, Rule, rule_header
from selectit.experiments.run_cells import make_cells
from selectit.experiments.settings import Cell, Experiment, build_method, list_cells, with_method
from selectit.numerics.regression import check_points, check_values, regress
from selectit.progress import Progress, Silent
from selectit.runs.output import check_new_file
from selectit.runs.selections import load_rows
from selectit.selection.choose import parse_keep
from selectit.selection.rate import rate
from selectit.selection.score import score
from selectit.selection.select import select
from selectit.signals.arrays import Float64
from selectit.training.recipes import Recipe

DROP = 0.05
_SCALE = [name for name in names(RatingOptions, ModelOptions) if name != "k"]
"""Settings that decide an indicator's scale, and so are part of the rule. Engines agree but for rounding."""


def fit_rule(
    experiment: Experiment,
    out: str | Path,
    indicators: Sequence[str],
    *,
    metric: str = "",
    model: str | None = None,
    choice: str | None = None,
    budget: str | None = None,
    drop: float = DROP,
    rule: str | Path | None = None,
    keep: str | int | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Rule:
    """Fit a rule to the cells of an experiment's random choice, write it for `selectit select --config`, choose by it.

    Cells that are not finished are made first, as `experiment` makes them; its other choices are left alone.

    Args:
        experiment: from `load.load`.
        out: the experiment's folder. Typed again, it goes on where it was. Indicators that its run does not have are
            collected there, as `select` does.
        indicators: scoring methods, each 'name' or 'name:parameter=value;parameter=value'.
        metric: a line of the evaluation that is a loss; '' = the only one.
        model: the base model, where the experiment has several.
        choice: the random choice, where it has several.
        budget: its budget, where it has several.
        drop: indicators are dropped one at a time while the largest p-value is above this; 1 keeps all.
        rule: the file to write; None = OUT/rule.toml.
        keep: choose so many of the experiment's rows by the rule, into OUT/selected.* in the data's own format; None =
            choose none.
        settings: other settings of the indicators: encoder, pooling, judge, reward_model.
        progress: shows what is going on.

    Raises:
        SettingsError: no random choice, several of something and none named, no such loss, too few subsets,
            indicators that do not vary or follow from each other, or what scoring them refuses.
        RunError: cells of other settings, another process holds the folder, or `rule` is a file of something else.
        DataError: a subset in which no row has an indicator's score.
    """
    folder = Path(out)
    path = Path(rule) if rule is not None else folder / "rule.toml"
    _check_rule_file(path)
    progress = progress or Silent()
    _check_indicators(indicators, drop)
    if keep is not None:
        parse_keep(keep)
    found = _random_cells(experiment, {"model": model, "choice": choice, "budget": budget})
    check_points(len(found), len(indicators))
    place, outcomes = _make_random_cells(experiment, folder, found, progress)
    losses, named = _find_losses(found, outcomes, metric)
    check_values(np.log(losses), len(indicators))
    asking = _scoring_settings(experiment, found[0], place.clean.run.path, settings or {})
    scores = _score_indicators(asking, indicators, progress)
    means = _mean_scores(scores, place, found, indicators)
    regression = regress(indicators, means, np.log(losses), drop)
    made = Rule(
        line=found[0].line,
        recipe=_describe_recipe(experiment.recipe),
        data=Path(experiment.data).name,
        fingerprint=place.clean.source,
        rows=len(scores),
        subset_rows=outcomes[0].rows,
        metric=named,
        losses=tuple(losses.tolist()),
        missing={text: int((~np.isfinite(scores[:, at])).sum()) for at, text in enumerate(indicators)},
        regression=regression,
        out=path if regression.kept.slopes else None,
    )
    if made.out is None:
        return made
    with replacing(made.out) as file:
        file.write(_render_toml(made, asking).encode())
    return made if keep is None else dataclasses.replace(made, subset=_choose(made, asking, place, keep, progress))


def _check_rule_file(path: Path) -> None:
    """Raise SettingsError where the rule can't be written, RunError where a file of something else is there."""
    check_new_file("--rule", path, ".toml")
    if path.exists() and not path.read_bytes().startswith(f"# {TITLE}".encode()):
        raise RunError(f"{path} is there and is no rule of selectit fit-rule", "Name another with --rule.")


def _check_indicators(indicators: Sequence[str], drop: float) -> None:
    if not indicators:
        raise SettingsError("there are no indicators", "Name them: --indicators reward,length:unit=tokens,knn:k=6")
    for text in indicators:
        if text.startswith(method_files.STORED):
            raise SettingsError(
                f"the indicator {text!r} belongs to one run, and a rule is for any data",
                "Name the method that scored it.",
            )
        if indicators.count(text) > 1:
            raise SettingsError(f"the indicator {text!r} is named twice", "Name it once.")
    if not 0 < drop <= 1:
        raise SettingsError(f"--drop is {drop}", "It is a p-value above 0; 1 keeps every indicator.")


def _random_cells(experiment: Experiment, named: Mapping[str, str | None]) -> list[Cell]:
    """The cells of one model, random choice and budget. Raises SettingsError where it is not clear which."""
    found = [
        cell
        for cell in list_cells(experiment)
        if cell.choice is not None and not cell.choice.data and build_method(cell.choice).uniform
    ]
    if not found:
        raise SettingsError(
            "the experiment has no random subsets",
            "Add a choice with method = 'random' and 30 seeds: see examples/experiments/instruction-mining.toml.",
        )
    for place, (what, name) in enumerate(named.items()):
        known = list(dict.fromkeys(cell.line[place] for cell in found))
        if name is not None and name not in known:
            raise SettingsError(f"the random subsets have no {what} {name!r}", nearest(name, known))
        if name is None and len(known) > 1:
            raise SettingsError(f"the random subsets have several {what}s: {', '.join(known)}", f"Name one: --{what}.")
        found = [cell for cell in found if name is None or cell.line[place] == name]
    return found


def _make_random_cells(
    experiment: Experiment, folder: Path, found: Sequence[Cell], progress: Progress
) -> tuple[ExperimentFolder, list[Outcome]]:
    """Where the experiment is made, and what came of these cells, which are made where they are not finished."""
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        place = ExperimentFolder(experiment, folder, clean_data(experiment, folder))
        check_cells(place)
        return place, make_cells(place, found, progress)


def _find_losses(found: Sequence[Cell], outcomes: Sequence[Outcome], metric: str) -> tuple[Float64, str]:
    """(M,) as the tables show them, and what they are. Raises SettingsError where it is no loss, or not above 0."""
    first = outcomes[0].scores
    losses = [name for name, score in first.items() if score.lower]
    known = f"Losses: {', '.join(losses)}." if losses else "Evaluate on held-out data: docs/experiments.md."
    if metric and metric not in first:
        raise SettingsError(f"the evaluation has no line {metric!r}", nearest(metric, losses or first))
    if metric and metric not in losses:
        raise SettingsError(f"{metric} ({first[metric].metric}) is no loss: more of it is better", known)
    if not metric and len(losses) != 1:
        raise SettingsError(
            f"the evaluation has {len(losses)} losses", f"Name one with --metric. {known}" if losses else known
        )
    name = metric or losses[0]
    values = [outcome.scores[name].mean for outcome in outcomes]
    for value, cell in zip(values, found, strict=True):
        if not 0 < value < math.inf:
            raise SettingsError(
                f"{name} of {cell.name} is {value:g}, which has no logarithm", "Name another with --metric."
            )
    unit = first[name].metric
    return np.array(values), f"{name}, {unit.replace('per token', 'per row') if first[name].values else unit}"


def _scoring_settings(experiment: Experiment, cell: Cell, run: Path, given: Mapping[str, Any]) -> Settings:
    """The settings of scoring: the experiment's, and those that are given beside."""
    assert cell.choice is not None
    # An indicator has its own parameters, written where it is named, or the defaults.
    fresh = {**defaults(ParameterOptions), "k": None}
    annotators = cell.choice.rater or (cell.model,)
    return dataclasses.replace(
        experiment.settings, **{**cell.choice.settings, **fresh, **given}, run=str(run), model=annotators
    )


def _score_indicators(settings: Settings, indicators: Sequence[str], progress: Progress) -> Float64:
    """(N, P) scores of all rows of the run; what they are made of is collected where it is missing."""
    zeros = [0.0] * (len(indicators) + 1)
    rule = {"rule": "own", "indicators": list(indicators), "coefficients": zeros}
    rate(None, dataclasses.replace(settings, method="instruction-mining", param=rule), progress)
    assert settings.run is not None
    return np.stack([score(settings.run, with_method(text, settings), progress).score for text in indicators], axis=1)


def _mean_scores(scores: Float64, place: ExperimentFolder, found: Sequence[Cell], indicators: Sequence[str]) -> Float64:
    """(M, P) mean over those rows of each subset that have a score. Raises SettingsError, DataError."""
    means = np.empty((len(found), len(indicators)))
    subsets = [load_rows(place.clean.run, cell.name) for cell in found]
    if len({tuple(sorted(rows.tolist())) for rows in subsets}) == 1:
        raise SettingsError(
            "all subsets have the same rows", "Let the experiment's seeds draw them: leave the choice's own seed out."
        )
    for number, (cell, rows) in enumerate(zip(found, subsets, strict=True)):
        for column, text in enumerate(indicators):
            values = scores[rows, column]
            values = values[np.isfinite(values)]
            if not len(values):
                raise DataError(
                    f"no row of {cell.name} has a score of the indicator {text!r}",
                    "Leave the indicator out, or draw larger subsets.",
                )
            means[number, column] = values.mean()
    return means


def _describe_recipe(recipe: Recipe) -> str:
    by = f"{recipe.steps:,} steps" if recipe.steps is not None else f"{recipe.epochs:g} epochs"
    return f"{recipe.name}, {by}, batch {recipe.batch_size}, learning rate {recipe.learning_rate:g}"


def _choose(made: Rule, settings: Settings, place: ExperimentFolder, keep: str | int, progress: Progress) -> Path:
    """Choose rows of the experiment's data by the rule; the file."""
    out = place.folder / f"selected{place.clean.suffix}"
    param = _parameters(made)
    by = dataclasses.replace(
        settings, method="instruction-mining", param=param, keep=keep, name="rule", out=str(out), force=True
    )
    select(place.clean.path, by, progress)
    return out


def _parameters(rule: Rule) -> dict[str, Any]:
    """Of the method `instruction-mining`."""
    terms = rule.regression.kept.terms
    names = [term.name for term in terms[1:]]
    return {"rule": "own", "indicators": names, "coefficients": [term.value for term in terms]}


def _render_toml(rule: Rule, settings: Settings) -> str:
    fresh = Settings()
    plain = {name: getattr(settings, name) for name in _SCALE}
    kept = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in plain.items()
        if value != getattr(fresh, name)
    }
    notes = "".join(f"# {' '.join(line.split())}\n" for line in rule_header(rule))
    return notes + tomli_w.dumps({"method": "instruction-mining", **kept, "param": _parameters(rule)})
