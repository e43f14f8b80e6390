"""Before anything is chosen: which rows are left out, with the reason, and of which group each row is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.errors import DataError, SettingsError, nearest
from selectit.filters.duplicates import Duplicates, find_exact, find_near, find_semantic
from selectit.filters.language import find_languages
from selectit.filters.overlap import WORDS, QuestionSet, find_overlaps
from selectit.numerics.clusters import k_means
from selectit.numerics.groups import group_fields, group_instructions
from selectit.numerics.vectors import row_vectors
from selectit.progress import Progress, Silent
from selectit.runs.run import Run
from selectit.runs.selections import Unchosen
from selectit.runs.source import data_name
from selectit.runs.stored import field_of
from selectit.selection.choose import Groups
from selectit.selection.collect import Answered, load_answers
from selectit.selection.filter_plan import FilterPlan
from selectit.signals.arrays import Embeddings, Float32, Int64

NO_VALUE = "(none)"
"""The group of records that have not the field."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The rows that may be chosen, and their groups."""

    allowed: NDArray[np.bool_]
    """(N,)."""
    left_out: Mapping[int, Unchosen] = field(default_factory=dict)
    """Why each of the others may not."""
    groups: Groups | None = None
    by: str = ""
    """What grouped them."""
    mismatches: Mapping[int, tuple[str, str]] | None = None
    """Rows whose question and answer are in different languages, with both; None = nobody looked."""
    answered: tuple[Answered, ...] = ()
    """Who was asked for it."""
    alternatives: Sequence[Hashable] | None = None
    """(N,) of which group each row is, where only the one with the best score may be chosen of each."""


def filter_rows(run: Run, plan: FilterPlan, settings: Settings, order: Int64 | None = None) -> Candidates:
    """Leave out what shares a question with an evaluation, then what repeats another row; then group all rows.

    Args:
        run: with all that `plan.requests` asks.
        plan: what is left out.
        settings: which name the encoder.
        order: all rows, the best first: of two that say the same the first stays; None = their order in the data.

    Raises:
        RunError: an embedding is missing.
        SettingsError: a package is not installed, or shares name a group that there is not.
        DataError: no row is left.
    """
    loaded = [load_answers(run, request, settings) for request in plan.requests]
    vectors = row_vectors(_embeddings(loaded[0][1]), run.rows) if loaded else np.empty((run.rows, 0), np.float32)
    left_out = dict(_find_asked(run, plan.asked))
    if plan.dedup is not None:
        order = np.arange(run.rows) if order is None else order
        left_out |= _find_repeated(run, plan, order[~np.isin(order, list(left_out))], vectors)
    allowed = np.ones(run.rows, np.bool_)
    allowed[list(left_out)] = False
    if not allowed.any():
        raise DataError("every row was left out by --decontaminate", "Look at the files that it names.")
    groups, mismatches = None, None
    if plan.by is not None:
        if plan.by == "language":
            names, mismatches = name_languages(run)
        else:
            names = _name_groups(run, plan, vectors)
        groups = weigh_groups(names, plan.shares)
    return Candidates(allowed, left_out, groups, plan.by or "", mismatches, tuple(each[0] for each in loaded))


def _embeddings(arrays: Any) -> Embeddings:
    assert isinstance(arrays, Embeddings)
    return arrays


def read_samples(run: Run) -> Iterator[Sample]:
    """The rated pairs of a run, part by part."""
    return (sample for start, stop in run.part_ranges() for sample in run.samples(start, stop))


def read_texts(run: Run) -> list[str]:
    """What is said in each row, without system prompts, which many rows share."""
    return [text for part in run.source(["turns"]) for text in _part_texts(part)]


def _part_texts(part: pa.Table) -> list[str]:
    return [
        "\n".join(turn["text"] for turn in turns if turn["role"] != "system") for turns in part["turns"].to_pylist()
    ]


def _find_asked(run: Run, asked: Sequence[QuestionSet]) -> Iterator[tuple[int, Unchosen]]:
    if not asked:
        return
    for row, overlap in find_overlaps(read_samples(run), asked).items():
        what = "asks a question" if overlap.whole else f"shares {WORDS} words in a row with a question"
        yield row, Unchosen("decontaminate", f"{what} of {overlap.name}", f"question {overlap.question}")


