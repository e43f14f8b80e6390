"""Pairs of answers to one instruction of which one was preferred: read from a data set, and told apart by scores."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.data import samples
from selectit.data.fields import RowError
from selectit.data.layouts import Layout
from selectit.data.records import Sample
from selectit.data.tables import plain_records
from selectit.data.turns import read_turns
from selectit.errors import DataError, SettingsError
from selectit.jsonable import digest_of
from selectit.numerics.row_random import shuffle_rows
from selectit.numerics.statistics import Estimate, bootstrap_mean, preferences, sign_test, wilson
from selectit.probing.defects import Corrupted, keep_last
from selectit.probing.rows import LEAST_PAIRS
from selectit.runs.run import Run
from selectit.signals.arrays import Float64

CHOSEN, REJECTED = "chosen", "rejected"

PAIRS_HINT = (
    "Write --map instruction=FIELD,chosen=FIELD,rejected=FIELD; with label=FIELD where a field says which of the two "
    "won (1, 2; 0 = neither), strength=FIELD where it is below 0 for the first and above for the second; or "
    "instruction=FIELD,response=FIELD,score=FIELD where each answer is a row with a score."
)
_OWN = (CHOSEN, REJECTED, "label", "strength", "score")
_FIRST, _SECOND = ("1", "a", "model_a"), ("2", "b", "model_b")


@dataclass(frozen=True, slots=True)
class PairMap:
    """Where the two answers stand, and which of them was preferred; all '' for rows with `chosen` and `rejected`."""

    rejected: str = ""
    """The field of the second answer."""
    labels: tuple[str, ...] = ()
    """Fields that say which won, the answer in `chosen` (1) or in `rejected` (2); of several the majority."""
    strength: str = ""
    """A number below 0 where the first won, above 0 where the second."""
    score: str = ""
    """A row's own score: of two rows with one instruction the one with the higher."""


@dataclass(frozen=True, slots=True)
class PairRows:
    """The answers of the pairs that were drawn."""

    rows: list[Corrupted]
    """Preferred, other, preferred, other, …"""
    left_out: dict[str, int]
    """Pairs of the data that can't be told apart, by the reason."""


@dataclass(frozen=True, slots=True)
class PairStats:
    """How many pairs a score wins."""

    instructions: int
    """Each counts once, however many pairs it has."""
    wins: Estimate
    """Share of the pairs in which the preferred answer scores higher, ties half; the interval is Wilson's."""
    p: float
    """Of the two-sided sign test over the instructions."""
    ties: int
    """Pairs with two equal scores."""
    missing: int
    """Pairs in which an answer has no score, and so counts as the lower."""


def split_map(text: str | None) -> tuple[str | None, PairMap]:
    """A --map with chosen and rejected: the map by which the preferred field is read as the answer, and the rest.

    Raises SettingsError.
    """
    if text is None:
        return None, PairMap()
    parts = dict(part.partition("=")[::2] for part in text.split(","))
    own = {name: parts.pop(name).strip() for name in _OWN if name in parts}
    if (CHOSEN in own) != (REJECTED in own) or (CHOSEN not in own and set(own) != {"score"}) or len(own) > 3:
        raise SettingsError(f"--map {text} names no pairs", PAIRS_HINT)
    if CHOSEN in own and "score" in own or CHOSEN in own and "response" in parts:
        raise SettingsError(f"--map {text} names pairs in two ways", PAIRS_HINT)
    if CHOSEN in own:
        answers = "response" if {"instruction", "messages"} & set(parts) else "messages"
        parts[answers] = own[CHOSEN]
    labels = tuple(own["label"].split("+")) if "label" in own else ()
    found = PairMap(own.get(REJECTED, ""), labels, own.get("strength", ""), own.get("score", ""))
    return ",".join(f"{name}={field}" for name, field in parts.items()), found


def pairs_name(fields: PairMap) -> str:
    """A name for the probe of these pairs, of its own for each map."""
    return "pairs" if fields == PairMap() else f"pairs-{digest_of(dataclasses.asdict(fields))[:6]}"


def draw_pairs(run: Run, fields: PairMap, sample: int, seed: int) -> PairRows:
    """A seeded sample of the pairs of a run's rows; those that say nothing are counted by the reason.

    Raises DataError where fewer than `LEAST_PAIRS` are left.
    """
    order = shuffle_rows(run.basic_rows(), f"probe {seed}")
    if fields.score:
        found = list(_scored_pairs(run, fields.score))
    else:
        found = list(_pairs_of_rows(run, fields))
    left_out = Counter(each for each in found if isinstance(each, str))
    place = {row: at for at, row in enumerate(order.tolist())}
    pairs = sorted((each for each in found if not isinstance(each, str)), key=lambda pair: place[pair[0].row])
    if len(pairs) < LEAST_PAIRS:
        raise DataError(
            f"{run.manifest['data']} has {len(pairs)} pairs of answers of which one is preferred, and at least "
            f"{LEAST_PAIRS} are needed"
            + "".join(f"; {count:,} left out: {reason}" for reason, count in left_out.most_common(3)),
            PAIRS_HINT,
        )
    return PairRows([row for pair in pairs[:sample] for row in _as_rows(*pair)], dict(left_out))


