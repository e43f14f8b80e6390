"""The tables of an experiment: means over seeds, differences to all rows and to random ones, and costs. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.detection import Estimate, mean_over_kinds
from selectit.schema import Float64

_SHARES = ("acc", "exact_match", "f1", "em", "pass@", "win rate", "COMET")
"""How the names of metrics begin that are shares from 0 to 1, and are shown in percent."""

Line = tuple[str, str, str]
"""Model, choice, budget."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One benchmark of one model."""

    metric: str
    value: float
    stderr: float | None
    items: list[str]
    """Names of the items, of all parts."""
    values: list[float]
    """The metric of each; empty for a metric of the whole."""

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return any(word in self.metric for word in ("nll", "perplexity", "bits_per_byte", "loss"))

    @property
    def mean(self) -> float:
        """What is shown: the mean over the items where they are known, so that differences are of the same figure."""
        return float(np.mean(self.values)) if self.values else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one cell."""

    line: Line
    method: str
    """The method's name; '' for a model before any tuning."""
    seed: int
    rows: int
    steps: int
    tokens: int
    """Read in training."""
    loss: float | None
    """Of the last training step."""
    train_seconds: float
    passes: float
    """Of a model a row, to choose."""
    select_seconds: float | None
    """To choose, as far as the run's timing tells; signals that choices share are counted for each."""
    scores: Mapping[str, Scored]
    eval_seconds: float


def report(outcomes: Sequence[Outcome], notes: Sequence[str]) -> str:
    """All tables in Markdown."""
    parts = [*notes, ""]
    parts += _markdown(*results(outcomes))
    for reference, title in (("full", "all rows"), ("random", "random rows of the same number")):
        table = differences(outcomes, reference)
        if table is not None:
            parts += ["", f"Difference to {title}, with a 95 % interval over the items, seeds averaged:", ""]
            parts += _markdown(*table)
    parts += ["", "What each choice cost:", "", *_markdown(*costs(outcomes))]
    return "\n".join(parts) + "\n"


def results(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: each benchmark's mean over the seeds, with its standard deviation where there are several.

    AVG is the mean over the benchmarks where more is better.
    """
    names = _benchmarks(outcomes)
    scale = {name: _scale(outcomes, name) for name in names}
    header = ["model", "choice", "budget", "rows", "seeds", *[_title(outcomes, name) for name in names], "AVG"]
    lines = []
    for line, some in _lines(outcomes):
        cells = []
        for name in names:
            scores = [each.scores[name] for each in some if name in each.scores]
            digits = 3 if scores and scores[0].lower else 1
            cells.append(_mean_and_spread([scale[name] * score.mean for score in scores], digits))
        averages = (_average(each, scale) for each in some)
        cells.append(_mean_and_spread([value for value in averages if value is not None], 1))
        lines.append([*line, f"{some[0].rows:,}", f"{len(some)}", *cells])
    return header, lines


def differences(outcomes: Sequence[Outcome], reference: str) -> tuple[list[str], list[list[str]]] | None:
    """Each line less the line of the reference method: for `full` of any budget, for `random` of the same one.

    Per benchmark the mean difference over items, seeds averaged, and its bootstrap interval. None without a reference.
    """
    names = [name for name in _benchmarks(outcomes) if any(each.scores[name].values for each in outcomes)]
    grouped = dict(_lines(outcomes))
    lines = []
    for line, some in grouped.items():
        model, choice, budget = line
        same = [each for (m, _, b), each in grouped.items() if m == model and (reference == "full" or b == budget)]
        other = next((each for each in same if each[0].method == reference), None)
        if other is None or other is some or not some[0].method:
            continue
        cells = []
        for name in names:
            found = paired(some, other, name)
            cells.append("-" if found is None else _interval(found, _scale(outcomes, name)))
        lines.append([model, choice, budget, *cells])
    return (["model", "choice", "budget", *[_title(outcomes, name) for name in names]], lines) if lines else None


def paired(a: Sequence[Outcome], b: Sequence[Outcome], benchmark: str) -> Estimate | None:
    """The mean difference over the items that both have, seeds averaged first. None without common items."""
    first, second = (_by_item(each, benchmark) for each in (a, b))
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    values: Float64 = np.array([[first[item] - second[item]] for item in common])
    return mean_over_kinds(values, 0)


def costs(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: means over the seeds."""
    header = [
        "model", "choice", "budget", "passes a row", "seconds to choose", "training steps", "training tokens",
        "seconds to train", "last loss", "seconds to evaluate",
    ]  # fmt: skip
    lines = []
    for line, some in _lines(outcomes):
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
                f"{np.mean(losses):.3f}" if losses else "-",
                f"{np.mean([each.eval_seconds for each in some]):,.0f}",
            ]
        )
    return header, lines


