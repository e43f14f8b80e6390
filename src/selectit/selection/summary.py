"""What a selection came to, and what models answered for it: figures, as values and as lines of text."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.jsonable import without_nan
from selectit.numerics.ranking import spearman
from selectit.runs.annotators import Annotator
from selectit.runs.manifest import reading_lines
from selectit.runs.run import Run
from selectit.selection.cascade_report import CascadeStats, cascade_lines
from selectit.selection.choose_rows import Choice
from selectit.selection.filter_report import FilterStats, filter_lines, filters_from_plain, measure_filters
from selectit.selection.score import Scored
from selectit.selection.signal_report import SignalStats, inner_stats, signal_line, signal_stats
from selectit.selection.tuning_report import TuningStats, measure_tunings, tuning_lines
from selectit.signals.arrays import FLAG_FLOOR, FLAG_TRUNCATED, Float64, Int64, Ratings, Target
from selectit.signals.rows import Rows
from selectit.text_tables import write_count

SMALL_MASS = 0.1
"""Below this mean mass on the labels the model was mostly not answering the question."""


ONE_LABEL = 0.95
"""Above this share of one label as the best, the model gives everything the same rating."""


PACKAGED_NOTE = (
    "{name} is for trying the program out: it does not tell good from bad (of 120 Alpaca rows it preferred the true "
    "response to another row's in {figure}; 50 % is chance). Name a model of 3B or more with --model."
)
PACKAGED_FIGURES = {"smollm2": "40 %", "gemma3-270m": "51 %"}


@dataclass(frozen=True, slots=True)
class RatingStats:
    """How one model rated. None = undefined, since nothing was rated."""

    model: str
    folder: str
    """Its folder of ratings, under which timing.json has its times."""
    mean_mass: float | None
    """Mean probability of all labels together, in [0, 1]."""
    label_shares: tuple[float, ...]
    """For each label, the share of ratings in which it is the most likely."""
    truncated_rows: int
    failed_rows: int
    passes_per_row: int
    floored_rows: int = 0
    """Rows with a label that the server did not return and --missing-label floor filled."""
    within: str = ""
    """The run inside this one in which that folder lies, 'cascades/NAME/run/'; '' = this one itself."""
    labels: tuple[str, ...] = ()
    """Those of `label_shares`; older summaries have none, and theirs were mostly '1', '2' and so on."""

    @property
    def shares(self) -> list[tuple[str, float]]:
        """The labels with their shares."""
        names = self.labels or [str(number) for number in range(1, len(self.label_shares) + 1)]
        return list(zip(names, self.label_shares, strict=True))


@dataclass(frozen=True, slots=True)
class TargetStats:
    """What was chosen for one group of a target's examples."""

    name: str
    kept: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one selection. None = undefined."""

    rows: int
    kept: int
    highest: float | None
    cut: float | None
    """The lowest score kept."""
    unscored_rows: int
    empty_responses: int
    left_out_rows: int
    """Rows with content that is not text, in the whole source."""
    left_out: tuple[str, ...]
    """The kinds of that content: 'image'."""
    length_correlation: float | None
    """Spearman's rank correlation of score and words of the response."""
    raters: tuple[RatingStats, ...]
    about: str
    """What the method says of itself."""
    note: str
    """What a packaged model can't do; to be shown first."""
    warnings: tuple[str, ...]
    others: tuple[SignalStats, ...] = ()
    """What models answered beside ratings; older summaries have none."""
    cascade: CascadeStats | None = None
    """None = all rows were rated fully."""
    filters: FilterStats | None = None
    """None = any row might be chosen, and the best were."""
    reading: Mapping[str, Any] | None = None
    """What was read of the data as what; see `runs.manifest.reading_lines`. Older summaries have none."""
    target: tuple[TargetStats, ...] = ()
    """By the groups of the target's examples, where the method chooses for each; older summaries have none."""
    target_rows: int = 0
    """Examples of the target that are rows of the data, question and answer."""
    target_kept: int = 0
    """Chosen rows that are such."""
    tunings: tuple[TuningStats, ...] = ()
    """The models that were tuned on the way; older summaries have none."""
    options: Mapping[str, Any] | None = None
    """What was asked for, the options by name that are not their defaults, so that it can be asked for again with
    another amount; older summaries have none."""


