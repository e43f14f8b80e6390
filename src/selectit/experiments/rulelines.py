"""A fitted rule as text: for the terminal, and for the head of its file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from selectit.comparison import table_lines
from selectit.regression import Fit

if TYPE_CHECKING:
    from selectit.experiments.rule import Rule


def lines(rule: Rule) -> Iterator[str]:
    """What was fitted, every coefficient, what was dropped, and what it is worth."""
    found = rule.regression
    yield from _what(rule)
    for text, count in rule.missing.items():
        if count:
            yield f"{count:,} of {rule.rows:,} rows have no {text}; means are over the others"
    yield ""
    yield from _table(found.every)
    if found.dropped:
        yield ""
        yield f"dropped, the largest p-value first: {', '.join(found.dropped)}"
        yield ""
        yield from _table(found.kept)
    yield ""
    yield from _worth(rule)
    if rule.out is None:
        yield "No indicator is left, so no rule was written."
    else:
        yield f"rule      {rule.out}"
        if found.better:
            yield f"use it    selectit select DATA --config {rule.out}"


def about(rule: Rule) -> Iterator[str]:
    """The head of the file."""
    yield "The loss that this rule predicts for a model tuned on rows like these (Instruction Mining)."
    yield from _what(rule)
    yield f"sha256 of the data {rule.fingerprint}"
    for term in rule.regression.kept.terms:
        yield f"{term.name}: {term.value:.6g}, standard error {term.stderr:.3g}, p {term.p:.2g}"
    if rule.regression.dropped:
        yield f"dropped: {', '.join(rule.regression.dropped)}"
    yield from _worth(rule)


def _what(rule: Rule) -> Iterator[str]:
    model, choice, budget = rule.line
    low, high = min(rule.losses), max(rule.losses)
    yield f"base model {model}, recipe {rule.recipe}; the coefficients belong to them"
    yield (
        f"{rule.regression.points} subsets of {rule.subset_rows:,} rows (choice {choice}, budget {budget}) "
        f"of {rule.data}, {rule.rows:,} rows"
    )
    yield f"predicted: the logarithm of {rule.metric}, which went from {low:.4g} to {high:.4g}"


def _worth(rule: Rule) -> Iterator[str]:
    found = rule.regression
    yield (
        f"R² {found.kept.r2:.3f}; error in log loss where each subset is left out in turn {found.error:.4g}, "
        f"that of the mean {found.error_of_mean:.4g}"
    )
    if not found.better:
        yield "The rule predicts no better than the mean of the losses: it is not shown to tell anything of the rows."


def _table(fit: Fit) -> Iterator[str]:
    header = ("indicator", "coefficient", "standard error", "p")
    rows = [(term.name, f"{term.value:+.5g}", f"{term.stderr:.3g}", f"{term.p:.2g}") for term in fit.terms]
    yield from table_lines(header, rows)
