"""The prompt sets that a run was rated with."""

from __future__ import annotations

from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.runs.files import write_toml
from selectit.runs.run import Run
from selectit.signals import prompts as prompt_files
from selectit.signals.prompts import PromptSet

K = 5
"""Prompts of a set that are asked where nothing else is said."""


def store_prompts(run: Run, prompts: PromptSet) -> None:
    """Keep a prompt set with the run, by its fingerprint."""
    path = run.path / "prompts" / f"{prompts.fingerprint}.toml"
    if not path.exists():
        write_toml(path, prompt_files.to_toml_table(prompts))


def load_prompts(settings: Settings, run: Run | None) -> PromptSet:
    """The prompt set of the settings, or the only one that the run was rated with. Raises SettingsError."""
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
