"""What a selection says of its cascade: what was spared, and how far the choice agrees with the full one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from selectit.runs.run import Run, open_run


@dataclass(frozen=True, slots=True)
class CascadeStats:
    """What a cascade did, what it spared, and how far its choice can be trusted.

    A rating is that of one answer under one prompt: a forward pass.
    """

    first_model: str
    first_prompts: int
    full_model: str
    full_prompts: int
    went_on: int
    """Rows that the first rating let go on."""
    fully_rated: int
    """Those, and the rows of the sample that did not go on."""
    first_ratings: int
    """Of all rows."""
    second_ratings: int
    """Those that came after: what the first rating had asked already is not asked again."""
    full_ratings: int
    """Of all rows, fully, by the full model: what there is without a cascade."""
    length: float
    """Mean tokens of a first rating over all rows / over the rows that were rated fully: long rows take longer."""
    first_timing: str
    second_timing: str
    """The keys of `read_timing` that have the times."""
    sample: int
    """Rows drawn at random of all rows and rated fully, whether they went on or not."""
    best: int
    """Of these, the rows that full ratings of all would choose: the same share as of all rows."""
    best_went_on: int
    """Of those, the ones that went on."""
    low: float | None
    high: float | None
    """95 % interval (Wilson) of the share of the full choice that went on; None = no estimate, the sample is all."""


def cascade_lines(stats: CascadeStats, timing: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The figures as lines of text; `timing` is `read_timing` the run."""
    prompts = "1 prompt" if stats.first_prompts == 1 else f"{stats.first_prompts} prompts"
    others = stats.fully_rated - stats.went_on
    sample = f" and {others:,} more as a sample" if others else ""
    yield (
        f"cascade: after {prompts} of {stats.first_model}, {stats.went_on:,} rows went on; these{sample} were rated "
        f"fully, under {stats.full_prompts} of {stats.full_model}"
    )
    done = stats.first_ratings + stats.second_ratings
    if stats.first_model == stats.full_model:
        yield f"  {done:,} forward passes instead of {stats.full_ratings:,}: {_saved(done, stats.full_ratings)}"
    else:
        yield (
            f"  forward passes: {stats.first_ratings:,} of {stats.first_model} and {stats.second_ratings:,} of "
            f"{stats.full_model} instead of {stats.full_ratings:,} of that"
        )
    first, second = (_seconds_each(timing.get(key, {})) for key in (stats.first_timing, stats.second_timing))
    if first is not None and second is not None:
        spent = first * stats.first_ratings + second * stats.second_ratings
        full = second * stats.length * stats.full_ratings
        yield f"  about {spent:,.0f} s instead of {full:,.0f} s: {_saved(spent, full)}"
    if not stats.best:
        yield "  agreement with the full choice: undefined, since it would take no row of the sample"
        return
    share = stats.best_went_on / stats.best
    interval = "" if stats.low is None else f" (95 % interval {stats.low:.0%} to {stats.high:.0%})"
    of_what = "rows" if stats.low is None else f"best rows of the sample of {stats.sample:,}"
    yield (
        f"  agreement with the full choice: {share:.0%}{interval}: {stats.best_went_on:,} of the {stats.best:,} "
        f"{of_what} that full ratings would choose went on"
    )


def _saved(spent: float, full: float) -> str:
    return f"{1 - spent / full:.0%} saved" if spent < full else "nothing saved"


def _seconds_each(rates: Mapping[str, float]) -> float | None:
    """Seconds of one rating, the mean of all that were timed."""
    return rates["seconds"] / rates["ratings"] if rates.get("ratings") and rates.get("seconds") else None


def read_timing(run: Run) -> dict[str, dict[str, float]]:
    """The run's timing.json, and those of the runs in it: 'cascades/NAME/run/…', 'answers/…', 'targets/…'."""
    found, kinds = run.timing(), ("cascades", "answers", "targets")
    for path in sorted(each for kind in kinds for each in run.path.glob(f"{kind}/*/run/timing.json")):
        within = path.parent.relative_to(run.path).as_posix()
        found |= {f"{within}/{key}": value for key, value in open_run(path.parent).timing().items()}
    return found
