"""Drawings as SVG, which take their colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from selectit.pages.analyses import Histogram
from selectit.pages.markup import escape

_WIDTH, _HEIGHT = 420, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 26
_LINE = 34
"""The height of a span with its name."""
_LONGEST = 58
"""Characters of such a name; the rest of a longer one is left out, and is seen where the pointer rests."""
_TALL = 280
"""The height of a drawing of several lines."""


def draw_shares(histogram: Histogram, label: str, marks: Mapping[str, float] = MappingProxyType({})) -> str:
    """The shares of all rows, and of the chosen ones, in the bins of a histogram, one behind the other.

    Args:
        histogram: of both.
        label: what is read aloud.
        marks: values with a line each, by name; NaN has none.
    """
    shares = [each / max(each.sum(), 1) for each in (histogram.all, histogram.chosen)]
    highest = max(float(each.max(initial=0)) for each in shares) or 1.0
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    across, up = _scales((low, high), highest)
    bars = [
        f'<rect class="{kind}" x="{across(left):.1f}" y="{up(share):.1f}" '
        f'width="{max(across(right) - across(left) - 0.5, 0.5):.1f}" height="{_HEIGHT - _BOTTOM - up(share):.1f}"/>'
        for kind, values in zip(("all", "kept"), shares, strict=True)
        for share, left, right in zip(values, histogram.edges[:-1], histogram.edges[1:], strict=True)
    ]
    lines = [_mark(name, across(min(max(at, low), high))) for name, at in marks.items() if not math.isnan(at)]
    axes = _draw_axes([low, (low + high) / 2, high], across, up)
    return _frame("".join([*axes, *bars, *lines]), label)


def _mark(name: str, x: float) -> str:
    """A line from top to bottom with its name beside it."""
    left = x > (_LEFT + _WIDTH) / 2
    place = f'x="{x - 4 if left else x + 4:.1f}" y="{_TOP + 9}" text-anchor="{"end" if left else "start"}"'
    line = f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
    return f'{line}<text class="mark" {place}>{escape(name)}</text>'


def draw_line(points: Sequence[tuple[float, float]], label: str, chance: float = math.nan) -> str:
    """Values between 0 and 1 over a parameter, with a line where chance would be; NaN is left out.

    Args:
        points: of the parameter and the value, in rising order.
        label: what is read aloud.
        chance: NaN = no line.
    """
    known = [(x, y) for x, y in points if not math.isnan(y)]
    values = [x for x, _ in points]
    low, high = min(values), max(values)
    top = max([0.0 if math.isnan(chance) else 1.0, *(y for _, y in known)]) or 1.0
    across, up = _scales((low, high), top)
    place = [(across(x), up(y)) for x, y in known]
    line = f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in place)}"/>'
    dots = "".join(f'<circle class="dot" r="3" cx="{x:.1f}" cy="{y:.1f}"/>' for x, y in place)
    level = ""
    if not math.isnan(chance):
        at = up(chance)
        level = f'<line class="chance" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
    axes = _draw_axes(values if len(values) <= 8 else [low, (low + high) / 2, high], across, up)
    return _frame("".join(axes) + level + line + dots, label)


@dataclass(frozen=True, slots=True)
class Span:
    """A value with what lies about it: an interval, or the middle of a distribution."""

    name: str
    low: float
    value: float
    high: float
    inner: tuple[float, float] | None = None
    """The middle half, drawn thick; None = there is none."""


def draw_spans(spans: Sequence[Span], label: str, zero: bool = False) -> str:
    """Spans one below the other, each under its name.

    Args:
        spans: one or more.
        label: what is read aloud.
        zero: draw a line at 0, and fill the point of a span only where 0 is outside it.
    """
    ends = [end for each in spans for end in (each.low, each.high)] + ([0.0] if zero else [])
    across = _Scale(min(ends), max(ends), _LEFT / 3, _WIDTH - 3 * _RIGHT)
    height = _TOP + _LINE * len(spans) + _BOTTOM
    bottom = height - _BOTTOM
    parts = [
        f'<line class="grid" x1="{across(at):.1f}" x2="{across(at):.1f}" y1="{_TOP}" y2="{bottom}"/>'
        f'<text x="{across(at):.1f}" y="{height - 8}" text-anchor="middle">{at:,.6g}</text>'
        for at in across.ticks()
    ]
    if zero:
        parts.append(f'<line class="mark" x1="{across(0):.1f}" x2="{across(0):.1f}" y1="{_TOP}" y2="{bottom}"/>')
    parts += [_span(each, across, _TOP + _LINE * place, zero) for place, each in enumerate(spans)]
    return _frame("".join(parts), label, height)


def _span(of: Span, across: _Scale, top: float, zero: bool) -> str:
    y = top + _LINE - 10
    hollow = " hollow" if zero and of.low <= 0 <= of.high else ""
    name = of.name if len(of.name) <= _LONGEST else f"{of.name[: _LONGEST - 1]}…"
    thick = "" if of.inner is None else _stroke("thick", across, of.inner, y)
    title = f"<title>{escape(of.name)}: {of.value:.4g} ({of.low:.4g} to {of.high:.4g})</title>"
    point = f'<circle class="dot{hollow}" r="4.5" cx="{across(of.value):.1f}" cy="{y:.1f}"/>'
    text = f'<text class="name" x="{_LEFT / 3:.1f}" y="{top + 15:.1f}">{escape(name)}</text>'
    return f"<g>{title}{text}{_stroke('line', across, (of.low, of.high), y)}{thick}{point}</g>"


def _stroke(kind: str, across: _Scale, ends: tuple[float, float], y: float) -> str:
    first, last = map(across, ends)
    return f'<line class="{kind}" x1="{first:.1f}" x2="{last:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a place, with how far it may be off."""

    x: float
    y: float
    spread: float | None
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """Points that belong together, smallest x first."""

    name: str
    mark: int
    """Colour, marker and dashes."""
    points: tuple[Point, ...]