def packaged_note(used: Sequence[Annotator]) -> str:
    """The first line to show when a packaged model rated, else ''."""
    for annotator in used:
        if annotator.manifest["packaged"]:
            return PACKAGED_NOTE.format(name=annotator.name, figure=PACKAGED_FIGURES[annotator.name])
    return ""


def left_out(run: Run) -> tuple[int, tuple[str, ...]]:
    """How many rows of the source have content that is not text, and its kinds."""
    rows, kinds = 0, set[str]()
    for part in run.source(["left_out"]):
        column = part["left_out"].combine_chunks()
        if len(column.values):  # most data has none at all, and a million empty lists take a second to look through
            found = [each for each in column.to_pylist() if each]
            rows += len(found)
            kinds.update(itertools.chain.from_iterable(found))
    return rows, tuple(sorted(kinds))


def left_out_lines(rows: int, kinds: Sequence[str]) -> Iterator[str]:
    """The line that says so; none where there are no such rows."""
    if rows:
        have = write_count(rows, "row has", "rows have")
        yield f"{have} content that is not text ({', '.join(kinds)}) and was left out"


def summarise(run: Run, scored: Scored, choice: Choice, raters: tuple[RatingStats, ...]) -> Summary:
    """All figures of a selection; `raters` are those by whose ratings it was scored."""
    left_out_rows, kinds = left_out(run)
    selection, rows, scores = choice.selection, scored.signals.rows, scored.scores.score
    target = scored.signals.stored_target
    target_rows, target_kept = (0, 0) if target is None else find_examples(rows, target, selection.rows)
    return Summary(
        rows=len(rows),
        kept=len(selection.rows),
        highest=without_nan(selection.scores.max()) if len(selection.scores) else None,
        cut=without_nan(selection.cut),
        unscored_rows=0 if scored.chooses_set else int(np.isnan(scores).sum()),
        empty_responses=int((rows.response_words == 0).sum()),
        left_out_rows=left_out_rows,
        left_out=kinds,
        length_correlation=without_nan(spearman(scores, rows.response_words.astype(np.float64))),
        raters=raters,
        about=scored.about,
        note=packaged_note(scored.annotators),
        warnings=tuple(_warnings(scores, raters)),
        others=(*signal_stats(run, (*scored.answered, *choice.answered)), *inner_stats(scored.passes)),
        filters=measure_filters(choice),
        reading=run.manifest.get("reading"),
        target=tuple(TargetStats(name, kept) for name, kept in selection.groups.items()),
        target_rows=target_rows,
        target_kept=target_kept,
        tunings=measure_tunings(scored.passes),
    )


def find_examples(rows: Rows, target: Target, chosen: Int64) -> tuple[int, int]:
    """How many examples of a target are rows of the data, letter by letter, and how many chosen rows are such."""
    data, examples = (np.ascontiguousarray(each.digest).view(np.uint64)[::2] for each in (rows, target.signals.rows))
    return int(np.isin(examples, data).sum()), int(np.isin(data[chosen], examples).sum())  # half a digest is enough


def rating_stats(scored: Scored) -> tuple[RatingStats, ...]:
    """How each of the raters rated; none where the method reads no ratings."""
    ratings = scored.signals.stored.get("ratings")
    raters = enumerate(scored.annotators)
    return () if ratings is None else tuple(_facts(annotator, m, ratings) for m, annotator in raters)


