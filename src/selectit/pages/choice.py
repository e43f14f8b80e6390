"""A stored selection as its page needs it: the scores behind it, the order of choice, and why rows were not chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from selectit.methods._base import ScoringMethod
from selectit.numerics.groups import best_of_groups
from selectit.numerics.ranking import ranking
from selectit.pages.load import build_method
from selectit.runs.files import numbers
from selectit.runs.run import Run
from selectit.runs.selections import GROUPS, REST, Unchosen, asides, read_beside, read_selection
from selectit.runs.stored import find_scores, read_scores
from selectit.selection.choose import Groups
from selectit.selection.filter import read_alternatives, weigh_groups
from selectit.selection.summary import Summary, from_plain
from selectit.signals.arrays import Float64, Int64

_NEVER_CHOSEN = ("decontaminate", "dedup")
"""The steps that leave rows out whatever the amount is."""


@dataclass(frozen=True, slots=True)
class StoredChoice:
    """A selection of N rows with all that is stored about it."""

    name: str
    config: Mapping[str, Any]
    summary: Summary
    rows: Int64
    """The chosen rows, in the order of choice."""
    why: tuple[str, ...]
    """Of each, why."""
    scores: str
    """The name of the scores that it was made by; '' for a method that chooses a set."""
    score: Float64
    """(N,) NaN = none."""
    parts: Mapping[str, Float64]
    """What each score was made of: (N,) each."""
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
    folder = run.path / "selections" / name
    config, table = run.read_toml(folder / "config.toml"), read_selection(run, name)
    summary = from_plain(run.read_json(folder / "summary.json"))
    rows, beside = numbers(table["row"]), asides(run, name)
    scores, score, parts = _read_scores(run, config)
    rest = read_beside(run, name, REST).to_pylist() if REST in beside else []
    out = np.array([each["row"] for each in rest if each["step"] in _NEVER_CHOSEN], np.int64)
    filters = config.get("filters", {})
    groups = tuple(read_beside(run, name, GROUPS)["group"].to_pylist()) if GROUPS in beside else ()
    quotas = weigh_groups(groups, _read_shares(filters["shares"])) if groups else None
    order = _order(run, config, summary, score, out, rows, quotas) if scores else np.zeros(0, np.int64)
    return StoredChoice(
        name=name,
        config=config,
        summary=summary,
        rows=rows,
        why=tuple(table["why"].to_pylist()),
        scores=scores,
        score=score,
        parts=parts,
        order=order,
        is_cut=not {"by", "diversity"} & set(filters) and np.array_equal(order[: len(rows)], rows),
        unchosen={each["row"]: Unchosen(each["step"], each["why"], kept_row=each["kept_row"]) for each in rest},
        groups=groups,
        quotas=quotas,
    )  # fmt: skip


def _read_shares(stored: str | Mapping[str, str]) -> str | dict[str, Fraction]:
    return stored if isinstance(stored, str) else {name: Fraction(share) for name, share in stored.items()}


def _read_scores(run: Run, config: Mapping[str, Any]) -> tuple[str, Float64, dict[str, Float64]]:
    """The name, the values and the parts of the scores of these settings; a name '' and NaN where there are none."""
    name = find_scores(run, config)
    if name is None:
        return "", np.full(run.rows, math.nan), {}
    table = read_scores(run, name)
    return name, numbers(table["score"]), {key: numbers(table[key]) for key in table.column_names[2:]}


def _order(
    run: Run,
    config: Mapping[str, Any],
    summary: Summary,
    score: Float64,
    left_out: Int64,
    chosen: Int64,
    quotas: Groups | None,
) -> Int64:
    """The rows that may be chosen, best first.

    Which of equal scores comes first the method says, or, where it takes more than its settings to know that, the
    stored choice.
    """
    method = build_method(config)
    usual = method.ties if isinstance(method, ScoringMethod) else "smaller"
    allowed = score.copy()
    allowed[left_out] = math.nan
    alternatives = read_alternatives(run, (summary.options or {}).get("best_of"))
    first_of = np.full(run.rows, -run.rows, np.float64)
    first_of[chosen] = -np.arange(len(chosen))
    order = np.zeros(0, np.int64)
    for ties in (usual, first_of):
        order = ranking(allowed, ties)
        if alternatives is not None:
            order = order[best_of_groups(allowed, alternatives, ties)[order]]
        first = order[: len(chosen)] if quotas is None else quotas.take(order, len(chosen))
        if np.array_equal(first, chosen):
            break
    return order
