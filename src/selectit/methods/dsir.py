"""Importance weights on hashed n-grams: like a target in its words, without any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.data.records import Sample
from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.numerics.ngrams import BUCKETS, Grams, hash_texts, log_ratios
from selectit.numerics.ranking import ranking
from selectit.numerics.row_random import row_uniforms
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals, Target

LENGTHS = ("mean100", "mean", "sum")
TEXTS = ("both", "instruction", "response")
GROUPS = ("joined", "turns")


@dataclass(frozen=True, slots=True)
class Dsir(ScoringMethod):
    """The rows whose words and pairs of words are likelier in the target than in the data (DSIR).

    Source: Xie et al., "Data Selection for Language Models via Importance Resampling", NeurIPS 2023, arXiv 2302.03169.

    Needs: a target (`--target`), and the texts.

    Direction: higher = liker the target = keep: ln of the ratio of likelihoods, in nats, with Gumbel noise where
    `noise`; NaN without any word.

    Cost: 0 passes a row; a million rows of 137 words and pairs take about a minute.

    Differs: both sides are smoothed by 1, where the published code smooths neither. The published score is the sum over
    a text, so that its length decides (`length=sum`); here it is the mean times 100. The published code draws rows with
    unseeded Gumbel noise (here with `noise=true`, seeded and going with the row) and leaves out texts of fewer than 100
    words, which are most of an instruction set; here the best rows are taken, of any length. All examples count as one
    text, as there, so that the group with the most words decides; with `groups=turns` each group's examples are a
    target of their own, and the groups take turns.

    Licence: p-lambda/dsir, MIT; nothing was taken from it.

    Checked: the specification's buckets and weights; counts by hand.
    """

    text: str = "both"
    """`both`, `instruction` or `response`."""
    length: str = "mean100"
    """The score of a text: the `mean` over its words and pairs, `mean100` = 100 times that, or their `sum`."""
    noise: bool = False
    """Add Gumbel noise: rows are drawn in proportion to their importance, not the best taken."""
    smoothing: float = 1.0
    """Added to each count, of the target and of the data."""
    buckets: int = BUCKETS
    """Into which words and pairs are hashed, at most 65,536."""
    groups: str = "joined"
    """The groups of the target are `joined`; or they take `turns`: the score is minus the turn in which one of them
    would take the row, from 0, where each in turn takes the next row in its own order."""
    seed: int = 0
    """Of the noise."""

    needs: ClassVar[tuple[str]] = ("texts",)
    towards_target: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, value, known in (
            ("length", self.length, LENGTHS), ("text", self.text, TEXTS), ("groups", self.groups, GROUPS),
        ):  # fmt: skip
            if value not in known:
                raise SettingsError(f"dsir has no {name} {value!r}", nearest(value, known))
        if not 0 <= self.smoothing < float("inf"):
            raise SettingsError(f"smoothing is {self.smoothing}", "It is a number of 0 or more.")
        if not 2 <= self.buckets <= 65536:
            raise SettingsError(f"buckets is {self.buckets}", "It is a number from 2 to 65536.")

    @property
    def label(self) -> str:
        noise = f"-noise-seed{self.seed}" if self.noise else ""
        more = f"-s{self.smoothing:g}" * (self.smoothing != 1) + f"-b{self.buckets}" * (self.buckets != BUCKETS)
        more += "-turns" * (self.groups == "turns")
        return f"dsir-{self.text}-{self.length}{noise}{more}"

    def score(self, signals: Signals) -> Float64:
        """(N,) log importance weights, or turns; a row of several responses has the mean of their weights."""
        pool = hash_texts([self._text(each) for each in signals.texts], self.buckets)
        counts, row = pool.counts(self.buckets), np.array([each.row for each in signals.texts], np.int64)
        weights = []
        for place, target in enumerate(self._targets(signals.target)):
            ratios = log_ratios(target.counts(self.buckets), counts, self.smoothing)
            scale = np.diff(pool.start) if self.length == "sum" else {"mean100": 100, "mean": 1}[self.length]
            means = mean_by_row(pool.means(ratios) * scale, row, len(signals.rows))
            weights.append(means + self._draw(signals, place) if self.noise else means)
        return weights[0] if self.groups == "joined" else minus_first_turn(weights)

    def _targets(self, target: Target) -> list[Grams]:
        """The words and pairs of all examples, or of each group's."""
        texts = [self._text(each) for each in target.signals.texts]
        if self.groups == "joined":
            return [hash_texts(texts, self.buckets)]
        of = [[texts[place] for place in np.flatnonzero(target.group == group)] for group in range(len(target.groups))]
        return [hash_texts(each, self.buckets) for each in of]

    def _draw(self, signals: Signals, group: int) -> Float64:
        """(N,) Gumbel(0, 1) draws that go with the rows."""
        key = f"selectit dsir {self.seed}" + f" {group}" * bool(group)
        uniform = np.maximum(row_uniforms(signals.rows, key), 2.0**-53)
        gumbel: Float64 = -np.log(-np.log(uniform))
        return gumbel

    def _text(self, sample: Sample) -> str:
        parts = {"instruction": [sample.instruction], "response": [sample.response]}
        return "\n".join(parts.get(self.text, [sample.instruction, sample.response]))


METHOD = Dsir


def minus_first_turn(weights: Sequence[Float64]) -> Float64:
    """(N,) minus the turn, from 0, in which one of G groups takes a row, each in turn the next by its (N,) weights.

    NaN for a row without a weight.
    """
    first = np.full(len(weights[0]), np.nan)
    for place, own in enumerate(weights):
        order = ranking(own)
        first[order] = np.fmax(first[order], -(np.arange(len(order)) * len(weights) + place))
    return first
