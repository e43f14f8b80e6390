"""The libraries of the extra `eval`, imported when they are used."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from selectit.errors import import_extra


def load_module(name: str) -> Any:
    """A module of the extra. Raises SettingsError where it is not installed."""
    return import_extra(name, "eval", "an evaluation")


def version(package: str) -> str:
    """Of an installed package, by the name under which it is imported. Raises SettingsError where it is not."""
    load_module(package)
    return metadata.version(package)
