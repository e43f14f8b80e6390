"""From scores to rows: pure functions, no model, no files."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np

from selectit.errors import SettingsError
from selectit.numerics.groups import best_of_groups
from selectit.numerics.ranking import ranking
from selectit.runs.selections import Selection
from selectit.signals.arrays import Float64, Int64

_FEWER = "Keep fewer with --keep, lower --min-score, or take what there is with --allow-fewer."

_LONGEST_AMOUNT = 30
_SMALLEST_SHARE = Decimal("1e-12")  # of a million million rows it is one; it stands in names of files digit by digit


@dataclass(frozen=True, slots=True)
class Budget:
    """How much to keep: at most `rows` rows, or a `share` of all rows read, and nothing below `min_score`."""

    rows: int | None = None
    share: Decimal | None = None
    min_score: float | None = None
    best_of: str | None = None
    """Of which groups only the best row may be kept: 'instruction', or a field's name."""
    allow_fewer: bool = False

    def count(self, total: int) -> int:
        """How many of `total` rows: the floor of the exact product. Raises SettingsError where that is none."""
        wanted = total if self.share is None else math.floor(self.share * total)
        wanted = wanted if self.rows is None else self.rows
        if wanted < 1:
            raise SettingsError(f"{self.label} of {total:,} rows is no row at all", "Keep more with --keep.")
        if wanted > total and not self.allow_fewer:
            raise SettingsError(
                f"{wanted:,} rows were asked for and there are {total:,}",
                "Keep fewer with --keep, or take what there is with --allow-fewer.",
            )
        return wanted

    @property
    def only_threshold(self) -> bool:
        """Whether nothing but the minimum score says how many."""
        return self.rows is None and self.share is None

    @property
    def label(self) -> str:
        """For file names: '20pct', '1000rows', 'min3.5'."""
        parts = []
        if self.rows is not None:
            parts.append(f"{self.rows}rows")
        if self.share is not None:
            parts.append(f"{(self.share * 100).normalize():f}pct")
        if self.min_score is not None:
            parts.append(f"min{self.min_score:g}")
        if self.best_of is not None:
            parts.append(f"best-of-{re.sub(r'[^A-Za-z0-9_.]+', '_', self.best_of)}")
        return "-".join(parts)


def parse_keep(keep: str | int | float, flag: str = "--keep") -> dict[str, int | Decimal]:
    """'1000' or 1000 is rows; '20%', '0.2' or 0.2 is a share. Raises SettingsError, which names the option `flag`.

    Returns:
        Budget's `rows` or `share`.
    """
    text = str(keep).strip()
    hint = "Give a share such as 0.2 or 20%, or a number of rows such as 1000."
    if len(text) > _LONGEST_AMOUNT:
        raise SettingsError(f"{flag} is {text[:_LONGEST_AMOUNT]}…, which is longer than a number needs", hint)
    try:
        if text.endswith("%"):
            share = Decimal(text[:-1]) / 100
        elif any(mark in text for mark in ".eE"):
            share = Decimal(text)
        else:
            rows = int(text)
            if rows < 1:
                raise SettingsError(f"{flag} is {text}", hint)
            return {"rows": rows}
    except (InvalidOperation, ValueError) as error:
        raise SettingsError(f"{flag} is {text!r}", hint) from error
    if not (share.is_finite() and _SMALLEST_SHARE <= share <= 1):
        raise SettingsError(f"{flag} is {text}, which is not above 0 and at most 1", hint)
    return {"share": share}


def select_top(
    scores: Float64,
    budget: Budget,
    *,
    ties: str | Float64 = "smaller",
    groups: Sequence[Hashable] | None = None,
) -> Selection:
    """The highest scores within the budget, best first; rows without a score are never chosen.

    Args:
        scores: (N,) higher = keep; NaN = none.
        budget: how many.
        ties: as of `ranking`.
        groups: (N,) of which group a row is, where only the best of each may be chosen.

    Raises:
        SettingsError: fewer rows than the budget asks for can be chosen, and `allow_fewer` is off.
    """
    ranked = ranking(scores, ties)
    scored = len(ranked)
    if groups is not None:
        ranked = ranked[best_of_groups(scores, groups, ties)[ranked]]
    best = len(ranked)
    if budget.min_score is not None:
        ranked = ranked[scores[ranked] >= budget.min_score]
    wanted = len(ranked) if budget.only_threshold else budget.count(len(scores))
    if (len(ranked) < wanted and not budget.allow_fewer) or not len(ranked):
        below = f", {best - len(ranked):,} of them below the minimum score" if budget.min_score is not None else ""
        if best < scored:
            below = f", and {best:,} are the best of their {budget.best_of}{below}"
        raise SettingsError(
            f"{wanted or 'no'} rows were asked for and {len(ranked)} can be chosen: "
            f"{scored:,} of {len(scores):,} rows have a score{below}",
            _FEWER if len(ranked) else "Look at the reasons with selectit show --row N, or lower --min-score.",
        )
    rows = ranked[:wanted]
    why = tuple(f"rank {rank} of {best}" for rank in range(1, len(rows) + 1))
    return Selection(rows, scores[rows], why, float(scores[rows[-1]]))


def select_set(rows: Int64, budget: Budget, total: int) -> Selection:
    """A set method's rows as a selection.

    Raises:
        SettingsError: they are fewer than the budget asks for, or no set of at most so many of the `total` rows.
    """
    wanted = budget.count(total)
    if budget.min_score is not None:
        raise SettingsError("this method chooses a set and has no scores", "Leave out --min-score.")
    rows = np.asarray(rows)
    whole = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
    if not whole or len(np.unique(rows)) < len(rows) or len(rows) > wanted or ((rows < 0) | (rows >= total)).any():
        raise SettingsError(
            f"the method did not return at most {wanted} different row numbers below {total}", "Mend its select()."
        )
    if len(rows) < wanted and not budget.allow_fewer:
        raise SettingsError(
            f"{wanted} rows were asked for and the method chose {len(rows)}",
            _FEWER if len(rows) else "It could use no row: selectit show --row N says what is known of one.",
        )
    why = tuple(f"choice {rank} of {len(rows)}" for rank in range(1, len(rows) + 1))
    return Selection(rows.astype(np.int64), np.full(len(rows), np.nan), why, math.nan)
