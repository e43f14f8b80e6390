"""The rows of a page that are worth a look: ends of the order, the disputed, the longest, the flagged, the twins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selectit.numerics.segments import mean_ranks
from selectit.pages.choice import StoredChoice
from selectit.pages.ratings import PageRatings
from selectit.pages.rows import RowTexts
from selectit.signals.arrays import Float64, Int64

MOST = 20


@dataclass(frozen=True, slots=True)
class Notable:
    """Some rows of a page under a heading."""

    title: str
    about: str
    """What is special about them, in a sentence."""
    places: Int64
    """Their places among the page's P rows, the most notable first."""


def find_notable(
    choice: StoredChoice,
    rows: Int64,
    texts: RowTexts,
    ratings: PageRatings | None,
    others: Mapping[str, Float64],
) -> list[Notable]:
    """All lists that have a row.

    Args:
        choice: the selection.
        rows: (P,) the page's rows, in rising order.
        texts: of these.
        ratings: of these.
        others: other scores of the run by name, (N,) each.
    """
    kept = np.isin(rows, choice.rows)
    found = [
        *_ends(choice, rows),
        *(() if ratings is None else _disputed(ratings)),
        *_disputed_by_methods(choice, rows, others),
        *_lengths(kept, texts.words),
        *(() if ratings is None else _flagged(ratings)),
        Notable("No score", "They could not be rated or scored, so they can not be chosen.", _unscored(choice, rows)),
        Notable("Duplicates", "Each stands next to a row that says the same.", _twins(choice, rows, texts)),
    ]
    return [each for each in found if len(each.places)]


def _places(rows: Int64, wanted: Int64) -> Int64:
    """The places of those of the wanted rows that the page has, in their order."""
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    found: Int64 = at[rows[at] == wanted]
    return found


def _ends(choice: StoredChoice, rows: Int64) -> Iterator[Notable]:
    order, cut = choice.order, len(choice.rows)
    if not len(order):
        yield Notable("First chosen", "The method chose them first.", _places(rows, choice.rows[:MOST]))
        return
    yield Notable("Best", "They have the highest scores.", _places(rows, order[:MOST]))
    yield Notable("Worst", "They have the lowest scores.", _places(rows, order[::-1][:MOST]))
    if choice.is_cut:
        ranks = np.argsort(np.abs(np.arange(len(order)) + 0.5 - cut), kind="stable")[:MOST]
        yield Notable(
            "Nearest the cut", "The last that were kept, and the first that were not.", _places(rows, order[ranks])
        )


def _disputed(ratings: PageRatings) -> Iterator[Notable]:
    """Where the ratings of one model differ most between prompts, and those of several models from each other."""
    labels = ratings.mean_labels
    _, models, prompts = labels.shape
    if prompts > 1:
        about = "The mean rating changes most from one prompt to another."
        yield Notable("Prompts disagree", about, _highest(labels.std(axis=2).mean(axis=1)))
    if models > 1:
        about = "The mean rating changes most from one model to another."
        yield Notable("Models disagree", about, _highest(labels.mean(axis=2).std(axis=1)))


def _disputed_by_methods(choice: StoredChoice, rows: Int64, others: Mapping[str, Float64]) -> Iterator[Notable]:
    if not choice.scores or not others:
        return
    own = _shares(choice.score)
    with np.errstate(invalid="ignore"):
        apart = np.nanmax(
            [np.zeros(len(rows)), *(np.abs(_shares(score) - own)[rows] for score in others.values())], axis=0
        )
    about = f"Their ranks under {', '.join(others)} are the farthest from those under {choice.scores}."
    yield Notable("Methods disagree", about, _highest(np.where(apart > 0, apart, np.nan)))


def _shares(score: Float64) -> Float64:
    """(N,) the share of rows that score lower; NaN without a score."""
    found, there = np.full(len(score), np.nan), ~np.isnan(score)
    found[there] = mean_ranks(score[there]) / max(there.sum(), 1)
    return found


def _highest(values: Float64) -> Int64:
    """The places of the highest values that are numbers, highest first."""
    return np.argsort(-values, kind="stable")[: min(MOST, int((~np.isnan(values)).sum()))]


def _lengths(kept: NDArray[np.bool_], words: Int64) -> Iterator[Notable]:
    places = np.flatnonzero(kept)
    by_length = places[np.argsort(words[places], kind="stable")]
    yield Notable("Longest kept", "Their answers have the most words of all that were kept.", by_length[::-1][:MOST])
    yield Notable("Shortest kept", "Their answers have the fewest words of all that were kept.", by_length[:MOST])


def _flagged(ratings: PageRatings) -> Iterator[Notable]:
    about = "Something was noted when they were rated: the answer was cut or is empty, or a label is missing."
    yield Notable("Flagged", about, np.flatnonzero(ratings.flags)[:MOST])


def _unscored(choice: StoredChoice, rows: Int64) -> Int64:
    if not choice.scores or "cascade" in choice.config:  # there most have none, and nothing is wrong with them
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.isnan(choice.score[rows]))[:MOST]


def _twins(choice: StoredChoice, rows: Int64, texts: RowTexts) -> Int64:
    """Pairs: rows with equal conversations, then rows that a filter found to be like a kept one."""
    first: dict[bytes, int] = {}
    pairs = [
        (first[digest], place) for place, digest in enumerate(texts.digest) if first.setdefault(digest, place) != place
    ]
    alike = [(each.kept_row, row) for row, each in choice.unchosen.items() if each.step == "dedup"]
    for kept, row in alike[: 2 * MOST]:
        found = _places(rows, np.array([kept, row]))
        if len(found) == 2:
            pairs.append((int(found[0]), int(found[1])))
    flat = dict.fromkeys(place for pair in pairs[:MOST] for place in pair)
    return np.array(list(flat)[: 2 * MOST], np.int64)
