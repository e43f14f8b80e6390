"""Good rows, rows that cover them, and rows that the model needs, all by a reward model."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.methods import shorten
from selectit.methods._base import check_count
from selectit.methods._mods import QualityCoverageNecessity
from selectit.methods._tuning import Pairs, Pass, TunedOn, some
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, JudgeRequest, RewardRequest


@dataclass(frozen=True, slots=True)
class Mods(QualityCoverageNecessity):
    """Rows of high reward that cover the others, and such that a model tuned on those answers badly (MoDS).

    Good are the rows whose own response has a reward above `quality`; of these, seeds cover the space of instructions.
    The model, tuned on the seeds, answers the good rows; needed are those whose answer has a reward below `necessity`.
    A second k-center fills the budget from these.

    Source: Du et al., "MoDS: Model-oriented Data Selection for Instruction Tuning", arXiv 2311.15653.

    Needs: a causal model that can be tuned here, a reward model (`--reward-model`), and embeddings.

    Direction: the order of choice: the seeds, then what is needed, each the farthest from those before it.

    Cost: 1 pass of the reward model and one of the encoder a row; a tuning on the seeds; then for each good row an
    answer of up to `tokens` tokens and one pass of the reward model.

    Differs: answers are the likeliest token by token, there by four beams. The seeds are a share of the budget, there
    a number of thousands. The first seed is a seeded draw; where only copies are left it stops, and MoDS fails. The
    second k-center is the paper's; the published code takes all that is needed. A row stands once in the choice; there
    it may stand twice. No last four characters are cut from an answer. A row whose answer has no reward is needed. Of a
    row of several answers the last is answered anew.

    Licence: CASIA-LM/MoDS has none; nothing was taken from it.

    Checked: the published code's k-center orders and its rows above and below the two limits.
    """

    quality: float = 0.0
    """A row is good whose response has a reward above it (the paper's alpha)."""
    necessity: float = 0.0
    """A row is needed where the tuned model's answer has a reward below it (the paper's beta)."""
    seeds: float = 0.5
    """The share of the budget that are seeds."""
    tokens: int = 256
    """Of an answer, at most."""
    epochs: float = 3.0
    """Passes of the tuning over the seeds."""
    recipe: str = "brief"
    """How the model is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    seed: int = 0
    """Of the first row, and of the training."""

    def __post_init__(self) -> None:
        QualityCoverageNecessity.__post_init__(self)
        check_count("tokens", self.tokens, "tokens")

    @property
    def needs(self) -> tuple[RewardRequest, EmbeddingRequest]:
        return (RewardRequest(), EmbeddingRequest("instruction"))

    @property
    def label(self) -> str:
        limits = f"q{self.quality:g}-n{self.necessity:g}-s{self.seeds:g}-t{self.tokens}"
        return f"mods-{limits}-e{self.epochs:g}-{shorten(self.recipe)}-seed{self.seed}"

    def find_good(self, signals: Signals) -> Int64:
        """The rows whose reward is above the limit."""
        rewards = mean_by_row(signals.rewards.reward, signals.rewards.row, len(signals.rows))
        return np.flatnonzero(rewards > self.quality)

    def find_needed(self, signals: Signals, good: Int64, tuned: TunedOn) -> Generator[Pass, Any, Int64]:
        """The good rows that the tuned model answers with a reward below the limit, or with none."""
        replies = yield self._ask(good, tuned)
        answers = tuple(reply or "" for reply in replies.replies)
        rewards = yield self._reward(good, answers)
        needed: Int64 = good[~(rewards.reward >= self.necessity)]
        return needed

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """An answer and its reward, for the good rows: at most all."""
        seeds = self.count_seeds(min(rows, budget))
        if seeds == budget:
            return ()
        return self._ask(some(rows), self.tuned_on(some(seeds))), self._reward(some(rows), ("",) * rows)

    def _ask(self, rows: Int64, tuned: TunedOn) -> Pass:
        return Pass(JudgeRequest("", "{instruction}", self.tokens), tuned, Pairs(rows))

    def _reward(self, rows: Int64, answers: tuple[str, ...]) -> Pass:
        return Pass(RewardRequest(), None, Pairs(rows, answers))


METHOD = Mods
