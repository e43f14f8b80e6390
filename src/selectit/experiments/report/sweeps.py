"""Choices that differ in an amount only: of rows, or of one parameter of their method (K, alpha). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selectit import methods as method_files
from selectit.experiments.outcomes import Outcome, group_by_line
from selectit.experiments.report.tables import Column, Table
from selectit.experiments.settings import Choice


@dataclass(frozen=True, slots=True)
class Sweep:
    """Choices whose methods differ in one number."""

    parameter: str
    rest: str
    """What they share: the method with its other parameters, data set, raters and settings."""
    names: tuple[tuple[float, str], ...]
    """The number and the choice's name, smallest number first."""


Swept = dict[tuple[str, str], dict[float, list[Outcome]]]
"""Of each model and budget the cells of each value, smallest first."""


def find_sweeps(choices: Sequence[Choice]) -> list[Sweep]:
    """Every group of choices whose methods differ in the value of one numeric parameter alone.

    A grid of two parameters is a sweep over each of them for each value of the other. Seeds are no amount.
    """
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for choice in choices:
        _, given = method_files.parse_spec(choice.method)
        for parameter, text in given.items():
            value = _number(text)
            if value is not None and parameter != "seed":
                groups.setdefault((parameter, _rest(choice, parameter)), {})[choice.name] = value
    return [
        Sweep(parameter, rest, tuple(sorted((value, name) for name, value in names.items())))
        for (parameter, rest), names in groups.items()
        if len(set(names.values())) > 1
    ]


def collect_sweep(outcomes: Sequence[Outcome], sweep: Sweep) -> Swept:
    """The cells of a sweep, of models and budgets that have two values or more."""
    grouped = group_by_line(outcomes)
    found: Swept = {}
    for model, budget in dict.fromkeys((model, budget) for model, _, budget in grouped):
        cells = {value: grouped[model, name, budget] for value, name in sweep.names if (model, name, budget) in grouped}
        if len(cells) > 1:
            found[model, budget] = cells
    return found


def sweep_table(parameter: str, found: Mapping[str, Swept], column: Column) -> Table:
    """Rows: models; columns: the values of the parameter; cells: one score, as in the paper's Tables 2 and 3.

    Args:
        parameter: of the sweeps.
        found: by what its choices share, the cells of each sweep over the parameter.
        column: the score.
    """
    values = sorted({value for some in found.values() for cells in some.values() for value in cells})
    lines = [
        [model, rest, budget, *(column.text(cells.get(value, [])) for value in values)]
        for rest, some in found.items()
        for (model, budget), cells in some.items()
    ]
    return ["model", "method", "budget", *(f"{parameter} = {value:g}" for value in values)], lines


Amounts = dict[tuple[str, str], dict[str, list[Outcome]]]
"""Of each model and choice the cells of each budget, fewest rows first."""


def collect_amounts(outcomes: Sequence[Outcome]) -> Amounts:
    """The choices with a budget, of each model that has a choice with two budgets or more; other data sets left out."""
    found: Amounts = {}
    for (model, choice, budget), some in sorted(group_by_line(outcomes).items(), key=lambda each: each[1][0].rows):
        if budget and not some[0].data:  # the same percentage of another data set is another number of rows
            found.setdefault((model, choice), {})[budget] = some
    models = {model for (model, _), cells in found.items() if len(cells) > 1}
    ordered = dict.fromkeys(each.line[:2] for each in outcomes)
    return {key: found[key] for key in ordered if key in found and key[0] in models}


def amount_table(found: Amounts, column: Column) -> Table:
    """Rows: models and choices; columns: budgets, fewest rows first; cells: one score."""
    rows = {budget: some[0].rows for cells in found.values() for budget, some in cells.items()}
    budgets = sorted(rows, key=lambda budget: rows[budget])
    lines = [[*key, *(column.text(cells.get(budget, [])) for budget in budgets)] for key, cells in found.items()]
    return ["model", "choice", *budgets], lines


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rest(choice: Choice, parameter: str) -> str:
    """The choice without one parameter, in words; equal for equal choices."""
    method, given = method_files.parse_spec(choice.method)
    others = ";".join(f"{key}={value}" for key, value in sorted(given.items()) if key != parameter)
    data = f"from {choice.data}" if choice.data else ""
    rated = "rated by " + " and ".join(choice.rater) if choice.rater else ""
    settings = (f"{key} = {value}" for key, value in sorted(choice.settings.items()))
    return ", ".join(filter(None, [f"{method}:{others}" if others else method, data, rated, *settings]))
