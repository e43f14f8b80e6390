"""From settings to a plan: what will be asked, of whom, by which methods, and how much is kept.

Everything that follows from the settings is worked out and checked here, once, before anything is read or rated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from selectit import methods as method_files
from selectit.config import options
from selectit.config.groups import MethodOptions, ParameterOptions
from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.data.examples import Example, read_target
from selectit.data.layouts import parse_roles
from selectit.engines.loading import check_options
from selectit.errors import SettingsError
from selectit.inference.rate import models_of_run
from selectit.methods._base import Method, ScoringMethod
from selectit.runs.prompt_sets import K, load_prompts
from selectit.runs.run import Run
from selectit.selection.choose import Budget, parse_keep
from selectit.selection.filter_plan import resolve_filters
from selectit.selection.spec import (
    MethodSpec,
    Plan,
    build_spec,
    check_models,
    flatten,
    needs_ratings,
    parse_method,
    substituted_prompts,
)
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import RatingPrompt, Substitution

KEEP = "20%"


@dataclass(frozen=True, slots=True)
class Stages:
    """The two ways of rating of a cascade, and how much goes on from the first to the second."""

    first: MethodSpec
    full: MethodSpec
    amount: Budget
    prompts: PromptSet

    @property
    def one_model(self) -> bool:
        """Whether both ways have the same model, whose ratings need not be asked for twice."""
        return self.first.settings.model == self.full.settings.model


def resolve(
    settings: Settings,
    run: Run | None = None,
    methods: Sequence[str] = (),
    prompts: PromptSet | None = None,
    *,
    asks: bool = True,
    scores: bool = True,
) -> Plan:
    """What the settings come to.

    Args:
        settings: everything.
        run: the run that is gone on with, whose models and prompts are the default; None = new data will be read.
        methods: several methods, each 'name:parameter=value;parameter=value', instead of that of the settings.
        prompts: instead of those of the settings, which are not read then.
        asks: whether models will be asked; else all is there already, by whatever models the run was rated with.
        scores: whether the methods will score or choose; else they only say what is asked, of any number of models.

    Raises:
        SettingsError: whatever is wrong with the settings, as far as it can be known before the data is read.
    """
    check_options(settings)
    parts = [parse_method(text, settings, run) for text in methods] or method_specs(settings, run)
    budget, diversity = resolve_budget(settings, parts), resolve_diversity(settings, run)
    _check_quotas(settings, parts, budget)
    specs = [_with_reads(part, run) for part in (*parts, *diversity)]
    _check_target(settings, specs)
    rates = any(needs_ratings(spec.method) for spec in flatten(specs))
    rating_prompts: tuple[RatingPrompt, ...] = ()
    if rates or run is None:  # a mistake in the prompts is an error even where no method reads them
        prompts = prompts or load_prompts(settings, run)
        first = 1 if scores or not rates else len(prompts.first(settings.k or K))
        rating_prompts = required_prompts(specs, prompts, 1 if settings.combine else first)
    if rates and asks:
        settings = with_raters(settings, run)
    if asks and scores and settings.model != parts[0].settings.model:
        named = [dataclasses.replace(p, settings=dataclasses.replace(p.settings, model=settings.model)) for p in specs]
        specs = [_with_reads(part, run) for part in named]
    if asks:
        _check_asked(specs, prompts if scores else None)
    return Plan(
        settings=settings,
        parts=tuple(specs[: len(parts)]),
        budget=budget,
        prompts=prompts if rates else None,
        rating_prompts=rating_prompts if rates else (),
        filters=resolve_filters(settings, _known_roles(settings, run)),
        diversity=specs[-1] if diversity else None,
        pool=_resolve_pool(settings),
        asks=asks,
    )


def _check_asked(specs: Sequence[MethodSpec], prompts: PromptSet | None) -> None:
    """Raise SettingsError where a method can't be asked for, or can't use ratings under these prompts (None = any)."""
    for spec in flatten(specs):
        check_models(spec.method, spec.settings)
        if prompts is not None:
            spec.method.check(spec.settings.model, len(prompts.labels))


def resolve_rating(settings: Settings, run: Run | None) -> tuple[Settings, tuple[RatingPrompt, ...]]:
    """The settings with the models named, and what they are asked whatever the method is. Raises SettingsError."""
    check_options(settings)
    first = load_prompts(settings, run).first(settings.k or K)
    return with_raters(settings, run), first


def with_raters(settings: Settings, run: Run | None) -> Settings:
    """The settings with those models named that have rated the run, or the default, where none is.

    Raises SettingsError where the run may not name them.
    """
    names = settings.model or (() if run is None else models_of_run(run, settings)) or (DEFAULT_MODEL,)
    return dataclasses.replace(settings, model=names)


def method_specs(settings: Settings, run: Run | None) -> list[MethodSpec]:
    """The method of the settings, or the methods that are combined. Raises SettingsError."""
    if settings.combine is None:
        return [build_spec(settings, run)]
    for name in options.given(settings, MethodOptions, ParameterOptions):
        raise SettingsError(
            f"{options.flag(name)} belongs to one method, and --combine names several",
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


def _with_reads(spec: MethodSpec, run: Run | None, outer: tuple[str, ...] = ()) -> MethodSpec:
    """The method with those whose scores it reads, and theirs. Raises SettingsError where they go in a circle."""
    reads = {}
    for text in method_files.list_score_texts(spec.method):
        if text in outer:
            raise SettingsError(
                f"the scores of {text!r} are made of themselves", "Name other methods in its parameters."
            )
        if not text.startswith(method_files.STORED) and not (spec.in_pool and text == method_files.POOL):
            reads[text] = _with_reads(_scoring(text, spec.settings, run), run, (*outer, text))
    return dataclasses.replace(spec, reads=reads, target=_read_target(spec, run))


def _known_roles(settings: Settings, run: Run | None) -> tuple[str, ...]:
    """What speakers are called: as the settings say, else as in the run."""
    return settings.roles or (() if run is None else tuple(run.manifest["identity"].get("roles", ())))


def _read_target(spec: MethodSpec, run: Run | None) -> tuple[Example, ...]:
    """The examples that a method chooses towards, none for others. Raises SettingsError where it needs some."""
    method, named = spec.method, spec.settings.target
    if not method.towards_target or not (named or method.needs_target):
        return ()
    if not named:
        raise SettingsError(
            f"{spec.settings.method} chooses towards examples of what the model should become good at, and there are "
            "none",
            "Name a file with a few to a few hundred: --target FILE.",
        )
    roles = parse_roles(_known_roles(spec.settings, run))
    target = read_target(named, spec.settings.target_by, roles)
    method.check_target(target)
    return target


def _check_target(settings: Settings, specs: Sequence[MethodSpec]) -> None:
    """Raise SettingsError where a target is named that no method reads."""
    if settings.target and not any(spec.method.towards_target for spec in flatten(specs)):
        names = list(dict.fromkeys(spec.settings.method for spec in specs))
        raise SettingsError(
            f"--target does nothing: {', '.join(names)} {'read' if names[1:] else 'reads'} no target",
            "Leave it out, or use rds, knn-target or dsir.",
        )


def _scoring(text: str, settings: Settings, run: Run | None) -> MethodSpec:
    """The method of a `ScoreOf`. Raises SettingsError where it chooses a set."""
    plain = dataclasses.replace(settings, **options.defaults(ParameterOptions), k=None)
    spec = parse_method(text, plain, run)
    if not isinstance(spec.method, ScoringMethod):
        raise SettingsError(f"{text!r} chooses a set and scores no rows", "Name a method that scores rows.")
    return spec


_SHORT = {"novel": "novelselect"}
"""Methods that --diversity knows by a shorter name."""


def resolve_diversity(settings: Settings, run: Run | None) -> list[MethodSpec]:
    """The method of --diversity, if any; where it reads a `quality` that is not given, that is the pool's score.

    Raises SettingsError where it chooses no set.
    """
    if settings.diversity is None:
        return []
    name, given = method_files.parse_spec(settings.diversity)
    text = settings.diversity.replace(name, _SHORT.get(name, name), 1)
    plain = dataclasses.replace(settings, **options.defaults(ParameterOptions), k=None)
    spec = parse_method(text, plain, run)
    if isinstance(spec.method, ScoringMethod):
        raise SettingsError(
            f"--diversity {name} scores rows, and the step after the score chooses a set",
            "Name for example facility-location, kcenter, similarity, dpp, mmr or kmeans.",
        )
    method: Method = spec.method
    if "quality" in method_files.parameters(method) and "quality" not in given:
        method = method_files.with_parameters(method, {"quality": method_files.POOL})
    return [dataclasses.replace(spec, method=method, in_pool=True)]


def _resolve_pool(settings: Settings) -> Budget | None:
    return None if settings.pool is None else Budget(**parse_keep(settings.pool, "--pool"))  # type: ignore[arg-type]


def _check_quotas(settings: Settings, parts: Sequence[MethodSpec], budget: Budget) -> None:
    """Raise SettingsError where there is no amount to share out, or no score to make a pool."""
    for name in ("by", "diversity"):
        if getattr(settings, name) is None:
            continue
        if budget.only_threshold:
            raise SettingsError(f"{options.flag(name)} needs to know how many rows are kept", "Add --keep.")
        if settings.combine is not None and settings.combine_by != "rank":
            raise SettingsError(
                f"{options.flag(name)} can't be used with --combine-by {settings.combine_by}, which has no one score",
                "Use --combine-by rank, or one method.",
            )
    if settings.diversity is not None and not all(isinstance(part.method, ScoringMethod) for part in parts):
        raise SettingsError(
            f"{parts[0].settings.method} chooses a set, and --diversity chooses among the best by a score",
            "Leave out --diversity, or name a method that scores rows.",
        )


def required_prompts(specs: Sequence[MethodSpec], prompts: PromptSet, least: int = 1) -> tuple[RatingPrompt, ...]:
    """All that models are asked to rate: the first of the prompts, `least` or more, and those with other text in them.

    Raises SettingsError where the set is smaller, or asks about the instruction alone and a method rates responses.
    """
    asking = [spec.method for spec in flatten(specs)]
    rating = [method for method in asking if "ratings" in method.needs]
    if not prompts.sees_response and not all(method.instruction_alone for method in rating):
        raise SettingsError(
            f"the template of the prompt set {prompts.name!r} has no {{response}}, and this method rates responses",
            "Write {response} into it, or read ratings of the instruction alone with --method expected-rating.",
        )
    first = prompts.first(max(least, *(method.prompts for method in asking)))
    changed = (prompt for method in asking for prompt in substituted_prompts(method, prompts))
    return tuple(dict.fromkeys((*first, *changed)))


def resolve_budget(settings: Settings, parts: Sequence[MethodSpec]) -> Budget:
    """Where no amount, minimum score or groups are given: the only method's (`keep`, `min_score`), else 20 %.

    Raises SettingsError where groups are given and a method scores no rows.
    """
    keep, min_score, best_of = settings.keep, settings.min_score, settings.best_of
    sets = [part.settings.method for part in parts if not isinstance(part.method, ScoringMethod)]
    if best_of is not None and (sets or (settings.combine and settings.combine_by != "rank")):
        what = sets[0] if sets else f"--combine-by {settings.combine_by}"
        raise SettingsError(f"--best-of needs scores, and {what} chooses a set", "Use a method that scores rows.")
    if keep is None and min_score is None and len(parts) == 1:
        keep, min_score = parts[0].method.keep, parts[0].method.min_score
    if keep is None and min_score is None and best_of is None:
        keep = KEEP
    size = {} if keep is None else parse_keep(keep)
    return Budget(**size, min_score=min_score, best_of=best_of, allow_fewer=settings.allow_fewer)  # type: ignore[arg-type]


def resolve_cascade(plan: Plan, run: Run | None) -> Stages | None:
    """The two ways of rating that the settings name; None = no cascade. Raises SettingsError where they make none."""
    settings = plan.settings
    if settings.cascade is None:
        return None
    _check_cascade(settings)
    full = dataclasses.replace(plan.parts[0], settings=settings)
    _check_cascade_method(full)
    assert plan.prompts is not None
    k = settings.cascade_k or 1
    if settings.cascade_model is None and k >= full.method.prompts:
        raise SettingsError(
            f"the first rating has {k} of {full.method.prompts} prompts: nothing would be saved",
            "Give a smaller --cascade-k, a larger --k, or a smaller model with --cascade-model.",
        )
    model = settings.model if settings.cascade_model is None else (settings.cascade_model,)
    first = build_spec(dataclasses.replace(settings, model=model, **full.method.first_rating(k)), run)
    for spec in (first, full):
        required_prompts([spec], plan.prompts)
        if spec.settings.model:
            spec.method.check(spec.settings.model, len(plan.prompts.labels))
    amount = Budget(**parse_keep(settings.cascade, "--cascade"))  # type: ignore[arg-type]
    return Stages(first, full, amount, plan.prompts)


def _check_cascade(settings: Settings) -> None:
    if settings.best_of is not None:
        raise SettingsError("--cascade does not rate all rows, and --best-of compares all", "Leave one of them out.")
    if settings.combine is not None:
        raise SettingsError("--cascade takes one method, and --combine names several", "Leave one of them out.")
    if len(settings.model) > 1:
        raise SettingsError(
            f"--cascade takes one model, and there are {len(settings.model)}: {', '.join(settings.model)}",
            "Name one with --model, and the one that rates first with --cascade-model.",
        )
    if settings.cascade_model is not None and settings.cascade_model in settings.model:
        raise SettingsError(
            f"--cascade-model {settings.cascade_model} is the model itself", "Name a smaller one, or leave it out."
        )


def _check_cascade_method(part: MethodSpec) -> None:
    method, name = part.method, part.settings.method
    others = [need for need in method.needs if need != "ratings" and not isinstance(need, Substitution)]
    if not isinstance(method, ScoringMethod) or "ratings" not in method.needs or others:
        raise SettingsError(
            f"--cascade is for methods that score rows by ratings alone, and {name} does not",
            "Leave out --cascade, or use a method such as selectit or expected-rating.",
        )
    method.check_cascade()
