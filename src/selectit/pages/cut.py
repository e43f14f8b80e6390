"""Which rows another number of rows keeps, where what is stored says it: what the slider of a page moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.methods._base import SetMethod
from selectit.pages.choice import StoredChoice
from selectit.pages.load import build_method
from selectit.selection.choose import Groups
from selectit.signals.arrays import Int64
from selectit.signals.rows import count_before


@dataclass(frozen=True, slots=True)
class Cut:
    """The rows that may be kept, of which any number keeps the first, or the first of each group."""

    order: Int64
    """Best first; of a set the chosen rows, in the order of choice."""
    most: int
    """The largest number."""
    quotas: Groups | None = None
    """What each group gives; None = there are no groups."""

    def turns(self) -> Int64:
        """Of each row of `order` its place in its group, from 1."""
        assert self.quotas is not None
        turns: Int64 = count_before(self.quotas.of[self.order]) + 1
        return turns


def find_cut(choice: StoredChoice) -> Cut | None:
    """The cut of a selection; None where only choosing again tells what another number of rows keeps."""
    if choice.is_cut:
        return Cut(choice.order, len(choice.order))
    if "diversity" in choice.config.get("filters", {}):
        return None
    if choice.quotas is None:
        method = build_method(choice.config)
        nested = isinstance(method, SetMethod) and method.nested
        return Cut(choice.rows, len(choice.rows)) if nested else None
    most = int(choice.quotas.share_out(choice.order, len(choice.order)).sum())
    same = np.array_equal(choice.quotas.take(choice.order, len(choice.rows)), choice.rows)
    return Cut(choice.order, most, choice.quotas) if same else None


def describe_quotas(cut: Cut) -> dict[str, Any] | None:
    """What the page's script shares out: sizes, names, and weights as whole numbers, which may be of any length."""
    if cut.quotas is None:
        return None
    whole = math.lcm(*(each.denominator for each in cut.quotas.weights))
    return {
        "sizes": cut.quotas.sizes(cut.order),
        "weights": [str(int(each * whole)) for each in cut.quotas.weights],
        "names": list(cut.quotas.names),
    }


def explain_cut(choice: StoredChoice, cut: Cut | None) -> str:
    """What a reader may do with the cut, or why there is none to move."""
    again = "Another number of rows: select again with --keep."
    if cut is None and choice.scores:
        return f"More than the score and a number of rows decided, so there is no single cut to move. {again}"
    if cut is None:
        return f"The method chose the set as a whole, so there is no cut to move. {again}"
    moves = "Move the slider: all figures here follow, and the table below. Nothing changes in the run."
    if cut.quotas is not None:
        return f"{moves} Each group, by {choice.config['filters']['by']}, gives its share of the number: its best rows."
    if choice.scores:
        return moves
    return (
        f"{moves} The method chose one row after another, so fewer rows are the first of these. For more, select again."
    )
