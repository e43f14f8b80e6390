"""From settings to methods: which with what parameters, alone or combined, and what they depend on."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selectit import methods as method_files
from selectit.config.settings import Settings
from selectit.engines.loading import check_gives
from selectit.errors import SettingsError
from selectit.methods._base import Method, ScoringMethod
from selectit.runs.annotators import models_in
from selectit.runs.run import Run
from selectit.selection.choose import Budget, parse_keep
from selectit.signals.base import SignalRequest
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import JudgeRequest, RatingPrompt, Request, Substitution


def requests_of(method: Method) -> list[Request]:
    """What a method asks of models but ratings, which come with prompts."""
    return [need for need in method.needs if isinstance(need, SignalRequest)]


def check(method: Method, settings: Settings) -> None:
    """Raise SettingsError where the settings name no model, or no engine, for what a method asks."""
    for request in requests_of(method):
        _check_judge(method, request, request.model_asked(settings))
        check_gives(settings.engine, request)
    if "tokens" in method.needs:
        tokenizer_name(settings)


def tokenizer_name(settings: Settings) -> str:
    """The one model whose tokenizer counts tokens. Raises SettingsError."""
    if len(settings.model) != 1:
        raise SettingsError("tokens are counted by one model's tokenizer", "Name it with --model.")
    return settings.model[0]


def _check_judge(method: Method, request: Request, judge: str) -> None:
    """Let a method that asks for one judge refuse another before it is asked."""
    check = getattr(method, "check_judge", None)
    if check is not None and isinstance(request, JudgeRequest):
        check(judge)


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One of the methods that are combined or compared, or the only one."""

    weight: float
    settings: Settings
    method: Method


OF_ONE_METHOD = ("level", "profile", "alpha", "weights", "min_prompts", "seed")


def method_specs(settings: Settings, run: Run | None) -> list[MethodSpec]:
    """The method of the settings, or the methods that are combined. Raises SettingsError."""
    if settings.combine is None:
        return [MethodSpec(1.0, settings, method_of(settings, run))]
    fresh = Settings()
    for name in ("method", *OF_ONE_METHOD, "param"):
        if getattr(settings, name) != getattr(fresh, name):
            flag = "--" + name.replace("_", "-")
            raise SettingsError(
                f"{flag} is of one method, and --combine names several",
                "Write parameters where the method is named, for example: 'selectit:alpha=0.4;k=3:0.7,length:0.3'.",
            )
    parts = [parse_method(text.strip(), settings, run) for text in settings.combine.split(",")]
    if len(parts) < 2:
        raise SettingsError(f"--combine names one method: {settings.combine}", "Name two or more, or use --method.")
    for part in parts:
        if settings.combine_by == "rank" and not isinstance(part.method, ScoringMethod):
            raise SettingsError(
                f"{part.settings.method} chooses a set and has no ranks", "Add --combine-by union or intersection."
            )
    return parts


def parse_method(text: str, settings: Settings, run: Run | None) -> MethodSpec:
    """A method as 'name:parameter=value;parameter=value', with ':weight' at the end or without."""
    before, colon, last = text.rpartition(":")
    weight = 1.0
    if colon and re.fullmatch(r"[-+.\deE]+|nan|inf", last):
        text, weight = before, _weight(text, last)
    name, parameters = method_files.parse_spec(text)
    alone = dataclasses.replace(settings, method=name, param={})
    return MethodSpec(weight, alone, _built(alone, parameters, run))


def with_dependencies(parts: Sequence[MethodSpec], run: Run | None, outer: tuple[str, ...] = ()) -> list[MethodSpec]:
    """The methods and all those whose scores they read, and theirs. Raises SettingsError where they go in a circle."""
    found = list(parts)
    for part in parts:
        for text in method_files.read_scores(part.method):
            if text in outer:
                raise SettingsError(
                    f"the scores of {text!r} are made of themselves", "Name other methods in its parameters."
                )
            if not text.startswith(method_files.STORED):
                found += with_dependencies([scoring_method(text, part.settings, run)], run, (*outer, text))
    return found


def scoring_method(text: str, settings: Settings, run: Run | None) -> MethodSpec:
    """The method of a `ScoreOf`. Raises SettingsError where it chooses a set."""
    plain = {name: getattr(Settings(), name) for name in (*OF_ONE_METHOD, "k")}
    part = parse_method(text, dataclasses.replace(settings, **plain), run)
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
    return _built(settings, {name: getattr(settings, name) for name in OF_ONE_METHOD} | dict(settings.param), run)


def flags_of(name: str) -> tuple[str, ...]:
    """The parameters of a method that have a flag of their own, as fields of `Settings`."""
    return (*OF_ONE_METHOD, *(("k",) if method_files.takes_prompts(name) else ()))


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


def required_prompts(parts: Sequence[MethodSpec], prompts: PromptSet, least: int = 1) -> tuple[RatingPrompt, ...]:
    """All that the methods ask raters: the first of the prompts, at least so many, and those with other text in them.

    Raises SettingsError where the set is smaller.
    """
    first = prompts.first(max(least, *(prompts_asked(part.method) for part in parts)))
    changed = (prompt for part in parts for prompt in substituted_prompts(part.method, prompts))
    return tuple(dict.fromkeys((*first, *changed)))


def substituted_prompts(method: Method, prompts: PromptSet) -> tuple[RatingPrompt, ...]:
    """A method's rating prompts with other text in the sample's place; none where it reads no such ratings."""
    others = [need for need in method.needs if isinstance(need, Substitution)]
    return tuple(prompt.instead(other) for other in others for prompt in prompts.first(prompts_asked(method)))


def check_all(parts: Sequence[MethodSpec], prompts: PromptSet | None = None) -> None:
    """Refuse, before anything is read or rated, what the methods' signals can't be collected with.

    Args:
        parts: with all the methods that they read.
        prompts: where the models that rate are known already: what methods say of them and of the labels too.
    """
    for part in parts:
        check(part.method, part.settings)
        if prompts is not None:
            check_raters(part, len(prompts.labels))


def check_raters(part: MethodSpec, labels: int) -> None:
    """Let a method that rates say what is wrong with the models or labels."""
    check_them = getattr(part.method, "check", None)
    if check_them is not None:
        check_them(part.settings.model, labels)


def needs_ratings(method: Method) -> bool:
    """Whether a method reads ratings."""
    return "ratings" in method.needs


def parameters_of(method: Method) -> dict[str, Any]:
    """The parameters of a method as TOML can say them."""
    assert dataclasses.is_dataclass(method)
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(method).items()
        if value is not None  # TOML has none
    }


def budget_of(settings: Settings, parts: Sequence[MethodSpec]) -> Budget:
    """Where neither an amount nor a minimum score is given: the only method's (`keep`, `min_score`), else 20 %."""
    keep, min_score = settings.keep, settings.min_score
    if keep is None and min_score is None:
        only = parts[0].method if len(parts) == 1 else None
        keep, min_score = getattr(only, "keep", "20%"), getattr(only, "min_score", None)
    size = {} if keep is None else parse_keep(keep)
    return Budget(**size, min_score=min_score, allow_fewer=settings.allow_fewer)  # type: ignore[arg-type]
