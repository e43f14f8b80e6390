"""Rows that answer one question: which these are, and the best of each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from selectit.data.records import Sample
from selectit.signals.arrays import Int64


def group_instructions(samples: Iterable[Sample], rows: int) -> list[Hashable]:
    """(rows,) of each row all that it asks, white space at the ends left out. `samples` are those of the rows."""
    asked: list[list[str]] = [[] for _ in range(rows)]
    for sample in samples:
        asked[sample.row].append(sample.instruction.strip())
    return [tuple(each) for each in asked]


def group_fields(values: Sequence[str]) -> list[Hashable]:
    """(N,) of each row its value, of one without a value its number."""
    return [value.strip() or row for row, value in enumerate(values)]


def find_best(order: Int64, groups: Sequence[Hashable]) -> Int64:
    """(N,) which row of each row's group comes first in an order, best first; -1 for a row that is not in it.

    Args:
        order: rows, each once; see `ranking`.
        groups: (N,) which group each row is of.
    """
    best: dict[Hashable, int] = {}
    found = np.full(len(groups), -1, np.int64)
    for row in order.tolist():
        found[row] = best.setdefault(groups[row], row)
    return found
