"""How numbers and texts lie in a page: columns one after another, gzipped, as base64; small things as JSON.

A browser undoes it with atob, DecompressionStream and typed arrays, all its own, also in a file that is opened from a
disk. Nothing of it can be markup: base64 has no '<', and in the JSON it is written as an escape.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.jsonable import plain

_TYPES = {"u1": "Uint8Array", "u2": "Uint16Array", "u4": "Uint32Array", "f4": "Float32Array", "f8": "Float64Array"}
_MARKUP = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}
_LEVEL = 6
SEPARATOR = "\0"
"""Between texts, none of which has one: control characters are written out before."""


def pack_columns(columns: Mapping[str, NDArray[Any]]) -> tuple[dict[str, Any], str]:
    """Where each column begins, of what type and how long it is, and all of them as text; (P, …) lies row by row.

    The widest types come first, so that every column begins at a multiple of its width.
    """
    ordered = sorted(columns.items(), key=lambda each: -each[1].dtype.itemsize)
    places, parts, begin = {}, [], 0
    for name, values in ordered:
        data = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
        places[name] = {"type": _TYPES[values.dtype.str[1:]], "begin": begin, "length": values.size}
        parts.append(data)
        begin += len(data)
    return places, pack(b"".join(parts))


def pack_texts(columns: Sequence[Sequence[str]]) -> str:
    """Columns of texts, one after another."""
    return pack(SEPARATOR.join(text for column in columns for text in column).encode())


def pack(data: bytes) -> str:
    """The gzipped bytes as base64; equal bytes give equal text."""
    return base64.b64encode(gzip.compress(data, _LEVEL, mtime=0)).decode()


def to_json(value: Any) -> str:
    """A value as JSON that may stand in a page: null for NaN, and no character that could end an element."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":")).translate(_MARKUP)


def round_to_figures(values: NDArray[Any], figures: int = 4) -> NDArray[np.float32]:
    """Values at so many significant digits, as a page shows them: a float32 holds more."""
    found = values.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(
            (found == 0) | ~np.isfinite(found), 1.0, 10.0 ** (figures - 1 - np.floor(np.log10(np.abs(found))))
        )
    return (np.round(found * size) / size).astype(np.float32)
