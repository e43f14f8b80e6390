"""Numbers that the records bring along."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError
from selectit.methods._base import ScoringMethod
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import Field as FieldNeed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Field(ScoringMethod):
    """A number that stands in each record, such as a score that was computed elsewhere.

    Source: no paper.

    Needs: a field of the records.

    Direction: higher = keep; negate it elsewhere where lower is better.

    Cost: 0 passes a row.

    Differs: no original.

    Licence: no code of others.

    Checked: by hand.
    """

    name: str = "score"
    """The field; dots for fields within fields."""

    @property
    def needs(self) -> tuple[FieldNeed]:
        return (FieldNeed(self.name),)

    @property
    def label(self) -> str:
        return f"field-{re.sub(r'[^A-Za-z0-9_.]+', '_', self.name)}"

    def score(self, signals: Signals) -> Float64:
        """(N,) the numbers; NaN where the field is missing or empty. Raises SettingsError where it is no number."""
        scores = np.full(len(signals.rows), np.nan)
        for row, text in enumerate(signals.field):
            try:
                scores[row] = float(text) if text.strip() else np.nan
            except ValueError as error:
                raise SettingsError(
                    f"row {row}: the field {self.name!r} is {text[:40]!r}, which is no number",
                    "Name a field of numbers.",
                ) from error
        if np.isnan(scores).all():
            log.warning("no record has a number in the field %r", self.name)
        return np.where(np.isfinite(scores), scores, np.nan)


METHOD = Field
