"""The baseline that comes closest to SelectIT in the paper's own table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.schema import Float64, Signals

UNITS = ("words", "tokens")


@dataclass(frozen=True, slots=True)
class Length:
    """The longest responses ("Long is more", arXiv 2402.04833, and the Length baseline of SelectIT's paper).

    Higher = longer = keep. Cost: none in words, tokenising in tokens. The unit of the paper is tokens of the tuned
    model (`tokens`, the default where --model is given); `words` are runs without white space and need no model.
    """

    unit: str = "words"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise SettingsError(f"length has no unit {self.unit!r}", nearest(self.unit, UNITS))

    @property
    def needs(self) -> tuple[str, ...]:
        return ("tokens",) if self.unit == "tokens" else ()

    @property
    def label(self) -> str:
        return f"length-{self.unit}"

    def score(self, signals: Signals) -> Float64:
        """(N,) lengths of the response in the unit."""
        lengths = signals.response_tokens if self.unit == "tokens" else signals.rows.response_words
        return lengths.astype(np.float64)


METHOD = Length
