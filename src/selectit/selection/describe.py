"""What a run holds, and all that is known of one row, as plain values."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selectit.errors import RunError, SelectitError
from selectit.jsonable import without_nan
from selectit.runs.annotators import Annotator, annotators, check_rows, request_folders
from selectit.runs.files import numbers, part_name
from selectit.runs.prompt_sets import is_of, stored_prompts
from selectit.runs.run import RUNS, Run, open_run
from selectit.runs.selections import read_aside, read_selection, selections
from selectit.runs.stored import names_of_scores, read_scores
from selectit.runs.sums import DamagedError
from selectit.selection.cascade_report import read_timing
from selectit.selection.summary import from_plain, left_out, packaged_note
from selectit.signals.arrays import FLAG_EMPTY, FLAG_FLOOR, FLAG_TRUNCATED, FLAG_UNFINISHED
from selectit.signals.requests import RatingPrompt, kinds

log = logging.getLogger(__name__)


def show(run: str | Path, row: int | None = None) -> dict[str, Any]:
    """What a run holds, or everything known of one row, as plain values.

    Raises:
        RunError: no such run or row.
    """
    opened = open_run(run)
    return describe_run(opened) if row is None else describe_row(opened, row)


def list_runs(folder: str | Path = RUNS) -> list[dict[str, Any]]:
    """The runs in a folder: where, of what data, how it was read, what was chosen; 'error' of one that can't be opened.

    Raises:
        RunError: there are none.
    """
    paths = sorted(path.parent for path in Path(folder).glob("*/manifest.json"))
    if not paths:
        raise RunError(
            f"there are no runs in {folder}", "Name a run directory, or begin with selectit select or selectit rate."
        )
    return [_overview(path) for path in paths]


def _overview(path: Path) -> dict[str, Any]:
    try:
        run = open_run(path)
    except SelectitError as error:
        return {"run": str(path), "error": error.message}
    return {"run": str(path), **_about_source(run), "selections": selections(run)}


def _about_source(run: Run) -> dict[str, Any]:
    identity = run.manifest["identity"]
    return {
        "data": run.manifest["data"],
        "rows": run.rows,
        "source": {key: identity[key] for key in _TOLD if identity.get(key) is not None},
    }


_TOLD = ("limit", "format", "map", "turns", "bad_rows")


_FLAG_WORDS = {
    FLAG_TRUNCATED: "response cut",
    FLAG_EMPTY: "empty response",
    FLAG_FLOOR: "label at the floor",
    FLAG_UNFINISHED: "answer not finished",
}


def flag_words(flags: int) -> list[str]:
    """The flags of an answer in words."""
    return [word for flag, word in _FLAG_WORDS.items() if flags & flag]


def describe_run(run: Run) -> dict[str, Any]:
    """What a run holds, as plain values."""
    left_out_rows, content = left_out(run)
    return {
        "run": str(run.path),
        **_about_source(run),
        "reading": run.manifest.get("reading"),
        "left_out": {"rows": left_out_rows, "kinds": list(content)},
        "note": packaged_note(annotators(run)),
        "raters": [_describe_rater(run, annotator) for annotator in annotators(run)],
        "signals": [
            {"signal": signal, **_describe(annotator), "works": _requests(run, annotator)}
            for signal in _others()
            for annotator in annotators(run, signal)
        ],
        "scores": names_of_scores(run),
        "selections": {name: _summary(run, name) for name in selections(run)},
        "probes": read_probes(run),
        "unfinished_probes": sorted(
            folder.as_posix()
            for folder in (run.path / "probes").glob("[!.]*/")
            if not os.path.lexists(folder / "results.json")
        ),
        "timing": read_timing(run),
    }


def read_probes(run: Run) -> list[dict[str, Any]]:
    """The results of the run's probes."""
    return [run.read_json(path) for path in sorted((run.path / "probes").glob("*/results.json"))]


