"""Panels as SVG: without pyplot, and so that the same panel gives the same bytes. Needs matplotlib (extra `report`)."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Sequence

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.transforms import Affine2D, Bbox

from selectit.experiments.report.panels import Forest, Panel, Series, describe_panel
from selectit.pages.figures import INK, QUIET

FAINT = "#d4d4da"
"""The grid."""


COLOURS = ("#0072b2", "#b34700", "#117733", "#aa4499", "#7a5c00", "#332288")
"""Of series, as on the page; 4.5 to 1 or more against white. Markers and dashes differ too."""


_MARKERS = "osD^vPX"
_DASHES = ("-", "--", "-.", ":")


_WIDTH = 4.4
"""Inches: a column of a paper, or a little more."""


_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that the layout is the same everywhere
    "font.size": 9,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "text.color": INK,
    "text.parse_math": False,  # a $ in a choice's name is a $
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def draw_panel(panel: Panel | Forest) -> str:
    """The panel as an SVG document, with a title and its numbers as a description."""
    salt = f"{panel.title} {panel.x} {describe_panel(panel)}"
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": salt}]):
        figure = _forest(panel) if isinstance(panel, Forest) else _panel(panel)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={**_NO_METADATA, "Title": panel.title})
    return file.getvalue()


def _panel(panel: Panel) -> Figure:
    entries = len(panel.series) + len(panel.levels)
    figure = Figure(figsize=(_WIDTH, 2.9 + 0.19 * entries), layout="constrained")
    axes = figure.add_subplot()
    for each in panel.series:
        _draw(axes, each)
    for number, (label, level) in enumerate(panel.levels):
        axes.axhline(level.mean, color=QUIET, linewidth=1.2, linestyle=_DASHES[1 + number % 3], label=label)
    axes.set_xlabel(_wrap(panel.x))
    axes.set_ylabel(_wrap(panel.y, 34))
    axes.margins(x=0.08, y=0.15)
    axes.xaxis.set_major_locator(FixedLocator(panel.ticks) if panel.ticks else MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    _title(figure, panel.title)
    figure.legend(loc="outside lower left", fontsize=8.5)
    if panel.labelled:
        _label(figure, axes, panel.series)
    return figure


def _draw(axes: Axes, series: Series) -> None:
    """Means with their spread, in order of x."""
    axes.errorbar(
        [point.x for point in series.points],
        [point.level.mean for point in series.points],
        yerr=[math.nan if point.level.spread is None else point.level.spread for point in series.points],
        color=_colour(series),
        marker=_MARKERS[series.mark % len(_MARKERS)],
        markersize=6,
        linestyle=_DASHES[series.mark % len(_DASHES)],
        linewidth=1.4,
        capsize=3,
        label=_wrap(series.label, 58),
    )


def _label(figure: Figure, axes: Axes, every: Sequence[Series]) -> None:
    """Write at each point of a series of several what it is, at the first place that is free; else nowhere."""
    figure.draw_without_rendering()  # fixes where the axes are
    to_points = axes.transData + Affine2D().scale(72 / figure.dpi)
    taken = []
    for point in (point for series in every for point in series.points):
        spread = point.level.spread or 0.0
        x, low = to_points.transform((point.x, point.level.mean - spread))
        _, high = to_points.transform((point.x, point.level.mean + spread))
        taken.append(Bbox([[x - 3, min(low, high - 6)], [x + 3, max(high, low + 6)]]))
    for series in every:
        for point in series.points if len(series.points) > 1 else ():
            x, y = to_points.transform((point.x, point.level.mean))
            half = 2.7 * len(point.label)
            for right, up in ((0, 9), (0, -9), *itertools.product((half + 4, -half - 4), (9, -9)), (half + 6, 0)):
                box = Bbox([[x + right - half, y + up - 4], [x + right + half, y + up + 4]])
                if not box.count_overlaps(taken):
                    taken.append(box)
                    axes.annotate(
                        point.label, (point.x, point.level.mean), (right, up), textcoords="offset points",
                        ha="center", va="center", fontsize=8, color=_colour(series),
                    )  # fmt: skip
                    break


def _colour(series: Series) -> str:
    return COLOURS[series.mark % len(COLOURS)]


def _forest(forest: Forest) -> Figure:
    labels = [_wrap(label, 24) for label, _ in forest.rows]
    heights = [label.count("\n") + 2.0 for label in labels]  # in lines of text, half a line of air on both sides
    ends = list(itertools.accumulate(heights))
    places = [end - height / 2 for end, height in zip(ends, heights, strict=True)]
    figure = Figure(figsize=(_WIDTH, 1.1 + 0.15 * ends[-1]), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=QUIET, linewidth=1.2)
    for place, (_, found) in zip(places, forest.rows, strict=True):
        shown = found.low > 0 or found.high < 0
        axes.plot([found.low, found.high], [place, place], color=COLOURS[0], linewidth=1.8)
        axes.plot(found.value, place, "o", color=COLOURS[0], markersize=7, markerfacecolor=COLOURS[0] if shown else "w")
    axes.set_yticks(places, labels)
    axes.set_ylim(ends[-1], 0)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(_wrap(forest.x, 42))
    _title(figure, forest.title)
    return figure


def _title(figure: Figure, text: str) -> None:
    """Over the whole figure: over the axes alone a long one would be cut."""
    figure.suptitle(_wrap(text), x=0.01, ha="left", fontsize=10, fontweight="bold")


def _wrap(text: str, width: int = 44) -> str:
    return "\n".join(textwrap.wrap(text, width))
