"""Diverse rows, round by round in the eyes of the model that is being tuned on them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.methods import shorten
from selectit.methods._base import check_count
from selectit.methods._tuning import Pass, TunedOn, TuningSetMethod, check_epochs, choose_farthest, some
from selectit.numerics.clusters import quotas
from selectit.numerics.row_random import shuffle_rows
from selectit.numerics.vectors import row_vectors
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import StateRequest

_STATES = StateRequest("both", "mean")


@dataclass(frozen=True, slots=True)
class DiverseEvol(TuningSetMethod):
    """The rows farthest from those chosen, in the space of a model that is tuned on those in each round (DiverseEvol).

    A share of the budget is drawn. In each round the model is tuned on all that is chosen, from the beginning, reads
    all rows, and the next share is chosen by k-center from what is chosen already. `rounds` 10 and a budget of 1,100
    rows are the paper's 100 + 10 x 100.

    Source: Wu et al., "Self-Evolved Diverse Data Sampling for Efficient Instruction Tuning", arXiv 2311.08182.

    Needs: a causal model that can be tuned here.

    Direction: the order of choice: the drawn rows, then round by round the farthest first.

    Cost: `rounds` passes a row, each after a tuning on what was chosen by then, of `epochs` passes over it.

    Differs: the first draw is seeded and goes with the rows' content. The text is the model's chat template, or that
    of the recipe, instead of Alpaca's. Distances hold no N x N matrix and no NaN. Where only copies of chosen rows are
    left it stops; the published code goes on with the first of them. A budget that `rounds` + 1 does not divide gives
    the first rounds a row more. Rows with an empty response are neither drawn nor tuned on.

    Licence: OFA-Sys/DiverseEvol has none; nothing was taken from it.

    Checked: the published code's k-center rows in two rounds; the same rows after an interruption at any moment.
    """

    rounds: int = 10
    """How often the model is tuned."""
    epochs: float = 3.0
    """Passes over the chosen rows in each round."""
    recipe: str = "brief"
    """How it is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    seed: int = 0
    """Of the first rows, and of the trainings."""

    def __post_init__(self) -> None:
        check_count("rounds", self.rounds, "trainings")
        check_epochs(self.epochs)

    @property
    def needs(self) -> tuple[()]:
        return ()

    @property
    def label(self) -> str:
        return f"diverse-evol-r{self.rounds}-e{self.epochs:g}-{shorten(self.recipe)}-seed{self.seed}"

    def steps(self, signals: Signals, budget: int) -> Generator[Pass, Any, Int64]:
        """At most `budget` rows: the drawn ones, then those of each round; fewer where the rest are copies of them."""
        usable = np.flatnonzero(signals.rows.response_words > 0)
        drawn = shuffle_rows(signals.rows, f"selectit pool {self.seed}", usable)
        first, *later = self._sizes(min(budget, len(drawn)))
        chosen = drawn[:first]
        for size in later:
            states = yield self._pass(chosen)
            vectors = row_vectors(states, len(signals.rows))[drawn]
            chosen = np.concatenate([chosen, choose_farthest(drawn, vectors, chosen, size)])
        return chosen

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """A pass for each round."""
        sums = np.cumsum(self._sizes(min(rows, budget)))
        return tuple(self._pass(some(chosen)) for chosen in sums[:-1].tolist())

    def _sizes(self, budget: int) -> list[int]:
        """Rows of the first draw and of each round."""
        shares: list[int] = quotas(np.full(self.rounds + 1, budget), budget).tolist()
        return shares[: max(budget, 1)]  # a smaller budget has rounds without a row

    def _pass(self, chosen: Int64) -> Pass:
        return Pass(_STATES, TunedOn(chosen, self.recipe, self.epochs, self.seed))


METHOD = DiverseEvol
