"""What a page's script is given: columns of numbers, a few facts about them, and why each row was chosen or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.pages.choice import StoredChoice
from selectit.pages.command import known_options, write_cut_command, write_row_command
from selectit.pages.cut import Cut, describe_quotas, find_cut
from selectit.pages.pack import round_to_figures
from selectit.pages.ratings import PageRatings, read_ratings
from selectit.pages.rows import PREVIEW, RowTexts, estimate_tokens, name_fields, read_texts, sample_rows
from selectit.runs.run import Run
from selectit.selection.describe import flag_words
from selectit.signals.arrays import Int64
from selectit.text_tables import printable

MISSING = 65535
"""In the place of a probability, in units of 1/10,000, that there is none."""
_MOST_CHANCES = 8_000_000
"""Probabilities of labels in one page; of more prompts only the first are there."""


@dataclass(frozen=True, slots=True)
class PageRows:
    """The P rows of a page with all that is stored of them."""

    run: Run
    choice: StoredChoice
    rows: Int64
    """(P,) in rising order."""
    texts: RowTexts
    ratings: PageRatings | None
    """None = nobody rated."""
    fields: Mapping[str, tuple[str, ...]]
    """(P,) values each of what groups the rows."""
    cut: Cut | None
    """None = there is none to move."""

    @property
    def is_sample(self) -> bool:
        """Whether the run has more rows."""
        return len(self.rows) < self.run.rows

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(P,)."""
        return np.isin(self.rows, self.choice.rows)


def read_page_rows(run: Run, choice: StoredChoice) -> PageRows:
    """The rows of the page of a selection. Raises DamagedError."""
    rows = sample_rows(run, choice)
    texts = read_texts(run, rows)
    ratings, fields = read_ratings(run, choice.config, rows), name_fields(texts, choice, rows)
    return PageRows(run, choice, rows, texts, ratings, fields, find_cut(choice))


def fill_columns(page: PageRows) -> dict[str, NDArray[Any]]:
    """The columns by name, one number a row; of `chances` one for each model, prompt and label."""
    choice, rows = page.choice, page.rows
    columns: dict[str, NDArray[Any]] = {
        "row": rows.astype(np.uint32),
        "score": choice.score[rows],
        "place": _number(choice.order if choice.scores else choice.rows, page.run.rows)[rows],
        "kept": page.kept.astype(np.uint8),
        "words": page.texts.words.astype(np.uint32),
        "near": np.array([_kept_row(choice, row) + 1 for row in rows.tolist()], np.uint32),
        "flags": np.zeros(len(rows), np.uint8),
    }
    if page.cut is not None and page.cut.quotas is not None:
        columns |= {
            "group": page.cut.quotas.of[rows].astype(np.uint32),
            "turn": _number(page.cut.order, page.run.rows, page.cut.turns())[rows],
        }
    for at, values in enumerate(page.fields.values()):
        columns[f"field{at}"] = np.unique(np.array(values, dtype=object), return_inverse=True)[1].astype(np.uint8)
    for at, part in enumerate(choice.parts.values()):
        columns[f"part{at}"] = round_to_figures(part[rows])
    return columns if page.ratings is None else columns | _rating_columns(page.texts, page.ratings)


def _kept_row(choice: StoredChoice, row: int) -> int:
    """The kept row that a row is like; -1 = none is known."""
    found = choice.unchosen[row].kept_row if row in choice.unchosen else None
    return -1 if found is None else found


def _rating_columns(texts: RowTexts, ratings: PageRatings) -> dict[str, NDArray[Any]]:
    chances = ratings.chances[:, :, : _prompts_shown(ratings)]
    packed = np.where(np.isnan(chances), MISSING, np.rint(np.nan_to_num(chances) * 10_000))
    spread = ratings.mean_labels.reshape(len(chances), -1).std(axis=1)
    return {
        "chances": packed.astype(np.uint16),
        "flags": ratings.flags,
        "tokens": estimate_tokens(texts, ratings).astype(np.uint32),
        "spread": round_to_figures(spread),
    }


def _prompts_shown(ratings: PageRatings) -> int:
    rows, models, prompts, labels = ratings.chances.shape
    return int(max(1, min(prompts, _MOST_CHANCES // (rows * models * labels))))


def _number(order: Int64, rows: int, numbers: Int64 | None = None) -> NDArray[np.uint32]:
    """(rows,) of each row its place in an order, from 1, or its number of these; 0 = it is not there."""
    found = np.zeros(rows, np.uint32)
    found[order] = np.arange(1, len(order) + 1) if numbers is None else numbers
    return found


def describe_contents(page: PageRows) -> dict[str, Any]:
    """What the script has to know beside the columns."""
    choice, run, ratings = page.choice, page.run, page.ratings
    options = known_options(choice.summary)
    return {
        "rows": len(page.rows),
        "total": run.rows,
        "kept": len(choice.rows),
        "candidates": len(choice.order),
        "most": None if page.cut is None else page.cut.most,
        "quotas": None if page.cut is None else describe_quotas(page.cut),
        "scores": choice.scores,
        "parts": list(choice.parts),
        "fields": [{"name": name, "values": sorted(set(values))} for name, values in page.fields.items()],
        "near": any(each.kept_row is not None for each in choice.unchosen.values()),
        "tokens": ratings is not None,
        "ratings": None if ratings is None else _describe_ratings(ratings),
        "flags": [] if ratings is None else _describe_flags(ratings),
        "preview": PREVIEW,
        "show": write_row_command(run),
        "command": None if options is None else write_cut_command(run, options),
    }


def _describe_ratings(ratings: PageRatings) -> dict[str, Any]:
    shown = ratings.prompts[: _prompts_shown(ratings)]
    texts, labels = [each.text for each in shown], list(shown[0].labels)
    return {"models": list(ratings.models), "prompts": texts, "labels": labels}


def _describe_flags(ratings: PageRatings) -> list[tuple[int, str]]:
    """The flags that a row has, with their words; what has no words says nothing of a row."""
    seen = [1 << bit for bit in range(8) if (ratings.flags & (1 << bit)).any()]
    return [(flag, ", ".join(flag_words(flag))) for flag in seen if flag_words(flag)]


def list_reasons(page: PageRows) -> list[str]:
    """(P,) why each row was chosen or not, in words."""
    choice = page.choice
    chosen = dict(zip(choice.rows.tolist(), choice.why, strict=True))
    errors = {} if page.ratings is None else page.ratings.errors
    unscored = "did not go on after the first rating" if "cascade" in choice.config else "no score"

    def reason(row: int) -> str:
        if row in choice.unchosen:
            return choice.unchosen[row].why
        if choice.scores and math.isnan(choice.score[row]):
            return f"no score: {errors[row]}" if row in errors else unscored
        return "below the cut" if choice.scores else "not chosen"

    return [printable(chosen.get(row) or reason(row)) for row in page.rows.tolist()]
