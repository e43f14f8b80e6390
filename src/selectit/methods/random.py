"""The baseline that every selector has to beat."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.methods._base import ScoringMethod
from selectit.numerics.row_random import row_uniforms
from selectit.runs import row_lists
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import Field, Need


@dataclass(frozen=True, slots=True)
class Random(ScoringMethod):
    """A uniform random order, as baseline (the slides' Random-full and Random-unselected).

    A row's draw depends on the seed, the row's content and how many equal rows stand before it, never on its place:
    other rows may come and go and it keeps its draw. Balanced, the sources take turns: every source gives as many
    rows as any other until it has no more, whatever the budget.

    Source: the baselines of SelectIT's paper (arXiv 2402.16705); balanced by source as in Ivison et al., "Large-Scale
    Data Selection for Instruction Tuning", arXiv 2503.01807.

    Needs: nothing; balanced, a field of the records.

    Direction: higher = keep; in [0, 1), balanced the draw minus how many rows of the same source stand before it.

    Cost: 0 passes a row.

    Differs: the published balanced sampling fixes each source's share for one budget; taking turns gives the same
    shares for every budget.

    Licence: hamishivi/automated-instruction-selection has none; nothing was taken from it.

    Checked: by hand, shares against the splitting rule written out.
    """

    seed: int = 0
    """Another seed is another draw."""
    balance: str = ""
    """A field that names each record's source; empty = no balance."""
    exclude: str = ""
    """Rows never to take: a JSON list or text of row numbers, the folder of a selection (RUN/selections/NAME), or a
    data set of these records."""

    uniform: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[Need, ...]:
        return (Field(self.balance),) if self.balance else ()

    @property
    def label(self) -> str:
        balanced = f"-by-{re.sub(r'[^A-Za-z0-9_.]+', '_', self.balance)}" if self.balance else ""
        without = f"-without-{row_lists.digest(self.exclude)}" if self.exclude else ""
        return f"random-seed{self.seed}{balanced}{without}"

    def score(self, signals: Signals) -> Float64:
        """(N,) draws; NaN for rows to exclude. Raises DataError where that list is wrong."""
        scores = row_uniforms(signals.rows, f"selectit random {self.seed}")
        if self.exclude:
            scores[row_lists.find(self.exclude, signals.rows)] = np.nan
        if not self.balance:
            return scores
        _, source = np.unique(np.array(signals.field, dtype=object), return_inverse=True)
        order = np.lexsort((-scores, source))  # source by source, NaN last in each
        begins = np.searchsorted(source[order], source[order])
        turns = np.empty(len(scores))
        turns[order] = np.arange(len(scores)) - begins
        return scores - turns


METHOD = Random
