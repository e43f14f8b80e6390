"""What a page knows of each of its rows: numbers, the beginning of the texts, and whole conversations of some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.data.tables import plain_records
from selectit.data.words import count_words
from selectit.pages.choice import StoredChoice
from selectit.pages.ratings import PageRatings
from selectit.runs.files import numbers
from selectit.runs.run import Run
from selectit.signals.arrays import Int64
from selectit.text_tables import printable

MOST_ROWS = 50_000
"""Rows of one page; of a longer run it has these, drawn at random, and the first and last of the order."""
PREVIEW = 200
"""Characters of a question, and of an answer, that a page has of every row."""
MOST_CONVERSATIONS = 5_000
LONGEST = 20_000
"""Characters of one message; the rest of a longer one is left out, and said to be."""
ALL_CHARACTERS = 12_000_000
"""Of all whole conversations."""
_ENDS = 40
"""Rows at either end of the order, and at either side of the cut, that a page has in any case."""
_MOST_VALUES = 100
_LONGEST_VALUE = 60
_MOST_FIELDS = 8
OTHER = "(other)"
NONE = "(none)"


@dataclass(frozen=True, slots=True)
class RowTexts:
    """The texts of P rows, and what else their records say; one entry a row."""

    question: tuple[str, ...]
    """The beginning of the first question."""
    answer: tuple[str, ...]
    """The beginning of the last answer."""
    all_words: Int64
    """Words of all turns."""
    words: Int64
    """Words of the rated answers."""
    digest: tuple[bytes, ...]
    fields: Mapping[str, tuple[str, ...]]
    """Fields that are not read, whose few values group the rows."""


def sample_rows(run: Run, choice: StoredChoice) -> Int64:
    """The rows of the page, in rising order: all, or those at the ends of the order and others at random."""
    if run.rows <= MOST_ROWS:
        return np.arange(run.rows)
    cut, order = len(choice.rows), choice.order
    near = order[max(cut - _ENDS, 0) : cut + _ENDS]
    ends = np.concatenate([order[:_ENDS], order[-_ENDS:], near, choice.rows[:_ENDS]])
    others = np.random.default_rng(0).permutation(run.rows)[:MOST_ROWS]
    return np.unique(np.concatenate([ends, others[: MOST_ROWS - len(ends)]]))


def read_texts(run: Run, rows: Int64) -> RowTexts:
    """The texts of these rows, which are in rising order."""
    question, answer, counts, words, digest = [], [], [], [], []
    named = _named_fields(run)
    fields: dict[str, list[str]] = {name: [] for name in named}
    for table in run.source_at(rows, ["turns", "words", "digest", *(["raw"] if named else [])]):
        for turns in table["turns"].to_pylist():
            question.append(_first(turns, "user"))
            answer.append(_first(reversed(turns), "assistant"))
            counts.append(sum(count_words(turn["text"]) for turn in turns))
        words.append(numbers(table["words"]))
        digest += table["digest"].to_pylist()
        for record in plain_records(table["raw"]) if named else ():
            for name in named:
                fields[name].append(_value(record, name))
    return RowTexts(
        tuple(question),
        tuple(answer),
        np.array(counts, np.int64),
        np.concatenate(words).astype(np.int64),
        tuple(digest),
        {name: tuple(values) for name, values in fields.items() if _groups_rows(values)},
    )


def _first(turns: Iterable[Mapping[str, str]], role: str) -> str:
    """The beginning of the first text by a role, on one line."""
    text = next((turn["text"] for turn in turns if turn["role"] == role), "")
    return printable(" ".join(text[: 4 * PREVIEW].split()))[:PREVIEW]


def _named_fields(run: Run) -> list[str]:
    """The fields that were kept and not read; those of the reader's own."""
    reading = run.manifest.get("reading") or {"unread": {}}  # older runs do not say
    return list(reading["unread"])


def _value(record: Any, name: str) -> str:
    found = record.get(name) if isinstance(record, Mapping) else None
    return NONE if found in (None, "", [], {}) else printable(str(found))[: _LONGEST_VALUE + 1]


def _groups_rows(values: Sequence[str]) -> bool:
    """Whether a field has few values that recur, as a source, a language or a category has."""
    counts = Counter(values)
    return 1 < len(counts) <= max(len(values) // 2, 2) and all(len(value) <= _LONGEST_VALUE for value in counts)


def name_fields(texts: RowTexts, choice: StoredChoice, rows: Int64) -> dict[str, tuple[str, ...]]:
    """Of each field that groups the rows, the values: those with the most rows, and OTHER for the rest."""
    fields = dict(texts.fields)
    if choice.groups:
        by = tuple(printable(choice.groups[row]) for row in rows.tolist())
        fields = {str(choice.config["filters"]["by"]): by} | fields
    found = {}
    for name, values in list(fields.items())[:_MOST_FIELDS]:
        common = {value for value, _ in Counter(values).most_common(_MOST_VALUES)}
        found[printable(name)] = tuple(value if value in common else OTHER for value in values)
    return found


def estimate_tokens(texts: RowTexts, ratings: PageRatings) -> Int64:
    """(P,) tokens of each row, from those that were counted for its rating.

    A rated text is a prompt and the row. The row's part is taken to be that of its words, which is off by a few
    percent; of a text that was cut to the limit only what was read counts.
    """
    own = np.maximum(texts.all_words, 1)
    fixed = count_words(ratings.prompts[0].render("", ""))
    found: Int64 = np.rint(ratings.tokens * (own / (own + fixed))).astype(np.int64)
    return found


def choose_conversations(kept: NDArray[np.bool_], singled_out: Int64) -> Int64:
    """(P,) of booleans and places of rows that the page names to the places whose whole conversation it has.

    Those that it names, then as many kept as other rows, at random.
    """
    draw = np.random.default_rng(0)
    yes, no = draw.permutation(np.flatnonzero(kept)), draw.permutation(np.flatnonzero(~kept))
    half = max(MOST_CONVERSATIONS - len(singled_out), 0) // 2
    more_yes = max(half, 2 * half - len(no))
    more_no = max(half, 2 * half - len(yes))
    found = np.concatenate([singled_out, yes[:more_yes], no[:more_no]])
    once: Int64 = found[np.sort(np.unique(found, return_index=True)[1])][:MOST_CONVERSATIONS]
    return once


def read_conversations(run: Run, rows: Int64) -> list[dict[str, Any]]:
    """Whole conversations of rows, the first named first, until there are ALL_CHARACTERS; in rising order."""
    spent, found = 0, {}
    table = pa.concat_tables(run.source_at(np.sort(rows), ["row", "turns", "left_out"]))
    known = {each["row"]: each for each in table.to_pylist()}
    for row in rows.tolist():
        turns = [[turn["role"], _cut(turn["text"])] for turn in known[row]["turns"]]
        spent += sum(len(text) for _, text in turns)
        if spent > ALL_CHARACTERS:
            break
        found[row] = {"row": row, "turns": turns, "left_out": known[row]["left_out"] or []}
    return [found[row] for row in sorted(found)]


def _cut(text: str) -> str:
    more = len(text) - LONGEST
    return printable(text[:LONGEST]) + (f"\n… {more:,} more characters" if more > 0 else "")
