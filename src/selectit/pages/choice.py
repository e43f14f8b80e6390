"""A stored selection as its page needs it: the scores behind it, the order of choice, and why rows were not chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction

import numpy as np

from selectit.methods._base import ScoringMethod
from selectit.numerics.groups import find_best
from selectit.numerics.ranking import ranking
from selectit.pages.load import build_method
from selectit.runs.run import Run
from selectit.runs.selections import GROUPS, REST, Unchosen, asides, read_beside
from selectit.runs.stored import StoredSelection, load_selection
from selectit.selection.choose import Groups
from selectit.selection.filter import read_alternatives, weigh_groups
from selectit.selection.summary import Summary, from_plain
from selectit.signals.arrays import Int64

_NEVER_CHOSEN = ("decontaminate", "dedup")
"""The steps that leave rows out whatever the amount is."""


@dataclass(frozen=True, slots=True)
class StoredChoice(StoredSelection):
    """A selection of N rows with all that is stored about it."""

    summary: Summary
    order: Int64
    """The rows that may be chosen, best first; empty without scores."""
    is_cut: bool
    """Whether the chosen rows are the first of `order`, so that another amount moves nothing but the cut."""
    unchosen: Mapping[int, Unchosen] = field(default_factory=dict)
    """Why rows were not chosen, where that was stored; the reason has the detail in it."""
    groups: tuple[str, ...] = ()
    """(N,) the group of each row; () = there are none."""
    quotas: Groups | None = None
    """What these groups give."""


def read_choice(run: Run, name: str) -> StoredChoice:
    """A selection of a run. Raises DamagedError where something of it is not as it was written."""
    of = load_selection(run, name)
    summary = from_plain(run.read_json(run.path / "selections" / name / "summary.json"))
    beside, filters = asides(run, name), of.config.get("filters", {})
    rest = read_beside(run, name, REST).to_pylist() if REST in beside else []
    out = np.array([each["row"] for each in rest if each["step"] in _NEVER_CHOSEN], np.int64)
    groups = tuple(read_beside(run, name, GROUPS)["group"].to_pylist()) if GROUPS in beside else ()
    quotas = weigh_groups(groups, _read_shares(filters["shares"])) if groups else None
    order = _order(of, summary, out, quotas) if of.scores else np.zeros(0, np.int64)
    return StoredChoice(
        **{each.name: getattr(of, each.name) for each in fields(of)},
        summary=summary,
        order=order,
        is_cut=not {"by", "diversity"} & set(filters) and np.array_equal(order[: len(of.rows)], of.rows),
        unchosen={each["row"]: Unchosen(each["step"], each["why"], kept_row=each["kept_row"]) for each in rest},
        groups=groups,
        quotas=quotas,
    )


def _read_shares(stored: str | Mapping[str, str]) -> str | dict[str, Fraction]:
    return stored if isinstance(stored, str) else {name: Fraction(share) for name, share in stored.items()}


def _order(of: StoredSelection, summary: Summary, left_out: Int64, quotas: Groups | None) -> Int64:
    """The rows that may be chosen, best first.

    Which of equal scores comes first the method says, or, where it takes more than its settings to know that, the
    stored choice.
    """
    method = build_method(of.config)
    usual = method.ties if isinstance(method, ScoringMethod) else "smaller"
    allowed = of.score.copy()
    allowed[left_out] = math.nan
    alternatives = read_alternatives(of.run, (summary.options or {}).get("best_of"))
    first_of = np.full(of.run.rows, -of.run.rows, np.float64)
    first_of[of.rows] = -np.arange(len(of.rows))
    order = np.zeros(0, np.int64)
    for ties in (usual, first_of):
        order = ranking(allowed, ties)
        if alternatives is not None:
            order = order[find_best(order, alternatives)[order] == order]
        first = order[: len(of.rows)] if quotas is None else quotas.take(order, len(of.rows))
        if np.array_equal(first, of.rows):
            break
    return order
