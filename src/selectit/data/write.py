"""Writing chosen records in the container they came from."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from selectit.errors import DataError
from selectit.schema import Float64, Int64

FIELD = "selectit"
"""The one field that --with-scores adds."""


def in_order(rows: Int64, stored: Iterable[tuple[int, str]]) -> Iterator[str]:
    """The raw texts of `rows`, in that order, from a pass over all stored (row, raw) in source order.

    The chosen texts wait in a temporary file, not in memory, until it is their turn.
    """
    rank_of = {int(row): rank for rank, row in enumerate(rows)}
    offset = array("q", bytes(8 * len(rows)))
    length = array("q", bytes(8 * len(rows)))
    with tempfile.TemporaryFile() as spool:
        for row, raw in stored:
            rank = rank_of.get(row)
            if rank is not None:
                data = raw.encode()
                offset[rank], length[rank] = spool.tell(), len(data)
                spool.write(data)
        for rank in range(len(rows)):
            spool.seek(offset[rank])
            yield spool.read(length[rank]).decode()


def with_field(raw: str, value: dict[str, Any]) -> str:
    """The record's own text with one more field at its end; nothing else of it changes."""
    body = raw.rstrip()[:-1]
    inner = body.rstrip()
    space = body[len(inner) :]  # an indented record keeps its closing brace on a line of its own
    lead = "" if inner.endswith("{") else ","
    gap = _inner_indent(raw)
    return f"{inner}{lead}{gap}{json.dumps(FIELD)}: {json.dumps(value)}{space}}}"


def write(file: IO[bytes], container: str, indent: str, texts: Iterable[str]) -> None:
    """Write records as a JSON array ('json', each after `indent`) or JSON Lines ('jsonl')."""
    if container == "jsonl":
        for text in texts:
            file.write(text.encode() + b"\n")
        return
    separator = indent or "\n"
    file.write(b"[")
    for place, text in enumerate(texts):
        file.write((("," if place else "") + separator + text).encode())
    file.write(b"\n]\n")


def with_scores(texts: Iterable[str], rows: Int64, ranks: Int64, scores: Float64) -> Iterator[str]:
    """Each text with the field `selectit`: its row, rank and score (null where the method has none).

    Raises DataError where a record has a field of that name.
    """
    for text, row, rank, score in zip(texts, rows, ranks, scores, strict=True):
        if FIELD in json.loads(text):
            raise DataError(
                f"row {row} has a field {FIELD!r} already, and --with-scores adds one of that name",
                "Leave --with-scores out, or rename the field in the data.",
            )
        yield with_field(text, {"row": int(row), "rank": int(rank), "score": None if np.isnan(score) else float(score)})


def _inner_indent(raw: str) -> str:
    """What stands between the opening brace and the first key in indented JSON, else a space."""
    space = raw[1 : len(raw) - len(raw[1:].lstrip())]
    return space if "\n" in space else " "
