"""From what a method needs to the signals it reads: collected where a model may be loaded, else from the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from selectit.config.settings import Settings
from selectit.data.examples import Example
from selectit.engines.loading import engine_for
from selectit.errors import RunError, SettingsError
from selectit.inference import execute
from selectit.inference.rate import find_engine, find_model, find_raters, rate_prompts
from selectit.inference.tokens import count_tokens
from selectit.inference.units import Task
from selectit.methods._tuning import TuningScoringMethod, tunes
from selectit.procedures.follow import follow_scoring
from selectit.procedures.tuned import check_trainings
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, find_annotator, models_in, named_annotator
from selectit.runs.files import slug
from selectit.runs.run import Run
from selectit.runs.stored import field_of, is_answered, load_arrays
from selectit.runs.targets import digest_target, open_target_run
from selectit.selection.spec import MethodSpec, Plan, list_requests, needs_ratings, substituted_prompts, tokenizer_name
from selectit.signals.arrays import INSTEAD, Signals, Target
from selectit.signals.base import Arrays
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import Field, Request

Answered = tuple[Annotator, tuple[Request, ...]]
"""A model, and the requests that it has answered for a method."""


@dataclass(frozen=True, slots=True)
class LoadedSignals:
    """Signals, and who gave them; `config` names the models for the stored scores."""

    signals: Signals
    raters: tuple[Annotator, ...]
    """Those who rated; none where the method reads no ratings."""
    answered: tuple[Answered, ...]
    config: dict[str, Any]


def collect(run: Run, spec: MethodSpec, progress: Progress) -> None:
    """Ask models for what a method needs and is not there yet, ratings aside: of the rows, and of a target."""
    _do(_tasks(run, list_requests(spec.method, spec.target), spec.settings, spec.target), progress)


def collect_tuned(run: Run, spec: MethodSpec, progress: Progress) -> None:
    """Ask the models that a scoring method tunes on the way, which `score_part` does too: for those who don't score."""
    if isinstance(spec.method, TuningScoringMethod):
        loaded = load_signals(run, spec, None, None, progress)
        follow_scoring(run, spec.method, loaded.signals, spec.settings, progress, asks=True)


def collect_requests(run: Run, requests: Iterable[Request], settings: Settings, progress: Progress) -> None:
    """Ask models for what is not there yet of these requests, ratings aside."""
    _do(_tasks(run, requests, settings), progress)


def _do(tasks: Iterable[Task], progress: Progress) -> None:
    for task in tasks:
        execute.do_units(task.run, [task.model], task.requests, task.settings, progress)


def _tasks(
    run: Run, requests: Iterable[Request], settings: Settings, target: tuple[Example, ...] = ()
) -> Iterator[Task]:
    """What models are asked about the rows and the examples of a target, ratings aside."""
    for request in requests:
        name = request.model_asked(settings)
        here = _with_engine(run, settings, name, request)
        model = find_model(name, here)
        enough = _enough(run, find_annotator(run, model.digest, here, request.signal), request)
        yield Task(run, model, (enough,), here)
        if target and not request.of_target:
            yield Task(open_target_run(run, target), model, (request.of_examples,), here)


def _enough(run: Run, annotator: Annotator | None, request: Request) -> Request:
    """The request, or one that was answered before and whose answers hold all of its."""
    if annotator is not None:
        for wider in request.wider:
            if is_answered(run, annotator, wider):
                return wider
    return request


def _with_engine(run: Run, settings: Settings, name: str, request: Request) -> Settings:
    """The settings with the engine that is asked, and without a tokenizer that would have no part in the answer."""
    engine = engine_for(settings.engine or find_engine(run, [name], request.signal), request)
    return replace(settings, engine=engine, tokenizer=settings.tokenizer if request.tokenized else None)


def load_signals(
    run: Run,
    spec: MethodSpec,
    prompts: PromptSet | None,
    rated: Sequence[Annotator] | None,
    progress: Progress,
) -> LoadedSignals:
    """The stored signals of a method but other methods' scores; only tokens are counted here where they are missing.

    Args:
        run: where they are stored.
        spec: the method, which says what it needs, and the settings, which name the models.
        prompts: of ratings; None where the method reads none.
        rated: the raters of this call; None = the run's.
        progress: shows the counting.

    Raises:
        RunError: a signal is missing; it says how to collect it.
    """
    method, settings = spec.method, spec.settings
    signals, config = _load_rows(run, spec, progress)
    stored: dict[str, Any] = {}
    answered: list[Answered] = []
    raters: tuple[Annotator, ...] = ()
    for request in list_requests(method, spec.target):
        found, stored[request.signal] = load_answers(run, request, settings)
        answered.append(found)
        config[request.signal] = found[0].path.name
    if needs_ratings(method):
        assert prompts is not None
        raters = tuple(rated or _find_raters(run, spec))
        first, instead = prompts.first(method.prompts), substituted_prompts(method, prompts)
        stored["ratings"] = load_arrays(run, raters, first)
        if instead:
            stored[INSTEAD] = load_arrays(run, raters, instead)
        config |= {"models": [annotator.path.name for annotator in raters], "prompts": prompts.fingerprint}
        answered += [(annotator, (*first, *instead)) for annotator in raters]
    if spec.target:
        signals = replace(signals, stored_target=_load_target(run, spec, answered))
        config["target"] = digest_target(spec.target)
    return LoadedSignals(replace(signals, stored=stored), raters, tuple(answered), config)