def csv_text(outcomes: Sequence[Outcome]) -> str:
    """Every cell by itself: one line for each model, choice, budget, seed and benchmark."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["model", "choice", "budget", "seed", "rows", "steps", "tokens", "train_seconds", "passes", "select_seconds",
         "benchmark", "metric", "value", "stderr", "items"]
    )  # fmt: skip
    for each in outcomes:
        for name, score in each.scores.items():
            writer.writerow(
                [*each.line, each.seed, each.rows, each.steps, each.tokens, each.train_seconds, each.passes,
                 each.select_seconds, name, score.metric, score.value, score.stderr, len(score.items)]
            )  # fmt: skip
    return file.getvalue()


def latex(outcomes: Sequence[Outcome]) -> str:
    """The table of results for booktabs."""
    header, lines = results(outcomes)
    rows = [" & ".join(map(_tex, line)) + r" \\" for line in (header, *lines)]
    columns = "lll" + "r" * (len(header) - 3)
    top, bottom = rf"\begin{{tabular}}{{{columns}}}" + "\n" + r"\toprule", r"\bottomrule" + "\n" + r"\end{tabular}"
    return "\n".join([top, rows[0], r"\midrule", *rows[1:], bottom]) + "\n"


def _lines(outcomes: Sequence[Outcome]) -> Iterator[tuple[Line, list[Outcome]]]:
    """The cells of each line, in the order of the experiment."""
    for line in dict.fromkeys(each.line for each in outcomes):
        yield line, [each for each in outcomes if each.line == line]


def _benchmarks(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(name for each in outcomes for name in each.scores))


def _title(outcomes: Sequence[Outcome], name: str) -> str:
    score = next(each.scores[name] for each in outcomes if name in each.scores)
    metric = score.metric.replace("per token", "per row") if score.values else score.metric
    return f"{name} ({metric}{', less is better' if score.lower else ''})"


def _scale(outcomes: Sequence[Outcome], name: str) -> float:
    """Shares are shown in percent, losses and what is a percentage already as they are."""
    scores = [each.scores[name] for each in outcomes if name in each.scores]
    return 100.0 if all(score.metric.startswith(_SHARES) and abs(score.mean) <= 1 for score in scores) else 1.0


def _average(outcome: Outcome, scale: Mapping[str, float]) -> float | None:
    values = [scale[name] * score.mean for name, score in outcome.scores.items() if not score.lower]
    return float(np.mean(values)) if values else None


def _mean_and_spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _by_item(outcomes: Sequence[Outcome], benchmark: str) -> dict[str, float]:
    """The mean over the seeds of each item's value."""
    found: dict[str, list[float]] = {}
    for each in outcomes:
        score = each.scores[benchmark]
        for item, value in zip(score.items, score.values, strict=bool(score.values)):
            found.setdefault(item, []).append(value)
    return {item: float(np.mean(values)) for item, values in found.items() if not math.isnan(float(np.mean(values)))}


def _interval(found: Estimate, scale: float) -> str:
    digits = 1 if scale > 1 else 3
    return f"{scale * found.value:+.{digits}f} ({scale * found.low:+.{digits}f} to {scale * found.high:+.{digits}f})"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    rows = [f"| {' | '.join(cell or '-' for cell in line)} |" for line in (header, *lines)]
    return [rows[0], "|" + "---|" * len(header), *rows[1:]]


def _tex(text: str) -> str:
    for mark in "&%_#$":
        text = text.replace(mark, "\\" + mark)
    return text.replace("±", r"$\pm$")