def _find_repeated(run: Run, plan: FilterPlan, order: Int64, vectors: Float32) -> dict[int, Unchosen]:
    found, reason, measure = _find_duplicates(run, plan, order, vectors)
    return {
        row: Unchosen(
            "dedup", reason, f"row {kept}" + (f", {measure} {likeness:.2f}" if measure else ""), kept_row=kept
        )
        for row, kept, likeness in zip(range(run.rows), found.kept_row.tolist(), found.likeness.tolist(), strict=True)
        if kept >= 0
    }


def _find_duplicates(run: Run, plan: FilterPlan, order: Int64, vectors: Float32) -> tuple[Duplicates, str, str]:
    """What repeats what, the reason in words, and the name of the measure; '' = there is none."""
    if plan.dedup == "exact":
        return find_exact(read_texts(run), order), "says the same as a row that stays", ""
    assert plan.threshold is not None
    if plan.dedup == "near":
        found = find_near(read_texts(run), order, plan.threshold)
        return found, "says nearly the same as a row that stays", "Jaccard index"
    return find_semantic(vectors, order, plan.threshold), "means the same as a row that stays", "cosine"


def _name_groups(run: Run, plan: FilterPlan, vectors: Float32) -> list[str]:
    """The group of each row. Raises SettingsError where no record has the field."""
    if plan.by == "cluster":
        return _name_clusters(vectors, plan.clusters)
    assert plan.by is not None
    values = field_of(run, plan.by)
    if not any(values):
        raise _no_field(run, plan.by, "write language or cluster")
    return [value or NO_VALUE for value in values]


def name_languages(run: Run, progress: Progress = Silent()) -> tuple[list[str], dict[int, tuple[str, str]]]:
    """The language of each row: that of the field 'language' where records have it, else as it is found.

    And the rows whose question and answer are in different languages, with both. Raises SettingsError.
    """
    named = [value or NO_VALUE for value in field_of(run, "language")]
    missing = all(value == NO_VALUE for value in named)
    mismatches: dict[int, tuple[str, str]] = {}
    progress.start(f"finding languages in {data_name(str(run.manifest['data']))}", run.rows, 0)
    for start, stop in run.part_ranges():
        texts = dict(enumerate(_part_texts(run.source_rows(start, stop, ["turns"])), start)) if missing else {}
        found, more = find_languages(run.samples(start, stop), texts)
        named[start : start + len(found)] = found.values()
        mismatches |= more
        progress.advance(stop - start, 0)
    progress.finish()
    return named, mismatches


def _name_clusters(vectors: Float32, clusters: int) -> list[str]:
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    names = [NO_VALUE] * len(vectors)
    if len(known):
        for row, label in zip(known.tolist(), k_means(vectors[known], clusters)[0].tolist(), strict=True):
            names[row] = f"cluster {label}"
    return names


def weigh_groups(names: Sequence[str], shares: str | Mapping[str, Fraction]) -> Groups:
    """The groups of the rows, and what each should give.

    Args:
        names: (N,) the name of each row's group.
        shares: 'proportional' to its rows, 'equal', or a number for each name; what it does not name gives nothing.

    Raises:
        SettingsError: it names a group that no row has.
    """
    known, of, counts = np.unique(np.array(names, dtype=object), return_inverse=True, return_counts=True)
    groups = tuple(map(str, known))
    if isinstance(shares, Mapping):
        unknown = [name for name in shares if name not in groups]
        if unknown:
            listed = ", ".join(groups[:20]) + ("" if len(groups) <= 20 else f" and {len(groups) - 20} more")
            raise SettingsError(f"--shares names {unknown[0]!r}, and no row is of it", f"There are: {listed}.")
        weights = tuple(shares.get(name, Fraction(0)) for name in groups)
    elif shares == "equal":
        weights = (Fraction(1),) * len(groups)
    else:
        weights = tuple(Fraction(int(count)) for count in counts)
    return Groups(of.astype(np.int64), groups, weights)


def read_alternatives(run: Run, best_of: str | None) -> list[Hashable] | None:
    """(rows,) of which group of --best-of each row is; None = there are none. Raises SettingsError: no such field."""
    if best_of is None:
        return None
    if best_of == "instruction":
        return group_instructions(run.samples(0, run.rows), run.rows)
    values = field_of(run, best_of)
    if not any(values):
        raise _no_field(run, best_of, "write instruction")
    return group_fields(values)


def _no_field(run: Run, name: str, otherwise: str) -> SettingsError:
    reading = run.manifest.get("reading") or {"read": {}, "unread": {}}  # older runs do not say
    return SettingsError(
        f"no record has a field {name!r}", f"{nearest(name, {*reading['read'], *reading['unread']})} Or {otherwise}."
    )
