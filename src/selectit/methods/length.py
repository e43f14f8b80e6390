"""The baseline that comes closest to SelectIT in the paper's own table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.data.records import Sample
from selectit.data.words import count_words
from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.numerics.lexical import distinct, words
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.requests import Need

UNITS = ("words", "tokens", "chars")
FIELDS = ("response", "instruction", "both")
ORDERS = ("longest", "shortest")


GRAM = 4
"""Words of the runs in which repetition is counted: shorter ones come back in any long text."""


@dataclass(frozen=True, slots=True)
class Length(ScoringMethod):
    """The longest responses ("Long is more", and the Length baseline of SelectIT's paper).

    Source: Zhao et al., "Long Is More for Alignment", arXiv 2402.04833: the 1,000 responses with the most tokens;
    SelectIT's table takes 20 % by the same rule.

    Needs: nothing in words; a tokenizer (--model) in tokens.

    Direction: higher = longer = keep; with `shortest` lengths are negative.

    Cost: 0 passes a row; tokenising for tokens.

    Differs: the paper's unit is tokens, of LLaMA-2 presumably; words are the default here where no model is named.
    `max_repetition` leaves out responses that repeat themselves, which come first by their length; it is off by
    default, and the paper has no such guard.

    Licence: tml-epfl/long-is-more-for-alignment has none at its root; nothing was taken from it.

    Checked: by hand.
    """

    unit: str = "words"
    """`words` (runs without white space; in Chinese, Japanese, Thai and the like each letter), `chars`, or `tokens` of
    the named model (its default where --model is given)."""
    field: str = "response"
    """`response` (of a conversation the sum of the rated ones), `instruction` (what stands before the last rated
    response), or `both`. In tokens only the response."""
    order: str = "longest"
    """`longest` or `shortest` first."""
    max_repetition: float = 1.0
    """A row has no score where a response of it repeats itself more than that; 1 = no such bound. Repetition is the
    share of the runs of four words (in lower case, without punctuation) that stood in the response before, from 0 to
    below 1: 0 with fewer than five words. Of 9,229 Alpaca responses 0.3 % have more than 0.2."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("unit", self.unit, UNITS), ("field", self.field, FIELDS), ("order", self.order, ORDERS)
        ):  # fmt: skip
            if value not in known:
                raise SettingsError(f"length has no {name} {value!r}", nearest(value, known))
        if not 0 <= self.max_repetition <= 1:
            raise SettingsError(f"max_repetition is {self.max_repetition}", "It is a share from 0 to 1; 1 = no bound.")
        if self.unit == "tokens" and self.field != "response":
            raise SettingsError(
                f"length counts tokens of the response only, not of {self.field}",
                "Leave out --param field, or count with --param unit=words or unit=chars.",
            )

    @classmethod
    def defaults(cls, named: tuple[str, ...], rated: tuple[str, ...]) -> dict[str, Any]:
        """Tokens where a model is named, whose tokenizer counts them."""
        return {"unit": "tokens"} if named else {}

    @property
    def needs(self) -> tuple[Need, ...]:
        reads = self._guards or not (self.unit == "tokens" or self._counted)
        return ("tokens",) * (self.unit == "tokens") + ("texts",) * reads

    @property
    def label(self) -> str:
        field = "" if self.field == "response" else f"-{self.field}"
        guard = f"-r{self.max_repetition:g}" if self._guards else ""
        return f"length-{self.unit}{field}" + ("-shortest" if self.order == "shortest" else "") + guard

    @property
    def _guards(self) -> bool:
        return self.max_repetition < 1

    @property
    def _counted(self) -> bool:
        """Whether the lengths are among what is known of every row."""
        return self.unit == "words" and self.field == "response"

    def score(self, signals: Signals) -> Float64:
        """(N,) lengths in the unit, negative for the shortest first; NaN for a row that repeats itself too much."""
        if self.unit == "tokens":
            lengths = signals.response_tokens.astype(np.float64)
        elif self._counted:
            lengths = signals.rows.response_words.astype(np.float64)
        else:
            lengths = self._of_texts(signals)
        if self._guards:
            lengths[self._repeating(signals)] = np.nan
        return -lengths if self.order == "shortest" else lengths

    def _repeating(self, signals: Signals) -> Int64:
        """The rows with a response above the bound; a row of several may come more than once."""
        found = [sample.row for sample in signals.texts if repetition(sample.response) > self.max_repetition]
        return np.array(found, np.int64)

    def _of_texts(self, signals: Signals) -> Float64:
        lengths = np.full(len(signals.rows), np.nan)
        items: dict[int, list[Sample]] = {}
        for sample in signals.texts:
            items.setdefault(sample.row, []).append(sample)
        for row, samples in items.items():
            last = samples[-1]  # its instruction holds the conversation before it
            texts = {
                "response": [sample.response for sample in samples],
                "instruction": [last.instruction],
                "both": [last.instruction, last.response],
            }[self.field]
            lengths[row] = sum(count_words(text) if self.unit == "words" else len(text) for text in texts)
        return lengths


METHOD = Length


def repetition(text: str) -> float:
    """The share of runs of `GRAM` words that stood in the text before: 1 - distinct-4, in [0, 1); 0 without two runs.

    Words are those of `lexical.words`.
    """
    found = words(text)
    return 1 - distinct(found, GRAM) if len(found) > GRAM else 0.0
