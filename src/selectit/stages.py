"""The two ways of rating of a cascade, from the settings, and what makes none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from selectit.config import Settings
from selectit.errors import SettingsError
from selectit.prompts import PromptSet
from selectit.run import Run
from selectit.schema import Instead, ScoringMethod
from selectit.scoring import Part, check_raters, method_of, parts_of, prompts_asked, prompts_asked_by
from selectit.selection import Budget, parse_keep


@dataclass(frozen=True, slots=True)
class Stages:
    """The two ways of rating, and how much goes on from the first to the second."""

    first: Part
    full: Part
    amount: Budget
    prompts: PromptSet

    @property
    def one_model(self) -> bool:
        """Whether both ways have the same model, whose ratings need not be asked for twice."""
        return self.first.settings.model == self.full.settings.model


def stages_of(settings: Settings, prompts: PromptSet, run: Run | None) -> Stages:
    """The two ways of rating that the settings name. Raises SettingsError where they make no cascade."""
    assert settings.cascade is not None
    _check(settings)
    full = parts_of(settings, run)[0]
    _check_method(full)
    k = settings.cascade_k or 1
    if settings.cascade_model is None and k >= prompts_asked(full.method):
        raise SettingsError(
            f"the first rating has {k} of {prompts_asked(full.method)} prompts: nothing would be saved",
            "Give a smaller --cascade-k, a larger --k, or a smaller model with --cascade-model.",
        )
    model = settings.model if settings.cascade_model is None else (settings.cascade_model,)
    cheap = dataclasses.replace(settings, model=model, k=k, min_prompts=None)
    if settings.method == "selectit" and k == 1:  # what SelectIT makes of one prompt, in both profiles
        cheap = dataclasses.replace(cheap, level="token", k=settings.k)
    first = Part(1.0, cheap, method_of(cheap, run))
    for part in (first, full):
        prompts_asked_by([part], prompts)
        if part.settings.model:
            check_raters(part, len(prompts.labels))
    amount = Budget(**parse_keep(settings.cascade, "--cascade"))  # type: ignore[arg-type]
    return Stages(first, full, amount, prompts)


def _check(settings: Settings) -> None:
    if settings.combine is not None:
        raise SettingsError("--cascade is of one method, and --combine names several", "Leave one of them out.")
    if len(settings.model) > 1:
        raise SettingsError(
            f"--cascade is of one model, and there are {len(settings.model)}: {', '.join(settings.model)}",
            "Name one with --model, and the one that rates first with --cascade-model.",
        )
    if settings.cascade_model is not None and settings.cascade_model in settings.model:
        raise SettingsError(
            f"--cascade-model {settings.cascade_model} is the model itself", "Name a smaller one, or leave it out."
        )


def _check_method(part: Part) -> None:
    method, name = part.method, part.settings.method
    others = [need for need in method.needs if need != "ratings" and not isinstance(need, Instead)]
    if not isinstance(method, ScoringMethod) or "ratings" not in method.needs or others:
        raise SettingsError(
            f"--cascade is for methods that score rows by ratings alone, and {name} does not",
            "Leave out --cascade, or use a method such as selectit or expected-rating.",
        )
    if getattr(method, "by", "") == "batch":
        raise SettingsError(
            f"{name} by batch scores a row by all others, and a cascade leaves most of them out",
            "Use --param by=content-free, or leave out --cascade.",
        )


def check_budget(stages: Stages, budget: Budget, rows: int) -> None:
    """Raise SettingsError where fewer rows would go on than the budget keeps."""
    goes_on = stages.amount.count(rows)
    if not budget.only_threshold and goes_on < min(budget.count(rows), rows):
        raise SettingsError(
            f"--cascade lets {goes_on:,} of {rows:,} rows go on, and {budget.count(rows):,} are to be kept",
            "Let more go on, or keep fewer with --keep.",
        )
