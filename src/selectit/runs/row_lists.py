"""Rows that a user names: by their numbers, as a selection of a run, or as a data set of the rows themselves."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from selectit.data import read, sources
from selectit.data.blocks import read_blocks
from selectit.data.damage import reading
from selectit.data.layouts import Layout
from selectit.errors import DataError
from selectit.jsonable import parse_json
from selectit.runs.files import numbers, read_part
from selectit.signals.arrays import Int64
from selectit.signals.rows import Rows

_NUMBERS = re.compile(rb"\s*(\[\s*(-?\d|\])|-?\d)")
_SHOWN = 10
_CHARACTERS = 60


def count(path: str) -> int:
    """How many rows the list names. Raises DataError where it can't be read or names none."""
    named = _read_numbers(path)
    if named is not None:
        return len(named)
    with sources.open_source(path) as source:
        found = sum(1 for block in read_blocks(source) for _ in block.items())
    if not found:
        raise DataError(f"{path} names no rows", "Write row numbers, which count from 0, or records of the data.")
    return found


def by_number(path: str) -> bool:
    """Whether it is a list of numbers, or a selection. Raises DataError where such a list can't be read."""
    return _read_numbers(path) is not None


def digest(path: str) -> str:
    """Six hexadecimal digits of what the list names, for a label. Raises DataError as `count`."""
    named = _read_numbers(path)
    if named is not None:
        return hashlib.sha256(json.dumps([int(row) for row in named]).encode()).hexdigest()[:6]
    with sources.open_source(path) as source:
        return sources.fingerprint(source)[:6]


def find(path: str, rows: Rows) -> Int64:
    """The row numbers that a list names, in its order.

    Args:
        path: a JSON list of row numbers, a text with one on each line, the folder of a selection
            (RUN/selections/NAME), or a data set whose records are looked for among the rows by their text: of equal
            records the first stands for the first such row, the second for the second. It is read as the data was,
            and where it can't be so, as it shows itself.
        rows: where they are looked for.

    Raises:
        DataError: the list can't be read or is empty; a number is no row or stands twice; a record is no row.
    """
    named = _read_numbers(path)
    if named is None:
        return _find_by_digest(path, _read_digests(path, rows.layout), rows)
    outside = [int(row) for row in named if not 0 <= row < len(rows)]
    if outside:
        raise DataError(
            f"{path} names {_some(outside)}: of its {len(named):,} numbers {len(outside):,} are not rows",
            f"The rows of this data go from 0 to {len(rows) - 1:,}.",
        )
    twice = [int(row) for row, times in Counter(map(int, named)).items() if times > 1]
    if twice:
        raise DataError(f"{path} names {_some(twice)} more than once", "Name each row once.")
    return np.array(named, dtype=np.int64)


def _read_numbers(path: str) -> Sequence[int] | None:
    """The numbers of a list of row numbers or of a selection; None where the path is of something else."""
    file = Path(path)
    if (file / "rows.parquet").is_file():
        selected: Sequence[int] = numbers(read_part(file / "rows.parquet", ["row"])["row"]).tolist()
        return selected
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        start = opened.read(4096)
    if not _NUMBERS.match(start):
        return None
    with reading(path, "Write it as UTF-8."):
        text = file.read_text(encoding="utf-8")
    found = _parse_json(path, text) if start.lstrip().startswith(b"[") else _parse_lines(path, text)
    if not found:
        raise DataError(f"{path} names no rows", "Write row numbers, which count from 0.")
    return found


def _parse_json(path: str, text: str) -> list[int]:
    try:
        found = parse_json(text)
    except ValueError as error:
        raise DataError(
            f"{path} is not a JSON list of row numbers: {error}", "Write for example [0, 17, 3]."
        ) from error
    for place, value in enumerate(found):
        if type(value) is not int:
            raise DataError(
                f"{path}, entry {place}: {_cut(value)} is not a row number", "Write for example [0, 17, 3]."
            )
    numbers: list[int] = found
    return numbers


def _parse_lines(path: str, text: str) -> list[int]:
    found = []
    for place, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                found.append(int(line))
            except ValueError as error:
                raise DataError(
                    f"{path}, line {place}: {_cut(line)} is not a row number", "Write one on a line."
                ) from error
    return found


def _read_digests(path: str, layout: Layout | None) -> list[bytes]:
    """The digest of each record of a data set: in this layout, or in its own. Raises DataError: in neither."""
    if layout is None:
        return _digests(path, read.ReadSpec())
    try:
        return _digests(path, read.ReadSpec(layout, roles=layout.roles))
    except DataError:
        with suppress(DataError):
            return _digests(path, read.ReadSpec(roles=layout.roles))
        raise


def _digests(path: str, spec: read.ReadSpec) -> list[bytes]:
    with sources.open_source(path) as source:
        return [record.digest for record in read.read_records(source, read.ReadReport(), spec)]


def _find_by_digest(path: str, wanted: list[bytes], rows: Rows) -> Int64:
    places: dict[bytes, list[int]] = {each: [] for each in wanted}
    for row, each in enumerate(map(bytes, rows.digest)):
        if each in places:
            places[each].append(row)
    seen = Counter[bytes]()
    found, lacking = [], []
    for place, each in enumerate(wanted):
        if seen[each] < len(places[each]):
            found.append(places[each][seen[each]])
        else:
            lacking.append(place)
        seen[each] += 1
    if lacking:
        raise DataError(
            f"{path}: {len(lacking):,} of its {len(wanted):,} records are not among the rows: record {_some(lacking)}",
            "Records count from 0 and are found by their text, letter by letter: leave out or mend those that differ.",
        )
    return np.array(found, dtype=np.int64)


def _cut(value: object) -> str:
    """The beginning of a value that may be long."""
    text = repr(value)
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"


def _some(values: Sequence[Any]) -> str:
    listed = ", ".join(map(_cut, values[:_SHOWN]))
    more = f" and {len(values) - _SHOWN:,} more" if len(values) > _SHOWN else ""
    return f"{listed}{more}"
