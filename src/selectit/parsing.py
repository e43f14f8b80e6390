"""JSON and TOML that others wrote: whatever is wrong with a text, it is one kind of error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError where it is none, too deep, or has a number that is too long."""
    with _one_error():
        return json.loads(text)


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises ValueError where it is none, too deep, or has a number that is too long."""
    with _one_error():
        return tomllib.loads(text)


@contextmanager
def _one_error() -> Iterator[None]:
    try:
        yield
    except (json.JSONDecodeError, tomllib.TOMLDecodeError):
        raise
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError("a number in it has too many digits") from error
