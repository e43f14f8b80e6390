"""Data sets that Python code holds: a `datasets.Dataset`, a pandas or polars frame, a pyarrow table, records.

What is chosen comes back from what was given, by row number: nothing is converted that the caller sees.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.data.layouts import is_talk
from selectit.data.raw_rows import as_text
from selectit.errors import DataError

Data = Any
"""What a data set may be: a name (a file, a folder, a hub id, a pattern, '-' for standard input), names of several
files, `datasets.Dataset` or `DatasetDict`, a pandas or polars `DataFrame`, a `pyarrow.Table`, or records (an iterable
of dicts, or of lists of messages)."""

NAME = "data"
_ROWS = 1024

_HINT = "Give a file's name, a datasets.Dataset, a pandas or polars frame, a pyarrow table, or records (dicts)."


@dataclass(frozen=True, slots=True)
class Held:
    """A data set in memory."""

    data: Any
    """As it was given; of an iterator the list of what it gave."""
    content: pa.Table | Sequence[Any]
    """A table, or records."""
    take: Callable[[list[int]], Any]
    """The rows with these numbers in their order, in the type of the data."""

    @property
    def schema(self) -> pa.Schema | None:
        """Of a table."""
        return self.content.schema if isinstance(self.content, pa.Table) else None

    def fingerprint(self) -> str:
        """sha256 of a table, hexadecimal: equal for equal rows, whatever pieces they lie in."""
        assert isinstance(self.content, pa.Table)
        digest = hashlib.sha256()
        digest.update(self.content.schema.remove_metadata().serialize())
        for batch in self.batches():
            digest.update(batch.serialize())
        return digest.hexdigest()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of a table, some at a time."""
        assert isinstance(self.content, pa.Table)
        for start in range(0, len(self.content), _ROWS):
            yield from self.content.slice(start, _ROWS).combine_chunks().to_batches()

    def lines(self) -> Iterator[bytes]:
        """Records as lines of JSON. Raises DataError."""
        return itertools.starmap(_as_line, enumerate(self.content))


def hold(data: Any, split: str | None = None) -> list[str] | Held:
    """The data set, ready to be read more than once; of names the names.

    Raises DataError where it is nothing that holds records, or where it is not clear which split is meant.
    """
    if isinstance(data, Held):
        return data
    if isinstance(data, str | os.PathLike):
        return [os.fspath(data)]
    if isinstance(data, list | tuple) and data and all(isinstance(each, str | os.PathLike) for each in data):
        return [os.fspath(each) for each in data]
    return _hold_content(data, split)


def _hold_content(data: Any, split: str | None) -> Held:
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}"
    if kind in ("datasets.DatasetDict", "datasets.IterableDatasetDict"):
        return _hold_content(_one_split(data, split), None)
    if split is not None:
        raise DataError(f"--split {split} does nothing here: the data is no dictionary of splits", "Leave it out.")
    if kind == "datasets.Dataset":
        return Held(data, data.with_format("arrow")[:], data.select)
    if kind == "pyarrow.Table":
        return Held(data, data, data.take)
    if kind == "polars.DataFrame":
        return Held(data, data.to_arrow(), lambda rows: data[rows])
    if kind == "pandas.DataFrame":
        return Held(data, _of_frame(data), lambda rows: data.iloc[rows])
    if kind == "polars.LazyFrame":
        raise DataError("the data is a polars LazyFrame, which holds no rows yet", "Give data.collect().")
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise DataError(f"the data is a {type(data).__name__}, which is no data set", _HINT)
    records = data if isinstance(data, Sequence) else list(data)
    return Held(records, records, lambda rows: [records[row] for row in rows])


def _one_split(data: Mapping[str, Any], split: str | None) -> Any:
    if split is not None and split not in data:
        raise DataError(f"the data has no split {split!r}: it has {', '.join(data)}", "Name one of them.")
    if split is None and len(data) > 1 and "train" not in data:
        raise DataError(f"the data has the splits {', '.join(data)}", "Name one: Settings(split=…).")
    if not data:
        raise DataError("the data has no splits", _HINT)
    return data[split or ("train" if "train" in data else next(iter(data)))]


def _of_frame(frame: Any) -> pa.Table | Sequence[Any]:
    """The columns of a pandas frame; its rows as records where a column holds objects of several kinds."""
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"the data has two columns with the name {twice!r}", "Rename one of them.")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError):
        return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))  # NaN is a missing field


def _as_line(row: int, record: Any) -> bytes:
    if not isinstance(record, Mapping) and not (isinstance(record, list) and is_talk(record)):
        raise DataError(f"record {row} is a {type(record).__name__}, and a dict belongs there", _HINT)
    try:
        return json.dumps(record, ensure_ascii=False, default=_plain).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        hint = "Its fields are named by texts, which are Unicode, and none of them holds the record itself."
        raise DataError(f"record {row} can't be read: {error}", hint) from error


def _plain(value: Any) -> Any:
    """A value that JSON has no kind for; of what has no text its type, since the run can't hold it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    try:
        return as_text(value)
    except TypeError:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"


def take_rows(data: list[str] | Held | None, rows: NDArray[np.int64]) -> Any:
    """These rows of a data set in memory, in its own type; None where it is a name."""
    return data.take(rows.tolist()) if isinstance(data, Held) else None