def summary_lines(summary: Summary, timing: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The summary as lines of text; `timing` is `read_timing` the run."""
    if summary.note:
        yield f"note: {summary.note}"
    scores = "" if summary.cut is None else f", scores from {summary.highest:.4g} down to the cut at {summary.cut:.4g}"
    yield f"kept {summary.kept:,} of {summary.rows:,} rows{scores}"
    yield from target_lines(summary)
    yield from reading_lines(summary.reading)
    if summary.cascade is not None:
        yield from cascade_lines(summary.cascade, timing)
    if summary.filters is not None:
        yield from filter_lines(summary.filters)
    if summary.unscored_rows:
        were = write_count(summary.unscored_rows, "row has no score and was", "rows have no score and were")
        yield f"{were} not chosen"
    if summary.empty_responses:
        yield f"{write_count(summary.empty_responses, 'response is', 'responses are')} empty"
    yield from left_out_lines(summary.left_out_rows, summary.left_out)
    for annotator in summary.raters:
        yield from _rater_lines(annotator, timing)
    for facts in summary.others:
        yield signal_line(facts, timing)
    yield from tuning_lines(summary.tunings, summary.kept, summary.rows, _reading_seconds(summary, timing), timing)
    yield from _score_lines(summary)


def target_lines(summary: Summary) -> Iterator[str]:
    """Towards what it was chosen, for what how many rows, and how many of them the examples are themselves."""
    named = tuple((summary.options or {}).get("target", ()))
    if named:
        yield f"towards {', '.join(named)}"
    if summary.target:
        yield f"chosen for {', '.join(f'{each.name}: {each.kept:,}' for each in summary.target)}"
    none = [each.name for each in summary.target if not each.kept]
    if none and summary.kept >= len(summary.target):
        turns = "with `--param chooser=group-round-robin` the groups take turns"
        yield f"warning: nothing was chosen for {', '.join(none)}; {turns}"
    if summary.target_rows:
        are = "1 is a row" if summary.target_rows == 1 else f"{summary.target_rows:,} are rows"
        chosen, remedy = "none of them was chosen", ""
        if summary.target_kept:
            chosen = f"{summary.target_kept:,} of the chosen rows {'is' if summary.target_kept == 1 else 'are'} such"
            remedy = f": {' '.join(f'--decontaminate {each}' for each in named)} leaves them out"
        yield f"of the target's examples {are} of the data, and {chosen}{remedy}"


def _reading_seconds(summary: Summary, timing: Mapping[str, Mapping[str, float]]) -> float | None:
    """Seconds in which models answered about all rows, at their mean rates; None where the timing does not say."""
    asked = [(f"ratings/{each.folder}", each.passes_per_row) for each in summary.raters]
    asked = [(key, number * summary.rows) for key, number in asked]
    asked += [(f"{each.within}{each.signal}/{each.folder}", each.rows or summary.rows) for each in summary.others]
    rates = [(timing.get(key, {}), number) for key, number in asked]
    if not all(spent.get("ratings") for spent, _ in rates):
        return None
    return sum(number * spent["seconds"] / spent["ratings"] for spent, number in rates)


def _score_lines(summary: Summary) -> Iterator[str]:
    if summary.about:
        yield f"  {summary.about}"
    if summary.length_correlation is not None:
        yield f"rank correlation of score and response length in words: {summary.length_correlation:+z.2f}"
    for warning in summary.warnings:
        yield f"warning: {warning}"
    if (summary.note or summary.warnings) and (summary.raters or summary.others):
        yield "`selectit probe` with the same data and model measures whether it can tell good rows from bad ones"


def _rater_lines(annotator: RatingStats, timing: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    shares = "  ".join(f"{label}: {share:.0%}" for label, share in annotator.shares)
    mass = "undefined" if annotator.mean_mass is None else f"{annotator.mean_mass:.3f}"
    yield f"{annotator.model}: mean mass on the labels {mass}; most likely rating {shares}"
    rates = timing.get(f"{annotator.within}ratings/{annotator.folder}", {})
    speed = ""
    if rates.get("seconds"):
        rows_per_second = rates["ratings"] / rates["seconds"] / annotator.passes_per_row
        speed = f", {rows_per_second:,.2f} rows/s, {rates['tokens'] / rates['seconds']:,.0f} tokens/s"
    cut = f"; {annotator.truncated_rows:,} rows cut to the token limit, {annotator.failed_rows:,} failed"
    floor = f", {annotator.floored_rows:,} with a label at the floor" if annotator.floored_rows else ""
    yield f"  {annotator.passes_per_row} forward passes a row{speed}{cut}{floor}"


def from_plain(plain: Mapping[str, Any]) -> Summary:
    """A summary from `dataclasses.asdict` of one, after JSON."""
    facts = tuple(
        RatingStats(**{**annotator, **{name: tuple(annotator.get(name, ())) for name in ("label_shares", "labels")}})
        for annotator in plain["raters"]
    )
    tuples = {name: tuple(plain[name]) for name in ("left_out", "warnings")}
    others = tuple(SignalStats(**each) for each in plain.get("others", ()))
    target = tuple(TargetStats(**each) for each in plain.get("target", ()))
    tunings = tuple(TuningStats(**each) for each in plain.get("tunings", ()))
    cascade = None if plain.get("cascade") is None else CascadeStats(**plain["cascade"])
    filters = filters_from_plain(plain.get("filters"))
    known = {"raters": facts, "others": others, "cascade": cascade, "filters": filters, "target": target}
    return Summary(**{**plain, **tuples, **known, "tunings": tunings})


def _facts(annotator: Annotator, m: int, ratings: Ratings) -> RatingStats:
    logprob = ratings.logprob[:, m]
    missing = np.isnan(logprob).any(axis=-1)
    best = logprob.argmax(axis=-1)[~missing]
    labels = logprob.shape[-1]
    mass = np.exp(logprob[~missing].astype(np.float64)).sum(axis=-1)
    return RatingStats(
        model=annotator.name,
        folder=annotator.path.name,
        mean_mass=float(mass.mean()) if len(mass) else None,
        label_shares=tuple(float(n) / max(len(best), 1) for n in np.bincount(best, minlength=labels)),
        truncated_rows=_rows_with(ratings, (ratings.flags[:, m] & FLAG_TRUNCATED).astype(bool)),
        failed_rows=_rows_with(ratings, np.asarray(missing)),
        passes_per_row=logprob.shape[1],
        floored_rows=_rows_with(ratings, (ratings.flags[:, m] & FLAG_FLOOR).astype(bool)),
        labels=ratings.labels,
    )


def _rows_with(ratings: Ratings, which: NDArray[Any]) -> int:
    """Rows with any item and prompt that `which` (I, K) names."""
    items = np.flatnonzero(which.any(axis=-1))
    return len(np.unique(ratings.row[items]))


def _warnings(scores: Float64, raters: Sequence[RatingStats]) -> Iterator[str]:
    for stats in raters:
        if stats.mean_mass is not None and stats.mean_mass < SMALL_MASS:
            yield (
                f"{stats.model} puts only {stats.mean_mass:.1%} of its probability on the ratings: it is mostly not "
                "answering the question, and what its scores can tell has to be measured. Try another model, or "
                "prompts in the form that it was trained on (--prompts)."
            )
        label, share = max(stats.shares, key=lambda each: each[1])
        if share > ONE_LABEL:
            yield (
                f"{stats.model} rates {share:.1%} of everything {label}: its confidence alone "
                "decides the ranking. Try a larger model or other prompts."
            )
    present = scores[~np.isnan(scores)]
    if len(present) > 1 and np.ptp(present) == 0:
        other = "Try another model, or another method." if raters else "Try another method."
        yield f"every row has the same score, {present[0]:g}: the choice is the order of the rows. {other}"
