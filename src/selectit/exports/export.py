"""The chosen rows in the layout that a training tool reads, with a card that says where they come from."""

from __future__ import annotations

import dataclasses
import datetime
import filecmp
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from selectit.atomic_files import folder_beside, replacing
from selectit.config.groups import BAD_ROWS
from selectit.data import write
from selectit.data.fields import RowError
from selectit.data.records import Turn
from selectit.data.tables import plain_records
from selectit.errors import DataError, RunError, SettingsError, nearest
from selectit.exports import atlas
from selectit.exports.atlas import ATLAS, Places
from selectit.exports.card import DATE, Provenance, render_card
from selectit.exports.layouts import FILES, NO_TOOLS, PATHS, TARGETS, convert_row, find_left_behind, side_files
from selectit.jsonable import without_nan
from selectit.runs.files import numbers
from selectit.runs.output import check_new_folder
from selectit.runs.run import Run, open_run
from selectit.runs.selections import ALL, find_selection, load_rows, read_selection
from selectit.runs.source import data_name
from selectit.runs.stored import load_selection
from selectit.signals.arrays import Float64, Int64
from selectit.text_tables import write_count

OPENAI_LEAST = 10
"""Rows that OpenAI's fine-tuning takes at least."""


_MESSAGES = pa.schema([("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))])


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` did."""

    path: Path
    """The folder."""
    rows: int
    files: tuple[str, ...]
    """In the folder; the data first, README.md last."""
    selection: str
    """Its name; 'all' = every row of the source."""
    skipped_rows: int
    """Rows that the layout can't hold and `bad_rows='skip'` left out."""
    skipped: tuple[str, ...]
    """Why, one line for each reason."""
    left_behind: tuple[str, ...]
    """Fields of the source that the layout has no place for."""


@dataclass(frozen=True, slots=True)
class _ChosenRows:
    name: str
    rows: Int64
    scores: Float64 | None
    """None = all rows were taken."""
    config: Mapping[str, Any]
    cut: float | None


@dataclass(frozen=True, slots=True)
class _Survey:
    """What a first pass over the chosen rows found."""

    bad: Int64
    """(B,) rows that the layout can't hold, rising."""
    reasons: tuple[str, ...]
    left_behind: tuple[str, ...]
    media: tuple[str, ...] = ()
    """Fields with paths of images and the like, which all rows get where one has them."""


def export(
    run: str | Path,
    to: str,
    out: str | Path | None = None,
    selection: str | None = None,
    *,
    scores: bool = False,
    licence: str | None = None,
    bad_rows: str = "stop",
    force: bool = False,
) -> Exported:
    """Write the rows of a selection into a folder that a training tool reads. Loads no model.

    Args:
        run: with the selection.
        to: 'trl', 'llama-factory', 'axolotl', 'ms-swift', 'openai', 'hf-dataset' or 'parquet'; docs/export.md has
            their files. 'atlas' writes all rows, for Embedding Atlas, and marks those of the selection.
        out: the folder; None = <data>.<to> here.
        selection: its name in the run, or 'all' for every row; None = the only one.
        scores: add a field `selectit` with row, rank and score to each row.
        licence: of the source, for the card; None = the card says that it isn't stated.
        bad_rows: 'stop' where the layout can't hold a row (nothing is written), or 'skip' such rows and count them.
        force: replace an export that is there and differs.

    Raises:
        DataError: rows that the layout can't hold.
        RunError: no such run or selection, or `out` holds something else.
        SettingsError: no such target, or options that don't fit it.
    """
    _check(to, scores, bad_rows)
    opened = open_run(run)
    chosen = _find_rows(opened, selection)
    if scores and chosen.scores is None:
        raise SettingsError(
            "every row is taken, and only a selection has scores", "Name one, or leave out --with-scores."
        )
    folder = Path(out) if out is not None else Path(f"{data_name(str(opened.manifest['data']))}.{to}")
    files = (*FILES[to], "README.md")
    _check_folder(folder, files)
    places = atlas.place_rows(opened) if to == ATLAS else None
    survey = _survey(opened, to, chosen) if places is None else _survey_places(opened, places)
    if len(survey.bad) and bad_rows == "stop":
        total = len(chosen.rows) if places is None else opened.rows
        raise DataError(_refusal(to, total, survey), _hint(to))
    kept = _leave_out(chosen, survey.bad) if places is None else dataclasses.replace(chosen, rows=places.rows)
    if not len(kept.rows):
        raise DataError("no row is left to export", _hint(to))
    if to == "openai" and len(kept.rows) < OPENAI_LEAST:
        raise DataError(f"{len(kept.rows)} rows, and OpenAI takes {OPENAI_LEAST} or more", "Select more.")
    with folder_beside(folder.resolve()) as beside:
        if places is None:
            _write_data(opened, to, beside / files[0], kept, scores, survey.media)
        else:
            _write_map(opened, beside / files[0], chosen, places)
        name = data_name(str(opened.manifest["data"]))
        texts = side_files(to, str(opened.manifest["layout"]), name, str(folder / files[0]), survey.media)
        texts["README.md"] = render_card(opened, _facts(to, chosen, kept, survey, licence))
        for each, text in texts.items():
            with replacing(beside / each) as file:
                file.write(text.encode())
        _move_into_place(beside, folder, files, force)
    return Exported(folder, len(kept.rows), files, chosen.name, len(survey.bad), survey.reasons, survey.left_behind)


def _check(to: str, scores: bool, bad_rows: str) -> None:
    if to not in (*TARGETS, ATLAS):
        raise SettingsError(f"there is no --to {to!r}", nearest(to, (*TARGETS, ATLAS)))
    if bad_rows not in BAD_ROWS:
        raise SettingsError(f"there is no --bad-rows {bad_rows!r}", nearest(bad_rows, BAD_ROWS))
    if scores and to == "openai":
        raise SettingsError("OpenAI's files have no place for scores", "Leave out --with-scores.")
    if scores and to == ATLAS:
        raise SettingsError("a map has ranks and scores anyway", "Leave out --with-scores.")


def _find_rows(run: Run, selection: str | None) -> _ChosenRows:
    """The rows that are wanted. Raises RunError or SettingsError where the name doesn't decide."""
    name = find_selection(run, selection)
    rows = load_rows(run, name)
    if name == ALL:
        return _ChosenRows(ALL, rows, None, {}, None)
    folder = run.path / "selections" / name
    scores = numbers(read_selection(run, name)["score"])
    cut = run.read_json(folder / "summary.json")["cut"]
    return _ChosenRows(name, rows, scores, run.read_toml(folder / "config.toml"), cut)


def _leave_out(chosen: _ChosenRows, bad: Int64) -> _ChosenRows:
    fine = ~np.isin(chosen.rows, bad)
    scores = None if chosen.scores is None else chosen.scores[fine]
    return _ChosenRows(chosen.name, chosen.rows[fine], scores, chosen.config, chosen.cut)


def _check_folder(folder: Path, files: Sequence[str]) -> None:
    """Refuse a place that can't be written, and a folder with anything else in it, which a reader might read too."""
    check_new_folder("--out", folder)
    if not folder.resolve().parent.is_dir():
        raise SettingsError(f"--out: there is no folder {folder.resolve().parent}", "Make it, or name another.")
    there = (
        {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} if folder.exists() else ()
    )
    others = sorted(set(there) - set(files))
    if others:
        raise RunError(f"--out {folder} has other files in it: {', '.join(others[:5])}", "Name another with --out.")


def _keeps_columns(run: Run, to: str) -> bool:
    """Whether the rows are written with the columns of the source."""
    return to == "parquet" and run.table_schema is not None


def _survey(run: Run, to: str, chosen: _ChosenRows) -> _Survey:
    if _keeps_columns(run, to):
        return _Survey(np.empty(0, np.int64), (), ())
    bad: list[int] = []
    reasons: Counter[str] = Counter()
    first: dict[str, int] = {}
    behind: set[str] = set()
    media: set[str] = set()
    for row, made in _convert_rows(run, to, np.sort(chosen.rows), behind):
        if isinstance(made, RowError):
            bad.append(row)
            reasons[str(made)] += 1
            first.setdefault(str(made), row)
        else:
            media |= PATHS.keys() & made.keys()
    lines = [
        f"{reason}: {write_count(count, 'row')}, the first is row {first[reason]}"
        for reason, count in reasons.most_common()
    ]
    return _Survey(np.array(bad, np.int64), tuple(lines), tuple(sorted(behind - media)), tuple(sorted(media)))


def _survey_places(run: Run, places: Places) -> _Survey:
    """What a map can't hold: rows without a vector."""
    reasons: tuple[str, ...] = ()
    if len(places.missing):
        count = write_count(len(places.missing), "row")
        reasons = (f"it has no embedding, as a row without text: {count}, the first is row {places.missing[0]}",)
    return _Survey(places.missing, reasons, tuple(sorted(atlas.list_left_behind(run))))


def _refusal(to: str, total: int, survey: _Survey) -> str:
    count = f"{len(survey.bad):,} of {total:,} rows can't be written for {to}"
    return "\n".join([count, *(f"  {line}" for line in survey.reasons)])


def _hint(to: str) -> str:
    """What to do with rows that the layout can't hold."""
    tools = " Tool calls can be exported to llama-factory, ms-swift, openai and parquet." if to in NO_TOOLS else ""
    return f"Leave them out with --bad-rows skip; the file that selectit select wrote has them as they were.{tools}"


def _convert_rows(
    run: Run, to: str, rows: Int64, behind: set[str] | None = None
) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """The rows, which are in rising order, as the target has them; a slice of the source is in memory at a time.

    Fields that have no place there are added to `behind`.
    """
    layout = str(run.manifest["layout"])
    for table in run.source_at(rows, ["row", "turns", "left_out", "raw"]):
        plain = (table[name].to_pylist() for name in ("row", "turns", "left_out"))
        for row, turns, left_out, record in zip(*plain, plain_records(table["raw"]), strict=True):
            if behind is not None:
                behind |= find_left_behind(to, layout, record)
            try:
                yield row, convert_row(to, layout, [Turn(**turn) for turn in turns], record, left_out)
            except RowError as error:
                yield row, error


def _write_data(run: Run, to: str, path: Path, kept: _ChosenRows, scores: bool, media: Sequence[str]) -> None:
    with replacing(path) as file:
        if path.suffix == ".jsonl":
            rising = np.sort(kept.rows)
            none: dict[str, Any] = {field: [] for field in media}
            made = (_json(each, none) for _, each in _convert_rows(run, to, rising))
            texts = write.order_texts(kept.rows, (pa.array([text], pa.string()) for text in made))
            if scores:
                texts = (write.add_field(text, value) for text, value in zip(texts, _scores(kept), strict=True))
            write.write_texts(file, "jsonl", "", "", texts)
            return
        added = list(_scores(kept)) if scores else None
        own = run.table_schema if _keeps_columns(run, to) else None
        if own is not None:
            write.write_table(file, "parquet", kept.rows, run.source(["raw"]), own, added)
        else:
            write.write_table(file, "parquet", kept.rows, _message_parts(run, to, kept.rows), _MESSAGES, added)


def _write_map(run: Run, path: Path, chosen: _ChosenRows, places: Places) -> None:
    marked = np.empty(0, np.int64) if chosen.name == ALL else chosen.rows
    of = None if chosen.name == ALL else load_selection(run, chosen.name)
    scores = of.score if of is not None and of.scores else None
    with replacing(path) as file:
        parts = atlas.map_parts(run, places, marked, scores)
        write.write_table(file, "parquet", places.rows, parts, atlas.SCHEMA, None)


def _message_parts(run: Run, to: str, rows: Int64) -> Iterator[pa.Table]:
    """The parts of the source with the messages of the wanted rows; the others are null."""
    made = iter(_convert_rows(run, to, np.sort(rows)))
    following = next(made, None)
    for start, stop in run.part_ranges():
        part: list[Any] = [None] * (stop - start)
        while following is not None and following[0] < stop:
            part[following[0] - start] = following[1]
            following = next(made, None)
        yield pa.table({"raw": pa.array(part, pa.struct(list(_MESSAGES)))})


def _json(made: dict[str, Any] | RowError, more: Mapping[str, Any]) -> str:
    """The row with those of `more` that it lacks."""
    if isinstance(made, RowError):
        raise AssertionError(f"a row that was left out is written: {made}")
    return json.dumps(made | {key: value for key, value in more.items() if key not in made}, ensure_ascii=False)


def _scores(kept: _ChosenRows) -> Iterator[dict[str, Any]]:
    assert kept.scores is not None  # checked before anything is written
    for rank, (row, score) in enumerate(zip(kept.rows.tolist(), kept.scores.tolist(), strict=True), start=1):
        yield {"row": row, "rank": rank, "score": without_nan(score)}


def _facts(to: str, chosen: _ChosenRows, kept: _ChosenRows, survey: _Survey, licence: str | None) -> Provenance:
    return Provenance(
        target=to,
        selection="" if chosen.scores is None else chosen.name,
        config=chosen.config,
        chosen=len(chosen.rows),
        cut=chosen.cut,
        rows=len(kept.rows),
        skipped=survey.reasons,
        left_behind=survey.left_behind,
        licence=licence,
        best_first=chosen.scores is not None and to != ATLAS,
        data_file=FILES[to][0],
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _move_into_place(beside: Path, folder: Path, files: Sequence[str], force: bool) -> None:
    """Move the whole files to their place, the card last. Raises RunError where others are there, without `force`."""
    differ = [name for name in files if (folder / name).exists() and not _same(beside / name, folder / name)]
    if differ and not force:
        raise RunError(
            f"{folder} is there and holds something else than this export: {', '.join(differ)}",
            "Name another with --out, or replace it with --force.",
        )
    for name in files:
        if name in differ or not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).rename(folder / name)


def _same(new: Path, old: Path) -> bool:
    """Whether two files are equal; of cards but for the date."""
    if new.name != "README.md":
        return filecmp.cmp(new, old, shallow=False)
    texts = [
        [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if not line.startswith(DATE)]
        for path in (new, old)
    ]
    return texts[0] == texts[1]
