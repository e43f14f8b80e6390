"""Drawings: where values lie, round numbers on the axes, and labels that leave each other alone."""

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from html_pages import Reader
from selectit.pages.analyses import build_histogram
from selectit.pages.charts import Point, Series, Span, _Scale, draw_series, draw_shares, draw_spans

FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)


def found(drawing, kind, tag):
    """The attributes of all elements of a class."""
    return [attrs for name, attrs in Reader(drawing).elements if name == tag and kind in attrs.get("class", "").split()]


@given(st.lists(FLOATS, min_size=2, max_size=2, unique=True).map(sorted))
@example([0.0, 0.3])
def test_ticks_are_round_and_within(ends):
    low, high = ends
    ticks = _Scale(low, high, 0, 100).ticks()
    step = (high - low) / 3
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-6 * step <= each <= high + 1e-6 * step for each in ticks)
    steps = np.diff(ticks)
    assert np.allclose(steps, steps[0], rtol=1e-6)
    assert float(f"{steps[0]:.3e}"[:5]) in (1.0, 2.0, 5.0)


@given(st.lists(st.tuples(*[st.integers(-99, 99)] * 5).map(sorted), min_size=1, max_size=6))
def test_spans_lie_in_order_and_a_filled_point_is_off_zero(rows):
    spans = [Span(f"n{at}", low, value, high, (a, b)) for at, (low, a, value, b, high) in enumerate(rows)]
    drawing = draw_spans(spans, "label", zero=True)
    lines, boxes, points = (found(drawing, *each) for each in (("line", "line"), ("thick", "line"), ("dot", "circle")))
    for span, line, box, point in zip(spans, lines, boxes, points, strict=True):
        places = [float(each) for each in (line["x1"], box["x1"], point["cx"], box["x2"], line["x2"])]
        assert places == sorted(places)
        assert ("hollow" in point["class"]) is (span.low <= 0 <= span.high)
    heights = [float(each["cy"]) for each in points]
    assert heights == sorted(set(heights))


def test_a_span_by_hand():
    drawing = draw_spans([Span("a <b>", 0, 5, 10)], "said")
    (line,), (point,) = found(drawing, "line", "line"), found(drawing, "dot", "circle")
    assert float(point["cx"]) == pytest.approx((float(line["x1"]) + float(line["x2"])) / 2, abs=0.1)
    assert "a <b>: 5 (0 to 10)" in Reader(drawing).said


def test_lines_have_their_points_bars_and_levels():
    series = [
        Series("one", 0, (Point(1, 10, 2, "5%"), Point(2, 20, None, "10%"))),
        Series("two <i>", 1, (Point(1, 12, 1, "5%"),)),
    ]
    drawing = draw_series(series, [("base", 5)], ("rows", "score <u>"), "said")
    assert len(found(drawing, "bar", "path")) == 2
    (line,) = [attrs for attrs in found(drawing, "series", "polyline")]
    (x1, y1), (x2, y2) = (map(float, each.split(",")) for each in line["points"].split())
    assert x1 < x2 and y1 > y2, "more is higher"
    level = found(drawing, "level", "line")[0]
    assert float(level["y1"]) > y1
    said = Reader(drawing).said
    assert "one 5%: 10 ± 2" in said and "two <i> 5%: 12 ± 1" in said and "base: 5" in said and "score <u>" in said
    firsts = [re.match(r"M(-?[\d.]+) ", each["d"])[1] for each in found(drawing, "bar", "path")]
    assert len(set(firsts)) == 2, "bars at the same x stand side by side"


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=12, unique=True))
def test_labels_never_lie_over_each_other(places):
    points = tuple(Point(x, y, None, "100%") for x, y in sorted(places))
    labels = found(draw_series([Series("s", 0, points)], [], ("x", "y"), "said", labelled=True), "label", "text")
    for a, b in combinations([(float(each["x"]), float(each["y"])) for each in labels], 2):
        assert abs(a[0] - b[0]) >= 27.8 or abs(a[1] - b[1]) >= 11.8


def test_marks_of_a_histogram_lie_at_their_values():
    values = np.arange(101.0)
    drawing = draw_shares(build_histogram(values, np.arange(5)), "said", {"middle": 50.0, "none": np.nan, "far": 1e9})
    middle, far = (float(each["x1"]) for each in found(drawing, "mark", "line"))
    bars = [each for each in found(drawing, "all", "rect")]
    left, right = float(bars[0]["x"]), max(float(each["x"]) + float(each["width"]) for each in bars)
    assert middle == pytest.approx((left + right) / 2, abs=0.6) and far == pytest.approx(right, abs=0.6)
