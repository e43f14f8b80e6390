"""The tables of an experiment: means over seeds, differences to all rows and to random ones, and costs. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.experiments.outcomes import Line, Outcome, group_by_line
from selectit.numerics.statistics import Estimate, bootstrap_mean
from selectit.signals.arrays import Float64

_SHARES = ("acc", "exact_match", "f1", "em", "pass@", "win rate", "COMET")
"""How the names of metrics begin that are shares from 0 to 1, and are shown in percent."""


_TEX = str.maketrans(
    {mark: "\\" + mark for mark in "&%_#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)


Table = tuple[list[str], list[list[str]]]
"""Header and lines."""


@dataclass(frozen=True, slots=True)
class Level:
    """What stands in one place of a table: a mean over seeds."""

    mean: float
    spread: float | None
    """Standard deviation; None with one seed."""

    def text(self, digits: int) -> str:
        """'37.5 ± 17.7'."""
        spread = "" if self.spread is None else f" ± {self.spread:.{digits}f}"
        return f"{self.mean:z.{digits}f}{spread}"


@dataclass(frozen=True, slots=True)
class Column:
    """A benchmark, or AVG: the mean over the benchmarks where more is better."""

    name: str
    metric: str
    """'' for AVG."""
    lower: bool
    """Whether less is better."""
    scales: Mapping[str, float]
    """Of each benchmark in it: 100 for shares, which are shown in percent, 1 for others."""

    @property
    def title(self) -> str:
        """Name and metric."""
        return f"{self.name} ({self.metric})" if self.metric else self.name

    @property
    def digits(self) -> int:
        """After the point."""
        return 3 if self.lower else 1

    @property
    def finer(self) -> int:
        """Digits after the point of a difference."""
        return 1 if max(self.scales.values()) > 1 else 3

    def of(self, outcome: Outcome) -> float | None:
        """As it is shown; None where not all of it was evaluated: a mean over other benchmarks is another figure."""
        if not self.scales or self.scales.keys() - outcome.scores.keys():
            return None
        return float(np.mean([scale * outcome.scores[name].mean for name, scale in self.scales.items()]))

    def level(self, outcomes: Sequence[Outcome]) -> Level | None:
        """Over the seeds of one line."""
        values = [value for value in map(self.of, outcomes) if value is not None]
        if not values:
            return None
        return Level(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)

    def text(self, outcomes: Sequence[Outcome]) -> str:
        """The level of one line as a table has it."""
        level = self.level(outcomes)
        return "-" if level is None else level.text(self.digits)


def columns(outcomes: Sequence[Outcome]) -> list[Column]:
    """Every benchmark in the order of the evaluation, and AVG."""
    found = []
    for name in dict.fromkeys(name for each in outcomes for name in each.scores):
        score = next(each.scores[name] for each in outcomes if name in each.scores)
        metric = score.metric.replace("per token", "per row") if score.values else score.metric
        metric += ", less is better" if score.lower else ""
        found.append(Column(name, metric, score.lower, {name: _scale(outcomes, name)}))
    more = {name: scale for column in found if not column.lower for name, scale in column.scales.items()}
    return [*found, Column("AVG", "", False, more)]


def headline(outcomes: Sequence[Outcome]) -> Column:
    """The one column that speaks for all: AVG, or the first loss where there are only losses."""
    *benchmarks, average = columns(outcomes)
    return average if average.scales else benchmarks[0]


def result_table(outcomes: Sequence[Outcome]) -> Table:
    """Each benchmark's mean over the seeds, with its standard deviation where there are several."""
    shown = [column for column in columns(outcomes) if column.scales]  # of losses alone there is no AVG
    lines = [
        [*line, f"{some[0].rows:,}", f"{len(some)}", *(column.text(some) for column in shown)]
        for line, some in group_by_line(outcomes).items()
    ]
    return ["model", "choice", "budget", "rows", "seeds", *[column.title for column in shown]], lines


def compare_lines(outcomes: Sequence[Outcome], reference: str) -> dict[Line, dict[str, Estimate]]:
    """Each line less the line of the reference method: for `full` of any budget, for `random` of the same one.

    A choice that fixes its own size (a list of rows) or from another data set is compared with the random choice of as
    many rows. Of each benchmark with items the mean difference over them, seeds averaged, as it is shown (shares in
    percent), and its bootstrap interval. Empty without a reference.
    """
    grouped, shown = group_by_line(outcomes), _with_items(outcomes)
    found = {}
    for line, some in grouped.items():
        model, _, budget = line
        by_rows = not budget or bool(some[0].data)
        same = [
            each
            for (m, _, b), each in grouped.items()
            if m == model and (reference == "full" or (each[0].rows == some[0].rows if by_rows else b == budget))
        ]
        candidates = [each for each in same if each[0].method == reference and not each[0].data]
        # Of several random choices the plain one: another may be balanced, or drawn from fewer rows.
        other = next((each for each in candidates if each[0].line[1] == reference), next(iter(candidates), None))
        if other is None or other is some or not some[0].method:
            continue
        estimates = {column.name: _difference(some, other, column) for column in shown}
        found[line] = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    return found


