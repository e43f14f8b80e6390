"""Instruction-Following Difficulty with the pre-experienced model, as the authors first had it."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from selectit.methods import shorten
from selectit.methods._base import check_count
from selectit.methods._losses import LossMethod
from selectit.methods._tuning import Pass, TunedOn, TuningScoringMethod, check_epochs, some
from selectit.methods.ifd import Ifd
from selectit.numerics.clusters import k_means
from selectit.numerics.row_random import shuffle_rows
from selectit.numerics.segments import mean_by_row
from selectit.numerics.vectors import row_vectors
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import LossRequest, Need, StateRequest

_MIDDLE = (25, 75)


@dataclass(frozen=True, slots=True)
class IfdPre(TuningScoringMethod, Ifd):
    """IFD under a model that has had a brief experience of the data first (Q2Q, Cherry LLM).

    The model reads all instructions; of each of `clusters` clusters of its states `each` rows are taken whose
    perplexity lies in the middle half. It is tuned on these, and IFD is what that model says: see `ifd`.

    Source: Li et al., "From Quantity to Quality", NAACL 2024, arXiv 2308.12032.

    Needs: a causal model that can be tuned here; scikit-learn.

    Direction: higher = harder = keep; in (0, 1].

    Cost: 2 passes of the model as it is and 2 of the tuned one a row, after a tuning on `clusters` x `each` rows.

    Differs: as `ifd`, but the text is the chat template with which the model was tuned (`template`), since a model is
    read as it was taught. The published script's middle is all but a hundredth at each end, its README's the half. Of
    more than `each` rows of a cluster every so many are taken in an order that goes with their content; there in the
    order of the source. Rows with an empty response are not tuned on.

    Licence: tianyi-lab/Cherry_LLM has none; nothing was taken from it.

    Checked: the choice within a cluster by hand; the scores against those of `ifd` with a model tuned by hand.
    """

    uses_k_means: ClassVar[bool] = True
    template: str = "chat"
    clusters: int = 100
    """Of the states of the instructions."""
    each: int = 10
    """Rows that are taken of each cluster."""
    epochs: float = 1.0
    """Passes of the tuning over the rows that were taken."""
    recipe: str = "brief"
    """How the model is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    seed: int = 0
    """Of the clusters, and of the training."""

    name: ClassVar[str] = "ifd-pre"

    def __post_init__(self) -> None:
        LossMethod.__post_init__(self)
        check_count("clusters", self.clusters, "clusters")
        check_count("each", self.each, "rows")
        check_epochs(self.epochs)

    @property
    def needs(self) -> tuple[Need, ...]:
        """The states of the instructions, and their losses."""
        return (StateRequest("instruction", "mean"), dataclasses.replace(self._losses, prompt=True, both=False))

    @property
    def label(self) -> str:
        taken = f"c{self.clusters}x{self.each}-e{self.epochs:g}-{shorten(self.recipe)}-seed{self.seed}"
        return f"ifd-pre-{self.text_label}-{taken}"

    def steps(self, signals: Signals) -> Generator[Pass, Any, Signals]:
        """The signals with the losses under the tuned model in place of those of the model as it is."""
        losses = yield self._pass(self.find_experience(signals))
        return dataclasses.replace(signals, stored={**signals.stored, "losses": losses})

    def find_experience(self, signals: Signals) -> Int64:
        """The rows that the model is tuned on."""
        losses = signals.losses
        surprise = mean_by_row(losses.prompt_loss.astype(np.float64), losses.row, len(signals.rows))
        vectors = row_vectors(signals.states, len(signals.rows))
        usable = (signals.rows.response_words > 0) & np.isfinite(vectors).all(axis=1) & ~np.isnan(surprise)
        rows = shuffle_rows(signals.rows, "selectit pool 0", np.flatnonzero(usable))
        if len(rows) <= self.each:
            return rows
        label, _ = k_means(vectors[rows], self.clusters, self.seed)
        taken = [take_middle(surprise[rows[label == one]], self.each) for one in range(label.max() + 1)]
        return np.concatenate([rows[label == one][places] for one, places in enumerate(taken)])

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """One pass, of the model tuned on rows of all clusters."""
        return (self._pass(some(min(rows, self.clusters * self.each))),)

    @property
    def _losses(self) -> LossRequest:
        return loss_text(self.template, self.boundary)

    def _pass(self, rows: Int64) -> Pass:
        return Pass(self._losses, TunedOn(rows, self.recipe, self.epochs, self.seed))


def take_middle(surprise: Float64, n: int) -> Int64:
    """Places of at most n rows of a cluster whose surprise lies in its middle half, the ends included.

    All of fewer than n rows; of more than n in the middle every so many, from the first.
    """
    if len(surprise) < n:
        return np.arange(len(surprise))
    low, high = np.percentile(surprise, _MIDDLE)
    middle = np.flatnonzero((surprise >= low) & (surprise <= high))
    return middle[:: max(len(middle) // n, 1)][:n]


METHOD = IfdPre
