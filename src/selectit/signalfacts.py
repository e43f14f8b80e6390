"""What a run says of the signals beside ratings: losses, embeddings, judgements and rewards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selectit.ratings import Rater, raters, stored_columns
from selectit.run import Run, numbers, part_name, read_json, read_part
from selectit.schema import FLAG_EMPTY, FLAG_FLOOR, FLAG_TRUNCATED, FLAG_UNFINISHED
from selectit.works import SIGNALS, Work, passes

_OTHERS = tuple(signal for signal in SIGNALS if signal != "ratings")

_FLAG_WORDS = {
    FLAG_TRUNCATED: "response cut",
    FLAG_EMPTY: "empty response",
    FLAG_FLOOR: "label at the floor",
    FLAG_UNFINISHED: "answer not finished",
}


@dataclass(frozen=True, slots=True)
class SignalFacts:
    """What one model answered for a method beside ratings."""

    model: str
    signal: str
    """'losses', 'embeddings', 'judgements' or 'rewards'."""
    folder: str
    """Its folder of the signal, under which timing.json has its times."""
    passes_per_row: int
    """Forward passes; of a judge, replies."""
    truncated_rows: int
    failed_rows: int


def signal_facts(run: Run, answered: Sequence[tuple[Rater, Sequence[Work]]]) -> tuple[SignalFacts, ...]:
    """The figures of each work but ratings, once where several methods have read it. Raises RunError."""
    once = {rater.folder(work): (rater, work) for rater, works in answered for work in works}
    return tuple(_facts(run, rater, work) for rater, work in once.values() if rater.signal in _OTHERS)


def _facts(run: Run, rater: Rater, work: Work) -> SignalFacts:
    table = stored_columns(run, rater, work, ["row", "flags", "error"])
    row = numbers(table["row"])
    cut = (numbers(table["flags"]) & FLAG_TRUNCATED).astype(bool)
    failed = [at for at, error in enumerate(table["error"].to_pylist()) if error is not None]
    return SignalFacts(
        model=rater.name,
        signal=rater.signal,
        folder=rater.path.name,
        passes_per_row=passes(work),
        truncated_rows=len(np.unique(row[cut])),
        failed_rows=len(np.unique(row[failed])),
    )


def signal_line(facts: SignalFacts, timing: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as a line of text; the speed is the mean of all that the model did for the signal."""
    what = "reply" if facts.signal == "judgements" else "forward pass" + "es" * (facts.passes_per_row > 1)
    rates = timing.get(f"{facts.signal}/{facts.folder}", {})
    speed = ""
    if rates.get("seconds"):
        speed = f", {rates['ratings'] / rates['seconds']:,.2f} rows/s"
        if rates["tokens"]:  # not all signals count them
            speed += f", {rates['tokens'] / rates['seconds']:,.0f} tokens/s"
    cut = f"{facts.truncated_rows:,} rows cut to the token limit, {facts.failed_rows:,} failed"
    return f"{facts.model}, {facts.signal}: {facts.passes_per_row} {what} a row{speed}; {cut}"


def describe_signals(run: Run) -> list[dict[str, Any]]:
    """Every model of these signals and what it was asked, with how many units of each are there, as plain values."""
    return [
        {
            "signal": signal,
            "model": rater.name,
            "parameters": rater.manifest["parameters"],
            "digest": rater.manifest["digest"],
            "settings": rater.manifest["settings"],
            "works": [
                {"about": read_json(folder / "manifest.json"), "units": units_there(run, rater, folder)}
                for folder in sorted(file.parent for file in rater.path.glob("*/manifest.json"))
            ],
        }
        for signal in _OTHERS
        for rater in raters(run, signal)
    ]


def units_there(run: Run, rater: Rater, folder: Path) -> str:
    """How many units of a work are finished, in words."""
    return f"{len(list(folder.glob('part-*.parquet')))} of {-(-run.rows // rater.unit_size)} units"


def describe_answers(run: Run, row: int) -> Iterator[dict[str, Any]]:
    """What is stored of these signals for a row, as plain values; None = there is none."""
    for signal in _OTHERS:
        for rater in raters(run, signal):
            for file in sorted(rater.path.glob(f"*/{part_name(row // rater.unit_size)}")):
                for entry in (entry for entry in read_part(file).to_pylist() if entry["row"] == row):
                    yield {
                        "signal": signal,
                        "model": rater.name,
                        "item": entry["item"],
                        **_figures(signal, entry),
                        "flags": flag_words(entry["flags"]),
                        "error": entry["error"],
                    }


def _figures(signal: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    if signal == "embeddings":  # a vector tells a reader nothing
        return {"vector": entry["vector"] is not None}
    if signal == "judgements":
        return {"reply": entry["reply"]}
    if signal == "rewards":
        return {"reward": without_nan(entry["reward"])}
    clean = len(entry["entropy"] or ())  # noisy copies follow the clean reading
    means = {name: _mean((entry[name] or ())[:clean]) for name in ("given", "alone")}
    return {**means, "tokens": entry["tokens"]}


def _mean(values: Sequence[float]) -> float | None:
    """The mean of those that are defined: a first token that nothing stands before has no loss."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else None


def without_nan(value: Any) -> Any:
    """The value; None for NaN, which JSON does not have."""
    return None if isinstance(value, float) and math.isnan(value) else value


def flag_words(flags: int) -> list[str]:
    """The flags of an answer in words."""
    return [word for flag, word in _FLAG_WORDS.items() if flags & flag]
