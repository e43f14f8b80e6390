"""Two kinds of drawing as SVG, which take their colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from selectit.pages.analyses import Histogram
from selectit.pages.markup import escape

_WIDTH, _HEIGHT = 420, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 26


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
    bars = [
        f'<rect class="{kind}" x="{_x(left, low, high):.1f}" y="{_y(share, 0, highest):.1f}" '
        f'width="{max(_x(right, low, high) - _x(left, low, high) - 0.5, 0.5):.1f}" '
        f'height="{_HEIGHT - _BOTTOM - _y(share, 0, highest):.1f}"/>'
        for kind, values in zip(("all", "kept"), shares, strict=True)
        for share, left, right in zip(values, histogram.edges[:-1], histogram.edges[1:], strict=True)
    ]
    axes = _axes([low, (low + high) / 2, high], (low, high), [0, highest / 2, highest], (0, highest))
    lines = "".join(_mark(name, _x(min(max(at, low), high), low, high)) for name, at in marks.items() if at == at)
    return _frame("".join(axes) + "".join(bars) + lines, label)


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
    across = [x for x, _ in points]
    low, high = min(across), max(across)
    top = max([1.0 if chance == chance else 0.0, *(y for _, y in known)]) or 1.0
    place = [(_x(x, low, high), _y(y, 0, top)) for x, y in known]
    line = f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in place)}"/>'
    dots = "".join(f'<circle class="dot" r="3" cx="{x:.1f}" cy="{y:.1f}"/>' for x, y in place)
    level = ""
    if not math.isnan(chance):
        at = _y(chance, 0, top)
        level = f'<line class="chance" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
    shown = across if len(across) <= 8 else [low, (low + high) / 2, high]
    axes = _axes(shown, (low, high), [0, top / 2, top], (0, top))
    return _frame("".join(axes) + level + line + dots, label)


def _x(value: float, low: float, high: float) -> float:
    return _LEFT + (value - low) / ((high - low) or 1.0) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, low: float, high: float) -> float:
    return _HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1.0) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(
    across: Sequence[float], width: tuple[float, float], up: Sequence[float], height: tuple[float, float]
) -> list[str]:
    found = []
    for value in up:
        y = _y(value, *height)
        found.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        found.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:.2g}</text>')
    for place, value in enumerate(across):
        anchor = "start" if place == 0 else "end" if place == len(across) - 1 else "middle"
        found.append(f'<text x="{_x(value, *width):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{value:.3g}</text>')
    return found


def _frame(inner: str, label: str) -> str:
    return f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{inner}</svg>'
