"""What an experiment is: a TOML file, read and checked, and the cells of its table."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selectit import methods as method_files
from selectit import recipes
from selectit.config import Settings
from selectit.errors import SettingsError, nearest
from selectit.evaluation.options import EvalSettings
from selectit.recipes import Recipe
from selectit.scoring import flags_of, part_named
from selectit.selection import parse_keep

BASE = "base"
"""The choice of nothing: the model as it was before any tuning."""
_OWN = ("run", "model", "method", "param", "combine", "combine_by", "keep", "out", "rest", "name", "force", "share")
"""Settings that the experiment itself decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One way to choose rows: a line of the table, once for each budget."""

    method: str
    """A method as for `compare`: 'name:parameter=value;parameter=value'."""
    name: str = ""
    """In the table; '' = the method's text."""
    budgets: tuple[str, ...] = ()
    """Empty = those of the experiment."""
    seeds: tuple[int, ...] = ()
    """Empty = those of the experiment."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of rating for this choice alone: prompts, chat, labels, judge, encoder."""
    rater: str | None = None
    """Another model that rates instead of the one that is tuned: Superfiltering's small one."""

    def __post_init__(self) -> None:
        for name in ("budgets", "seeds"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "name", self.name or self.method)


SEARCH = "search"
"""The budget of a choice whose size is searched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Between which sizes, how often, and by what a choice with the budget 'search' is tried."""

    trials: int = 8
    low: int = 5
    """Percent of the rows."""
    high: int = 100
    metric: str = ""
    """A line of the evaluation, as the report names it; '' = the first."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1 or not 1 <= self.low < self.high <= 100:
            raise SettingsError(
                f"search: {self.trials} trials from {self.low} to {self.high} percent",
                "Give one trial or more, and whole percents from 1 to 100.",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """All of a file."""

    data: str
    choices: tuple[Choice, ...]
    models: tuple[str, ...] = ("smollm2",)
    budgets: tuple[str, ...] = ("20%",)
    seeds: tuple[int, ...] = (0,)
    """Of the training, and of methods that draw."""
    recipe: Recipe = field(default_factory=Recipe)
    settings: Settings = field(default_factory=Settings)
    evaluation: EvalSettings = field(default_factory=EvalSettings)
    search: Search = field(default_factory=Search)
    decontaminate: bool = True
    """Leave out rows that share a question with the evaluation."""
    base: bool = True
    """Evaluate the models before any tuning too."""
    keep_models: bool = False
    """Keep the tuned models' weights when they are evaluated."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One model tuned once, or not at all."""

    model: str
    choice: Choice | None
    """None = as it was before any tuning."""
    budget: str
    """'' for a choice with a size of its own, and for the model before any tuning."""
    seed: int

    @property
    def name(self) -> str:
        """For files: different for different cells of one experiment."""
        what = BASE if self.choice is None else self.choice.name
        return _slug("-".join(filter(None, [self.model, what, self.budget, f"s{self.seed}"])))

    @property
    def line(self) -> tuple[str, str, str]:
        """Model, choice and budget: what one line of the table is about."""
        return self.model, BASE if self.choice is None else self.choice.name, self.budget


def cells(experiment: Experiment) -> list[Cell]:
    """All cells: model by model, the untuned one first, then choice by choice."""
    found: list[Cell] = []
    for model in experiment.models:
        if experiment.base:
            found.append(Cell(model, None, "", 0))
        for choice in experiment.choices:
            seeds = choice.seeds or experiment.seeds
            found += [Cell(model, choice, budget, seed) for budget in _budgets(experiment, choice) for seed in seeds]
    return found


def searches(experiment: Experiment) -> list[tuple[str, Choice]]:
    """The models and choices whose size is searched."""
    return [
        (model, choice)
        for model in experiment.models
        for choice in experiment.choices
        if SEARCH in (choice.budgets or experiment.budgets) and not own_size(choice)
    ]


def _budgets(experiment: Experiment, choice: Choice) -> tuple[str, ...]:
    """The fixed ones; '' for a choice with a size of its own."""
    if own_size(choice):
        return ("",)
    return tuple(budget for budget in choice.budgets or experiment.budgets if budget != SEARCH)


def own_size(choice: Choice) -> bool:
    """Whether the method has a size of its own: full, fixed."""
    return getattr(part_named(choice.method, Settings(), None).method, "keep", None) is not None


