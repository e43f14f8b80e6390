"""Many tags first, and every tag."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.methods._base import SetMethod, check_count
from selectit.numerics import tags
from selectit.numerics.row_random import shuffle_rows
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import JudgeRequest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Instag(SetMethod):
    """The instructions with the most tags first, each bringing a tag that is new (InsTag).

    Down the list by number of tags, a row is taken if it has a tag that none taken in this pass has; then again over
    what is left, until there are enough.

    Source: Lu et al., "#InsTag: Instruction Tagging for Analyzing Supervised Fine-tuning", ICLR 2024, arXiv 2308.07074.

    Needs: a tagger's reply for each instruction, a JSON list (--judge).

    Direction: the order of choice.

    Cost: 1 generation a row.

    Differs: the paper's tagger is ChatGPT; the question is worded anew. Of its normalisation here are the minimum
    count, and lower case without special characters; not the stemming, nor the merging of tags by meaning (PhraseBERT)
    and by association (FP-Growth), so that there are more different tags. Ties are a seeded draw; the paper does not
    say. A reply that is no list is a failure, and the row is not taken, rather than a row without tags.

    Licence: OFA-Sys/InsTag has none; nothing was taken from it.

    Checked: the specification's order of choice, and by hand.
    """

    min_count: int = 20
    """Tags of fewer rows do not count; the paper's 20 is for 306,044 rows."""
    seed: int = 0
    """Of the order of rows with as many tags."""

    needs: ClassVar[tuple[JudgeRequest]] = (tags.QUESTION,)

    def __post_init__(self) -> None:
        check_count("min_count", self.min_count, "rows")

    @property
    def label(self) -> str:
        return f"instag-c{self.min_count}-seed{self.seed}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; rows without a list of tags are never taken."""
        found = tags.of_rows(signals.judgements, len(signals.rows), self.min_count)
        if not any(found) and any(each is not None for each in found):
            log.warning("no tag is in %d rows or more: the order is a mere draw; lower min_count", self.min_count)
        order = shuffle_rows(signals.rows, f"selectit instag {self.seed}")
        tagged = [(int(row), each) for row in order if (each := found[row]) is not None]
        chosen = tags.sample([each for _, each in tagged], budget)
        return np.array([tagged[place][0] for place in chosen], dtype=np.int64)


METHOD = Instag
