"""What models answered for a method beside ratings: figures, as values and as lines of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.procedures.follow import AnsweredPass
from selectit.runs.annotators import Annotator, stored_columns
from selectit.runs.files import numbers
from selectit.runs.run import Run
from selectit.signals.arrays import FLAG_TRUNCATED
from selectit.signals.base import SignalRequest
from selectit.signals.requests import RatingPrompt, Request, kinds


@dataclass(frozen=True, slots=True)
class SignalStats:
    """What one model answered for a method beside ratings."""

    model: str
    signal: str
    """Its name: 'losses', 'embeddings' and so on."""
    folder: str
    """Its folder of the signal, under which timing.json has its times."""
    passes_per_row: int
    """Forward passes; of a judge, replies."""
    truncated_rows: int
    failed_rows: int
    rows: int | None = None
    """How many of the rows it was asked about; None = all."""
    within: str = ""
    """The run inside this one in which that folder lies, 'answers/<digest>/run/'; '' = this one itself."""


def signal_stats(run: Run, answered: Sequence[tuple[Annotator, Sequence[Request]]]) -> tuple[SignalStats, ...]:
    """The figures of each work but ratings, once where several methods have read it. Raises RunError."""
    once = {annotator.folder(request): (annotator, request) for annotator, requests in answered for request in requests}
    return tuple(
        _stats_of(run, annotator, request)
        for annotator, request in once.values()
        if not isinstance(request, RatingPrompt)  # how those were rated says more: `rating_stats`
    )


def inner_stats(passes: Sequence[AnsweredPass]) -> Iterator[SignalStats]:
    """The figures of what was asked about some rows alone."""
    for each in passes:
        if each.within:
            stats = _stats_of(each.run, each.annotator, each.request)
            yield dataclasses.replace(stats, rows=each.run.rows, within=each.within)


def _stats_of(run: Run, annotator: Annotator, request: Request) -> SignalStats:
    table = stored_columns(run, annotator, request, ["row", "flags", "error"])
    row = numbers(table["row"])
    cut = (numbers(table["flags"]) & FLAG_TRUNCATED).astype(bool)
    failed = [at for at, error in enumerate(table["error"].to_pylist()) if error is not None]
    return SignalStats(
        model=annotator.name,
        signal=annotator.signal,
        folder=annotator.path.name,
        passes_per_row=request.passes,
        truncated_rows=len(np.unique(row[cut])),
        failed_rows=len(np.unique(row[failed])),
    )


def signal_line(facts: SignalStats, timing: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as a line of text; the speed is the mean of all that the model did for the signal."""
    one, several = kinds().get(facts.signal, SignalRequest).pass_name
    what = several if facts.passes_per_row > 1 else one
    rates = timing.get(f"{facts.within}{facts.signal}/{facts.folder}", {})
    speed = "" if facts.rows is None else f", of {facts.rows:,} rows"
    if rates.get("seconds"):
        speed += f", {rates['ratings'] / rates['seconds']:,.2f} rows/s"
        if rates["tokens"]:  # not all signals count them
            speed += f", {rates['tokens'] / rates['seconds']:,.0f} tokens/s"
    cut = f"{facts.truncated_rows:,} rows cut to the token limit, {facts.failed_rows:,} failed"
    return f"{facts.model}, {facts.signal}: {facts.passes_per_row} {what} a row{speed}; {cut}"
