"""A histogram in plain text, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from selectit.pages.analyses import Histogram

LINES = 12
"""Bins of a histogram in a terminal."""
CHOSEN, OTHER = "#", "-"


def histogram_lines(histogram: Histogram, width: int) -> Iterator[str]:
    """A line for each bin, the highest values first: its lower edge, its chosen rows and its others, and their number.

    Args:
        histogram: of scores.
        width: columns that the lines may have; below 30 they have 30.
    """
    most = int(histogram.all.max())
    width_of_bin = float(histogram.edges[1] - histogram.edges[0])
    digits = int(np.clip(1 - math.floor(math.log10(width_of_bin)), 0, 9))
    edges = [f"{edge:.{digits}f}" for edge in histogram.edges]
    column = max(len("score"), *map(len, edges))
    room = max(width, 30) - column - 2 - len(f" {most:,}")
    yield f"{'score':>{column}}  rows ({CHOSEN} chosen, {OTHER} not)"
    for low, count, chosen in reversed(list(zip(edges, histogram.all, histogram.chosen, strict=False))):
        marks = _marks(int(chosen), most, room)
        bar = CHOSEN * marks + OTHER * (_marks(int(count), most, room) - marks)
        yield f"{low:>{column}}  {bar}{' ' if bar else ''}{count:,}"
    if missing := histogram.missing[0]:
        yield f"{missing:,} {'row has' if missing == 1 else 'rows have'} no score"


def _marks(count: int, most: int, room: int) -> int:
    """How many marks stand for so many rows: one at least, where there is a row."""
    return max(round(count / most * room), 1) if count else 0
