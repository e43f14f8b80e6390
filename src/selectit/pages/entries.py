"""Rows of a run as entries of a list: what each says is seen after a click, without a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selectit.pages.markup import conversation, escape, paragraphs
from selectit.pages.rows import read_conversations
from selectit.runs.run import Run
from selectit.signals.arrays import Int64

_EXCERPT = 140
"""Characters of a question that are seen before its row is opened."""


def write_entries(run: Run, rows: Int64, notes: Sequence[str] = ()) -> Iterator[str]:
    """The entry of each of these rows, in their order, as HTML.

    Args:
        run: whose rows they are.
        rows: their numbers.
        notes: HTML, what stands beside the number of each; () = nothing.
    """
    known = {each["row"]: each for each in read_conversations(run, rows)}
    for row, note in zip(rows.tolist(), notes or [""] * len(rows), strict=True):
        if row not in known:
            yield paragraphs([f"Row {row}. This page has no room for it: selectit show {run.path} --row {row}"])
            continue
        turns = known[row]["turns"]
        question = next((text for role, text in turns if role == "user"), "")
        begins = " ".join(question[: 4 * _EXCERPT].split())[:_EXCERPT]
        head = f'<b>Row {row}</b> {note}<span dir="auto">{escape(begins)}</span>'
        yield f'<details class="entry"><summary>{head}</summary>{conversation(turns, known[row]["left_out"])}</details>'
