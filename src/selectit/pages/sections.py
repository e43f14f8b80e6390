"""The analyses of a selection as sections of its page."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from selectit.errors import MissingError
from selectit.pages import charts, load
from selectit.pages.analyses import Agreement, Calculations, Lengths, Sweep
from selectit.pages.load import Map
from selectit.pages.markup import escape, figure, key, paragraphs, table
from selectit.runs.stored import StoredSelection
from selectit.text_tables import write_count

T = TypeVar("T")

_SWEPT = {"k": "Another K", "alpha": "Another alpha"}
_COMPARED = {
    "prompts": "Agreement between prompts",
    "models": "Agreement between models",
    "methods": "Agreement between methods",
}


def write_analyses(of: StoredSelection) -> str:
    """The section of the analyses: lengths, calculations, sweeps and agreement, as far as the run has them."""
    figures = [_lengths(load.load_lengths(of)), _calculations(load.load_calculations(of))]
    figures += [_sweep(each) for each in _if_there(load.load_sweeps, of) or ()]
    agreements = _if_there(load.load_agreements, of) or {}
    matrices = "".join(_agreement(what, each) for what, each in agreements.items())
    return (
        '<section id="analyses" aria-labelledby="analyses-title"><h2 id="analyses-title">Analyses</h2>'
        f'<div class="figures">{"".join(figures)}{matrices}</div></section>'
    )


def _if_there(read: Callable[[StoredSelection], T], of: StoredSelection) -> T | None:
    """What the run has for an analysis; None where it lacks what the analysis reads."""
    try:
        return read(of)
    except MissingError:
        return None


def _lengths(lengths: Lengths) -> str:
    caption = (
        f"{lengths.mean_chosen:.1f} words on average in the kept answers, {lengths.mean_all:.1f} in all; "
        f"medians {lengths.median_chosen:g} and {lengths.median_all:g}. Shares of the rows by the length of the answer."
    )
    if above := lengths.histogram.above[0]:
        caption += f" {write_count(above, 'longer answer is', 'longer answers are')} counted at the right end."
    drawn = charts.draw_shares(lengths.histogram, caption)
    return figure("Length of the answers", key("all rows", "kept") + drawn, caption)


def _calculations(found: Calculations) -> str:
    caption = f"{found.share_chosen:.1%} of the kept rows ask for a calculation, {found.share_all:.1%} of all."
    if not len(found.shares):
        return figure("Rows that calculate", "", caption)
    caption += f" Their share in each of {len(found.shares)} equal parts of the ranking, the best at the left."
    points = [(float(place), float(share)) for place, share in enumerate(found.shares, start=1)]
    return figure("Rows that calculate", charts.draw_line(points, caption), caption)


def _sweep(found: Sweep) -> str:
    caption = (
        f"How far the best {found.count:,} rows by another value are those of the value {found.own:g} here: shared "
        f"rows over the rows of either choice. Dashed: two choices by chance, {found.chance:.2f}."
    )
    drawn = charts.draw_line([(each.value, each.jaccard) for each in found.points], caption, found.chance)
    rows = [
        (f"{each.value:g}", f"{each.same:,}", _number(each.jaccard), _number(each.spearman)) for each in found.points
    ]
    header = (found.parameter, "same rows", "Jaccard", "Spearman")
    return figure(_SWEPT[found.parameter], drawn + table(found.parameter, header, rows), caption)


def _agreement(what: str, found: Agreement) -> str:
    title = _COMPARED[what]
    numbers = [str(place) for place in range(1, len(found.names) + 1)]
    rows = [
        (_row_name(name, numbers[a]), *(_cell(found, a, b) for b in range(len(found.names))))
        for a, name in enumerate(found.names)
    ]
    caption = (
        f"Above the diagonal Spearman's rank correlation of the scores, below it the Jaccard index of the best "
        f"{found.count:,} rows by each; by chance that is {found.chance:.2f}."
    )
    return figure(title, table(title, ("", *numbers), rows), caption)


def _row_name(name: str, number: str) -> str:
    """The name with the number of its column; 'prompt 2' has it already."""
    return name if name.endswith(f" {number}") else f"{number} {name}"


def _cell(found: Agreement, a: int, b: int) -> str:
    return "" if a == b else _number(float((found.spearman if a < b else found.jaccard)[a, b]))


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:z.2f}"


def write_map(found: Map) -> str:
    """The section of the map; its canvas is drawn by the page's script."""
    centre = found.centre
    lines = [_place_in_words(found)]
    if not math.isnan(centre.p):
        differs = "farther from" if centre.mean_chosen > centre.mean_all else "nearer to"
        chance = "is more than chance would do" if centre.p < 0.05 else "may be chance"
        lines.append(
            f"The kept rows are {differs} the centre of all: {centre.mean_chosen:.4g} on average, and all rows "
            f"{centre.mean_all:.4g}. The difference {chance} (permutation test, p = {centre.p:.3g})."
        )
    how = (
        "Draw a line round points, and the table above lists these rows; click a point, and its row opens. With the "
        "keyboard: arrows move the map, + and − zoom, Enter lists the rows in view, Escape lists all again."
    )
    text = paragraphs(lines) + paragraphs([how], "how")
    colours = key("not kept", "kept", *(["examples of the target"] if len(found.targets) else []))
    label = escape(
        "Map of the rows: arrows move it, plus and minus zoom, Enter lists the rows in view in the table above"
    )
    return (
        '<section id="map" aria-labelledby="map-title"><h2 id="map-title">Map</h2>'
        f'{text}{colours}<canvas id="map-canvas" role="application" tabindex="0" aria-label="{label}"></canvas>'
        '<div id="map-controls" class="slider"></div></section>'
    )


def _place_in_words(found: Map) -> str:
    explained = found.projection.explained
    if explained is None:
        return (
            f"Each point is a row, where UMAP puts its vector ({found.encoder}): near those most like it. What lies "
            "together is alike; how far apart groups lie, and where, says little."
        )
    return (
        f"Each point is a row, where its vector ({found.encoder}) lies along the two principal axes of all (PCA). "
        f"They hold {sum(explained):.0%} of the variance: rows far from each other differ, rows near each other may be "
        "alike."
    )


def find_map(of: StoredSelection, *, umap: bool = False) -> Map | None:
    """The map of a run that has embeddings; by UMAP, or by PCA."""
    return _if_there(partial(load.load_map, umap=umap), of)


def place_points(found: Map) -> tuple[dict[str, NDArray[Any]], list[list[int]]]:
    """Where points lie on the canvas, from 0 to 65,535, from the left and from the top.

    Returns:
        (N,) columns of the rows, `x`, `y`, and whether a row is `mapped`; x and y of each example of a target.
    """
    both = np.concatenate([found.projection.points, found.targets]).astype(np.float64)
    there = np.asarray(np.isfinite(both).all(axis=1))
    low, high = both[there].min(axis=0), both[there].max(axis=0)
    shares = (np.where(there[:, None], both, low) - low) / np.where(high > low, high - low, 1.0)
    shares[:, 1] = 1 - shares[:, 1]
    places = np.rint((shares * 0.94 + 0.03) * 65535).astype(np.uint16)
    rows = len(found.projection.points)
    x, y = places[:rows].T
    return {"x": x, "y": y, "mapped": there[:rows].astype(np.uint8)}, places[rows:][there[rows:]].tolist()
