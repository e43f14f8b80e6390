"""The prompt sets that a run was rated with."""

from __future__ import annotations

from pathlib import Path

from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.runs.files import read_toml_text
from selectit.runs.run import Run
from selectit.runs.sums import DamagedError
from selectit.signals import prompts as prompt_files
from selectit.signals.prompts import PromptSet
from selectit.signals.ratings import LAYOUTS

K = 5
"""Prompts of a set that are asked where nothing else is said."""


def store_prompts(run: Run, prompts: PromptSet) -> None:
    """Keep a prompt set with the run, by its fingerprint."""
    path = run.path / "prompts" / f"{prompts.fingerprint}.toml"
    table = prompt_files.to_toml_table(prompts)
    try:
        stored = path.exists() and run.read_toml(path)
    except DamagedError:
        stored = False
    if not stored:
        run.write_toml(path, table)


def stored_prompts(run: Run) -> dict[Path, PromptSet]:
    """The prompt sets that are kept with the run. Raises DamagedError where one is not what its name says."""
    return {path: read_prompts(run, path) for path in sorted((run.path / "prompts").glob("[!.]*.toml"))}


def read_prompts(run: Run, path: Path) -> PromptSet:
    """A prompt set that is kept with the run. Raises DamagedError."""
    try:
        found = prompt_files.parse(read_toml_text(path, run.place(path)), str(path))
    except SettingsError as error:
        raise DamagedError(path, error.message, run.place(path)) from error
    if found.fingerprint != path.stem:
        raise DamagedError(path, f"its prompts are those of {found.fingerprint}", run.place(path))
    return found


def load_prompts(settings: Settings, run: Run | None) -> PromptSet:
    """The prompt set of the settings, or the only one that the run was rated with. Raises SettingsError."""
    if run is None or settings.prompts or settings.labels or settings.chat or settings.layout:
        return prompt_files.changed(
            prompt_files.load(settings.prompts), settings.labels, settings.chat, settings.layout
        )
    used = stored_prompts(run) or {Path(): prompt_files.load(None)}
    if len(used) > 1:
        raise SettingsError(
            f"{run.path} was rated with several prompt sets",
            "Name one: " + ", ".join(_option(path, each) for path, each in used.items()),
        )
    (prompts,) = used.values()
    _refuse_other(run, prompts)
    return prompts


def _option(path: Path, prompts: PromptSet) -> str:
    """How a stored prompt set is asked for again: a packaged one by its name, another by its file, with its name."""
    if prompts.name in prompt_files.PACKAGED and prompts == prompt_files.packaged(prompts.name):
        return f"--prompts {prompts.name}"
    return f"--prompts {path}" + (f" ({prompts.name})" if prompts.name else "")


def _refuse_other(run: Run, prompts: PromptSet) -> None:
    """Raise RunError where the run has ratings under prompts of a set that is gone."""
    for path in sorted(run.path.glob("ratings/*/prompt-*/manifest.json")):
        if not is_of(run, path.parent, prompts):
            raise RunError(
                f"{path} is of no prompt set in {run.path / 'prompts'}",
                "Name the prompts that the run was rated with, with --prompts.",
            )


def is_of(run: Run, folder: Path, prompts: PromptSet) -> bool:
    """Whether a folder of ratings is of a prompt of the set, with the sample or with other text in its place."""
    if folder.name in {prompt.folder for prompt in prompts.first(len(prompts.texts))}:
        return True
    about = run.read_json(folder / "manifest.json")
    same = about.get("prompt") in prompts.texts and about.get("labels") == list(prompts.labels)
    return same and about.get("template") not in (prompts.template, *LAYOUTS.values())
