"""Rows that answer one question: which these are, and the best of each."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from selectit.data.records import Sample
from selectit.numerics.ranking import ranking
from selectit.signals.arrays import Float64, Int64


def group_instructions(samples: Iterable[Sample], rows: int) -> list[Hashable]:
    """(rows,) of each row all that it asks, white space at the ends left out. `samples` are those of the rows."""
    asked: list[list[str]] = [[] for _ in range(rows)]
    for sample in samples:
        asked[sample.row].append(sample.instruction.strip())
    return [tuple(each) for each in asked]


def group_fields(values: Sequence[str]) -> list[Hashable]:
    """(N,) of each row its value, of one without a value its number."""
    return [value.strip() or row for row, value in enumerate(values)]


def best_of_groups(scores: Float64, groups: Sequence[Hashable], ties: str | Float64 = "smaller") -> NDArray[np.bool_]:
    """(N,) whether a row has the highest score of its group; False without a score.

    Args:
        scores: (N,), NaN = none.
        groups: (N,) which group each row is of.
        ties: which of equal scores is the best; as of `ranking`.
    """
    found: NDArray[np.bool_] = find_best(scores, groups, ties) == np.arange(len(scores))
    return found


def find_best(scores: Float64, groups: Sequence[Hashable], ties: str | Float64 = "smaller") -> Int64:
    """(N,) the row with the highest score of each row's group; -1 for a row without a score.

    Arguments as of `best_of_groups`.
    """
    best: dict[Hashable, int] = {}
    found = np.full(len(scores), -1, np.int64)
    for row in ranking(scores, ties).tolist():
        found[row] = best.setdefault(groups[row], row)
    return found
