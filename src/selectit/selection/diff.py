"""What differs between two selections: the rows, the cut, the ranking. From stored columns; no model is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.errors import RunError
from selectit.jsonable import without_nan
from selectit.numerics.ranking import chance_jaccard, ranking, spearman
from selectit.runs.run import Run
from selectit.runs.selections import open_selection
from selectit.runs.stored import StoredSelection, load_selection
from selectit.signals.arrays import Float64, Int64
from selectit.text_tables import excerpt, notebook_html, table_lines, write_count

EXAMPLES = 10
EXCERPT = 44
"""Characters of an instruction."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two selections. None = undefined."""

    selection: str
    """'RUN:NAME'."""
    rows: int
    """Of its data."""
    kept: int
    cut: float | None
    """The lowest score that was kept."""
    only: tuple[int, ...]
    """The rows that it alone has, in its order."""
    unmatched: int
    """Those of them that the other's data lacks."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A row that stands elsewhere in the other ranking."""

    row_a: int
    row_b: int
    """Differ where the runs are of different data."""
    place_a: int
    """From 1, of the rows that both have scored."""
    place_b: int
    chosen_a: bool
    chosen_b: bool
    text: str
    """The beginning of its instruction."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two selections, A and B. None = undefined."""

    a: Side
    b: Side
    same_data: bool
    matched: int
    """The rows that both data sets have: the same turns, of equal rows the first the first and so on."""
    both: int
    """The rows that both chose."""
    jaccard: float | None
    """Shared rows over the rows of either choice; rows that only one's data has count as not shared."""
    chance: float | None
    """The same for choices of these sizes by chance; None where the data differ."""
    spearman: float | None
    """Rank correlation of the scores of matched rows; None where one chose a set."""
    ranked: int
    """The matched rows that both have scored."""
    moved: tuple[Moved, ...]
    """The rows whose place changed most, the largest change first."""

    def _repr_html_(self) -> str:
        return notebook_html(difference_lines(self))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two selections, and the M rows that both data sets have."""

    a: StoredSelection
    b: StoredSelection
    same_data: bool
    rows_a: Int64
    """(M,) in the numbers of A's run."""
    rows_b: Int64
    """(M,) the same rows in the numbers of B's."""
    place_a: Int64
    """(M,) the place by A's scores among the rows that both have scored, from 1; 0 = one has not."""
    place_b: Int64
    """(M,)."""


def diff(a: str | Path, b: str | Path) -> Difference:
    """Compare two selections, of one run or of two. Loads no model.

    Args:
        a: 'RUN:NAME', or 'RUN' of a run with one selection.
        b: likewise.

    Raises:
        RunError: no such run or selection, or the runs have no row in common.
        SettingsError: a run with several selections, and no name.
    """
    return compare_pair(load_pair(a, b))


def load_pair(a: str | Path, b: str | Path) -> Pair:
    """Two selections as their runs have them; arguments and errors as of `diff`."""
    one, other = (load_selection(*open_selection(each)) for each in (a, b))
    same_data = one.run.manifest["identity"] == other.run.manifest["identity"]
    rows_a, rows_b = (np.arange(one.run.rows),) * 2 if same_data else match_rows(one.run, other.run)
    if not len(rows_a):
        raise RunError(
            f"{one.run.path} and {other.run.path} are of different data: no row of one is in the other",
            "Compare selections of one data set.",
        )
    known = np.flatnonzero(~np.isnan(one.score[rows_a] + other.score[rows_b]))
    places = np.zeros((2, len(rows_a)), np.int64)
    places[:, known] = _rank(one.score[rows_a[known]]), _rank(other.score[rows_b[known]])
    return Pair(one, other, same_data, rows_a, rows_b, *places)


def compare_pair(pair: Pair) -> Difference:
    """What differs between the two."""
    one, other, rows_a, rows_b = pair.a, pair.b, pair.rows_a, pair.rows_b
    of_a, of_b = (_find(each.rows, rows, each.run.rows) for each, rows in ((one, rows_a), (other, rows_b)))
    both = np.intersect1d(of_a[of_a >= 0], of_b)
    either, sizes = len(of_a) + len(of_b) - len(both), (len(of_a), len(of_b))
    known = pair.place_a > 0
    return Difference(
        a=_side(one, of_a, both),
        b=_side(other, of_b, both),
        same_data=pair.same_data,
        matched=len(rows_a),
        both=len(both),
        jaccard=len(both) / either if either else None,
        chance=without_nan(chance_jaccard(*sizes, one.run.rows)) if pair.same_data else None,
        spearman=_correlate(one, other, rows_a[known], rows_b[known]),
        ranked=int(known.sum()),
        moved=_moved(pair),
    )


