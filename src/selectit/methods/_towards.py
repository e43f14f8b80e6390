"""What methods that choose by similarity to a target's examples have in common."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from selectit.errors import DataError
from selectit.methods._base import TargetMethod
from selectit.numerics.choosers import Choice, check_chooser, choose_rows
from selectit.numerics.vectors import row_vectors, unit
from selectit.numerics.whitening import fit_whitening, whitened
from selectit.signals.arrays import Embeddings, Float32, Int64, Signals


class SimilarityMethod(TargetMethod):
    """A method that chooses by the cosine of one vector a row with that of each example."""

    __slots__ = ()

    @property
    @abstractmethod
    def chooser(self) -> str:
        """The parameter: how rows are chosen from the similarities."""

    @property
    @abstractmethod
    def turns(self) -> str:
        """The parameter: whether a target whose best row is taken takes its next one."""

    @property
    def axes(self) -> int:
        """Axes of the whitening; 0 = none."""
        return 0

    @abstractmethod
    def vectors(self, signals: Signals) -> Embeddings:
        """The vectors among what was collected, of the rows or of the examples."""

    def __post_init__(self) -> None:
        check_chooser(self.chooser, self.turns)

    def choose(self, signals: Signals, budget: int) -> Choice:
        """At most `budget` rows in the order of choice; those without a vector are never taken."""
        rows, vectors = known_vectors(self.vectors(signals), len(signals.rows))
        known, examples = known_vectors(self.vectors(signals.target.signals), len(signals.target.signals.rows))
        if len(known) < len(signals.target.signals.rows):
            lacking = np.setdiff1d(np.arange(len(signals.target.signals.rows)), known)
            raise DataError(f"example {lacking[0]} of the target has no vector", "Leave it out, or mend it.")
        if not len(rows):
            return Choice(rows, rows)
        if self.axes:
            fitted = fit_whitening(vectors, self.axes)
            vectors, examples = whitened(vectors, *fitted), whitened(examples, *fitted)
        found = choose_rows(unit(examples) @ unit(vectors).T, budget, signals.target.group, self.chooser, self.turns)
        return Choice(rows[found.rows], found.targets)


def known_vectors(embeddings: Embeddings, rows: int) -> tuple[Int64, Float32]:
    """The M rows that have a vector, and their (M, D) vectors."""
    vectors = row_vectors(embeddings, rows)
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1) & (vectors.shape[1] > 0))
    return known, vectors[known]
