"""From settings to ratings: which run, which models, which prompts, and having them rated."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import tomli_w

from selectit.atomic_files import replacing
from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.engines import loading
from selectit.errors import SettingsError
from selectit.inference.execute import rate_units as collect_ratings
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, annotators, models_in
from selectit.runs.run import Run, open_run
from selectit.runs.source import create
from selectit.signals import prompts as prompt_files
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import RatingPrompt, kinds

log = logging.getLogger(__name__)
K = 5


def run_of(data: str | Path | None, settings: Settings) -> Run:
    """The run of the data, created where it is not there; None = the run that the settings name."""
    if data is None:
        if settings.run is None:
            raise SettingsError("there is neither a data file nor a run", "Name a data file, or a run with --run.")
        return open_run(settings.run)
    run = create(data, settings)
    log.info("run directory: %s (%d rows, layout %s)", run.path, run.rows, run.manifest["layout"])
    if run.manifest["skipped_rows"]:
        log.info("%d bad rows were left out: %s", run.manifest["skipped_rows"], run.path / "source" / "rejected.jsonl")
    return run


def to_rate(data: str | Path | None, settings: Settings) -> tuple[Run, Settings, PromptSet, tuple[RatingPrompt, ...]]:
    """The run, the settings with the models named, the prompts, and those of them that are asked."""
    old = run_of(None, settings) if data is None else None
    prompts = prompts_of_run(settings, old)
    first = prompts.first(settings.k or K)
    run = old or run_of(data, settings)
    names = settings.model or tuple(models_in(run) if data is None else ()) or (DEFAULT_MODEL,)
    return run, dataclasses.replace(settings, model=names), prompts, first


def rate_prompts(
    run: Run, settings: Settings, prompts: PromptSet, first: tuple[RatingPrompt, ...], progress: Progress
) -> list[Annotator]:
    """Have every model of the settings rate under the `first` of the prompts; the set is stored with the run."""
    settings = as_begun(run, settings, settings.model)
    loading.check(settings, prompts.chat)
    models = [model_named(name, settings) for name in settings.model]
    try:
        return collect_ratings(run, models, first, settings, progress)
    finally:
        # Only a set under which there are ratings: one whose labels were refused leaves nothing behind.
        if any(run.path.glob(f"ratings/*/prompt-{first[0].fingerprint}/part-*")):
            _store_prompts(run, prompts)


def as_begun(run: Run, settings: Settings, names: Sequence[str]) -> Settings:
    """The settings with the engine, and the tokenizer, with which the run was rated by these models."""
    engine = settings.engine or engine_of(run, names)
    tokenizer = _tokenizer_of(run, names, engine) if settings.tokenizer is None else settings.tokenizer
    return dataclasses.replace(settings, engine=engine, tokenizer=tokenizer)


def engine_of(run: Run, names: Sequence[str], signal: str = "ratings") -> str:
    """The engine that has answered for a signal with these models, else hf; in a run with made-up numbers theirs."""
    used = {
        str(annotator.manifest["settings"]["engine"])
        for annotator in annotators(run, signal)
        if annotator.name in names
    }
    if len(used) > 1:
        raise SettingsError(f"{run.path} has {signal} by the engines {', '.join(sorted(used))}", "Say which: --engine.")
    if used:  # encoders and reward models call themselves something else, and are the default's
        return next(iter(used & set(loading.names())), loading.DEFAULT)
    begun = {annotator.manifest["settings"]["engine"] for each in kinds() for annotator in annotators(run, each)}
    return next((name for name in loading.names() if name in begun and loading.find(name).made_up), loading.DEFAULT)


def _tokenizer_of(run: Run, names: Sequence[str], engine: str) -> str | None:
    """The tokenizer that the engine stored with the ratings of these models; '' = none, None = it stores no such."""
    stored = [annotator.manifest["settings"] for annotator in annotators(run) if annotator.name in names]
    used = {
        str(settings["tokenizer"]) for settings in stored if settings["engine"] == engine and "tokenizer" in settings
    }
    if len(used) > 1:
        raise SettingsError(f"{run.path} was rated with several tokenizers", 'Say which: --tokenizer NAME, or "".')
    return used.pop() if used else None


def model_named(name: str, settings: Settings) -> Model:
    """The model that is to answer: on this machine, or as the engine has it."""
    return loading.find(settings.engine or loading.DEFAULT).model(name, settings)


def _store_prompts(run: Run, prompts: PromptSet) -> None:
    path = run.path / "prompts" / f"{prompts.fingerprint}.toml"
    if not path.exists():
        with replacing(path) as file:
            tomli_w.dump(prompt_files.to_toml_table(prompts), file)


def prompts_of_run(settings: Settings, run: Run | None) -> PromptSet:
    """The prompt set of the settings, or the only one that the run was rated with."""
    if run is None or settings.prompts or settings.labels or settings.chat or settings.layout:
        return prompt_files.changed(
            prompt_files.load(settings.prompts), settings.labels, settings.chat, settings.layout
        )
    used = sorted((run.path / "prompts").glob("*.toml"))
    if len(used) > 1:
        raise SettingsError(
            f"{run.path} was rated with several prompt sets", f"Name one: {', '.join(f'--prompts {p}' for p in used)}"
        )
    return prompt_files.load(used[0] if used else None)
