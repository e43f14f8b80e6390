"""An experiment's TOML file, read and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selectit.config import options
from selectit.config.groups import (
    CombinationOptions,
    MethodOptions,
    OutputOptions,
    PlaceOptions,
    ReadingOptions,
    SourceOptions,
)
from selectit.config.settings import Settings, toml_table
from selectit.data.sources import open_source
from selectit.engines import loading
from selectit.errors import SettingsError, nearest
from selectit.evaluation.evaluate import check_files as check_evaluation_files
from selectit.evaluation.evaluate import find_refusal
from selectit.evaluation.settings import EvalSettings
from selectit.evaluation.suites import choose_protocols
from selectit.experiments.settings import (
    SEARCH,
    Choice,
    Experiment,
    Search,
    build_method,
    build_settings,
    largest_trials,
    list_cells,
    merge_settings,
)
from selectit.models.resolve import check_name
from selectit.selection.choose import parse_keep
from selectit.selection.resolve import resolve
from selectit.training import recipes
from selectit.training.recipes import Recipe

_SERVER = "the tuned models are on this machine, not on a server"


_DECIDED = {
    *options.names(PlaceOptions, MethodOptions, CombinationOptions, OutputOptions),
    "model",
    "keep",
    "share",
} - {"order", "with_scores"}
"""Settings that the experiment itself decides."""


def load(path: str | Path, data: str | None = None) -> Experiment:
    """Read an experiment; `data` stands for the file's own. Raises SettingsError, which names the key."""
    table = toml_table(path, "experiment", "examples/experiments")
    try:
        return _build_experiment(table, data)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}", error.hint) from error


def _build_experiment(table: dict[str, Any], data: str | None) -> Experiment:
    _check_keys(table, [*(f.name for f in dataclasses.fields(Experiment)), "recipe_changes"], "")
    source = data or table.get("data")
    if not source:
        raise SettingsError("no data set is named", "Write data = … in the file, or give --data FILE.")
    settings = table.get("settings", {})
    if not isinstance(table.get("choices", []), list):
        raise SettingsError("choices is no list of tables", "Write [[choices]] for each line of the table.")
    _check_keys(settings, [name for name in options.names(Settings) if name not in _DECIDED], "settings: ")
    _check_keys(table.get("evaluation", {}), [f.name for f in dataclasses.fields(EvalSettings)], "evaluation: ")
    _check_keys(table.get("search", {}), [f.name for f in dataclasses.fields(Search)], "search: ")
    recipe = recipes.load(str(table.get("recipe", recipes.DEFAULT)))
    changes = table.get("recipe_changes", {})
    _check_keys(changes, [f.name for f in dataclasses.fields(Recipe)], "recipe_changes: ")
    choices = tuple(_build_choice(each) for each in table.get("choices", []))
    if not choices:
        raise SettingsError("there are no choices", "Write [[choices]] with method = … for each line of the table.")
    read = {
        "data": str(source),
        "choices": choices,
        "recipe": dataclasses.replace(recipe, **changes),
        "settings": Settings(**settings),
        "evaluation": _build_evaluation({"roles": settings.get("roles", ()), **table.get("evaluation", {})}),
        "search": Search(**table.get("search", {})),
    }
    experiment = Experiment(**{**{name: table[name] for name in table if name != "recipe_changes"}, **read})
    _check_experiment(experiment)
    return experiment


def _build_choice(table: Any) -> Choice:
    _check_keys(table, [f.name for f in dataclasses.fields(Choice)], "choices: ")
    if "method" not in table:
        raise SettingsError(f"a choice has no method: {table}", "Write method = 'selectit', for example.")
    return Choice(**table)


def _build_evaluation(table: dict[str, Any]) -> EvalSettings:
    try:
        return EvalSettings(**table)
    except TypeError as error:
        raise SettingsError(f"evaluation: a value of the wrong kind: {error}", "See docs/evaluation.md.") from error


def _check_experiment(experiment: Experiment) -> None:
    """Whatever would only be found after hours."""
    _check_evaluation(experiment.evaluation)
    for choice in experiment.choices:
        _check_choice(choice)
    for budget in (*experiment.budgets, *(b for choice in experiment.choices for b in choice.budgets)):
        if budget != SEARCH:
            parse_keep(budget)
    found = [*list_cells(experiment), *largest_trials(experiment)]
    for cell in found:
        if cell.choice is not None:
            _check_choosing(cell.choice.name, build_settings(experiment, cell, "run"))
    lines = [(cell.line, cell.seed) for cell in found]
    for line in lines:
        if lines.count(line) > 1:
            raise SettingsError(
                f"two cells are {' '.join(filter(None, line[0]))}, seed {line[1]}",
                "Give the choices different names, and name budgets and seeds once.",
            )


def check_files(experiment: Experiment) -> None:
    """Raise SelectitError, before any data set is read, where a data set, a folder or a model is not there."""
    reading = experiment.settings
    with open_source(experiment.data, reading.split, reading.subset):
        pass
    for choice in experiment.choices:
        if choice.data:
            read = merge_settings(experiment, choice)
            with open_source(choice.data, read.split, read.subset):
                pass
    check_evaluation_files(experiment.evaluation)
    for name in experiment.models:
        check_name(name)
    raters = (name for choice in experiment.choices for name in choice.rater)
    for asked in (*raters, reading.encoder, reading.judge, reading.reward_model):
        if asked is not None:
            loading.find(reading.engine or loading.DEFAULT).check_name(asked)


def _check_choice(choice: Choice) -> None:
    """Its own settings, before they are laid over the experiment's."""
    _check_keys(choice.settings, [name for name in options.names(Settings) if name not in _DECIDED], "settings: ")
    for name in choice.settings:
        if not choice.data and name in options.names(SourceOptions, ReadingOptions):
            raise SettingsError(
                f"{choice.name}: {name} would read the experiment's data otherwise, for this choice alone",
                "Write it in [settings], or give the choice its own data.",
            )
    many = build_method(choice).many_models
    if many and len(choice.rater) < 2:
        raise SettingsError(f"{many} of {choice.name} needs several models", "Name them: rater = ['A', 'B'].")


def _check_choosing(name: str, settings: Settings) -> None:
    """That models, engine and prompts can give what the method asks, as `select` checks it."""
    try:
        resolve(settings)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error.message}", error.hint) from error


def _check_evaluation(evaluation: EvalSettings) -> None:
    """That there is something to evaluate, and that it can be done for models in folders."""
    if evaluation.out is not None:
        raise SettingsError("evaluation: the experiment decides where results go", "Leave out 'out'.")
    if evaluation.served:
        raise SettingsError(f"evaluation: {_SERVER}", "Use engine = 'hf' or 'vllm'.")
    protocols = choose_protocols(evaluation.suite, evaluation.task, heldout=bool(evaluation.heldout))
    refused = [why for why in (find_refusal(protocol.task, evaluation) for protocol in protocols) if why]
    for task in evaluation.task:
        why = find_refusal(task, evaluation)
        if why:
            raise SettingsError(f"evaluation: {task} can't be run", why[:1].upper() + why[1:] + ".")
    if len(refused) == len(protocols) and not evaluation.heldout:
        raise SettingsError(
            f"evaluation: nothing of it can be run: {'; '.join(refused)}", "Name held-out data, or a suite that can."
        )


def _check_keys(table: Any, names: list[str], where: str) -> None:
    if not isinstance(table, Mapping):
        raise SettingsError(f"{where}{table!r} is no table", "See docs/experiments.md.")
    for key in table:
        if key not in names:
            raise SettingsError(f"{where}there is no key {key!r}", nearest(key, names))
