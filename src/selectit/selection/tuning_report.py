"""What tuning on the way cost, and whether the choice was worth it: as figures and as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from selectit.procedures.follow import AnsweredPass
from selectit.procedures.tuned import TunedModel
from selectit.text_tables import write_count

Timing = Mapping[str, Mapping[str, float]]
"""`Run.timing`."""


@dataclass(frozen=True, slots=True)
class TuningStats:
    """One model that was tuned on the way."""

    model: str
    folder: str
    """Its folder in RUN/tuned, under which timing.json has its time."""
    rows: int
    """That it was tuned on."""
    rows_read: int
    """The same, each time that one was read."""
    steps: int
    tokens: int


def measure_tunings(passes: Sequence[AnsweredPass]) -> tuple[TuningStats, ...]:
    """The figures of each model that was tuned for these passes, in their order. Raises RunError."""
    models: dict[str, TunedModel] = {}
    for each in passes:
        for tuned in () if each.tuned is None else _with_starts(each.tuned):
            models.setdefault(tuned.path.name, tuned)
    return tuple(_stats_of(tuned) for tuned in models.values())


def _with_starts(tuned: TunedModel) -> list[TunedModel]:
    """The model, after those that it was tuned from."""
    return [tuned] if tuned.start is None else [*_with_starts(tuned.start), tuned]


def _stats_of(tuned: TunedModel) -> TuningStats:
    facts = tuned.facts
    used = facts["rows"]["used"]
    return TuningStats(
        tuned.model.name, tuned.path.name, used, round(facts["epochs"] * used), facts["steps"], facts["tokens"]
    )


def count_tuning_seconds(tunings: Sequence[TuningStats], timing: Timing) -> float | None:
    """Seconds of all these trainings, interruptions left out; None where the timing does not say."""
    spent = [timing.get(f"train {each.folder}", {}).get("seconds") for each in tunings]
    return None if None in spent else sum(each for each in spent if each is not None)


def tuning_lines(
    tunings: Sequence[TuningStats], kept: int, rows: int, reading: float | None, timing: Timing
) -> Iterator[str]:
    """What was tuned, and the seconds of choosing beside those of tuning on the choice and on everything.

    Args:
        tunings: of a selection; without any there are no lines.
        kept: rows of the selection.
        rows: all rows.
        reading: seconds in which models answered; None = not known.
        timing: of the run.
    """
    if not tunings:
        return
    steps, tokens = sum(each.steps for each in tunings), sum(each.tokens for each in tunings)
    number = write_count(len(tunings), "model")
    yield f"tuned {number} on the way, on {_rows(tunings)}: {write_count(steps, 'step')}, {tokens:,} tokens"
    tuning = count_tuning_seconds(tunings, timing)
    if tuning is None or reading is None:
        return
    each_row = tuning / sum(one.rows_read for one in tunings)
    yield (
        f"choosing took {tuning + reading:,.1f} s: {tuning:,.1f} s of tuning, {reading:,.1f} s of reading. At the "
        f"{each_row:.3g} s a row of these trainings an epoch on the choice takes about {each_row * kept:,.1f} s, on "
        f"all rows {each_row * rows:,.1f} s (an estimate)"
    )


def _rows(tunings: Sequence[TuningStats]) -> str:
    counts = [f"{each.rows:,}" for each in tunings]
    shown = ", ".join(counts) if len(counts) <= 4 else f"{counts[0]} to {counts[-1]}"
    return f"{shown} row{'s' * (counts != ['1'])}"