def match_rows(a: Run, b: Run) -> tuple[Int64, Int64]:
    """The M rows of A that B has too, and their numbers in B: the same turns, and as many equal rows before."""
    places = {key: row for row, key in enumerate(_keys(b))}
    found = [(row, places[key]) for row, key in enumerate(_keys(a)) if key in places]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _keys(run: Run) -> Iterator[tuple[bytes, int]]:
    rows = run.basic_rows()
    return zip((bytes(digest) for digest in rows.digest), rows.occurrence.tolist(), strict=True)


def _find(rows: Int64, matched: Int64, total: int) -> Int64:
    """The place of each row among the matched ones; of one that is not among them -1 or less, each another."""
    places = -1 - np.arange(total)
    places[matched] = np.arange(len(matched))
    return places[rows]


def _side(of: StoredSelection, places: Int64, both: Int64) -> Side:
    return Side(
        selection=f"{of.run.path}:{of.name}",
        rows=of.run.rows,
        kept=len(of.rows),
        cut=without_nan(of.cut),
        only=tuple(of.rows[~np.isin(places, both)].tolist()),
        unmatched=int((places < 0).sum()),
    )


def _correlate(a: StoredSelection, b: StoredSelection, rows_a: Int64, rows_b: Int64) -> float | None:
    """The rank correlation of these rows' scores; None where one chose a set."""
    return without_nan(spearman(a.score[rows_a], b.score[rows_b])) if a.scores and b.scores else None


def _moved(pair: Pair) -> tuple[Moved, ...]:
    """The rows with both scores whose places differ most."""
    gap = np.abs(pair.place_a - pair.place_b)
    most = np.argsort(-gap, kind="stable")[:EXAMPLES]
    most = most[gap[most] > 0]
    texts = _excerpts(pair.a.run, pair.rows_a[most])
    return tuple(
        Moved(
            row_a=int(pair.rows_a[at]),
            row_b=int(pair.rows_b[at]),
            place_a=int(pair.place_a[at]),
            place_b=int(pair.place_b[at]),
            chosen_a=bool(np.isin(pair.rows_a[at], pair.a.rows)),
            chosen_b=bool(np.isin(pair.rows_b[at], pair.b.rows)),
            text=texts[int(pair.rows_a[at])],
        )
        for at in most
    )


def _rank(scores: Float64) -> Int64:
    places = np.empty(len(scores), np.int64)
    places[ranking(scores)] = np.arange(1, len(scores) + 1)
    return places


def _excerpts(run: Run, rows: Int64) -> dict[int, str]:
    """The beginning of each row's first rated instruction, on one line."""
    found: dict[int, str] = {}
    for sample in run.samples_at(np.sort(rows)):
        found.setdefault(sample.row, excerpt(sample.instruction, EXCERPT))
    return found


def difference_lines(found: Difference) -> Iterator[str]:
    """The difference as lines of text."""
    for name, side in (("a", found.a), ("b", found.b)):
        cut = "" if side.cut is None else f", cut at {side.cut:.4g}"
        share = side.kept / side.rows
        yield f"{name}  {side.selection}: kept {side.kept:,} of {write_count(side.rows, 'row')} ({share:.1%}){cut}"
    if not found.same_data:
        yield f"the data differ: {write_count(found.matched, 'row is', 'rows are')} in both, and compared"
    for name, side in (("a", found.a), ("b", found.b)):
        lacks = f", {side.unmatched:,} of them not in the other's data" if side.unmatched else ""
        yield f"only in {name}: {write_count(len(side.only), 'row')}{lacks}"
    chance = "" if found.chance is None else f" ({found.chance:.2f} by chance)"
    shared = "undefined" if found.jaccard is None else f"{found.jaccard:.2f}{chance}"
    yield f"in both: {write_count(found.both, 'row')}; Jaccard {shared}"
    if found.spearman is not None:
        yield f"rank correlation of the scores (Spearman): {found.spearman:+z.2f}"
    if found.moved:
        yield f"moved most, by the place among {found.ranked:,} rows (* = chosen):"
        cells = [_moved_cells(found, each) for each in found.moved]
        yield from table_lines(("row", "instruction", "in a ", "in b "), cells, names=2)


def _moved_cells(found: Difference, moved: Moved) -> tuple[str, ...]:
    row = f"{moved.row_a}" if found.same_data else f"{moved.row_a} = {moved.row_b}"
    return row, moved.text, _place(moved.place_a, moved.chosen_a), _place(moved.place_b, moved.chosen_b)


def _place(place: int, chosen: bool) -> str:
    return f"{place:,}{'*' if chosen else ' '}"
