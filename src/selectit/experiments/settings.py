"""What an experiment is: a TOML file, read and checked, and the cells of its table."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selectit import methods as method_files
from selectit.config import options
from selectit.config.groups import (
    ReadingOptions,
    SourceOptions,
    TargetOptions,
)
from selectit.config.options import matches_kind
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.evaluation.settings import EvalSettings
from selectit.jsonable import digest_of
from selectit.methods._base import Method
from selectit.selection.spec import list_flags, parse_method
from selectit.training.recipes import Recipe

BASE = "base"
"""The choice of nothing: the model as it was before any tuning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One way to choose rows: a line of the table, once for each budget."""

    method: str
    """A method as for `compare`: 'name:parameter=value;parameter=value'."""
    name: str = ""
    """In the table; '' = the method's text, and the data set's where it has its own."""
    data: str = ""
    """Another data set that the rows are from: LIMA beside Alpaca; '' = the experiment's."""
    budgets: tuple[str, ...] = ()
    """Empty = those of the experiment."""
    seeds: tuple[int, ...] = ()
    """Empty = those of the experiment."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other settings for this choice alone: of rating (prompts, chat, labels, judge, encoder), of reading `data`."""
    rater: tuple[str, ...] = ()
    """Other models that rate, instead of the one that is tuned: a small one, or several for the level `model`."""

    def __post_init__(self) -> None:
        _tuples(self, "budgets", "seeds", "rater")
        _check_kinds(self, "choices: ")
        _check_seeds(self.seeds)
        object.__setattr__(self, "name", self.name or " of ".join(filter(None, [self.method, Path(self.data).stem])))

    @property
    def source(self) -> str:
        """A name for its data set and how that is read, for files; '' for the experiment's."""
        if not self.data:
            return ""
        reading = {name: self.settings.get(name) for name in options.names(SourceOptions, ReadingOptions)}
        return f"{_slug(Path(self.data).stem)}-{digest_of({'data': self.data, **reading})[:6]}"


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
        _check_kinds(self, "search: ")
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

    def __post_init__(self) -> None:
        _tuples(self, "models", "budgets", "seeds")
        _check_kinds(self, "")
        _check_seeds(self.seeds)
        for name in ("models", "budgets", "seeds", "choices"):
            if not getattr(self, name):
                raise SettingsError(f"{name} is empty", "Name one at least.")


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
        """For files: different for different cells of one experiment, however long or odd their names are."""
        text = "-".join(filter(None, [*self.line, f"s{self.seed}"]))
        return f"{_slug(text)}-{digest_of({'line': self.line, 'seed': self.seed})[:6]}"

    @property
    def source(self) -> str:
        """Whose rows it is tuned on: `Choice.source`."""
        return "" if self.choice is None else self.choice.source

    @property
    def line(self) -> tuple[str, str, str]:
        """Model, choice and budget: what one line of the table is about."""
        return self.model, BASE if self.choice is None else self.choice.name, self.budget


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[-80:].strip("-.")


def list_cells(experiment: Experiment) -> list[Cell]:
    """All cells: model by model, the untuned one first, then choice by choice."""
    found: list[Cell] = []
    for model in experiment.models:
        if experiment.base:
            found.append(Cell(model, None, "", 0))
        for choice in experiment.choices:
            seeds = choice.seeds or experiment.seeds
            found += [Cell(model, choice, budget, seed) for budget in _budgets(experiment, choice) for seed in seeds]
    return found


def list_searches(experiment: Experiment) -> list[tuple[str, Choice]]:
    """The models and choices whose size is searched."""
    return [
        (model, choice)
        for model in experiment.models
        for choice in experiment.choices
        if SEARCH in (choice.budgets or experiment.budgets) and not has_own_size(choice)
    ]


def build_trial(experiment: Experiment, model: str, choice: Choice, percent: int) -> Cell:
    """The cell of one size that a search tries: with the first of the seeds."""
    return Cell(model, choice, f"{percent}%", (choice.seeds or experiment.seeds)[0])


