"""JSON and TOML that others wrote: whatever is wrong with a text, it is one kind of error."""

from __future__ import annotations

import json
import tomllib
from typing import Any


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError where it is none, too deep, or has a number that is too long."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text. Raises ValueError where it is none, too deep, or has a number that is too long."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