def draw_series(
    series: Sequence[Series],
    levels: Sequence[tuple[str, float]],
    axes: tuple[str, str],
    label: str,
    ticks: Sequence[float] = (),
    labelled: bool = False,
) -> str:
    """Lines with a bar for the spread of each point, and their legend.

    Args:
        series: one or more.
        levels: horizontal lines by name: what does not depend on x.
        axes: what is drawn to the right, and up.
        label: what is read aloud.
        ticks: of x; () = by its range.
        labelled: write its label at each point of a series of several, where there is room.
    """
    points = [point for each in series for point in each.points]
    ends = [point.y + sign * (point.spread or 0) for point in points for sign in (-1, 1)] + [y for _, y in levels]
    across = _Scale(*_widen([each.x for each in points]), _LEFT, _WIDTH - _RIGHT)
    up = _Scale(*_widen(ends), _TALL - _BOTTOM - 16, _TOP)
    found = [*_draw_grid(across, up, ticks or across.ticks()), *_draw_levels(levels, up)]
    # Several series often have points at the same x: side by side their bars can be told apart.
    steps = [0.0 if labelled else 4 * (at - (len(series) - 1) / 2) for at in range(len(series))]
    found += [_draw_one(each, across, up, step) for each, step in zip(series, steps, strict=True)]
    if labelled:
        found += _write_labels([each for each in series if len(each.points) > 1], points, across, up)
    found.append(f'<text x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_TALL - 4}" text-anchor="middle">{escape(axes[0])}</text>')
    legend = "".join(f"<span>{_sample(each.mark)}{escape(each.name)}</span>" for each in series)
    legend += "".join(f"<span>{_level_sample(at)}{escape(name)}</span>" for at, (name, _) in enumerate(levels))
    return f'<p class="quiet">{escape(axes[1])}</p>{_frame("".join(found), label, _TALL)}<p class="legend">{legend}</p>'


def _widen(values: Iterable[float]) -> tuple[float, float]:
    """The range of values with some air on both sides."""
    known = list(values)
    low, high = min(known), max(known)
    air = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - air, high + air


def _draw_grid(across: _Scale, up: _Scale, ticks: Sequence[float]) -> Iterator[str]:
    for at in up.ticks():
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(at):.1f}" y2="{up(at):.1f}"/>'
        yield f'<text x="{_LEFT - 5}" y="{up(at) + 4:.1f}" text-anchor="end">{at:,.5g}</text>'
    for at in ticks:
        if across(at) < _WIDTH - 2 * _RIGHT:  # else the number would be cut
            yield f'<text x="{across(at):.1f}" y="{_TALL - _BOTTOM}" text-anchor="middle">{at:,.6g}</text>'


def _draw_levels(levels: Sequence[tuple[str, float]], up: _Scale) -> Iterator[str]:
    for place, (name, at) in enumerate(levels):
        ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(at):.1f}" y2="{up(at):.1f}"'
        yield f'<g><title>{escape(name)}: {at:.4g}</title><line class="level d{(place + 1) % 4}" {ends}/></g>'


