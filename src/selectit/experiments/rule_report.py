"""A fitted rule, and what is said of it: on the terminal, and at the head of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from selectit.experiments.outcomes import Line
from selectit.numerics.regression import Fit, Regression
from selectit.text_tables import table_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What `fit_rule` found."""

    line: Line
    """Base model, choice and budget of the subsets."""
    recipe: str
    """How the models were tuned."""
    data: str
    fingerprint: str
    """sha256 of the data, before the rows that the evaluation asks about were left out."""
    rows: int
    """Of the data, without those."""
    subset_rows: int
    metric: str
    """The line of the evaluation and its unit."""
    losses: tuple[float, ...]
    """One for each subset; the regression is of their logarithms."""
    missing: Mapping[str, int]
    """Rows of the data without a score, of each indicator; a subset's mean is over the rows that have one."""
    regression: Regression
    out: Path | None
    """The file; None where no indicator is left, and none was written."""
    subset: Path | None = None
    """The rows that were chosen by it; None where none were."""


def rule_lines(rule: Rule) -> Iterator[str]:
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
        if rule.subset is not None:
            yield f"chosen    {rule.subset}"
        elif found.better:
            yield f"use it    selectit select DATA --config {rule.out}"


TITLE = "The loss that this rule predicts for a model tuned on rows like these (Instruction Mining)."


def rule_header(rule: Rule) -> Iterator[str]:
    """The head of the file."""
    yield TITLE
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
