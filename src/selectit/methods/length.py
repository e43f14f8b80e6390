"""The baseline that comes closest to SelectIT in the paper's own table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.schema import Float64, Need, Sample, Signals

UNITS = ("words", "tokens", "chars")
FIELDS = ("response", "instruction", "both")
ORDERS = ("longest", "shortest")


@dataclass(frozen=True, slots=True)
class Length:
    """The longest responses ("Long is more", and the Length baseline of SelectIT's paper).

    Source: Zhao et al., "Long Is More for Alignment", arXiv 2402.04833: the 1,000 responses with the most tokens;
    SelectIT's table takes 20 % by the same rule.

    Needs: nothing in words; a tokenizer (--model) in tokens.

    Direction: higher = longer = keep; with `shortest` lengths are negative.

    Cost: 0 passes a row; tokenising for tokens.

    Differs: the paper's unit is tokens, of LLaMA-2 presumably; words are the default here where no model is named.
    Nothing guards against responses that repeat themselves, and nothing does there.

    Licence: tml-epfl/long-is-more-for-alignment has none at its root; nothing was taken from it.

    Checked: by hand.
    """

    unit: str = "words"
    """`words` (runs without white space), `chars`, or `tokens` of the named model (its default where --model is
    given)."""
    field: str = "response"
    """`response` (of a conversation the sum of the rated ones), `instruction` (what stands before the last rated
    response), or `both`. In tokens only the response."""
    order: str = "longest"
    """`longest` or `shortest` first."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("unit", self.unit, UNITS), ("field", self.field, FIELDS), ("order", self.order, ORDERS)
        ):  # fmt: skip
            if value not in known:
                raise SettingsError(f"length has no {name} {value!r}", nearest(value, known))
        if self.unit == "tokens" and self.field != "response":
            raise SettingsError(
                f"length counts tokens of the response only, not of {self.field}",
                "Leave out --param field, or count with --param unit=words or unit=chars.",
            )

    @property
    def needs(self) -> tuple[Need, ...]:
        if self.unit == "tokens":
            return ("tokens",)
        return () if self.unit == "words" and self.field == "response" else ("texts",)

    @property
    def label(self) -> str:
        field = "" if self.field == "response" else f"-{self.field}"
        return f"length-{self.unit}{field}" + ("-shortest" if self.order == "shortest" else "")

    def score(self, signals: Signals) -> Float64:
        """(N,) lengths in the unit, negative for the shortest first."""
        if self.unit == "tokens":
            lengths = signals.response_tokens.astype(np.float64)
        elif self.needs:
            lengths = self._of_texts(signals)
        else:
            lengths = signals.rows.response_words.astype(np.float64)
        return -lengths if self.order == "shortest" else lengths

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
            lengths[row] = sum(len(text.split()) if self.unit == "words" else len(text) for text in texts)
        return lengths


METHOD = Length