def _load_target(run: Run, spec: MethodSpec, answered: Sequence[Answered]) -> Target:
    """What is stored of the target's examples, by the models that answered about the rows. Raises RunError."""
    inner = open_target_run(run, spec.target)
    stored: dict[str, Any] = {}
    for annotator, (request, *_) in answered:
        if request.of_target:
            continue
        asked = request.of_examples
        same = find_annotator(inner, str(annotator.manifest["digest"]), spec.settings, request.signal)
        if same is None or not is_answered(inner, same, asked):
            raise RunError(
                f"{run.path} has no {request.signal} of the target's examples by {annotator.name}",
                f"Collect them: selectit rate --run {run.path} with this --method, --target and model.",
            )
        stored[request.signal] = load_arrays(inner, [same], [asked])
    texts = tuple(inner.samples(0, inner.rows)) if "texts" in spec.method.needs else None
    groups = list(dict.fromkeys(each.group for each in spec.target))
    group = np.array([groups.index(each.group) for each in spec.target], np.int64)
    return Target(Signals(inner.basic_rows(), stored, stored_texts=texts), group, tuple(groups), spec.target)


def load_answers(run: Run, request: Request, settings: Settings) -> tuple[Answered, Arrays]:
    """Who has answered a request, and what. Raises RunError where it is not there; it says how to collect it."""
    annotator = _find_annotator(run, request, settings)
    enough = _enough(run, annotator, request)
    return (annotator, (enough,)), load_arrays(run, [annotator], [enough])


def _load_rows(run: Run, spec: MethodSpec, progress: Progress) -> tuple[Signals, dict[str, Any]]:
    """What a method reads of the data itself, and the tokenizer that counted, for the stored scores."""
    signals = Signals(run.basic_rows())
    config: dict[str, Any] = {}
    for need in spec.method.needs:
        if need == "tokens":
            name = tokenizer_name(spec.settings)
            here = replace(spec.settings, engine=spec.settings.engine or find_engine(run, [name]))
            model = find_model(name, here)
            signals = replace(signals, stored_tokens=count_tokens(run, model, here, progress))
            config["tokenizer"] = f"{slug(model.name)}-{model.digest[:8]}"
        elif need == "texts":
            signals = replace(signals, stored_texts=tuple(run.samples(0, run.rows)))
        elif isinstance(need, Field):
            signals = replace(signals, stored_field=field_of(run, need.name))
    return signals, config


def _find_annotator(run: Run, request: Request, settings: Settings) -> Annotator:
    """The model whose answers to a request are stored: the one that is named, or the only one. Raises RunError."""
    name = request.model_named(settings)
    if name is None:
        known = models_in(run, request.signal)
        if len(known) > 1:
            raise SettingsError(
                f"{run.path} has {request.signal} by {', '.join(known)}",
                "Say which with --model, --encoder or --judge.",
            )
        if not known:
            raise RunError(
                f"{run.path} has no {request.signal}",
                f"Collect them: selectit rate --run {run.path} with a model, and --method, --dedup or --diversity.",
            )
        name = known[0]
    return named_annotator(run, name, settings, request.signal)


def _find_raters(run: Run, spec: MethodSpec) -> list[Annotator]:
    """The run's raters that the settings name, or all of them; one for each model."""
    known = models_in(run)
    if not known:
        raise RunError(f"{run.path} has no ratings", f"Rate it first: selectit rate --run {run.path} --model NAME")
    if len(known) > 1 and spec.method.ordered_models and not spec.settings.model:
        raise SettingsError(
            f"the weights go by the order of the models, and {run.path} has {', '.join(known)}",
            "Give the order: --model once for each.",
        )
    return [named_annotator(run, name, spec.settings) for name in spec.settings.model or known]


def collect_all(run: Run, plan: Plan, progress: Progress) -> list[Annotator] | None:
    """Ask for all that the plan reads and is not there yet; the raters, None where nothing is rated."""
    rated = None
    _check_trainings(run, plan)
    execute.check_models(list_tasks(run, plan))
    if plan.rating_prompts and plan.prompts is not None:
        rated = rate_prompts(run, plan.settings, plan.prompts, plan.rating_prompts, progress)
    collect_signals(run, plan, progress)
    return rated


def _check_trainings(run: Run, plan: Plan) -> None:
    """Raise SettingsError where a method that tunes would find too few rows to learn from, at the most."""
    for method in (spec.method for spec in plan.all_specs):
        if tunes(method):
            check_trainings(method.outline(run.rows, plan.budget.count(run.rows)))


def collect_signals(run: Run, plan: Plan, progress: Progress) -> None:
    """Ask for all but ratings that is not there yet. Answers that may hold those of other methods come first."""
    for spec in sorted(plan.all_specs, key=lambda spec: any(request.wider for request in list_requests(spec.method))):
        collect(run, spec, progress)
    collect_requests(run, plan.filters.requests, plan.settings, progress)


def list_tasks(run: Run, plan: Plan) -> Iterator[Task]:
    """What all models are asked, a task for each model and signal."""
    if plan.rating_prompts and plan.prompts is not None:
        settings, models = find_raters(run, plan.settings, plan.prompts)
        yield from (Task(run, model, plan.rating_prompts, settings) for model in models)
    for spec in plan.all_specs:
        yield from _tasks(run, list_requests(spec.method, spec.target), spec.settings, spec.target)
    yield from _tasks(run, plan.filters.requests, plan.settings)