def _draw_one(of: Series, across: _Scale, up: _Scale, step: float) -> str:
    """A series, so many points to the right of where it is."""
    kind = f"s{of.mark % 6} d{of.mark % 4}"
    line = " ".join(f"{across(each.x) + step:.1f},{up(each.y):.1f}" for each in of.points)
    parts = [f'<polyline class="series {kind}" points="{line}"/>'] if len(of.points) > 1 else []
    for each in of.points:
        x, spread = across(each.x) + step, each.spread
        said = f"{of.name} {each.label}: {each.y:.4g}" + ("" if spread is None else f" ± {spread:.2g}")
        bar = "" if spread is None else _bar(x, up(each.y - spread), up(each.y + spread), kind)
        marker = f'<path class="marker {kind}" d="{_draw_marker(of.mark, x, up(each.y))}"/>'
        parts.append(f"<g><title>{escape(said)}</title>{bar}{marker}</g>")
    return "".join(parts)


def _bar(x: float, low: float, high: float, kind: str) -> str:
    return (
        f'<path class="bar {kind}" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"/>'
    )


def _draw_marker(mark: int, x: float, y: float) -> str:
    """A circle, a square, a diamond, or a triangle that points up or down; alike in size."""
    shapes = (
        f"M{x - 4.5:.1f} {y:.1f}a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z",
        f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8z",
        f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z",
        f"M{x - 5:.1f} {y + 4:.1f}h10l-5 -9z",
        f"M{x - 5:.1f} {y - 4:.1f}h10l-5 9z",
    )
    return shapes[mark % len(shapes)]


def _sample(mark: int) -> str:
    """A series as its legend shows it."""
    line = f'<line class="series s{mark % 6} d{mark % 4}" x1="1" x2="29" y1="7" y2="7"/>'
    marker = f'<path class="marker s{mark % 6}" d="{_draw_marker(mark, 15, 7)}"/>'
    return f'<svg class="chart sample" viewBox="0 0 30 14" aria-hidden="true">{line}{marker}</svg>'


def _level_sample(place: int) -> str:
    line = f'<line class="level d{(place + 1) % 4}" x1="1" x2="29" y1="7" y2="7"/>'
    return f'<svg class="chart sample" viewBox="0 0 30 14" aria-hidden="true">{line}</svg>'


def _write_labels(series: Sequence[Series], points: Sequence[Point], across: _Scale, up: _Scale) -> Iterator[str]:
    """The labels of points, each above or below its point, where nothing else is; else nowhere."""
    taken = [(across(each.x), up(each.y), 8.0) for each in points]
    for of in series:
        for each in of.points:
            x, half = across(each.x), 3.5 * len(each.label)
            for y in (up(each.y) - 12, up(each.y) + 13):
                inside = _LEFT < x - half and x + half < _WIDTH
                if inside and all(abs(x - a) >= half + b or abs(y - c) >= 12 for a, c, b in taken):
                    taken.append((x, y, half))
                    kind = f'class="label s{of.mark % 6}" text-anchor="middle"'
                    yield f'<text {kind} x="{x:.1f}" y="{y + 4:.1f}">{escape(each.label)}</text>'
                    break


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places in a drawing."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / ((self.high - self.low) or 1.0) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Three to seven round values within the range."""
        most = ((self.high - self.low) or 1.0) / 3 * (1 + 1e-9)  # 0.3 / 3 is a little less than 0.1
        step = 10.0 ** math.floor(math.log10(most))
        step *= max(each for each in (1, 2, 5) if each * step <= most)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step + 0.0 for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _scales(width: tuple[float, float], highest: float) -> tuple[_Scale, _Scale]:
    """To the right and, from 0, up."""
    return _Scale(*width, _LEFT, _WIDTH - _RIGHT), _Scale(0, highest, _HEIGHT - _BOTTOM, _TOP)


def _draw_axes(shown: Sequence[float], across: _Scale, up: _Scale) -> Iterator[str]:
    """The numbers of x that are shown, and a level at the bottom, in the middle and at the top."""
    for value in (up.low, up.high / 2, up.high):
        y = up(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{_round(value, 2)}</text>'
    for place, value in enumerate(shown):
        anchor = "start" if place == 0 else "end" if place == len(shown) - 1 else "middle"
        yield f'<text x="{across(value):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{_round(value, 3)}</text>'


def _round(value: float, figures: int) -> str:
    """With so many significant digits, and no exponent where it has few more."""
    return f"{float(f'{value:.{figures}g}'):,g}"


def _frame(inner: str, label: str, height: float = _HEIGHT) -> str:
    return f'<svg class="chart" viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(label)}">{inner}</svg>'
