"""What can go wrong in a way that the user can mend. Anything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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


def nearest_path(path: Path) -> str:
    """A hint that names what is there with nearly the name of a path that is not; '' = nothing is."""
    there = next(folder for folder in path.absolute().parents if folder.is_dir())
    wrong = path.absolute().relative_to(there).parts[0]
    names = (entry.name for entry in there.iterdir())
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.75)  # one ending alone makes names alike
    return f"Did you mean {_shorten(there / close[0])}?" if close else ""


def read_user_text(path: Path, what: str, hint: str) -> str:
    """A text in UTF-8 that a user wrote, a `what`. Raises SettingsError with this hint where it can't be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"the {what} {path} is not a text in UTF-8", hint) from error
    except OSError as error:
        near = "" if path.exists() else nearest_path(path)
        raise SettingsError(f"can't read the {what} {path}: {error.strerror}", f"{near} {hint}".strip()) from error


def install(*packages: str) -> str:
    """The command that installs packages where this program finds them: the `pip` of a shell may be another's."""
    python = Path(sys.executable)
    found = shutil.which("pip")
    if not _has_pip():  # as uv makes environments
        pip = ["uv", "pip", "install", "--python", _shorten(python)]
    elif found is not None and Path(found).parent == python.parent:
        pip = ["pip", "install"]
    else:
        pip = [_shorten(python), "-m", "pip", "install"]
    return shlex.join([*pip, *packages])


def install_extra(extra: str) -> str:
    """The command that installs an extra of this package: of the checkout that runs, where one does."""
    checkout = Path(__file__).parents[2]
    if (checkout / "pyproject.toml").is_file():
        return install("-e", f"{_shorten(checkout)}[{extra}]")
    return f"{install(f'selectit[{extra}]')} (in a checkout: -e '.[{extra}]' instead of the name)"


def import_extra(module: str, extra: str, needed_by: str) -> Any:
    """A module of an extra of this package, or one that imports such; SettingsError: `needed_by` can't have it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = (error.name or module).partition(".")[0]
        raise SettingsError(
            f"{needed_by} needs {_PACKAGES.get(package, package)}: {error}", f"Install it: {install_extra(extra)}"
        ) from error


def is_installed(package: str) -> bool:
    """Whether a package could be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def _has_pip() -> bool:
    """Whether this environment has pip; `is_installed` would make setuptools believe that pip is running."""
    return importlib.machinery.PathFinder.find_spec("pip") is not None


_PACKAGES = {"sklearn": "scikit-learn", "umap": "umap-learn"}


def _shorten(path: Path) -> str:
    """The path from the current folder where it is inside, else the whole."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
