"""The rows of a data set as every method knows them, without any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.data.layouts import Layout


@dataclass(frozen=True, slots=True)
class Rows:
    """What every method may know about the rows without any model. All arrays have length N."""

    digest: NDArray[np.void]
    """16 bytes of the digest of the row's turns; equal for rows that say the same."""
    occurrence: NDArray[np.int64]
    """How many earlier rows have the same digest."""
    response_words: NDArray[np.int64]
    """Words (runs without white space) of the responses that are rated."""
    layout: Layout | None = None
    """How the data was read, for a file that names rows by their text; None = as the file shows."""

    def __len__(self) -> int:
        return len(self.digest)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """What is known of some of the rows; a draw that goes with a row's content stays as it is."""
        return Rows(self.digest[rows], self.occurrence[rows], self.response_words[rows], self.layout)


def build_rows(digest: NDArray[np.void], response_words: NDArray[np.int64]) -> Rows:
    """Rows with these (N,) 16-byte digests, numbered among those that are equal."""
    halves = np.ascontiguousarray(digest).view(np.uint64).reshape(-1, 2)
    return Rows(digest, count_before(halves[:, 0], halves[:, 1]), response_words)


def count_before(*columns: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) how many earlier entries have the same numbers in all of the (N,) columns, one or several."""
    found = np.zeros(len(columns[0]), np.int64)
    places = np.flatnonzero(_repeats(columns[0]))  # most columns have few equal entries, and to sort takes memory
    if not len(places):
        return found
    chosen = [column[places] for column in columns]
    order = np.lexsort(chosen)  # stable, and faster than to compare 16 bytes
    differs = np.logical_or.reduce([np.diff(column[order]) != 0 for column in chosen])
    starts = np.flatnonzero(np.r_[True, differs])
    counts = np.diff(np.r_[starts, len(order)])
    found[places[order]] = np.arange(len(order)) - np.repeat(starts, counts)
    return found


def _repeats(column: NDArray[Any]) -> NDArray[np.bool_]:
    """(N,) whether an entry is there more than once."""
    ordered = np.sort(column)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(len(column), np.bool_)
    found: NDArray[np.bool_] = twice[np.searchsorted(twice, column).clip(max=len(twice) - 1)] == column
    return found