def selecting(experiment: Experiment, cell: Cell, run: str) -> Settings:
    """The settings of the choice of a cell."""
    assert cell.choice is not None
    base = dataclasses.replace(
        experiment.settings, **cell.choice.settings, run=run, model=(cell.choice.rater or cell.model,)
    )
    settings = settings_of(cell.choice.method, base)
    if cell.budget:
        settings = dataclasses.replace(settings, keep=cell.budget)
    if draws(cell.choice) and settings.seed is None:
        settings = dataclasses.replace(settings, seed=cell.seed)
    return settings


def settings_of(text: str, settings: Settings) -> Settings:
    """The settings with the method of 'name:parameter=value;parameter=value'."""
    name, given = method_files.spelled(text)
    method = part_named(text, settings, None).method
    values = {key: getattr(method, key) for key in given}
    flags = {key: value for key, value in values.items() if key in flags_of(name)}
    rest = {key: value for key, value in values.items() if key not in flags}
    return dataclasses.replace(settings, method=name, param=rest, **flags)


def draws(choice: Choice) -> bool:
    """Whether the method draws at random, so that each seed has a selection of its own."""
    return hasattr(part_named(choice.method, Settings(), None).method, "seed")


def load(path: str | Path, data: str | None = None) -> Experiment:
    """Read an experiment; `data` stands for the file's own. Raises SettingsError, which names the key."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the experiment {path}: {error}", "Name a TOML file.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}", "See examples/experiments.") from error
    try:
        return _experiment(table, data)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}", error.hint) from error


def _experiment(table: dict[str, Any], data: str | None) -> Experiment:
    _known(table, [*(f.name for f in dataclasses.fields(Experiment)), "recipe_changes"], "")
    source = data or table.get("data")
    if not source:
        raise SettingsError("no data set is named", "Write data = … in the file, or give --data FILE.")
    settings = table.get("settings", {})
    _known(settings, [f.name for f in dataclasses.fields(Settings) if f.name not in _OWN], "settings: ")
    _known(table.get("evaluation", {}), [f.name for f in dataclasses.fields(EvalSettings)], "evaluation: ")
    _known(table.get("search", {}), [f.name for f in dataclasses.fields(Search)], "search: ")
    recipe = recipes.load(str(table.get("recipe", recipes.DEFAULT)))
    changes = table.get("recipe_changes", {})
    _known(changes, [f.name for f in dataclasses.fields(Recipe)], "recipe_changes: ")
    choices = tuple(_choice(each) for each in table.get("choices", []))
    if not choices:
        raise SettingsError("there are no choices", "Write [[choices]] with method = … for each line of the table.")
    plain: dict[str, Any] = {name: tuple(table[name]) for name in ("models", "seeds") if name in table}
    plain |= {name: bool(table[name]) for name in ("decontaminate", "base", "keep_models") if name in table}
    experiment = Experiment(
        data=str(source),
        choices=choices,
        budgets=tuple(str(each) for each in table.get("budgets", ["20%"])),
        recipe=dataclasses.replace(recipe, **changes),
        settings=Settings(**settings),
        evaluation=EvalSettings(**table.get("evaluation", {})),
        search=Search(**table.get("search", {})),
        **plain,
    )
    _check(experiment)
    return experiment


def _choice(table: dict[str, Any]) -> Choice:
    _known(table, [f.name for f in dataclasses.fields(Choice)], "choices: ")
    if "method" not in table:
        raise SettingsError(f"a choice has no method: {table}", "Write method = 'selectit', for example.")
    budgets = tuple(str(each) for each in table.get("budgets", ()))
    return Choice(**{**table, "budgets": budgets})


def _check(experiment: Experiment) -> None:
    """Whatever would only be found after hours."""
    for choice in experiment.choices:
        method_files.lookup(method_files.spelled(choice.method)[0])
        _known(choice.settings, [f.name for f in dataclasses.fields(Settings) if f.name not in _OWN], "settings: ")
    for budget in (*experiment.budgets, *(b for choice in experiment.choices for b in choice.budgets)):
        if budget != SEARCH:
            parse_keep(budget)
    found = cells(experiment)
    for cell in found:
        if cell.choice is not None:
            selecting(experiment, cell, "run")
    names = [cell.name for cell in found]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"two cells are named {name}", "Give the choices different names.")
    if experiment.evaluation.out is not None:
        raise SettingsError("evaluation: the experiment decides where results go", "Leave out 'out'.")


def _known(table: Mapping[str, Any], names: list[str], where: str) -> None:
    for key in table:
        if key not in names:
            raise SettingsError(f"{where}there is no key {key!r}", nearest(key, names))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:100]
