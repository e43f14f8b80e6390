"""What is learnt and forgotten again while a model is tuned."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.methods import shorten
from selectit.methods._base import check_count, check_share
from selectit.methods._losses import LossMethod
from selectit.methods._tuning import Pass, TunedOn, TuningScoringMethod, check_epochs, some, tune_in_rounds
from selectit.numerics.segments import flagged, given_by_row, mean_by_row, means
from selectit.signals.arrays import Float64, Int64, Losses, Signals
from selectit.signals.loss_templates import loss_text

_ROUND = "losses of round {}"


@dataclass(frozen=True, slots=True)
class Forgetting(TuningScoringMethod, LossMethod):
    """The rows that a model forgets most often while it is tuned on all of them (forgetting events).

    The model is tuned in `rounds` rounds of `epochs` passes over all rows, each from the last, and reads all rows after
    each. A row is known in a round where at least `least` of the tokens of its response are the model's first guess. It
    is forgotten where it was known in one round and is not in the next; a row that was never known comes first of all.

    Source: Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural Network Learning", ICLR 2019,
    arXiv 1812.05159, on images; for text by token accuracy, our reading.

    Needs: a causal model that can be tuned here.

    Direction: forgettings from 0; `rounds`, which no row reaches, = never known. Of equally many the row with the
    larger loss in the last round comes first.

    Cost: `rounds` passes a row, each after a tuning on all rows: the dearest method here.

    Differs: the published code looks at each image when it is trained on; here all rows are read after each round. The
    optimiser and its learning rate begin anew in each round.

    Licence: the counting is that of mansheej/data_diet, Apache-2.0; nothing was taken from it.

    Checked: the published code's counts; the specification's value.
    """

    rounds: int = 4
    """How often the model is tuned and reads."""
    least: float = 0.5
    """Share of a response's tokens that must be the first guess for the row to be known."""
    epochs: float = 1.0
    """Passes over the rows in each round."""
    recipe: str = "brief"
    """How the model is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    template: str = "chat"
    """`chat`, the template with which the model was tuned; `alpaca` or `plain`, as of `ifd`."""
    boundary: str = "joint"
    """`joint` or `split`, as of `ifd`."""
    seed: int = 0
    """Of the trainings."""

    def __post_init__(self) -> None:
        LossMethod.__post_init__(self)
        check_count("rounds", self.rounds, "trainings")
        check_epochs(self.epochs)
        check_share("least", self.least, "tokens")

    @property
    def needs(self) -> tuple[()]:
        return ()

    @property
    def label(self) -> str:
        tuning = f"e{self.epochs:g}-{shorten(self.recipe)}-seed{self.seed}"
        return f"forgetting-r{self.rounds}-{self.least:g}-{self.text_label}-{tuning}"

    def steps(self, signals: Signals) -> Generator[Pass, Any, Signals]:
        """The signals with the losses after each round."""
        stored = dict(signals.stored)
        for number, each in enumerate(self._rounds(np.flatnonzero(signals.rows.response_words > 0))):
            stored[_ROUND.format(number)] = yield each
        return dataclasses.replace(signals, stored=stored)

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """A pass for each round."""
        return self._rounds(some(rows))

    def score(self, signals: Signals) -> Float64:
        """(N,) how often a row was forgotten; `rounds` = never known, NaN where a loss is missing."""
        known = np.stack([self._known(losses, len(signals.rows)) for losses in self._stored(signals)])
        finite = np.minimum(count_forgotten(known == 1), self.rounds)
        return np.where(np.isnan(known).any(axis=0), np.nan, finite)

    def tie_break(self, signals: Signals) -> Float64:
        """(N,) the loss in the last round."""
        return given_by_row(self._stored(signals)[-1], len(signals.rows))

    def parts(self, signals: Signals) -> dict[str, NDArray[Any]]:
        """The share of the tokens that were the first guess in each round."""
        rounds = enumerate(self._stored(signals), start=1)
        return {f"accuracy_{number}": measure_accuracy(each, len(signals.rows)) for number, each in rounds}

    def _rounds(self, rows: Int64) -> tuple[Pass, ...]:
        request = loss_text(self.template, self.boundary, both=False)
        return tune_in_rounds(request, TunedOn(rows, self.recipe, self.epochs, self.seed), self.rounds)

    def _stored(self, signals: Signals) -> list[Losses]:
        return [signals.of(_ROUND.format(number)) for number in range(self.rounds)]

    def _known(self, losses: Losses, rows: int) -> Float64:
        accuracy = measure_accuracy(losses, rows)
        return flagged(accuracy >= self.least, accuracy)


def measure_accuracy(losses: Losses, rows: int) -> Float64:
    """(N,) the share of a response's tokens that are the model's first guess, the mean over a row's responses."""
    return mean_by_row(means(flagged(losses.rank == 1, losses.rank), losses.start), losses.row, rows)


def count_forgotten(known: NDArray[np.bool_]) -> Float64:
    """(N,) how often each row was known and then not, of (T, N); infinity for a row that was never known."""
    forgotten = (known[:-1] & ~known[1:]).sum(axis=0)
    return np.where(known.any(axis=0), forgotten.astype(np.float64), np.inf)


METHOD = Forgetting
