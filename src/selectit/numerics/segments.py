"""From tokens to items to rows: the arithmetic that methods share. Pure numpy.

Items are segments of a long array: item i has the tokens [start[i], start[i + 1]).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.signals.arrays import Float64, Int64, Losses


def means(values: NDArray[Any], start: Int64) -> Float64:
    """(T,) values of tokens to (I,) means of items; NaN for an item without tokens or with any NaN."""
    sizes = np.diff(start)
    sums = _reduced(np.add, values, start)
    averages: Float64 = np.divide(sums, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)
    return averages


def means_after_first(values: NDArray[Any], start: Int64) -> Float64:
    """As `means`, but the first tokens without a value are left out of their item's mean, and of the number of tokens.

    That is how losses without an instruction are stored where nothing stands before the response: T tokens have
    T - 1 losses, and one token has none, so NaN. They are fewer still where the response has fewer tokens alone.
    """
    first = np.repeat(start[:-1], np.diff(start))
    known = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
    leading = known < first  # none of the item has a value up to here
    filled = np.where(leading, 0, values)
    counts = _reduced(np.add, ~leading, start)
    sums = _reduced(np.add, filled, start)
    averages: Float64 = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
    return averages


def least(values: NDArray[Any], start: Int64) -> Float64:
    """(T,) values of tokens to (I,) smallest ones; NaN for an item without tokens or with any NaN."""
    return np.where(np.diff(start) > 0, _reduced(np.minimum, values, start), np.nan)


def mean_by_row(values: Float64, row: NDArray[np.int64], rows: int) -> Float64:
    """Mean over the items of each row: (I,) values to (rows,), NaN where any item is NaN or a row has none."""
    if len(values) == rows and np.array_equal(row, np.arange(rows)):
        return values
    with np.errstate(invalid="ignore"):
        averages: Float64 = np.bincount(row, weights=values, minlength=rows) / np.bincount(row, minlength=rows)
    return averages


def mean_losses(losses: Losses) -> tuple[Float64, Float64]:
    """(I,) mean losses of the clean reading of each response, after its instruction and alone."""
    return means(losses.given[0], losses.start), means_after_first(losses.alone[0], losses.start)


def given_by_row(losses: Losses, rows: int) -> Float64:
    """(rows,) mean loss of each row's responses after their instructions; NaN where one is missing."""
    return mean_by_row(means(losses.given[0], losses.start), losses.row, rows)


def sums_by_row(values: NDArray[Any], losses: Losses, rows: int) -> tuple[Float64, Float64]:
    """(T,) values of tokens to (rows,) sums over all responses of each row, and the numbers of their tokens.

    NaN where a response has no token or any value is NaN, and for a row without a response.
    """
    sizes = np.diff(losses.start).astype(np.float64)
    sizes[sizes == 0] = np.nan
    sums = [_reduced(np.add, values, losses.start) + 0 * sizes, sizes]
    known = np.isin(np.arange(rows), losses.row)
    totals = (np.bincount(losses.row, weights=each, minlength=rows) for each in sums)
    by_value, by_token = (np.where(known, total, np.nan) for total in totals)
    return by_value, by_token


def rows_of(columns: Mapping[str, Float64], row: Int64, rows: int) -> dict[str, Float64]:
    """`mean_by_row` of each of several columns."""
    return {name: mean_by_row(values, row, rows) for name, values in columns.items()}


def flagged(which: NDArray[np.bool_], known: NDArray[np.floating[Any]]) -> Float64:
    """1 or 0 for each, NaN where `known` is."""
    return np.where(np.isnan(known), np.nan, which.astype(np.float64))


def mean_ranks(values: Float64) -> Float64:
    """Ranks from 1, smallest first; equal values share the mean of their ranks. NaN is not expected."""
    order = np.argsort(values)
    ranks = values[order].astype(np.float64, copy=False)
    starts = np.flatnonzero(np.r_[True, ranks[1:] != ranks[:-1]][: len(ranks)])
    counts = np.diff(np.r_[starts, len(ranks)])
    ranks[order] = np.repeat(starts + (counts + 1) / 2, counts)
    return ranks


def _reduced(function: np.ufunc, values: NDArray[Any], start: Int64) -> Float64:
    """(I,) one number an item, 0 for an item without tokens."""
    reduced = np.zeros(len(start) - 1)
    some = np.flatnonzero(np.diff(start))  # what reduceat does with empty segments is not what is wanted
    if len(some):
        reduced[some] = function.reduceat(values, start[:-1][some], dtype=np.float64)
    return reduced
