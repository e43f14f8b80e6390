"""Analyses as figures for a paper: one column wide, readable in grey, fonts embedded. Needs the extra `report`.

Rows of all are a light grey, the chosen ones dark; what a colour says a shade, a marker or a word says too. Equal
numbers give equal bytes.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from selectit.numerics.projection import CentreDistance
from selectit.pages.analyses import Agreement, Calculations, Cost, Histogram, Lengths, Sweep
from selectit.pages.load import Map
from selectit.signals.arrays import Float64, Int64

INK, QUIET, ALL, CHOSEN = "#1b1b1f", "#5b5b66", "#c9c9cf", "#005a96"
"""Text; axes and levels; all rows; the chosen ones."""
COLUMN, PAGE = 3.4, 6.9
"""Inches: the width of one column of a paper, and of both."""
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 7.5,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that the layout is the same everywhere
    "font.size": 8,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for, not Type 3
    "svg.fonttype": "path",  # the letters' outlines: no font is needed where it is shown
    "svg.hashsalt": "selectit",
    "text.color": INK,
    "text.parse_math": False,  # a $ in a name is a $
    "xtick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.color": QUIET,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
_PERCENT = FuncFormatter(lambda share, _: f"{share * 100:.3g}%")
_PRINT: Mapping[str, tuple[type[Any], str, Mapping[str, Any]]] = {
    ".png": (FigureCanvasAgg, "print_png", {"metadata": {"Software": None}}),
    ".svg": (FigureCanvasSVG, "print_svg", {"metadata": dict.fromkeys(("Creator", "Date", "Format", "Type"))}),
    ".pdf": (FigureCanvasPdf, "print_pdf", {"metadata": dict.fromkeys(("Creator", "CreationDate", "Producer"))}),
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Within it figures are drawn, and encoded, in this module's style."""
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # A letter that the font lacks, in a model's name, is drawn as a box: that says it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def encode(figure: Figure, ending: str) -> bytes:
    """The figure as a file of that ending, .png (300 dots an inch), .svg or .pdf."""
    canvas, method, options = _PRINT[ending]
    file = io.BytesIO()
    figure.set_dpi(300)
    getattr(canvas(figure), method)(file, **options)
    return file.getvalue()


def draw_scores(histogram: Histogram, cut: float) -> Figure:
    """How many rows have which score, and where the cut is (NaN = there is none)."""
    figure, (axes,) = _axes(1, COLUMN, 2.3)
    _bars(axes, histogram)
    if not math.isnan(cut):
        axes.axvline(cut, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), label=f"cut at {cut:.4g}")
    axes.set_xlabel("score")
    axes.set_ylabel("rows")
    _thousands(axes)
    axes.legend(loc="upper left" if _leans_right(histogram) else "upper right")
    return figure


def draw_lengths(lengths: Lengths) -> Figure:
    """The lengths of all rows, and of the chosen ones, each as shares of themselves."""
    figure, (axes,) = _axes(1, COLUMN, 2.3)
    histogram = lengths.histogram
    means = {"all": lengths.mean_all, "chosen": lengths.mean_chosen}
    for name, counts in (("all", histogram.all), ("chosen", histogram.chosen)):
        label = f"{name}: mean {means[name]:,.0f} words" if counts.sum() else f"{name}: none"
        shares = counts / max(counts.sum(), 1)
        fill = {"facecolor": ALL, "edgecolor": ALL} if name == "all" else {"edgecolor": CHOSEN, "linewidth": 1.3}
        axes.stairs(shares, histogram.edges, fill=name == "all", label=label, **fill)
    axes.set_xlabel("words of the response" + ("; the longest 1 % at the end" if histogram.above[0] else ""))
    axes.set_ylabel("share of the rows")
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.set_xlim(left=0)
    axes.legend(loc="upper right")
    return figure


def draw_calculations(found: Calculations) -> Figure:
    """The share of rows that ask for a calculation, along the ranking."""
    figure, (axes,) = _axes(1, COLUMN, 2.3)
    ends = np.concatenate([[0], np.cumsum(found.rows)]) / max(found.rows.sum(), 1)
    axes.stairs(found.shares, ends, fill=True, facecolor=ALL, edgecolor=ALL)
    levels = (("all", found.share_all, (0, (1, 1.5)), QUIET), ("chosen", found.share_chosen, "-", CHOSEN))
    for name, share, dash, colour in levels:
        if not math.isnan(share):
            axes.axhline(share, color=colour, linewidth=1.1, linestyle=dash, label=f"{name}: {share:.1%}")
    axes.set_xlabel("place in the ranking, best first")
    axes.set_ylabel("rows that calculate")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_PERCENT)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.35 * max([*found.shares.tolist(), found.share_all, 0.01]))  # room for the legend
    axes.legend(loc="upper right", ncols=2)
    return figure


