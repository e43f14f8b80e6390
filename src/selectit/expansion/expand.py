"""New rows made of a data set's rows by a generator: the expansion that LIFT begins with.

Each data set that the generator is asked about has its own run inside the data's run, so every answer is stored and
an interrupted expansion goes on.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.settings import Settings
from selectit.data.memory import Data
from selectit.engines import loading
from selectit.errors import DataError, RunError, SettingsError
from selectit.expansion import styles as expansion_styles
from selectit.expansion.records import FIELDS, NewRow, build_records, check_layout, find_rewritable
from selectit.expansion.styles import NO_ROOM, STYLES, UNFINISHED, Style, find_fault
from selectit.inference import execute
from selectit.inference.rate import find_model, open_or_create_run
from selectit.models.files import Model
from selectit.numerics.row_random import shuffle_rows
from selectit.progress import Progress, Silent
from selectit.runs.annotators import find_annotator, stored_columns
from selectit.runs.output import resolve_destination, write_longer
from selectit.runs.run import Run
from selectit.runs.source import create_pairs_run
from selectit.signals.arrays import Int64
from selectit.signals.requests import JudgeRequest

MAX_NEW_TOKENS = 512


UNIT_SIZE = 32
"""Rows in one unit: an interruption loses at most this many answers, and each is long."""


REWRITING, ANSWERING = "rewriting", "answering"


Answer = tuple[str | None, str | None, int]
"""Its text, why there is none, flags."""


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A new row that was not made."""

    row: int
    """Of the data."""
    style: str
    step: str
    """'rewriting' or 'answering'."""
    why: str


@dataclass(frozen=True, slots=True)
class Expanded:
    """What `expand` did."""

    run: Path
    out: Path
    rows: int
    """Of the data; all are in the file, before the new ones."""
    rewritten: int
    """Rows that the generator was asked to rewrite, each in every style."""
    left_alone: dict[str, int]
    """How many rows can't be rewritten, by the reason."""
    added: dict[str, int]
    """New rows, by style."""
    not_made: tuple[FailedRow, ...]
    seconds: float
    """That the generator took for these rows in all calls, by the timing of the runs that it was asked in."""


@dataclass(frozen=True, slots=True)
class _Generator:
    """The model that writes, with the settings under which it is asked."""

    model: Model
    settings: Settings
    progress: Progress

    def answers(self, run: Run, questions: Sequence[JudgeRequest]) -> tuple[list[list[Answer]], float]:
        """The answers to each question about each row of the run, and the seconds that the model took about them."""
        (annotator,) = execute.do_units(run, [self.model], questions, self._with_unit_size(run), self.progress)
        tables = [stored_columns(run, annotator, question, ["reply", "error", "flags"]) for question in questions]
        spent = run.timing().get(f"{annotator.signal}/{annotator.path.name}", {})
        found = [list(zip(*(column.to_pylist() for column in table.columns), strict=True)) for table in tables]
        return found, spent.get("seconds", 0.0)

    def _with_unit_size(self, run: Run) -> Settings:
        """The settings; a size of units that is left open is that of stored answers, the usual one first."""
        usual = dataclasses.replace(self.settings, unit_size=self.settings.unit_size or UNIT_SIZE)
        digest = self.model.digest
        if find_annotator(run, digest, usual, "judgements") or not find_annotator(
            run, digest, self.settings, "judgements"
        ):
            return usual
        return self.settings


def expand(
    data: Data | None,
    settings: Settings = Settings(),
    styles: Sequence[str] = STYLES,
    sample: int | None = None,
    seed: int = 0,
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: Progress | None = None,
) -> Expanded:
    """Have a generator write a new instruction for each row and style, then a response to it; add them to the data.

    Source: the expansion of LIFT, arXiv 2312.11508 (`methods.lift` has its other half). The wording is this project's.

    The file has the rows as they were, then the new ones by the row that they were made of, each with the fields
    `expanded_from` (that row's number, from 0) and `expansion_style`. Only a row that is one question and one answer
    is rewritten, of rows with the same question the first. An answer that is missing, empty, not finished, or the
    instruction as it was makes no row; it is reported.

    Args:
        data: as for `rate`.
        settings: the source, one model (the generator), its engine ('hf' or 'server'), `out` and `force`.
        styles: 'depth' (more demanding), 'breadth' (another subject of the field), 'reasoning' (in several steps).
        sample: rows to rewrite, drawn; None = all.
        seed: of the drawing.
        max_new_tokens: of each of the two answers that a new row takes.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is answered stays.
    """
    ways = expansion_styles.load_styles(styles, max_new_tokens)
    settings = _check_settings(settings, sample)
    run = open_or_create_run(data, settings)
    out = resolve_destination(run, settings, data, "expanded")
    if out is None:
        raise SettingsError("data in memory with new rows goes to a file", "Name it: Settings(out=…).")
    found = find_rewritable(run)
    check_layout(run, found.rows[:1])
    rows = _draw_rows(run, found.rows, sample, seed)
    asking = _Generator(find_model(settings.model[0], settings), settings, progress or Silent())
    folder = run.path / "expansions" / ("all" if sample is None else f"{sample}-s{seed}")
    if out.is_file() and not folder.exists() and not settings.force:
        raise RunError(
            f"{out} is there, and no row of this data has been rewritten so far",
            "Name another file with --out, or replace it with --force. No model was asked.",
        )
    new, not_made, seconds = _write_new_rows(run, folder, rows, ways, asking)
    if not new:
        raise DataError(
            f"none of {len(not_made)} new rows could be made: {_reasons(not_made)}",
            _remedy(not_made),
        )
    new.sort(key=lambda row: row.of)  # stable: in the order of the styles
    write_longer(run, out, list(build_records(run, new)), FIELDS, force=settings.force)
    added = {way.name: sum(row.style == way.name for row in new) for way in ways}
    return Expanded(run.path, out, run.rows, len(rows), found.others, added, tuple(not_made), seconds)


