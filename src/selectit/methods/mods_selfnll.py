"""MoDS where the model that is tuned is its own judge."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.methods import shorten
from selectit.methods._base import check_share
from selectit.methods._mods import QualityCoverageNecessity
from selectit.methods._tuning import Pass, TunedOn, some
from selectit.numerics.segments import given_by_row
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.loss_templates import CHAT
from selectit.signals.requests import EmbeddingRequest, LossRequest

_LOSSES = LossRequest(CHAT.template, CHAT.alone, chat=True, boundary="joint", both=False)


@dataclass(frozen=True, slots=True)
class ModsSelfnll(QualityCoverageNecessity):
    """MoDS without a reward model: good and needed go by the loss of the response under the model itself.

    Good are the rows whose response the model foresees best; of these, seeds cover the space of instructions. Needed
    are the good rows that the model, tuned on the seeds, foresees worst; a second k-center fills the budget from these.

    Source: Du et al., "MoDS: Model-oriented Data Selection for Instruction Tuning", arXiv 2311.15653, with the mean
    loss in place of the reward.

    Needs: a causal model that can be tuned here, and embeddings.

    Direction: the order of choice: the seeds, then what is needed, each the farthest from those before it.

    Cost: 2 passes a row and one of the encoder, between them a tuning on the seeds.

    Differs: the reward of the row's own response, and of an answer that the tuned model would write, is minus the mean
    loss of the row's response: no answers are generated and no reward model is asked. It is the weaker judge. So α and
    β are shares instead of rewards. The first seed is a seeded draw; where only copies are left it stops, and MoDS
    fails. The second k-center is the paper's; the published code takes all that is needed. A row stands once in the
    choice; there it may stand twice.

    Licence: CASIA-LM/MoDS has none; nothing was taken from it.

    Checked: the published code's k-center orders; the same rows after an interruption at any moment.
    """

    seeds: float = 0.5
    """The share of the budget that are seeds."""
    good: float = 0.5
    """The share of the rows that are good enough: the best ones."""
    needed: float = 0.5
    """The share of the good rows that the tuned model needs: those that it foresees worst."""
    epochs: float = 3.0
    """Passes of the tuning over the seeds."""
    recipe: str = "brief"
    """How the model is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    seed: int = 0
    """Of the first row, and of the training."""

    def __post_init__(self) -> None:
        QualityCoverageNecessity.__post_init__(self)
        check_share("good", self.good, "rows")
        check_share("needed", self.needed, "rows")

    @property
    def needs(self) -> tuple[LossRequest, EmbeddingRequest]:
        return (_LOSSES, EmbeddingRequest("instruction"))

    @property
    def label(self) -> str:
        shares = f"s{self.seeds:g}-g{self.good:g}-n{self.needed:g}"
        return f"mods-selfnll-{shares}-e{self.epochs:g}-{shorten(self.recipe)}-seed{self.seed}"

    def find_good(self, signals: Signals) -> Int64:
        """The share of the rows with the smallest losses; equal losses stand or fall together."""
        losses = given_by_row(signals.losses, len(signals.rows))
        return np.flatnonzero(losses <= _quantile(losses, self.good))

    def find_needed(self, signals: Signals, good: Int64, tuned: TunedOn) -> Generator[Pass, Any, Int64]:
        """The share of the good rows with the largest losses under the tuned model."""
        losses = yield Pass(_LOSSES, tuned)
        values = given_by_row(losses, len(signals.rows))[good]
        return good[-values <= _quantile(-values, self.needed)]

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """One pass of the model tuned on the seeds."""
        seeds = self.count_seeds(min(rows, budget))
        return () if seeds == budget else (Pass(_LOSSES, self.tuned_on(some(seeds))),)


def _quantile(values: Float64, share: float) -> float:
    """The largest of the smallest `share` of the values; NaN, which nothing is below, where there is none."""
    known = np.sort(values[~np.isnan(values)])
    return float(known[max(round(share * len(known)), 1) - 1]) if len(known) else np.nan


METHOD = ModsSelfnll