def probe_lines(probes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What stored probes found, as lines of text; `probes` is that entry of `describe_run`."""
    for probe in probes:
        what = "preference pairs" if probe.get("length") else probe["labelled"] or "planted defects"
        yield f"probe of {probe['rows']:,} rows, {what}, seed {probe['seed']}"
        for result in probe["results"]:
            asked = f" by {result['model']}" if result["model"] else ""
            prompts = f", prompts {result['prompts']}" if result["prompts"] else ""
            differs = f" ({result['differs']})" if result.get("differs") else ""  # probes of older versions say nothing
            yield f"  {result['method']}{asked}{prompts}{differs}: {result['verdict']}"


def _summary(run: Run, name: str) -> dict[str, Any]:
    path = run.path / "selections" / name / "summary.json"
    found = run.read_json(path)
    try:
        from_plain(found)
    except (KeyError, TypeError) as error:
        raise DamagedError(path, f"it is not a summary: {error}", run.place(path)) from error
    return found


def _others() -> list[str]:
    """The signals beside ratings, which stand by themselves."""
    return [signal for signal in kinds() if signal != RatingPrompt.signal]


def _describe(annotator: Annotator) -> dict[str, Any]:
    manifest = annotator.manifest
    return {"model": annotator.name, **{key: manifest[key] for key in ("parameters", "digest", "settings")}}


def _describe_rater(run: Run, annotator: Annotator) -> dict[str, Any]:
    asked = {folder: run.read_json(folder / "manifest.json")["prompt"] for folder in _prompt_folders(run, annotator)}
    prompts = {prompt: units_there(run, annotator, folder) for folder, prompt in asked.items()}
    return {**_describe(annotator), "prompts": prompts}


def _requests(run: Run, annotator: Annotator) -> list[dict[str, Any]]:
    """What a model was asked, with how many units of each are there."""
    return [
        {"about": run.read_json(folder / "manifest.json"), "units": units_there(run, annotator, folder)}
        for folder in request_folders(annotator)
    ]


def units_there(run: Run, annotator: Annotator, folder: Path) -> str:
    """How many units of a request are finished, in words."""
    return f"{len(list(folder.glob('part-*.parquet')))} of {-(-run.rows // annotator.unit_size)} units"


def describe_row(run: Run, row: int) -> dict[str, Any]:
    """Everything known of one row, as plain values. Raises RunError where there is no such row."""
    if not 0 <= row < run.rows:
        raise RunError(f"there is no row {row}: rows go from 0 to {run.rows - 1}", "Name one of those with --row.")
    scores = {}
    for name in names_of_scores(run):
        values = read_scores(run, name).slice(row, 1).to_pylist()[0]
        scores[name] = {key: without_nan(value) for key, value in values.items() if key != "row"}
    chosen = {}
    for name in selections(run):
        table = read_selection(run, name)
        place = np.flatnonzero(numbers(table["row"]) == row)
        chosen[name] = _describe_choice(
            read_aside(run, name, row), table["why"][int(place[0])].as_py() if len(place) else ""
        )
    return {
        "row": row,
        **run.source_rows(row, row + 1, ["turns", "left_out"]).to_pylist()[0],
        "ratings": [
            {"model": annotator.name, **answer}
            for annotator in annotators(run)
            for _, answer in _answers(run, annotator, _prompt_folders(run, annotator), row)
        ],
        "signals": [
            {"signal": signal, "model": annotator.name, "item": item, **answer}
            for signal in _others()
            for annotator in annotators(run, signal)
            for item, answer in _answers(run, annotator, request_folders(annotator), row)
        ],
        "missing": [
            _part(annotator, folder, row).relative_to(run.path).as_posix()
            for signal in kinds()
            for annotator in annotators(run, signal)
            for folder in request_folders(annotator)
            if not os.path.lexists(_part(annotator, folder, row))
        ],
        "scores": scores,
        "selections": chosen,
    }


def _describe_choice(aside: Mapping[str, str], chosen: str) -> str:
    """Why a row was chosen ('' = it was not), or why it was not, with its group and what else is to be said of it."""
    why = chosen or (f"not chosen: {aside['why']}" if aside["why"] else "not chosen")
    group = f"group {aside['group']}" if aside["group"] and not chosen else ""
    return "; ".join(filter(None, (why, group, aside["note"])))


def _prompt_folders(run: Run, annotator: Annotator) -> list[Path]:
    """The annotator's prompts in the order of the run's prompt sets."""
    sets = stored_prompts(run)
    ordered = [annotator.folder(prompt) for each in sets.values() for prompt in each.first(len(each.texts))]
    for folder in request_folders(annotator):
        if not any(is_of(run, folder, each) for each in sets.values()):
            stored = run.path / "prompts"
            log.warning("%s belongs to no prompt set in %s: it is being rated, or the set is gone", folder, stored)
    return [folder for folder in dict.fromkeys(ordered) if folder.is_dir()]


def _part(annotator: Annotator, folder: Path, row: int) -> Path:
    return folder / part_name(row // annotator.unit_size)


def _answers(run: Run, annotator: Annotator, folders: Sequence[Path], row: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The item and the answer of each that is stored for a row, as plain values; None = there is none."""
    kind = kinds()[annotator.signal]
    for folder in folders:
        path = _part(annotator, folder, row)
        if not os.path.lexists(path):
            continue
        about, table = run.read_json(folder / "manifest.json"), run.read_part(path)
        start = row // annotator.unit_size * annotator.unit_size
        check_rows(run, path, table, start, min(start + annotator.unit_size, run.rows))
        for entry in (entry for entry in table.to_pylist() if entry["row"] == row):
            answer = kind.describe(entry, about)
            yield entry["item"], {**answer, "flags": flag_words(entry["flags"]), "error": entry["error"]}
