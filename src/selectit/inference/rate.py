"""From settings to ratings: which run, which models, which prompts, and having them rated."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from selectit.config.settings import Settings
from selectit.data.memory import Data
from selectit.engines import loading
from selectit.errors import SettingsError
from selectit.inference.execute import do_units
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, annotators, models_in
from selectit.runs.manifest import reading_lines
from selectit.runs.prompt_sets import store_prompts
from selectit.runs.run import Run, open_run
from selectit.runs.source import create
from selectit.signals.prompts import PromptSet
from selectit.signals.requests import RatingPrompt, kinds

log = logging.getLogger(__name__)


def open_or_create_run(data: Data | None, settings: Settings) -> Run:
    """The run of the data, created where it is not there; None = the run that the settings name."""
    if data is None:
        if settings.run is None:
            raise SettingsError("there is neither a data file nor a run", "Name a data file, or a run with --run.")
        return open_run(settings.run)
    for name in (*settings.model, settings.encoder, settings.judge, settings.reward_model):
        if name is not None:
            loading.find(settings.engine or loading.DEFAULT).check_name(name)
    run = create(data, settings)
    log.info("run directory: %s (%d rows, layout %s)", run.path, run.rows, run.manifest["layout"])
    for line in reading_lines(run.manifest.get("reading")):
        log.info("%s", line)
    if run.manifest["skipped_rows"]:
        log.info("%d bad rows were left out: %s", run.manifest["skipped_rows"], run.path / "source" / "rejected.jsonl")
    return run


def rate_prompts(
    run: Run, settings: Settings, prompts: PromptSet, requests: tuple[RatingPrompt, ...], progress: Progress
) -> list[Annotator]:
    """Have every model of the settings answer `requests`, which are of the prompts; the set is stored with the run."""
    settings, models = find_raters(run, settings, prompts)
    try:
        return do_units(run, models, requests, settings, progress)
    finally:
        # Only a set under which there are ratings: one whose labels were refused leaves nothing behind.
        if any(run.path.glob(f"ratings/*/prompt-{requests[0].fingerprint}/part-*")):
            store_prompts(run, prompts)


def find_raters(run: Run, settings: Settings, prompts: PromptSet) -> tuple[Settings, list[Model]]:
    """The settings with the engine that is asked, and the models. Raises SettingsError or ModelError."""
    settings = with_stored_engine(run, settings, settings.model)
    loading.check(settings, prompts.chat)
    return settings, [find_model(name, settings) for name in settings.model]


def models_of_run(run: Run, settings: Settings) -> tuple[str, ...]:
    """The models that have rated the run, to go on with.

    Raises SettingsError where their repositories may run code: the run, which may be a stranger's, would choose whose.
    """
    names = tuple(models_in(run))
    if names and settings.trust_remote_code:
        raise SettingsError(
            f"--trust-remote-code lets a model's code run, and {run.path}, not you, names it: {', '.join(names)}",
            "Name the model too, if you trust its repository: --model NAME.",
        )
    return names


def with_stored_engine(run: Run, settings: Settings, names: Sequence[str]) -> Settings:
    """The settings with the engine, and the tokenizer, with which the run was rated by these models.

    Raises SettingsError where the tokenizer's repository may run code, as `models_of_run`.
    """
    engine = settings.engine or find_engine(run, names)
    tokenizer = settings.tokenizer
    if tokenizer is None:
        tokenizer = _find_tokenizer(run, names, engine)
        if tokenizer and settings.trust_remote_code:
            raise SettingsError(
                f"--trust-remote-code lets a tokenizer's code run, and {run.path}, not you, names it: {tokenizer}",
                "Name the tokenizer too, if you trust its repository: --tokenizer NAME.",
            )
    return dataclasses.replace(settings, engine=engine, tokenizer=tokenizer)


def find_engine(run: Run, names: Sequence[str], signal: str = "ratings") -> str:
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


def _find_tokenizer(run: Run, names: Sequence[str], engine: str) -> str | None:
    """The tokenizer that the engine stored with the ratings of these models; '' = none, None = it stores no such."""
    stored = [annotator.manifest["settings"] for annotator in annotators(run) if annotator.name in names]
    used = {
        str(settings["tokenizer"]) for settings in stored if settings["engine"] == engine and "tokenizer" in settings
    }
    if len(used) > 1:
        raise SettingsError(f"{run.path} was rated with several tokenizers", 'Say which: --tokenizer NAME, or "".')
    return used.pop() if used else None


def find_model(name: str, settings: Settings) -> Model:
    """The model that is to answer: on this machine, or as the engine has it."""
    return loading.find(settings.engine or loading.DEFAULT).model(name, settings)