def difference_table(outcomes: Sequence[Outcome], found: Mapping[Line, Mapping[str, Estimate]]) -> Table:
    """What `compare_lines` found, as a table."""
    shown = _with_items(outcomes)
    lines = [[*line, *(_interval(some.get(column.name), column) for column in shown)] for line, some in found.items()]
    return ["model", "choice", "budget", *[column.title for column in shown]], lines


def pair_outcomes(a: Sequence[Outcome], b: Sequence[Outcome], benchmark: str) -> Estimate | None:
    """The mean difference over the items that both have, seeds averaged first. None without common items."""
    first, second = (_by_item(each, benchmark) for each in (a, b))
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    values: Float64 = np.array([[first[item] - second[item]] for item in common])
    return bootstrap_mean(values, 0)


def cost_table(outcomes: Sequence[Outcome]) -> Table:
    """What choosing, training and evaluating took: means over the seeds.

    Choosing is set beside training on the choice, and beside training on all rows where `full` is among the choices.
    """
    header = [
        "model", "choice", "budget", "passes a row", "seconds to choose", "training steps", "training tokens",
        "seconds to train", "choosing / training", "choosing / training on all", "last loss", "seconds to evaluate",
    ]  # fmt: skip
    grouped = group_by_line(outcomes)
    full = {line[0]: some for line, some in grouped.items() if some[0].method == "full" and not some[0].data}
    lines = []
    for line, some in grouped.items():
        chosen = [each.select_seconds for each in some if each.select_seconds is not None]
        losses = [each.loss for each in some if each.loss is not None]
        lines.append(
            [
                *line,
                f"{some[0].passes:g}",
                f"{np.mean(chosen):,.0f}" if chosen else "-",
                f"{np.mean([each.steps for each in some]):,.0f}",
                f"{np.mean([each.tokens for each in some]):,.0f}",
                f"{np.mean([each.train_seconds for each in some]):,.0f}",
                _ratio(chosen, some if some[0].method else []),
                _ratio(chosen, full.get(line[0], []) if some[0].method else []),
                f"{np.mean(losses):.3f}" if losses else "-",
                f"{np.mean([each.eval_seconds for each in some]):,.0f}",
            ]
        )
    return header, lines


def _ratio(chosen: Sequence[float], trained: Sequence[Outcome]) -> str:
    """Seconds of choosing over those of training, means over the seeds; '-' where one is not known."""
    training = sum(each.train_seconds for each in trained) / max(len(trained), 1)
    return f"{np.mean(chosen) / training:.2f}" if chosen and training else "-"


def render_csv(outcomes: Sequence[Outcome]) -> str:
    """Every cell by itself: one line for each model, choice, budget, seed and benchmark."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["model", "choice", "budget", "seed", "rows", "steps", "tokens", "train_seconds", "passes", "select_seconds",
         "benchmark", "metric", "value", "stderr", "items"]
    )  # fmt: skip
    for each in outcomes:
        for name, score in each.scores.items():
            cells = [*each.line, each.seed, each.rows, each.steps, each.tokens, each.train_seconds, each.passes,
                     each.select_seconds, name, score.metric, score.value, score.stderr, len(score.items)]  # fmt: skip
            writer.writerow([_csv_text(cell) if isinstance(cell, str) else cell for cell in cells])
    return file.getvalue()


def _csv_text(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def render_latex(outcomes: Sequence[Outcome]) -> str:
    """The table of results for booktabs."""
    header, lines = result_table(outcomes)
    rows = [" & ".join(map(_tex, line)) + r" \\" for line in (header, *lines)]
    columns = "lll" + "r" * (len(header) - 3)
    top, bottom = rf"\begin{{tabular}}{{{columns}}}" + "\n" + r"\toprule", r"\bottomrule" + "\n" + r"\end{tabular}"
    return "\n".join([top, rows[0], r"\midrule", *rows[1:], bottom]) + "\n"


def _with_items(outcomes: Sequence[Outcome]) -> list[Column]:
    """The benchmarks whose single items are known."""
    *benchmarks, _ = columns(outcomes)
    return [
        column
        for column in benchmarks
        if any(each.scores[column.name].values for each in outcomes if column.name in each.scores)
    ]


def _difference(some: Sequence[Outcome], other: Sequence[Outcome], column: Column) -> Estimate | None:
    """The paired difference as it is shown."""
    found, scale = pair_outcomes(some, other, column.name), column.scales[column.name]
    return found and Estimate(scale * found.value, scale * found.low, scale * found.high)


def _scale(outcomes: Sequence[Outcome], name: str) -> float:
    """Shares are shown in percent, losses and what is a percentage already as they are."""
    scores = [each.scores[name] for each in outcomes if name in each.scores]
    return 100.0 if all(score.metric.startswith(_SHARES) and abs(score.mean) <= 1 for score in scores) else 1.0


def _by_item(outcomes: Sequence[Outcome], benchmark: str) -> dict[str, float]:
    """The mean over the seeds of each item's value."""
    found: dict[str, list[float]] = {}
    for score in (each.scores[benchmark] for each in outcomes if benchmark in each.scores):
        for item, value in zip(score.items, score.values, strict=bool(score.values)):
            found.setdefault(item, []).append(value)
    return {item: float(np.mean(values)) for item, values in found.items() if not math.isnan(float(np.mean(values)))}


def _interval(found: Estimate | None, column: Column) -> str:
    return "-" if found is None else found.text(column.finer)


def _tex(text: str) -> str:
    return text.translate(_TEX)
