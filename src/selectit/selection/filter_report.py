"""What a selection says of its filters, quotas and diversity: what was left out, and the shares before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selectit.selection.choose_rows import Choice
from selectit.text_tables import excerpt

_SHOWN = 12
_LONGEST_NAME = 61


@dataclass(frozen=True, slots=True)
class GroupStats:
    """One group of rows."""

    name: str
    rows: int
    kept: int


@dataclass(frozen=True, slots=True)
class FilterStats:
    """What was left out, which groups there were, and what chose among the best."""

    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows by the reason."""
    by: str = ""
    """What grouped the rows; '' = nothing."""
    groups: tuple[GroupStats, ...] = ()
    """The largest first."""
    mismatches: int | None = None
    """Rows whose question and answer are in different languages; None = nobody looked."""
    mismatches_kept: int = 0
    diversity: str = ""
    """The method that chose among the best; '' = none."""
    pool: int = 0
    """How many of the best it saw."""


def measure_filters(choice: Choice) -> FilterStats | None:
    """The figures of a choice; None where nothing was filtered, grouped or chosen among the best."""
    candidates, chosen = choice.candidates, choice.selection.rows
    groups, mismatches = candidates.groups, candidates.mismatches
    found = FilterStats(
        left_out=dict(Counter(each.reason for each in (*candidates.left_out.values(), *choice.beaten.values()))),
        by=candidates.by,
        groups=() if groups is None else tuple(_group_stats(choice)),
        mismatches=None if mismatches is None else len(mismatches),
        mismatches_kept=len(set(mismatches) & set(chosen.tolist())) if mismatches else 0,
        diversity="" if choice.step is None else choice.step.scored.scores.name,
        pool=choice.pool,
    )
    return None if found == FilterStats() else found


def _group_stats(choice: Choice) -> Iterator[GroupStats]:
    groups = choice.candidates.groups
    assert groups is not None
    before, after = groups.sizes(np.arange(len(groups.of))), groups.sizes(choice.selection.rows)
    for at in np.argsort(-np.array(before), kind="stable").tolist():
        yield GroupStats(groups.names[at], before[at], after[at])


def filter_lines(stats: FilterStats) -> Iterator[str]:
    """The figures as lines of text."""
    for reason, rows in stats.left_out.items():
        yield f"left out: 1 row, which {reason}" if rows == 1 else f"left out: {rows:,} rows, each of which {reason}"
    if stats.diversity:
        yield f"{stats.diversity} chose among the best {stats.pool:,}"
    if stats.by:
        yield f"by {stats.by}:"
        before, after = (sum(getattr(each, name) for each in stats.groups) for name in ("rows", "kept"))
        for each in stats.groups[:_SHOWN]:
            share = f"{each.kept:,} kept ({each.kept / max(after, 1):.1%})"
            size = "1 row" if each.rows == 1 else f"{each.rows:,} rows"
            yield f"  {excerpt(each.name, _LONGEST_NAME)}: {size} ({each.rows / before:.1%}), {share}"
        others = stats.groups[_SHOWN:]
        if others:
            rows, kept = sum(each.rows for each in others), sum(each.kept for each in others)
            yield f"  {len(others):,} more with fewer rows: {rows:,} in all, {kept:,} kept"
    if stats.mismatches is not None:
        have = "1 row has" if stats.mismatches == 1 else f"{stats.mismatches:,} rows have"
        yield f"{have} a question and an answer in different languages; {stats.mismatches_kept:,} kept"


def filters_from_plain(plain: Mapping[str, Any] | None) -> FilterStats | None:
    """The figures from `dataclasses.asdict` of them, after JSON."""
    if plain is None:
        return None
    return FilterStats(**{**plain, "groups": tuple(GroupStats(**each) for each in plain["groups"])})
