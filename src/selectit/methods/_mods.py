"""What MoDS has in common whatever says of a row that it is good, and of a tuned model that it needs the row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator
from typing import Any

import numpy as np

from selectit.methods._base import check_share
from selectit.methods._tuning import (
    Pass,
    TrainingParameters,
    TunedOn,
    TuningSetMethod,
    check_epochs,
    choose_farthest,
    count_share,
)
from selectit.numerics.coverage import k_center
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Int64, Signals


class QualityCoverageNecessity(TrainingParameters, TuningSetMethod):
    """Seeds that cover the good rows, then from the rest of these what a model tuned on the seeds still needs."""

    __slots__ = ()

    @property
    @abstractmethod
    def seeds(self) -> float:
        """The parameter: the share of the budget that are seeds."""

    @abstractmethod
    def find_good(self, signals: Signals) -> Int64:
        """The rows whose quality is high enough."""

    @abstractmethod
    def find_needed(self, signals: Signals, good: Int64, tuned: TunedOn) -> Generator[Pass, Any, Int64]:
        """Those of the good rows that the tuned model still needs."""

    def __post_init__(self) -> None:
        check_epochs(self.epochs)
        check_share("seeds", self.seeds, "budget")

    def count_seeds(self, budget: int) -> int:
        """Rows that are seeds, one at least."""
        return count_share(self.seeds, budget)

    def tuned_on(self, rows: Int64) -> TunedOn:
        """The model tuned on the seeds."""
        return TunedOn(rows, self.recipe, self.epochs, self.seed)

    def steps(self, signals: Signals, budget: int) -> Generator[Pass, Any, Int64]:
        """At most `budget` rows: the seeds in the order of k-center, then what is needed in that order."""
        rows, vectors = pool(signals, self.seed)
        good = self.find_good(signals)
        known = np.isin(rows, good)
        rows, vectors = rows[known], vectors[known]
        if not len(rows):
            return rows
        seeds: Int64 = rows[k_center(vectors, self.count_seeds(budget))]
        if len(seeds) == budget:
            return seeds
        needed = yield from self.find_needed(signals, rows, self.tuned_on(seeds))
        known = np.isin(rows, np.concatenate([seeds, needed]))
        later = choose_farthest(rows[known], vectors[known], seeds, budget - len(seeds))
        return np.concatenate([seeds, later])
