"""InsTag's way of choosing, without a tagger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError
from selectit.methods._base import SetMethod, check_count
from selectit.numerics import tags
from selectit.numerics.lexical import words
from selectit.numerics.row_random import shuffle_rows
from selectit.signals.arrays import Int64, Signals


@dataclass(frozen=True, slots=True)
class InstagTfidf(SetMethod):
    """InsTag's sampler with telling words of the instruction instead of tags: a surrogate that needs no model.

    Source: the sampler: Lu et al., arXiv 2308.07074. The tags are this project's substitute, and so no InsTag.

    Needs: the texts.

    Direction: the order of choice.

    Cost: 0 passes a row.

    Differs: the tags are the words with the highest TF-IDF of the instruction, of those in at least two rows. They name
    topics rather than intentions, and their number is no complexity beyond the instruction's length.

    Licence: OFA-Sys/InsTag has none; nothing was taken from it.

    Checked: the specification's order of choice, and by hand.
    """

    terms: int = 8
    """At most so many words of an instruction are its tags."""
    most: float = 0.5
    """Words in more than this share of the rows are no tags."""
    seed: int = 0
    """Of the order of rows with as many tags."""

    needs: ClassVar[tuple[str]] = ("texts",)

    def __post_init__(self) -> None:
        check_count("terms", self.terms, "words")
        if not 0 < self.most <= 1:
            raise SettingsError(f"most is {self.most}", "It is a share: above 0 and at most 1.")

    @property
    def label(self) -> str:
        return f"instag-tfidf-n{self.terms}-m{self.most:g}-seed{self.seed}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """min(budget, N) rows in order."""
        texts: list[list[str]] = [[] for _ in range(len(signals.rows))]
        for sample in signals.texts:
            texts[sample.row] = words(sample.instruction)  # the last one's holds the conversation before it
        found = tags.top_terms(texts, self.terms, self.most)
        order = shuffle_rows(signals.rows, f"selectit instag {self.seed}")
        return order[np.array(tags.sample([found[row] for row in order], budget), dtype=np.int64)]


METHOD = InstagTfidf
