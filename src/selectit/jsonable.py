"""Plain values: from the text of JSON and TOML, in a form that JSON can hold, and digests over them."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:
    """The value with null for NaN and infinity, lists for tuples, and text for paths."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def digest_of(identity: Mapping[str, Any] | Sequence[Any]) -> str:
    """sha256 over plain values, hexadecimal."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def without_nan(value: Any) -> Any:
    """The value, or None for NaN, which JSON cannot hold; numpy's floats become Python's."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value


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
