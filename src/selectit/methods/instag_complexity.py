"""The number of tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.methods._base import ScoringMethod, check_count
from selectit.numerics import tags
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import JudgeRequest


@dataclass(frozen=True, slots=True)
class InstagComplexity(ScoringMethod):
    """How many tags an instruction has (InsTag's complexity).

    Source: Lu et al., "#InsTag: Instruction Tagging for Analyzing Supervised Fine-tuning", ICLR 2024, arXiv 2308.07074.

    Needs: a tagger's reply for each instruction, a JSON list (--judge).

    Direction: higher = more complex = keep; 0 or more.

    Cost: 1 generation a row.

    Differs: as `instag`, which chooses by it.

    Licence: OFA-Sys/InsTag has none; nothing was taken from it.

    Checked: by hand.
    """

    min_count: int = 20
    """Tags of fewer rows do not count."""

    needs: ClassVar[tuple[JudgeRequest]] = (tags.QUESTION,)

    def __post_init__(self) -> None:
        check_count("min_count", self.min_count, "rows")

    @property
    def label(self) -> str:
        return f"instag-complexity-c{self.min_count}"

    def score(self, signals: Signals) -> Float64:
        """(N,) numbers of tags; NaN where the reply is missing or no list."""
        found = tags.of_rows(signals.judgements, len(signals.rows), self.min_count)
        return np.array([np.nan if each is None else len(each) for each in found], dtype=np.float64)


METHOD = InstagComplexity