def largest_trials(experiment: Experiment) -> list[Cell]:
    """The largest size that each search may try, for checks of all there is to come."""
    return [build_trial(experiment, *each, experiment.search.high) for each in list_searches(experiment)]


def _budgets(experiment: Experiment, choice: Choice) -> tuple[str, ...]:
    """The fixed ones; '' for a choice with a size of its own."""
    if has_own_size(choice):
        return ("",)
    return tuple(budget for budget in choice.budgets or experiment.budgets if budget != SEARCH)


def has_own_size(choice: Choice) -> bool:
    """Whether the method has a size of its own: full, fixed."""
    return build_method(choice).keep is not None


def keeps_all(choice: Choice) -> bool:
    """Whether the method keeps every row: full."""
    return build_method(choice).keep == "100%"


def merge_settings(experiment: Experiment, choice: Choice) -> Settings:
    """The experiment's settings with the choice's; how the experiment's own data is read is not how another one is."""
    plain = options.defaults(SourceOptions) if choice.data else {}
    return dataclasses.replace(experiment.settings, **{**plain, **choice.settings})


def build_settings(experiment: Experiment, cell: Cell, run: str) -> Settings:
    """The settings of the choice of a cell."""
    assert cell.choice is not None
    base = merge_settings(experiment, cell.choice)
    base = dataclasses.replace(base, run=run, model=cell.choice.rater or (cell.model,))
    settings = with_method(cell.choice.method, base)
    if cell.budget:
        settings = dataclasses.replace(settings, keep=cell.budget)
    if draws_at_random(cell.choice) and settings.seed is None:
        settings = dataclasses.replace(settings, seed=cell.seed)
    if not reads_target(cell.choice):  # the experiment's is for those choices that read one
        settings = dataclasses.replace(settings, **options.defaults(TargetOptions))
    return settings


def with_method(text: str, settings: Settings) -> Settings:
    """The settings with the method of 'name:parameter=value;parameter=value'."""
    name, given = method_files.parse_spec(text)
    parameters = method_files.parameters(parse_method(text, settings, None).method)
    values = {key: parameters[key] for key in given}
    flags = {key: value for key, value in values.items() if key in list_flags(name)}
    rest = {key: value for key, value in values.items() if key not in flags}
    return dataclasses.replace(settings, method=name, param=rest, **flags)


def draws_at_random(choice: Choice) -> bool:
    """Whether the method draws at random, so that each seed has a selection of its own."""
    return "seed" in method_files.parameters(build_method(choice))


def reads_target(choice: Choice) -> bool:
    """Whether the method, or one whose scores it reads, chooses towards a target."""
    inner = (Choice(method=text) for text in _inner_methods(choice))
    return build_method(choice).towards_target or any(map(reads_target, inner))


def _inner_methods(choice: Choice) -> list[str]:
    """The methods whose scores it reads, but those that a run has already."""
    texts = method_files.list_score_texts(build_method(choice))
    return [text for text in texts if not text.startswith(method_files.STORED)]


def build_method(choice: Choice) -> Method:
    """The method of a choice with its own parameters alone: what follows from the models is left to the default."""
    return method_files.build(*method_files.parse_spec(choice.method))


def _check_seeds(seeds: tuple[int, ...]) -> None:
    if any(seed < 0 for seed in seeds):
        raise SettingsError(f"seeds is {list(seeds)}", "Seeds are numbers of 0 or more.")


def _tuples(value: Any, *names: str) -> None:
    """Lists, as TOML has them, as tuples; budgets as text."""
    for name in names:
        given = getattr(value, name)
        if isinstance(given, str) and name == "rater":
            given = [given]
        if isinstance(given, list | tuple):
            object.__setattr__(value, name, tuple(str(e) if name == "budgets" else e for e in given))


def _check_kinds(value: Any, where: str) -> None:
    """Raise SettingsError where a field is not of its annotated kind."""
    for name, kind in typing.get_type_hints(type(value)).items():
        if not matches_kind(getattr(value, name), kind):
            raise SettingsError(
                f"{where}{name} is {getattr(value, name)!r}, a value of the wrong kind", "See docs/experiments.md."
            )
