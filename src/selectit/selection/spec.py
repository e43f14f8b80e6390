"""A method with the settings that it is asked for under, and the models that it asks."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from selectit import methods as method_files
from selectit.config import options
from selectit.config.groups import ParameterOptions
from selectit.config.settings import Settings
from selectit.data.examples import Example
from selectit.engines.loading import check_gives
from selectit.errors import SettingsError
from selectit.methods._base import Method
from selectit.methods._tuning import tunes
from selectit.numerics.clusters import import_sklearn
from selectit.procedures.tuned import check_tuning
from selectit.runs.annotators import models_in
from selectit.runs.run import Run
from selectit.selection.choose import Budget
from selectit.selection.filter_plan import FilterPlan
from selectit.signals.base import SignalRequest
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import JudgeRequest, RatingPrompt, Request, Substitution


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One of the methods that are combined or compared, or the only one."""

    weight: float
    settings: Settings
    """With the method's name, and the models that are asked for it."""
    method: Method
    reads: Mapping[str, MethodSpec] = dataclasses.field(default_factory=dict)
    """The methods whose scores it reads, by the text of the `ScoreOf`; not those that are stored."""
    target: tuple[Example, ...] = ()
    """The examples that it chooses towards; none for other methods."""
    in_pool: bool = False
    """Whether it is a diversity step, which may read the score of its pool."""


def flatten(specs: Iterable[MethodSpec]) -> list[MethodSpec]:
    """The methods, and then all those whose scores they read, and theirs."""
    specs = list(specs)
    return [*specs, *(each for spec in specs for one in spec.reads.values() for each in flatten([one]))]


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings with all that follows from them."""

    settings: Settings
    """With the models named, where models rate."""
    parts: tuple[MethodSpec, ...]
    """The method, or those that are combined, compared or probed; each with the methods that it reads."""
    budget: Budget
    prompts: PromptSet | None
    """None where no method reads ratings."""
    rating_prompts: tuple[RatingPrompt, ...]
    """What models are asked about every row to rate it; empty where no method reads ratings."""
    filters: FilterPlan = FilterPlan()
    diversity: MethodSpec | None = None
    """The method that chooses rows unlike each other among the best; None = the best are chosen."""
    pool: Budget | None = None
    """How many of the best it chooses among; None = twice what is kept."""
    asks: bool = True
    """Whether models may be asked, and tuned, where an answer is missing; else all is there already."""

    @property
    def narrows(self) -> bool:
        """Whether there is more to a choice than a score or a set: filters, quotas or a diversity step."""
        return self.filters != FilterPlan() or self.diversity is not None

    @property
    def all_specs(self) -> list[MethodSpec]:
        """The methods and all that they read."""
        return flatten((*self.parts, *([self.diversity] if self.diversity else [])))


def list_requests(method: Method, target: tuple[Example, ...] = ()) -> list[Request]:
    """What a method asks of models, towards the examples of a target, but ratings, which come with prompts."""
    return [need.towards(target) for need in method.needs if isinstance(need, SignalRequest)]


def check_models(method: Method, settings: Settings) -> None:
    """Raise SettingsError where the settings name no model or engine that a method asks, or a package is missing."""
    for request in list_requests(method):
        model = request.model_asked(settings)
        if isinstance(request, JudgeRequest):
            method.check_judge(model)
        check_gives(settings.engine, request)
    if tunes(method):
        check_tuning(method, settings)
    if method.uses_k_means:
        import_sklearn()
    if "tokens" in method.needs:
        tokenizer_name(settings)


def tokenizer_name(settings: Settings) -> str:
    """The one model whose tokenizer counts tokens. Raises SettingsError."""
    if len(settings.model) != 1:
        raise SettingsError("tokens are counted by one model's tokenizer", "Name it with --model.")
    return settings.model[0]


def parse_method(text: str, settings: Settings, run: Run | None) -> MethodSpec:
    """A method as 'name:parameter=value;parameter=value', with ':weight' at the end or without."""
    before, colon, last = text.rpartition(":")
    weight = 1.0
    if colon and re.fullmatch(r"[-+.\deE]+|nan|inf", last):
        text, weight = before, _weight(text, last)
    name, parameters = method_files.parse_spec(text)
    alone = dataclasses.replace(settings, method=name, param={})
    return MethodSpec(weight, alone, _build(alone, parameters, run))


def _weight(text: str, number: str) -> float:
    hint = "A weight is a number above 0, for example 0.5."
    try:
        weight = float(number)
    except ValueError as error:
        raise SettingsError(f"{text!r}: {number!r} is no weight", hint) from error
    if not 0 < weight < math.inf:
        raise SettingsError(f"{text!r}: the weight is {number}", hint)
    return weight


def build_spec(settings: Settings, run: Run | None) -> MethodSpec:
    """The method of the settings with the parameters that were given. Raises SettingsError."""
    for key in settings.param:
        if key in list_flags(settings.method):
            raise SettingsError(f"--param {key}: it has a flag of its own", f"Write {options.flag(key)}.")
    given = options.values(settings, ParameterOptions) | dict(settings.param)
    return MethodSpec(1.0, settings, _build(settings, given, run))


def list_flags(name: str) -> tuple[str, ...]:
    """The parameters of a method that have a flag of their own, as fields of `Settings`."""
    return (*options.names(ParameterOptions), *(("k",) if method_files.lookup(name).takes_k else ()))


def _build(settings: Settings, parameters: Mapping[str, Any], run: Run | None) -> Method:
    """The method of the settings with these parameters, and the defaults that depend on the models."""
    kind = method_files.lookup(settings.method)
    given = kind.defaults(settings.model, () if run is None else tuple(models_in(run)))
    if kind.takes_k:
        given["k"] = settings.k  # for the other methods k is only how many prompts `rate` asks
    given |= {name: value for name, value in parameters.items() if value is not None}
    return method_files.build(settings.method, given)


def substituted_prompts(method: Method, prompts: PromptSet) -> tuple[RatingPrompt, ...]:
    """A method's rating prompts with other text in the sample's place; none where it reads no such ratings."""
    others = [need for need in method.needs if isinstance(need, Substitution)]
    return tuple(prompt.instead(other) for other in others for prompt in prompts.first(method.prompts))


def needs_ratings(method: Method) -> bool:
    """Whether a method reads ratings."""
    return "ratings" in method.needs


def to_toml_parameters(method: Method) -> dict[str, Any]:
    """The parameters of a method as TOML can say them."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in method_files.parameters(method).items()
        if value is not None  # TOML has none
    }
