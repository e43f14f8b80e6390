"""The whole data set, as the baseline that selection has to beat or match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from selectit.errors import SettingsError
from selectit.methods._base import SetMethod
from selectit.signals.arrays import Int64, Signals


@dataclass(frozen=True, slots=True)
class Full(SetMethod):
    """All rows, in the order of the source.

    Source: the rows Full of SelectIT's tables (arXiv 2402.16705): the data set as it is.

    Needs: nothing.

    Direction: none; every row is taken.

    Cost: 0 passes a row.

    Differs: no.

    Licence: no code of others.

    Checked: by hand.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    keep: ClassVar[str] = "100%"
    nested: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return "full"

    def select(self, signals: Signals, budget: int) -> Int64:
        """All rows. Raises SettingsError for a budget of fewer."""
        if budget < len(signals.rows):
            raise SettingsError(
                f"full takes all {len(signals.rows):,} rows, and {budget:,} were asked for",
                "Leave out --keep, or take another method: random is a fair part of the data.",
            )
        return np.arange(len(signals.rows))


METHOD = Full
