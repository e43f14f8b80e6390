"""From scores to rows: pure functions, no model, no files."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError
from selectit.filters.quotas import share_out
from selectit.numerics.groups import find_best
from selectit.numerics.ranking import ranking
from selectit.runs.selections import Selection
from selectit.signals.arrays import Float64, Int64
from selectit.signals.rows import count_before
from selectit.text_tables import write_count

Bool = NDArray[np.bool_]

_FEWER = "Keep fewer with --keep, lower --min-score, or take what there is with --allow-fewer."

_NONE = "selectit methods NAME says what a method scores; selectit show RUN --row N says what is known of a row."

_LONGEST_AMOUNT = 30
_SMALLEST_SHARE = Decimal("1e-12")  # of a million million rows it is one; it stands in names of files digit by digit


@dataclass(frozen=True, slots=True)
class Budget:
    """How much to keep: at most `rows`, or a `share` of those that no filter leaves out; nothing below `min_score`."""

    rows: int | None = None
    share: Decimal | None = None
    min_score: float | None = None
    best_of: str | None = None
    """Of which groups only the best row may be kept: 'instruction', or a field's name."""
    allow_fewer: bool = False

    def count(self, total: int, read: int | None = None) -> int:
        """How many of `total` rows: the floor of the exact product. Raises SettingsError where that is none.

        Args:
            total: rows that no filter leaves out.
            read: all rows; None = there was no filter.
        """
        wanted = total if self.share is None else math.floor(self.share * total)
        wanted = wanted if self.rows is None else self.rows
        if wanted < 1:
            amount = self.label if self.share is None else f"{(self.share * 100).normalize():f}%"
            raise SettingsError(f"{amount} of {write_count(total, 'row')} is no row at all", "Keep more with --keep.")
        if wanted > total and not self.allow_fewer:
            filtered = "" if read in (None, total) else f" of {read:,} that no filter leaves out"
            raise SettingsError(
                f"{wanted:,} rows were asked for and there are {total:,}{filtered}",
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


@dataclass(frozen=True, slots=True)
class Groups:
    """Of which group each row is, and what each group gives."""

    of: Int64
    """(N,) the place of the row's group in `names`."""
    names: tuple[str, ...]
    weights: tuple[Fraction, ...]
    """How many rows each should give; only their ratios count."""

    def share_out(self, rows: Int64, n: int) -> Int64:
        """How many of n each group gives of these rows. See `filters.quotas.share_out`."""
        return share_out(self.sizes(rows), self.weights, n)

    def sizes(self, rows: Int64) -> list[int]:
        """How many of these rows are of each group."""
        found: list[int] = np.bincount(self.of[rows], minlength=len(self.names)).tolist()
        return found

    def take(self, ranked: Int64, n: int) -> Int64:
        """The first of each group, as many as it gives of n, in the order of `ranked`."""
        group = self.of[ranked]
        return ranked[count_before(group) < self.share_out(ranked, n)[group]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The rows that may be chosen, best first."""

    rows: Int64
    wanted: int
    """How many of them the budget takes."""
    of: int
    """How many there are with those below the least score."""


def rank_candidates(
    scores: Float64,
    budget: Budget,
    *,
    ties: str | Float64 = "smaller",
    allowed: Bool | None = None,
    alternatives: Sequence[Hashable] | None = None,
) -> Ranked:
    """The rows that may be chosen; those without a score never may.

    Args:
        scores: (N,) higher = keep; NaN = none.
        budget: how many; a share is one of the rows that are allowed.
        ties: as of `ranking`.
        allowed: (N,) which rows may be chosen; None = all.
        alternatives: (N,) of which group a row is, where only the best of each may be chosen.

    Raises:
        SettingsError: fewer rows than the budget asks for can be chosen, and `allow_fewer` is off.
    """
    rows = len(scores) if allowed is None else int(allowed.sum())
    scores = scores if allowed is None else np.where(allowed, scores, np.nan)
    ranked = ranking(scores, ties)
    scored = len(ranked)
    if alternatives is not None:
        ranked = ranked[find_best(ranked, alternatives)[ranked] == ranked]
    best = len(ranked)
    if budget.min_score is not None:
        ranked = ranked[scores[ranked] >= budget.min_score]
    wanted = len(ranked) if budget.only_threshold else budget.count(rows, len(scores))
    if (len(ranked) < wanted and not budget.allow_fewer) or not len(ranked):
        below = f", {best - len(ranked):,} of them below the minimum score" if budget.min_score is not None else ""
        if best < scored:
            below = f", and {best:,} are the best of their {budget.best_of}{below}"
        left = "" if rows == len(scores) else " that no filter left out"
        asked = f"{wanted:,} rows were asked for and {len(ranked):,}" if wanted else "no row"
        raise SettingsError(
            f"{asked} can be chosen: {scored:,} of {rows:,} rows{left} have a score{below}",
            _FEWER if len(ranked) else "Lower --min-score." if best else _NONE,
        )
    return Ranked(ranked, min(wanted, len(ranked)), best)


def select_top(
    scores: Float64,
    budget: Budget,
    *,
    ties: str | Float64 = "smaller",
    allowed: Bool | None = None,
    alternatives: Sequence[Hashable] | None = None,
    groups: Groups | None = None,
) -> Selection:
    """The highest scores within the budget, best first, of each group as many as it gives.

    Arguments and errors as of `rank_candidates`; SettingsError too where the groups that give something are too small.
    """
    ranked = rank_candidates(scores, budget, ties=ties, allowed=allowed, alternatives=alternatives)
    rows = ranked.rows[: ranked.wanted] if groups is None else groups.take(ranked.rows, ranked.wanted)
    check_filled(len(rows), ranked.wanted, budget)
    ranks = range(len(rows)) if groups is None else np.flatnonzero(np.isin(ranked.rows, rows)).tolist()
    of = name_groups(rows, groups)
    why = tuple(f"rank {rank + 1} of {ranked.of}{name}" for rank, name in zip(ranks, of, strict=True))
    return Selection(rows, scores[rows], why, float(scores[rows[-1]]))


def name_groups(rows: Int64, groups: Groups | None) -> list[str]:
    """', NAME' of the group of each row, '' without groups."""
    return [""] * len(rows) if groups is None else [f", {groups.names[group]}" for group in groups.of[rows].tolist()]


def check_filled(found: int, wanted: int, budget: Budget) -> None:
    """Raise SettingsError where groups that give something have too few rows."""
    if not found or (found < wanted and not budget.allow_fewer):
        raise SettingsError(
            f"{wanted:,} rows were asked for, and the groups that give something have {found:,}",
            "Give other groups a share, keep fewer with --keep, or take what there is with --allow-fewer.",
        )


def select_set(rows: Int64, wanted: int, budget: Budget, groups: Groups | None = None) -> Selection:
    """A set method's rows as a selection. Raises SettingsError where they are fewer, or there is a least score."""
    if budget.min_score is not None:
        raise SettingsError("this method chooses a set and has no scores", "Leave out --min-score.")
    if len(rows) < wanted and not budget.allow_fewer:
        raise SettingsError(
            f"{wanted} rows were asked for and the method chose {len(rows)}",
            _FEWER if len(rows) else "It could use no row: selectit show RUN --row N says what is known of one.",
        )
    of = name_groups(rows, groups)
    why = tuple(f"choice {rank} of {len(rows)}{name}" for rank, name in enumerate(of, start=1))
    return Selection(rows, np.full(len(rows), np.nan), why, math.nan)


def check_set(rows: Int64, wanted: int, total: int) -> Int64:
    """What a set method returned. Raises SettingsError where it is not at most `wanted` rows of `total`."""
    rows = np.asarray(rows)
    whole = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
    if not whole or len(np.unique(rows)) < len(rows) or len(rows) > wanted or ((rows < 0) | (rows >= total)).any():
        raise SettingsError(
            f"the method did not return at most {wanted} different row numbers below {total}", "Mend its select()."
        )
    return rows.astype(np.int64)