def draw_sweeps(sweeps: Sequence[Sweep]) -> Figure:
    """How many of the best rows stay the same with other values of a parameter, a panel for each."""
    figure, every = _axes(len(sweeps), COLUMN * min(len(sweeps), 2), 2.3)
    for axes, each in zip(every, sweeps, strict=True):
        x = [point.value for point in each.points]
        same = [point.same / each.count if each.count else math.nan for point in each.points]
        axes.plot(x, same, "-o", color=CHOSEN, linewidth=1.2, markersize=4, label="same rows")
        axes.plot(x, [p.jaccard for p in each.points], "--s", color=INK, linewidth=1, markersize=3.5, label="Jaccard")
        axes.axhline(each.chance, color=QUIET, linewidth=0.8, linestyle=":", label="Jaccard by chance")
        axes.plot(each.own, 1, "o", markersize=9, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=0.8)
        axes.set_xlabel(f"{each.parameter} (here {each.own:g})")
        axes.set_ylim(0, 1.06)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=each.parameter == "k"))
        axes.yaxis.set_major_formatter(_PERCENT)
    every[0].set_ylabel(f"of the best {sweeps[0].count:,} rows")
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def draw_agreements(found: Mapping[str, Agreement]) -> Figure:
    """Matrices of Spearman's correlation and of Jaccard's index, a line for prompts, for models and for methods."""
    sizes = [len(each.names) for each in found.values()]
    heights = [0.5 + 0.27 * size for size in sizes]
    figure = Figure(figsize=(PAGE, sum(heights) + 0.35 * len(sizes)), layout="constrained")
    grid = figure.add_gridspec(len(sizes), 2, height_ratios=heights)
    for line, (what, each) in enumerate(found.items()):
        shared = f"Jaccard of the best {each.count:,} ({each.chance:.2f} by chance)"
        for place, (title, values) in enumerate(((f"{what}: Spearman", each.spearman), (shared, each.jaccard))):
            axes = figure.add_subplot(grid[line, place])
            _matrix(axes, values, each.names if place == 0 else [""] * len(each.names), title)
    return figure


def _matrix(axes: Axes, values: Float64, names: Sequence[str], title: str) -> None:
    """Cells with their numbers, the darker the larger; -1 to 1 or 0 to 1, below 0 is white."""
    axes.imshow(values, cmap="Greys", vmin=0, vmax=1.25, aspect="auto")
    size = len(values)
    letters = 6.5 if size < 8 else 4.8
    for a in range(size):
        for b in range(size):
            text = "–" if math.isnan(values[a, b]) else f"{values[a, b]:z.2f}".replace("-", "−")
            dark = values[a, b] > 0.7
            axes.text(b, a, text, ha="center", va="center", fontsize=letters, color="white" if dark else INK)
    numbers = [str(number) for number in range(1, size + 1)]
    labels = [
        _short(name) + (f"  {number}" if name != f"prompt {number}" else "")
        for name, number in zip(names, numbers, strict=True)
    ]
    axes.set_xticks(range(size), numbers)
    axes.set_yticks(range(size), labels if any(names) else numbers)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left")


def draw_map(found: Map, chosen: Int64) -> Figure:
    """All rows by the first two axes of their vectors, the chosen ones over them."""
    figure, (axes,) = _axes(1, COLUMN, 3.1)
    points = found.projection.points[np.isfinite(found.projection.points).all(axis=1)]
    some = found.projection.points[chosen]
    some = some[np.isfinite(some).all(axis=1)]
    dots: dict[str, Any] = {
        "s": float(np.clip(4000 / max(len(points), 1), 0.6, 9)),
        "alpha": 1.0 if len(points) < 10_000 else 0.6,
        "linewidths": 0,
        "rasterized": True,
    }
    for name, each, colour in (("all", points, ALL), ("chosen", some, CHOSEN)):
        axes.scatter(each[:, 0], each[:, 1], color=colour, label=f"{name} {len(each):,}", **dots)
    if found.projection.explained is not None:
        first, second = found.projection.explained
        axes.set_xlabel(f"first axis ({first:.0%} of the variance)")
        axes.set_ylabel(f"second axis ({second:.0%})")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(_wrap(describe_centre(found.centre), 56), loc="left", fontsize=7.5)
    axes.legend(loc="best", markerscale=max(1.0, 3 / math.sqrt(dots["s"])))
    return figure


def describe_centre(centre: CentreDistance) -> str:
    """The distances in words."""
    if math.isnan(centre.mean_chosen):
        return f"distance to the centre: all {centre.mean_all:.3f}"
    chance = "" if math.isnan(centre.p) else f", permutation test p = {centre.p:.3f}"
    return f"distance to the centre: chosen {centre.mean_chosen:.3f}, all {centre.mean_all:.3f}{chance}"


def draw_costs(costs: Sequence[Cost]) -> Figure:
    """The seconds that each model took for each signal, the longest first."""
    labels = [f"{_wrap(f'{cost.signal}: {cost.model}', 30)}\n{_rate(cost)}".strip() for cost in costs]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure, (axes,) = _axes(1, COLUMN, 0.7 + 0.16 * lines + 0.1 * len(labels))
    axes.barh(range(len(costs)), [cost.seconds for cost in costs], height=0.55, color=CHOSEN)
    for place, cost in enumerate(costs):
        axes.annotate(_seconds(cost.seconds), (cost.seconds, place), (3, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(costs)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(cost.seconds for cost in costs) or 1)  # room for what stands beside the bars
    axes.set_xlabel("seconds")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def _rate(cost: Cost) -> str:
    return f"{cost.answers / cost.seconds:,.3g} answers a second" if cost.answers and cost.seconds else ""


def _seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 10 else f"{value:.2g} s"


def _axes(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False, sharey=True)[0])


def _bars(axes: Axes, histogram: Histogram) -> None:
    axes.stairs(histogram.all, histogram.edges, fill=True, color=ALL, label=f"all {histogram.all.sum():,}")
    label = f"chosen {histogram.chosen.sum():,}"
    axes.stairs(histogram.chosen, histogram.edges, fill=True, color=CHOSEN, label=label)


def _leans_right(histogram: Histogram) -> bool:
    """Whether most rows are in the right half."""
    half = len(histogram.all) // 2
    return bool(histogram.all[half:].max() > histogram.all[:half].max())


def _thousands(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:16]}…{name[-17:]}"


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))