def _reasons(not_made: Sequence[FailedRow]) -> str:
    """Why, with the number of rows, the most frequent reasons first; at most three."""
    return "; ".join(f"{why} ({count})" for why, count in Counter(each.why for each in not_made).most_common(3))


def _remedy(not_made: Sequence[FailedRow]) -> str:
    """For the most frequent reason."""
    ((why, _),) = Counter(each.why for each in not_made).most_common(1)
    remedies = {
        NO_ROOM: "Give a smaller --max-new-tokens, or a larger --max-tokens where the model reads more.",
        UNFINISHED: "Give a larger --max-new-tokens, or try another --model.",
    }
    return remedies.get(why, "Try another --model.")


def _check_settings(settings: Settings, sample: int | None) -> Settings:
    """The settings with the engine. Raises SettingsError."""
    if sample is not None and sample < 1:
        raise SettingsError(f"--sample is {sample}", "It is a number of 1 or more.")
    if len(settings.model) != 1:
        raise SettingsError("one model writes the new rows", "Name it with --model: an instruct model, and a good one.")
    loading.check_options(settings)
    engine = settings.engine or loading.DEFAULT
    if not loading.gives(engine, JudgeRequest.signal):
        raise SettingsError(
            f"the engine {engine} rates, and writes no text here",
            "Use --engine hf; or serve the model with vLLM and use --engine server.",
        )
    chosen = dataclasses.replace(settings, engine=engine, tokenizer=None)
    loading.check(chosen, chat=False)
    loading.find(engine).check_replies(chosen)
    return chosen


def _draw_rows(run: Run, rows: Int64, sample: int | None, seed: int) -> Int64:
    """Of the rows those that are rewritten, rising."""
    if sample is None:
        return rows
    return np.sort(shuffle_rows(run.basic_rows(), f"expand {seed}", rows)[:sample])


def _write_new_rows(
    run: Run, folder: Path, rows: Int64, ways: Sequence[Style], asking: _Generator
) -> tuple[list[NewRow], list[FailedRow], float]:
    """The new rows style by style, those that were not made, and the seconds of the generator."""
    pairs = run.samples_at(rows)
    first = create_pairs_run(
        folder, [{"prompt": pair.instruction, "completion": pair.response, "of": pair.row} for pair in pairs]
    )
    texts = {pair.row: pair.instruction for pair in pairs}
    said, seconds = asking.answers(first, [way.rewrite for way in ways])
    new: list[NewRow] = []
    not_made: list[FailedRow] = []
    for way, answers in zip(ways, said, strict=True):
        instructions, failed = _sort_answers(texts, answers, way, REWRITING)
        not_made += failed
        if not instructions:
            continue
        asked = [{"prompt": text, "completion": "", "of": row} for row, text in instructions.items()]
        (answers,), spent = asking.answers(create_pairs_run(folder / way.name, asked), [way.answer])
        responses, failed = _sort_answers(instructions, answers, way, ANSWERING)
        new += [NewRow(row, way.name, instructions[row], text) for row, text in responses.items()]
        not_made += failed
        seconds += spent
    return new, not_made, seconds


def _sort_answers(
    asked: Mapping[int, str], answers: Sequence[Answer], way: Style, step: str
) -> tuple[dict[int, str], list[FailedRow]]:
    """The answers about the texts of rows that can be used, by row, and what is wrong with the others."""
    found: dict[int, str] = {}
    not_made: list[FailedRow] = []
    for (row, text), (said, error, flags) in zip(asked.items(), answers, strict=True):
        why = find_fault(said, error, flags, text)
        if why:
            not_made.append(FailedRow(row, way.name, step, why))
        else:
            found[row] = (said or "").strip()
    return found, not_made
