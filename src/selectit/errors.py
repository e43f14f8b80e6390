"""What can go wrong in a way that the user can mend. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SelectitError(Exception):
    """A user's error: `message` names the place and what is wrong, `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class SettingsError(SelectitError):
    """An option, a parameter or a configuration file is wrong."""


class DataError(SelectitError):
    """The data set can't be read as it is."""


class ModelError(SelectitError):
    """A model is unknown, can't be fetched or can't rate."""


class RunError(SelectitError):
    """The run directory doesn't fit what is asked of it."""


class MissingError(RunError):
    """The run does not hold what is read of it: it was never collected, or is gone."""


class EngineError(SelectitError):
    """The engine failed on so many rows that going on would only fill the run with errors."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest of `known`, or all of them where none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."


def install_extra(extra: str) -> str:
    """A hint that names the command which installs an extra of this package."""
    return f"pip install 'selectit[{extra}]' (from a checkout: pip install -e '.[{extra}]')"