def measure_pairs(good: Float64, bad: Float64, instructions: Sequence[str]) -> PairStats:
    """The figures of the scores of preferred and other answers, both (P,), pair by pair.

    Args:
        good: scores of the preferred answers; NaN = lower than any.
        bad: those of the others.
        instructions: of each pair. Answers to one instruction are alike, so it is the instructions that are
            independent draws: the mean over them is taken, and Wilson's interval is for their number.
    """
    won = by_instruction(preferences(good, bad), instructions)
    missing = np.isnan(good) | np.isnan(bad)
    return PairStats(
        len(won),
        wilson(float(won.sum()), len(won)),
        sign_test((won > 0.5) + 0.5 * (won == 0.5)),
        int(((good == bad) | (np.isnan(good) & np.isnan(bad))).sum()),
        int(missing.sum()),
    )


def more_than(won: Float64, baseline: Float64, instructions: Sequence[str], seed: int) -> Estimate:
    """How many more of the pairs are won than by a baseline, pair by pair, by a bootstrap over the instructions.

    Args:
        won: (P,) 1, 0.5 or 0; see `preferences`.
        baseline: the same of the baseline.
        instructions: of each pair.
        seed: of the drawing.
    """
    return bootstrap_mean(by_instruction(won - baseline, instructions)[:, None], seed)


def by_instruction(values: Float64, instructions: Sequence[str]) -> Float64:
    """(P,) values of pairs to (I,) means over the pairs of each instruction."""
    _, places = np.unique(np.array(instructions, dtype=object).astype(str), return_inverse=True)
    means: Float64 = np.bincount(places, values) / np.bincount(places)
    return means


Pair = tuple[Sample, Sample]


def _as_rows(good: Sample, bad: Sample) -> Iterator[Corrupted]:
    for kind, each in ((CHOSEN, good), (REJECTED, bad)):
        yield Corrupted(each.row, kind, each.instruction, each.response, each.input)


def _pairs_of_rows(run: Run, fields: PairMap) -> Iterator[Pair | str]:
    """Of each row its pair, the preferred answer first, or why there is none."""
    layout = run.layout
    if layout.name != "preference" and not fields.rejected:
        raise DataError(f"{run.manifest['data']} has the layout {layout.label}, which has no second answer", PAIRS_HINT)
    winner = _winner(fields)
    for record, first in _last_samples(run):
        try:
            second = _second(record, first, layout, fields.rejected, run)
            won = winner(record)
        except RowError as error:
            yield str(error)
            continue
        if first.instruction != second.instruction:
            yield "the two answers are to different questions"
        elif first.response.strip() == second.response.strip():
            yield "the two answers are the same"
        elif won == 0:
            yield "neither is preferred"
        else:
            yield (first, second) if won < 0 else (second, first)


def _second(record: Mapping[str, Any], first: Sample, layout: Layout, field: str, run: Run) -> Sample:
    """The other answer, read as the first one is. Raises RowError."""
    if _value(record, field or REJECTED) is None:
        raise RowError("there is no second answer")
    if layout.name:
        record = {**record, CHOSEN: record.get(REJECTED)}
    else:
        answers = "response" if "response" in dict(layout.fields) else "messages"
        fields = tuple((part, field if part == answers else path) for part, path in layout.fields)
        layout = dataclasses.replace(layout, fields=fields)
    turns, _ = read_turns(record, layout)
    which = run.manifest["identity"]["turns"]
    return samples.build_samples(first.row, turns, which, samples.read_inputs(record, layout))[-1]


def _winner(fields: PairMap) -> Callable[[Mapping[str, Any]], int]:
    """Who won a record's pair: below 0 the first, above 0 the second, 0 neither. It raises RowError."""

    def by_labels(record: Mapping[str, Any]) -> int:
        votes = Counter(_side(record, label) for label in fields.labels)
        most = votes.most_common()
        return most[0][0] if len(most) == 1 or most[0][1] > most[1][1] else 0

    def by_strength(record: Mapping[str, Any]) -> int:
        return int(np.sign(_number(record, fields.strength)))

    if fields.labels:
        return by_labels
    return by_strength if fields.strength else lambda record: -1


def _side(record: Mapping[str, Any], field: str) -> int:
    said = str(_value(record, field)).strip().lower().removesuffix(".0")
    if said in _FIRST or said in _SECOND:
        return -1 if said in _FIRST else 1
    if said == "0" or said.startswith("tie"):
        return 0
    raise RowError(f"the field {field!r} is none of 1, 2 and 0 (or a, b, model_a, model_b, tie)")


def _number(record: Mapping[str, Any], field: str) -> float:
    try:
        number = float(_value(record, field))
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise RowError(f"the field {field!r} is no number")
    return number


def _value(record: Any, path: str) -> Any:
    for key in path.split("."):
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def _scored_pairs(run: Run, field: str) -> Iterator[Pair | str]:
    """Each two rows with one instruction and different scores, the one with the higher first."""
    answers: dict[str, list[tuple[float, Sample]]] = {}
    for record, sample in _last_samples(run):
        try:
            answers.setdefault(sample.instruction, []).append((_number(record, field), sample))
        except RowError as error:
            yield str(error)
    for group in answers.values():
        for (one, first), (other, second) in itertools.combinations(group, 2):
            if one == other:
                yield "neither is preferred"
            elif first.response.strip() == second.response.strip():
                yield "the two answers are the same"
            else:
                yield (first, second) if one > other else (second, first)


def _last_samples(run: Run) -> Iterator[tuple[Mapping[str, Any], Sample]]:
    """Each record of a run with the last of its rated pairs."""
    for start, stop in run.part_ranges():
        records = plain_records(run.source_rows(start, stop, ["raw"])["raw"])
        yield from zip(records, keep_last(run.samples(start, stop)), strict=True)
