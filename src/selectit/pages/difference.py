"""The page of two selections: what differs between them, one file that a browser opens without network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit._version import __version__
from selectit.pages import charts
from selectit.pages.analyses import build_histogram
from selectit.pages.document import Section, check_page, save_page, write_plain_page
from selectit.pages.entries import write_entries
from selectit.pages.markup import card, details, escape, facts, figure, key, paragraphs, table
from selectit.runs.stored import StoredSelection
from selectit.selection.diff import Difference, Pair, compare_pair, load_pair
from selectit.signals.arrays import Float64, Int64
from selectit.text_tables import write_count

MOST = 20
"""Rows of a list."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two, with the M rows that both data sets have."""

    name: str
    """'A' or 'B'."""
    of: StoredSelection
    matched: Int64
    """(M,) in the numbers of its run."""
    place: Int64
    """(M,) by its scores, from 1; 0 = not scored by both."""
    only: Int64
    """The rows that it alone chose, in its order."""

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(M,) whether it chose them."""
        return np.isin(self.matched, self.of.rows)


def report_difference(a: str | Path, b: str | Path, out: str | Path, *, force: bool = False) -> Path:
    """Write the page of two selections. From what their runs have stored; loads no model.

    Args:
        a: 'RUN:NAME', or 'RUN' of a run with one selection.
        b: likewise.
        out: the file.
        force: replace what `out` holds, where it differs.

    Returns:
        The path of the page.

    Raises:
        RunError: no such run or selection, they have no row in common, something is damaged, or `out` is another file.
        SettingsError: a run has several selections, or `out` can't be written.
    """
    check_page("--report", Path(out))
    return save_page("--report", Path(out), write_difference(load_pair(a, b)), force=force)


def write_difference(pair: Pair) -> str:
    """The page as HTML."""
    found = compare_pair(pair)
    a = _Side("A", pair.a, pair.rows_a, pair.place_a, np.array(found.a.only, np.int64))
    b = _Side("B", pair.b, pair.rows_b, pair.place_b, np.array(found.b.only, np.int64))
    sections = [
        Section("verdict", "Verdict", _verdict(pair, found)),
        Section("settings", "What was asked for", _settings(pair)),
        Section("cut", "Where the cut lies", _cut(a, b)),
        Section("kinds", "What the rows are like", _kinds(a, b, pair.same_data)),
        Section("look", "Rows to look at", _lists(a, b, found)),
        Section("all", "All rows that differ", _numbers(a, b) + _about(found)),
    ]
    about = f"A is {found.a.selection}, B is {found.b.selection}."
    title = f"{found.a.selection} and {found.b.selection}"
    return write_plain_page(title, "What differs between two selections", about, sections)


def _verdict(pair: Pair, found: Difference) -> str:
    lead = f"{write_count(found.both, 'row is', 'rows are')} in both: {_share(found.both, found.a.kept)} of what A "
    lead += f"kept, {_share(found.both, found.b.kept)} of what B kept."
    if found.chance is not None and found.jaccard is not None:
        lead += f" That is {found.jaccard:.2f} of all that either kept (Jaccard); by chance it would be "
        lead += f"{found.chance:.2f}."
    return "\n".join(
        [f'<p class="lead">{escape(lead)}</p>', paragraphs(_warnings(pair, found), "warning"), facts(_facts(found))]
    )


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else "none"


def _warnings(pair: Pair, found: Difference) -> Iterator[str]:
    if not pair.same_data:
        yield (
            f"The data differ: {write_count(found.matched, 'row is', 'rows are')} in both data sets (the same turns), "
            f"and compared. A chose {write_count(found.a.unmatched, 'row')} that B's data lacks, B "
            f"{found.b.unmatched:,} that A's lacks."
        )
    for name, of in (("A", pair.a), ("B", pair.b)):
        if not of.scores:
            yield f"{name} has no scores, so no ranking is compared: its method chooses a set, or they are gone."


def _facts(found: Difference) -> Iterator[tuple[str, str, str]]:
    for name, side in (("A", found.a), ("B", found.b)):
        yield f"kept by {name}", f"{side.kept:,}", f"{_share(side.kept, side.rows)} of {side.rows:,} rows"
    for name, side in (("A", found.a), ("B", found.b)):
        yield f"only in {name}", f"{len(side.only):,}", f"{_share(len(side.only), side.kept)} of what it kept"
    for name, side in (("A", found.a), ("B", found.b)):
        if side.cut is not None:
            yield f"cut of {name}", f"{side.cut:.4g}", "the lowest score that was kept"
    if found.spearman is not None:
        yield "rank correlation", f"{found.spearman:+z.2f}", f"Spearman, {found.ranked:,} rows that both have scored"


def _settings(pair: Pair) -> str:
    """The settings that differ, side by side."""
    sides = [dict(_flatten(_settings_of(of))) for of in (pair.a, pair.b)]
    names = [name for name in {**sides[0], **sides[1]} if sides[0].get(name) != sides[1].get(name)]
    if not names:
        return paragraphs(["The settings of both are the same."])
    rows = [(name, *(side.get(name, "–") for side in sides)) for name in names]
    return table("Settings that differ", ("setting", "A", "B"), rows, texts=3)


def _settings_of(of: StoredSelection) -> dict[str, Any]:
    data, sha256 = of.run.manifest["data"], of.run.manifest["identity"]["sha256"]
    return {"run": str(of.run.path), "data": data, "sha256": sha256[:16], "scores": of.scores, **of.config}


def _flatten(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value) or "–"


def _cut(a: _Side, b: _Side) -> str:
    """The scores of each side with its cut, and where the rows that the other chose lie in them."""
    if a.of.scores and a.of.scores == b.of.scores and a.of.run.path == b.of.run.path:
        drawings = [_one_scale(a.of, b.of)]
    else:
        drawings = [_scores(own, other) for own, other in ((a, b), (b, a)) if own.of.scores]
    return f'<div class="figures">{"".join(drawings)}</div>' if drawings else paragraphs(["Neither has scores."])


def _one_scale(a: StoredSelection, b: StoredSelection) -> str:
    low, high = sorted((a.cut, b.cut))
    between = int(((a.score >= low) & (a.score < high)).sum())
    caption = (
        f"Both are by the scores {a.scores}. The cut is at {_number(a.cut)} in A and at {_number(b.cut)} in B; "
        f"{write_count(between, 'row scores', 'rows score')} between the two."
    )
    drawn, more = _draw(a.score, b.rows, caption, {"A": a.cut, "B": b.cut})
    return figure("The scores and both cuts", key("all rows", "kept by B") + drawn, caption + more)


def _scores(own: _Side, other: _Side) -> str:
    """By the scores of one side, all rows and those that the other chose."""
    score, theirs = own.of.score, own.matched[other.kept]
    caption = f"The scores {own.of.scores}; the cut of {own.name} is at {_number(own.of.cut)}. "
    known = "" if len(theirs) == len(other.of.rows) else ", of those that both data sets have,"
    below = int((score[theirs] < own.of.cut).sum())
    caption += f"{below:,} of {len(theirs):,} rows that {other.name} kept{known} are below it"
    missing = int(np.isnan(score[theirs]).sum())
    caption += f", {missing:,} without such a score." if missing else "."
    drawn, more = _draw(score, theirs, caption, {f"cut of {own.name}": own.of.cut})
    return figure(f"By the scores of {own.name}", key("all rows", f"kept by {other.name}") + drawn, caption + more)


def _draw(score: Float64, rows: Int64, label: str, cuts: Mapping[str, float]) -> tuple[str, str]:
    """The scores of all and of some rows, up to the highest percent where no cut is in it; and a note on that."""
    highest = 0.99 if max(cuts.values()) < np.nanquantile(score, 0.99) else 1.0
    histogram = build_histogram(score, rows, highest=highest)
    drawn = charts.draw_shares(histogram, label, cuts)
    above = histogram.above[0]
    return (
        drawn,
        f" {write_count(above, 'higher score is', 'higher scores are')} counted at the right end." if above else "",
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4g}"


def _kinds(a: _Side, b: _Side, same_data: bool) -> str:
    """Means of the rows in both, and of those in one alone."""
    groups = [
        ("in both", a, a.of.rows[~np.isin(a.of.rows, a.only)]),
        ("only in A", a, a.only),
        ("only in B", b, b.only),
        ("all rows", a, np.arange(a.of.run.rows)),
        *([] if same_data else [("all rows of B's data", b, np.arange(b.of.run.rows))]),
    ]
    words = {side.name: side.of.run.basic_rows().response_words for side in (a, b)}
    rows = [
        (
            title,
            f"{len(some):,}",
            _mean(words[own.name][some]),
            *(_mean(_find_scores(own, side, some)) for side in (a, b)),
        )
        for title, own, some in groups
    ]
    header = ("rows", "how many", "mean words of the answers", "mean score of A", "mean score of B")
    return table("Means of the rows", header, rows)


def _find_scores(own: _Side, side: _Side, rows: Int64) -> Float64:
    """The scores by a side of rows that are numbered as in `own`; of those alone that both data sets have."""
    return side.of.score[rows] if own is side else side.of.score[side.matched[np.isin(own.matched, rows)]]


def _mean(values: NDArray[Any]) -> str:
    known = values[~np.isnan(values)]
    return f"{known.mean():.4g}" if len(known) else "–"


def _lists(a: _Side, b: _Side, found: Difference) -> str:
    moved = np.array([each.row_a for each in found.moved], np.int64)
    cards = [
        _card(a, b, "Only in A", "A chose them first of those that B did not.", a.only[:MOST]),
        _card(b, a, "Only in B", "B chose them first of those that A did not.", b.only[:MOST]),
        _card(a, b, "Moved most", "Their places by the two scores are the farthest apart.", moved),
        *(
            _card(own, other, f"Last that {own.name} kept", "With a few rows fewer they go.", own.of.rows[::-1][:MOST])
            for own, other in ((a, b), (b, a))
            if own.of.scores and not {"by", "diversity"} & set(own.of.config.get("filters", {}))
        ),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(own: _Side, other: _Side, title: str, about: str, rows: Int64) -> str:
    """Rows, numbered as in the run of `own`, each with its conversation; '' without any."""
    if not len(rows):
        return ""
    notes = [_places(own, other, row) for row in rows.tolist()]
    return card(title, about, list(write_entries(own.of.run, rows, notes)))


def _places(own: _Side, other: _Side, row: int) -> str:
    """The row's place on both sides, and whether they kept it."""
    at = np.flatnonzero(own.matched == row)
    if not len(at):
        return f'<i class="badge yes">{own.name}, kept</i> <i class="badge">not in the data of {other.name}</i>'
    return " ".join(_badge(side, int(at[0])) for side in sorted((own, other), key=lambda side: side.name))


def _badge(side: _Side, at: int) -> str:
    place = f" {side.place[at]:,}" if side.place[at] else ""
    kind, said = ("badge yes", "kept") if side.kept[at] else ("badge", "not kept")
    return f'<i class="{kind}">{side.name}{place}, {said}</i>'


def _numbers(a: _Side, b: _Side) -> str:
    """The numbers of all rows that one side alone chose, in its order."""
    return "".join(
        details(
            f"Only in {side.name}: {write_count(len(side.only), 'row')}, in its order",
            f"<pre>{escape(', '.join(map(str, side.only.tolist())))}</pre>" if len(side.only) else "",
        )
        for side in (a, b)
    )


def _about(found: Difference) -> str:
    lines = [
        "Rows count from 0, each side in its own run. A number beside A or B is the place by its scores among the "
        f"{found.ranked:,} rows that both have scored, the best first.",
        f"Page written by selectit {__version__}.",
    ]
    return paragraphs(lines, "quiet")
