"""Why each row that was not chosen was not, and what else is to be said of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from selectit.jsonable import without_nan
from selectit.runs.run import Run
from selectit.runs.selections import Aside, Unchosen
from selectit.runs.stored import failures
from selectit.selection.choose_rows import Choice
from selectit.selection.score import Scored
from selectit.signals.arrays import Int64


def find_failures(run: Run, scored: Scored) -> dict[int, str]:
    """Why rows have no signal."""
    reasons: dict[int, str] = {}
    for annotator, requests in scored.answered:
        reasons = failures(run, [annotator], requests) | reasons
    return reasons


def explain_rest(
    run: Run, choice: Choice, scored: Scored, failed: Mapping[int, str], dropped: Mapping[int, Unchosen]
) -> dict[int, Unchosen]:
    """Why each row that was not chosen was not, in source order.

    Args:
        run: whose rows they are.
        choice: which says what was left out before, and passed over after.
        scored: by the method.
        failed: why rows have no signal.
        dropped: why rows did not go on in a cascade.
    """
    known = {**dropped, **choice.passed_over, **choice.beaten, **choice.candidates.left_out}
    rest = np.setdiff1d(np.arange(run.rows), choice.selection.rows).tolist()
    return {row: known.get(row) or _explain(row, choice, scored, failed) for row in rest}


def _explain(row: int, choice: Choice, scored: Scored, failed: Mapping[int, str]) -> Unchosen:
    groups = choice.candidates.groups
    if scored.chooses_set:
        return Unchosen("method", "not chosen", failed.get(row, "") or ("" if groups is None else _group(choice, row)))
    if np.isnan(scored.scores.score[row]):
        return Unchosen("score", "no score", failed.get(row) or scored.about or "not scored")
    if groups is None:
        return Unchosen("cut", "below the cut")
    return Unchosen("quota", "below the cut of its group", _group(choice, row))


def _group(choice: Choice, row: int) -> str:
    groups = choice.candidates.groups
    assert groups is not None
    return groups.names[int(groups.of[row])]


def to_records(rest: Mapping[int, Unchosen], scored: Scored) -> tuple[Int64, list[dict[str, Any]]]:
    """The rows, and what `--rest` says of each."""
    values = [
        {"row": row, "score": without_nan(scored.scores.score[row]), "why": each.why}
        | ({} if each.kept_row is None else {"kept_row": each.kept_row})
        for row, each in rest.items()
    ]
    return np.array(list(rest), np.int64), values


def build_aside(choice: Choice, rest: Mapping[int, Unchosen]) -> Aside:
    """What is stored beside the selection's rows."""
    candidates = choice.candidates
    groups = () if candidates.groups is None else tuple(candidates.groups.names[at] for at in candidates.groups.of)
    notes = {
        row: f"question in {asked}, answer in {answered}"
        for row, (asked, answered) in (candidates.mismatches or {}).items()
    }
    return Aside(rest, groups, notes)
