"""What data sets have in common: rows of one that ask what rows of another ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

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
    near: int
    """The exact ones among them."""


def count_shared(runs: Sequence[Run]) -> tuple[Shared, ...]:
    """Each data set against each other one, in both directions. Raises SettingsError: rensa is not installed."""
    asked = [Counter(fold(each.instruction) for each in read_samples(run)) for run in runs]
    different = [_thin(list(each)) for each in asked] if len(runs) > 1 else []
    return tuple(_count(asked, different))


def _count(asked: Sequence[Counter[str]], different: Sequence[list[str]]) -> Iterator[Shared]:
    for of, own in enumerate(asked):
        for other in range(len(different)):
            if other != of:
                texts = list(own)
                near = share_near(texts, different[other], THRESHOLDS["near"]).tolist()
                exact = [text in asked[other] for text in texts]
                yield Shared(
                    of,
                    other,
                    sum(own[text] for text, same in zip(texts, exact, strict=True) if same),
                    sum(own[text] for text, *same in zip(texts, exact, near, strict=True) if any(same)),
                )


def _thin(texts: list[str]) -> list[str]:
    """The texts without those that nearly repeat an earlier one."""
    repeats = find_near(texts, np.arange(len(texts)), THRESHOLDS["near"])
    return [text for text, kept in zip(texts, repeats.kept_row.tolist(), strict=True) if kept < 0]
