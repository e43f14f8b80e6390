"""From settings to ratings: which run, which models, which prompts, and having them rated."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import tomli_w

from selectit.atomic_files import replacing
from selectit.config.settings import DEFAULT_MODEL, Settings
from selectit.engines.loading import check_server
from selectit.errors import SettingsError
from selectit.inference.execute import rate_units as collect_ratings
from selectit.jsonable import digest_of
from selectit.models import resolve as model_files
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, annotators, engine_of, models_in
from selectit.runs.run import Run, open_run
from selectit.runs.source import create
from selectit.signals import prompts as prompt_files
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import RatingPrompt

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
    engine = settings.engine or engine_of(run, settings.model)
    tokenizer = settings.tokenizer
    if engine == "server" and tokenizer is None:
        tokenizer = tokenizer_of(run, settings.model)
    check_server(dataclasses.replace(settings, engine=engine, tokenizer=tokenizer), prompts.chat)
    settings = dataclasses.replace(settings, engine=engine, tokenizer=tokenizer)
    models = [model_named(name, settings) for name in settings.model]
    try:
        return collect_ratings(run, models, first, settings, progress)
    finally:
        # Only a set under which there are ratings: one whose labels were refused leaves nothing behind.
        if any(run.path.glob(f"ratings/*/prompt-{first[0].fingerprint}/part-*")):
            _store_prompts(run, prompts)


def tokenizer_of(run: Run, names: Sequence[str]) -> str | None:
    """The tokenizer that servers of these models were rated with; '' = none, None = they were not."""
    stored = [annotator.manifest["settings"] for annotator in annotators(run) if annotator.name in names]
    used = {str(settings["tokenizer"]) for settings in stored if settings["engine"] == "server"}
    if len(used) > 1:
        raise SettingsError(f"{run.path} was rated with several tokenizers", 'Say which: --tokenizer NAME, or "".')
    return used.pop() if used else None


def model_named(name: str, settings: Settings) -> Model:
    """The model that is to answer: on this machine, or served where the engine is a server."""
    if settings.engine == "server":
        words = model_files.resolve_tokenizer(settings.tokenizer) if settings.tokenizer else None
        digest = digest_of({"server": name, "tokenizer": words.digest if words else ""})
        return Model(name, words.path if words else "", digest, packaged=False)
    if settings.engine == "fake":
        return Model(name, "", digest_of({"fake": name}), packaged=False)
    return model_files.resolve(name, accept_terms=settings.accept_terms)


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
