"""What the figures of an experiment show, as numbers: the same ones as in its tables. Pure, knows no drawing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.experiments.outcomes import Line, Outcome, group_by_line
from selectit.experiments.report.sweeps import Amounts, Swept
from selectit.experiments.report.tables import Column, Level, columns, headline
from selectit.numerics.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Point:
    """One line of the tables."""

    x: float
    level: Level
    label: str
    """Its budget or value."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together."""

    label: str
    mark: int
    """Colour and marker; a choice has the same one in all panels."""
    points: tuple[Point, ...]
    """Smallest x first."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Scores against an amount, or a cost."""

    title: str
    x: str
    """What the axis says."""
    y: str
    digits: int
    """Of the scores, after the point."""
    series: tuple[Series, ...]
    levels: tuple[tuple[str, Level], ...] = ()
    """Horizontal lines: what does not depend on x."""
    ticks: tuple[float, ...] = ()
    """Of x; () = by its range."""
    labelled: bool = False
    """Whether each point is labelled where a series has several, as far as there is room."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Differences with intervals, one above the other."""

    title: str
    x: str
    digits: int
    rows: tuple[tuple[str, Estimate], ...]


def describe_panel(panel: Panel | Forest) -> str:
    """The numbers of a panel in words, for whoever does not see it."""
    if isinstance(panel, Forest):
        rows = (f"{label}: {estimate.text(panel.digits)}" for label, estimate in panel.rows)
        return f"{panel.x}. {'; '.join(rows)}."
    parts = [
        f"{each.label}: " + ", ".join(f"{p.level.text(panel.digits)} at {p.x:,.6g}" for p in each.points)
        for each in panel.series
    ]
    parts += [f"{label}: {level.text(panel.digits)}" for label, level in panel.levels]
    return f"{panel.y} against {panel.x}. {'; '.join(parts)}."


def amount_panels(outcomes: Sequence[Outcome], found: Amounts, whole: Collection[str]) -> list[Panel]:
    """Every score against the number of rows: one panel for each model and benchmark, and AVG.

    Choices of `whole`, which keep all rows, and the model before any tuning are levels.
    """
    panels, marks = [], _marks(outcomes)
    for model in dict.fromkeys(model for model, _ in found):
        fixed = [
            (choice, some)
            for (m, choice, budget), some in group_by_line(outcomes).items()
            if m == model and not budget and (choice in whole or not some[0].method)
        ]
        for column in _shown_columns(outcomes):
            series: list[Series] = []
            for (m, choice), cells in found.items():
                points = _points(column, [(some[0].rows, budget, some) for budget, some in cells.items()])
                if m == model and points:
                    series.append(Series(choice, marks[choice], points))
            levels = [(f"{choice} ({_rows(some)})", column.level(some)) for choice, some in fixed]
            known = tuple((label, level) for label, level in levels if level is not None)
            if series:
                title = f"{model}: {column.name}"
                panels.append(Panel(title, "rows", _axis(column), column.digits, tuple(series), known))
    return panels


def sweep_panels(outcomes: Sequence[Outcome], parameter: str, found: Mapping[str, Swept]) -> list[Panel]:
    """Every score against a parameter: one panel for each benchmark, and AVG; one line for each model and budget."""
    panels = []
    for column in _shown_columns(outcomes):
        series: list[Series] = []
        for rest, some in found.items():
            for (model, budget), cells in some.items():
                label = ", ".join(filter(None, [model, rest, budget]))
                points = _points(column, [(value, f"{value:g}", each) for value, each in cells.items()])
                series.append(Series(label, len(series), points))
        kept = tuple(each for each in series if each.points)
        ticks = tuple(sorted({point.x for each in kept for point in each.points}))
        if kept:
            panels.append(Panel(column.name, parameter, _axis(column), column.digits, kept, ticks=ticks))
    return panels


def cost_panels(outcomes: Sequence[Outcome]) -> list[Panel]:
    """What every choice gave against the seconds to choose and train, for each model; of unknown costs no point.

    The model before any tuning is a level.
    """
    column, grouped, marks = headline(outcomes), group_by_line(outcomes), _marks(outcomes)
    panels = []
    for model in dict.fromkeys(model for model, _, _ in grouped):
        cells: dict[str, list[tuple[float, str, list[Outcome]]]] = {}
        levels = []
        for (m, choice, budget), some in grouped.items():
            level, seconds = column.level(some), _seconds(some)
            if m != model or level is None:
                continue
            if not some[0].method:
                levels.append((choice, level))
            elif seconds is not None:
                cells.setdefault(choice, []).append((seconds, budget, some))
        series = [Series(each, marks[each], _points(column, given)) for each, given in cells.items()]
        if series:
            title = f"{model}: {column.name}"
            said = "seconds to choose and to train"
            panels.append(Panel(title, said, _axis(column), column.digits, tuple(series), tuple(levels), labelled=True))
    return panels


def difference_panels(
    outcomes: Sequence[Outcome], found: Mapping[Line, Mapping[str, Estimate]], to: str
) -> list[Forest]:
    """What `tables.compare_lines` found: one panel for each model and benchmark."""
    panels = []
    for model in dict.fromkeys(model for model, _, _ in found):
        for column in columns(outcomes):
            rows = [
                (" ".join(filter(None, [choice, budget])), some[column.name])
                for (m, choice, budget), some in found.items()
                if m == model and column.name in some
            ]
            if rows:
                said = f"{column.metric}: difference to {to}"
                panels.append(Forest(f"{model}: {column.name}", said, column.finer, tuple(rows)))
    return panels


def _marks(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """A number for each choice."""
    choices = dict.fromkeys(each.line[1] for each in outcomes if each.method)
    return {choice: number for number, choice in enumerate(choices)}


def _shown_columns(outcomes: Sequence[Outcome]) -> list[Column]:
    """The benchmarks, and AVG where it is a mean of several."""
    *benchmarks, average = columns(outcomes)
    return [*benchmarks, average] if len(average.scales) > 1 else benchmarks


def _axis(column: Column) -> str:
    return column.metric or column.name


def _points(column: Column, cells: Sequence[tuple[float, str, list[Outcome]]]) -> tuple[Point, ...]:
    levels = [(x, label, column.level(some)) for x, label, some in sorted(cells, key=lambda each: each[0])]
    return tuple(Point(x, level, label) for x, label, level in levels if level is not None)


def _seconds(some: Sequence[Outcome]) -> float | None:
    """The mean over the seeds, as in the table of costs; None where the time to choose is not known."""
    chosen = [each.select_seconds for each in some if each.select_seconds is not None]
    return float(np.mean(chosen) + np.mean([each.train_seconds for each in some])) if chosen else None


def _rows(some: Sequence[Outcome]) -> str:
    return f"{some[0].rows:,} rows" if some[0].method else "not tuned"
