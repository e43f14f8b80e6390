"""The rows of a probe, drawn from a run: originals with planted defects, or good and bad rows by the user's labels.

They form their own data set, whose run directory lies inside the data's run.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.data.records import Sample
from selectit.errors import DataError, SettingsError
from selectit.jsonable import digest_of
from selectit.numerics.row_random import shuffle_rows
from selectit.probing.defects import KINDS, ORIGINAL, Corrupted, has_response, keep_last, plant
from selectit.runs.run import Run
from selectit.runs.source import create_pairs_run, pair_records
from selectit.runs.stored import field_of
from selectit.signals.arrays import Float64, Int64

LEAST_PAIRS = 10
"""A kind that fits fewer rows is left out: no test could show anything. The same holds for good and bad rows."""


GOOD, BAD = "good", "bad"
PLANTED = "planted"
"""The name of the probe of planted defects."""


@dataclass(frozen=True, slots=True)
class Labels:
    """'FIELD=VALUE' or 'FIELD>=NUMBER': which rows the user calls good."""

    field: str
    operator: str
    value: str

    def good(self, text: str) -> bool | None:
        """Whether a row with this text in the field is good; None where it says nothing: blank, or no number (NaN)."""
        text = text.strip()
        number, wanted = _number(text), _number(self.value)
        if not text or (number is not None and math.isnan(number)):
            return None
        if self.operator == ">=":
            return None if number is None or wanted is None else number >= wanted
        if number is not None and wanted is not None:
            return number == wanted
        if self.value.casefold() in ("true", "false"):  # JSON's and Python's ways to write them
            return text.casefold() == self.value.casefold()
        return text == self.value


def parse_labels(text: str) -> Labels:
    """Raises SettingsError."""
    found = re.fullmatch(r"(.+?)\s*(>=|<=|==|!=|<>|=|<|>)\s*(.+)", text.strip())
    hint = "Write FIELD=VALUE of the good rows, or FIELD>=NUMBER, for example 'score>=4.5', in quotes."
    if found is None:
        raise SettingsError(f"--labelled is {text!r}", hint)
    labels = Labels(*found.groups())
    if labels.operator not in ("=", ">="):
        raise SettingsError(f"--labelled is {text!r}, and there is no {labels.operator!r}, only '=' and '>='", hint)
    number = _number(labels.value)
    if labels.operator == ">=" and (number is None or math.isnan(number)):
        raise SettingsError(f"--labelled: {labels.value!r} is not a number", hint)
    return labels


def draw_rows(run: Run, sample: int, seed: int) -> list[Corrupted]:
    """A seeded sample of the rows with a response, and copies of them with planted defects.

    Raises DataError where there are fewer than `LEAST_PAIRS` such rows, or no kind of defect fits so many.
    """
    basic = run.basic_rows()
    order = shuffle_rows(basic, f"probe {seed}")
    order = order[basic.response_words[order] > 0][:sample]
    pairs = [pair for pair in _pairs(run, order) if has_response(pair)]  # of several answers the last may be empty
    if len(pairs) < LEAST_PAIRS:
        raise DataError(
            f"{run.manifest['data']} has {len(pairs)} rows with a response among those drawn, and at least "
            f"{LEAST_PAIRS} are needed",
            "Probe a larger data set, or draw more rows with --sample.",
        )
    rows = plant(pairs, tuple(KINDS), seed)
    counts = Counter(row.kind for row in rows)
    kept = [row for row in rows if row.kind == ORIGINAL or counts[row.kind] >= LEAST_PAIRS]
    if len(kept) == len(pairs):
        raise DataError(
            f"no kind of defect fits {LEAST_PAIRS} of the {len(pairs)} rows drawn of {run.manifest['data']}",
            "Probe a larger data set, or label rows yourself (--labelled).",
        )
    return kept


def draw_labelled_rows(run: Run, labels: Labels, sample: int, seed: int) -> list[Corrupted]:
    """A seeded sample of the good rows and one of the bad; an empty response is a response like any other.

    Raises DataError where there are fewer than `LEAST_PAIRS` of either.
    """
    texts = field_of(run, labels.field)
    values = [labels.good(text) for text in texts]
    order = shuffle_rows(run.basic_rows(), f"probe {seed}").tolist()
    found: list[Corrupted] = []
    for kind, wanted in ((GOOD, True), (BAD, False)):
        pairs = _pairs(run, np.array([row for row in order if values[row] is wanted][:sample], np.int64))
        if len(pairs) < LEAST_PAIRS:
            raise DataError(
                f"{run.manifest['data']} has {len(pairs)} {kind} rows by {labels.field}{labels.operator}{labels.value}",
                f"At least {LEAST_PAIRS} of each are needed. {_name_values(labels.field, texts)}",
            )
        found += [Corrupted(each.row, kind, each.instruction, each.response, each.input) for each in pairs]
    return found


def probe_folder(run: Run, name: str, sample: int, seed: int) -> Path:
    """Where the probe of such rows lies: `name` says what they are."""
    return run.path / "probes" / f"{name}-{sample}-s{seed}"


def labels_name(labelled: str) -> str:
    """A name for the probe of these labels, of its own for each."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", labelled)[:40]
    return f"labelled-{plain}-{digest_of({'labelled': labelled})[:6]}"


def create_probe_run(folder: Path, rows: Sequence[Corrupted]) -> Run:
    """The run directory of a probe's rows; see `create_pairs_run`."""
    pairs = zip(pair_records(rows), rows, strict=True)
    return create_pairs_run(folder, [{**pair, "of": row.of, "kind": row.kind} for pair, row in pairs])


def pair_scores(scores: Float64, rows: Sequence[Corrupted]) -> dict[str, tuple[Float64, Float64]]:
    """Scores of the originals and of the defects of each kind, pair by pair."""
    original = {row.of: place for place, row in enumerate(rows) if row.kind == ORIGINAL}
    found: dict[str, tuple[Float64, Float64]] = {}
    for kind in KINDS:
        places = [place for place, row in enumerate(rows) if row.kind == kind]
        if places:
            found[kind] = (scores[[original[rows[place].of] for place in places]], scores[places])
    return found


def _pairs(run: Run, rows: Int64) -> list[Sample]:
    """The last rated pair of each of these rows, in their order."""
    pairs = {pair.row: pair for pair in keep_last(run.samples_at(np.sort(rows)))}
    return [pairs[row] for row in rows.tolist()]


def _name_values(field: str, texts: Sequence[str]) -> str:
    """Some values of a field, the most frequent first."""
    common = [value for value, _ in Counter(text.strip() for text in texts if text.strip()).most_common(6)]
    if not common:
        return f"No row has a field {field!r} (dots go deeper)."
    return f"Values of {field} that occur: {', '.join(value[:30] for value in common)}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
