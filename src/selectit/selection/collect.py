"""From what a method needs to the signals it reads: collected where a model may be loaded, else from the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.inference import execute
from selectit.inference.rate import model_named, rate_prompts
from selectit.inference.units import count_tokens
from selectit.methods._base import Method
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, engine_of, find_annotator, models_in, named_annotator, units
from selectit.runs.files import slug
from selectit.runs.run import Run
from selectit.runs.stored import field_of, load_signal
from selectit.selection.spec import CANNOT, Plan, asked_model, named_model, requests_of, tokenizer_name
from selectit.signals.arrays import Signals
from selectit.signals.requests import Field, LossRequest, Request, signal_of

Resolve = Callable[[str, Settings], Model]
"""From a model's name to the model, under settings whose engine is known."""


Answered = tuple[Annotator, tuple[Request, ...]]
"""A model, and the works that it has answered for a method."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Signals, and who gave them; `config` names the models for the stored scores."""

    signals: Signals
    answered: tuple[Answered, ...]
    config: dict[str, Any]


def collect(run: Run, method: Method, settings: Settings, resolve: Resolve, progress: Progress) -> None:
    """Collect what a method asks of models but ratings, where it is not there yet."""
    for request in requests_of(method):
        name, signal = asked_model(request, settings), signal_of(request)
        here = _with_engine(run, settings, name, signal)
        model = resolve(name, here)
        enough = _enough(run, find_annotator(run, model.digest, here, signal), request)
        execute.rate_units(run, [model], [enough], here, progress)


def _enough(run: Run, annotator: Annotator | None, request: Request) -> Request:
    """The work, or one that was answered before and holds all of it: losses of the response alone too."""
    if annotator is not None and isinstance(request, LossRequest) and not request.both:
        whole = replace(request, both=True)
        if all(unit.path.exists() for unit in units(run, annotator, [whole])):
            return whole
    return request


def _with_engine(run: Run, settings: Settings, name: str, signal: str) -> Settings:
    """The settings with the engine for a signal: encoders and reward models are always on this machine."""
    engine = settings.engine or engine_of(run, [name], signal)
    local = signal in ("embeddings", "rewards") and engine in CANNOT
    tokenizer = None if signal == "judgements" else settings.tokenizer  # a judge has none, with or without the option
    return replace(settings, engine="hf" if local else engine, tokenizer=tokenizer)


def gather(run: Run, method: Method, settings: Settings, resolve: Resolve, progress: Progress) -> Gathered:
    """The stored signals of a method but ratings; only tokens are counted here where they are missing.

    Raises:
        RunError: a signal is missing; it says how to collect it.
    """
    signals = Signals(run.basic_rows())
    answered: list[Answered] = []
    config: dict[str, Any] = {}
    for need in method.needs:
        if need == "tokens":
            here = _with_engine(run, settings, tokenizer_name(settings), "ratings")
            model = resolve(tokenizer_name(settings), here)
            signals = replace(signals, stored_tokens=count_tokens(run, model, here, progress))
            config["tokenizer"] = f"{slug(model.name)}-{model.digest[:8]}"
        elif need == "texts":
            signals = replace(signals, stored_texts=tuple(run.samples(0, run.rows)))
        elif isinstance(need, Field):
            signals = replace(signals, stored_field=field_of(run, need.name))
    for request in requests_of(method):
        annotator = _stored(run, request, settings)
        enough = _enough(run, annotator, request)
        answered.append((annotator, (enough,)))
        config[signal_of(request)] = annotator.path.name
        signals = load_signal(run, annotator, enough, signals)
    return Gathered(signals, tuple(answered), config)


def _stored(run: Run, request: Request, settings: Settings) -> Annotator:
    """The model whose answers to a work are stored: the one that is named, or the only one. Raises RunError."""
    signal = signal_of(request)
    name = named_model(request, settings)
    if name is None:
        known = models_in(run, signal)
        if len(known) > 1:
            raise SettingsError(
                f"{run.path} has {signal} by {', '.join(known)}", "Say which with --model, --encoder or --judge."
            )
        if not known:
            raise RunError(
                f"{run.path} has no {signal}",
                f"Collect them: selectit rate --run {run.path} with this --method and a model.",
            )
        name = known[0]
    return named_annotator(run, name, settings, signal)


def collect_all(run: Run, plan: Plan, progress: Progress) -> list[Annotator] | None:
    """Ask for all that the methods read and is not there yet; the raters, None where nothing is rated.

    Losses that hold those of other methods come first.
    """
    rated = None
    if plan.asked and plan.prompts is not None:
        rated = rate_prompts(run, plan.settings, plan.prompts, plan.asked, progress)
    for spec in sorted(
        plan.every, key=lambda spec: any(isinstance(n, LossRequest) and not n.both for n in spec.method.needs)
    ):
        collect(run, spec.method, spec.settings, model_named, progress)
    return rated
