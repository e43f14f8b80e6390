"""Indices of words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.numerics.lexical import distinct, flesch, hdd, mtld, ttr, words
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals

INDICES: dict[str, Callable[[str], float]] = {
    "mtld": lambda text: mtld(words(text)),
    "hdd": lambda text: hdd(words(text)),
    "ttr": lambda text: ttr(words(text)),
    "distinct-1": lambda text: distinct(words(text), 1),
    "distinct-2": lambda text: distinct(words(text), 2),
    "distinct-3": lambda text: distinct(words(text), 3),
    "flesch": flesch,
}


@dataclass(frozen=True, slots=True)
class Lexical(ScoringMethod):
    """How varied or how readable the words of the response are.

    Source: MTLD and HD-D: McCarthy and Jarvis, Behavior Research Methods 42 (2010); distinct-n: Li et al., arXiv
    1510.03055; reading ease: Flesch 1948. The survey of selectors arXiv 2408.02085 counts them among hand-crafted
    indicators, Instruction Mining has MTLD.

    Needs: the texts.

    Direction: higher = more varied, or easier to read = keep.

    Cost: 0 passes a row.

    Differs: an index that is not defined for a text (too short, no words) is no score. Words are runs of letters and
    digits in lower case, so that figures differ from programs that split texts otherwise. Flesch is for English, and
    its syllables are groups of vowels: 95 % of words are right against the CMU dictionary.

    Licence: no code of others.

    Checked: the specification's MTLD; MTLD and HD-D against second implementations, and once against lexicalrichness
    0.5.1 on 124 Alpaca responses (equal to 1e-14); the others by hand.
    """

    index: str = "mtld"
    """`mtld`, `hdd`, `ttr`, `distinct-1`, `distinct-2`, `distinct-3` or `flesch`. `ttr` and `distinct` fall with length
    by themselves."""

    needs: ClassVar[tuple[str]] = ("texts",)

    def __post_init__(self) -> None:
        if self.index not in INDICES:
            raise SettingsError(f"there is no lexical index {self.index!r}", nearest(self.index, INDICES))

    @property
    def label(self) -> str:
        return f"lexical-{self.index}"

    def score(self, signals: Signals) -> Float64:
        """(N,) the index of the response, of several responses their mean; NaN where it is not defined."""
        index = INDICES[self.index]
        values = np.array([index(sample.response) for sample in signals.texts], dtype=np.float64)
        row = np.array([sample.row for sample in signals.texts], dtype=np.int64)
        return mean_by_row(values, row, len(signals.rows))


METHOD = Lexical
