"""What data sets have in common: rows of one that ask what rows of another ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.errors import is_installed
from selectit.filters.duplicates import find_near, fold, share_near
from selectit.runs.run import Run
from selectit.selection.filter import read_samples
from selectit.selection.filter_plan import THRESHOLDS


@dataclass(frozen=True, slots=True)
class Shared:
    """How many answers of one data set are to an instruction that another has too."""

    of: int
    """The place of the one among the data sets, from 0."""
    other: int
    exact: int
    """Apart from case and white space."""
    near: int | None
    """The exact ones among them; None = rensa is not installed."""


def count_shared(runs: Sequence[Run]) -> tuple[Shared, ...]:
    """Each data set against each other one, in both directions."""
    asked = [Counter(fold(each.instruction) for each in read_samples(run)) for run in runs]
    different = [_thin(list(each)) for each in asked] if len(runs) > 1 and is_installed("rensa") else []
    return tuple(_count(asked, different))


def _count(asked: Sequence[Counter[str]], different: Sequence[list[str]]) -> Iterator[Shared]:
    for of, own in enumerate(asked):
        for other in range(len(asked)):
            if other != of:
                exact = {text for text in own if text in asked[other]}
                near = _find_near(list(own), different[other]) if different else None
                yield Shared(of, other, _sum(own, exact), None if near is None else _sum(own, exact | near))


def _find_near(texts: list[str], others: list[str]) -> set[str]:
    shared = share_near(texts, others, THRESHOLDS["near"]).tolist()
    return {text for text, near in zip(texts, shared, strict=True) if near}


def _sum(counts: Counter[str], texts: set[str]) -> int:
    return sum(counts[text] for text in texts)


def _thin(texts: list[str]) -> list[str]:
    """The texts without those that nearly repeat an earlier one."""
    repeats = find_near(texts, np.arange(len(texts)), THRESHOLDS["near"])
    return [text for text, kept in zip(texts, repeats.kept_row.tolist(), strict=True) if kept < 0]
