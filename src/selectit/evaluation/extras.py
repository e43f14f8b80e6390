"""The libraries of the extra `eval`, imported when they are used."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from selectit.errors import SettingsError, install_extra


def load_module(name: str) -> Any:
    """A module of the extra. Raises SettingsError where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"selectit eval needs {name.partition('.')[0]}: {error}", f"Run: {install_extra('eval')}"
        ) from error


def version(package: str) -> str:
    """Of an installed package, by the name under which it is imported. Raises SettingsError where it is not."""
    load_module(package)
    return metadata.version(package)
