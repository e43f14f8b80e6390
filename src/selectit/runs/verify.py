"""Whether every file of a run is whole and in its place, and what to do about each that is not."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from selectit.errors import RunError
from selectit.runs.annotators import UNIT_SIZE, check_rows, read_annotator, request_folders
from selectit.runs.files import part_name
from selectit.runs.prompt_sets import is_of, read_prompts
from selectit.runs.run import Run, open_run
from selectit.runs.selections import asides, read_beside, read_selection, selections
from selectit.runs.stored import names_of_scores, read_scores
from selectit.runs.sums import DamagedError, read_bytes, refuse_other
from selectit.signals.requests import RatingPrompt, kinds


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is bad, or not there."""

    path: Path
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found."""

    run: Path
    files: int
    """That were checked."""
    older: int
    """Parquet files without sums, which were only read."""
    findings: tuple[Finding, ...]
    """Bad files."""
    unfinished: tuple[Finding, ...]
    """What is not there: it was never done, or is lost. The same command does it."""


_AGAIN = "The same command does it, if it was begun."
_Check = tuple[Path, Callable[[], object]]
"""A file, and what raises RunError where it is bad, and gives False where it has no sums."""


def verify(run: str | Path) -> Verified:
    """Check every file of a run, and of the runs in it, against its sums and its place. Changes nothing.

    Raises:
        RunError: there is no run.
    """
    path = Path(run)
    if not os.path.lexists(path / "manifest.json"):
        open_run(path)  # says so
    files, older, found = set[Path](), set[Path](), dict[Path, Finding]()
    for file, check in _checks(path):
        files.add(file)
        try:
            if check() is False:
                older.add(file)
        except RunError as error:
            found.setdefault(file, Finding(file, error.message, error.hint))
        except OSError as error:
            found.setdefault(file, Finding(file, f"{file}: {error.strerror}", "Give access, and verify again."))
    unfinished = [] if path / "manifest.json" in found else list(_unfinished(open_run(path), {*found}))
    return Verified(path, len(files), len(older), tuple(found[file] for file in sorted(found)), tuple(unfinished))


def _unfinished(run: Run, bad: set[Path]) -> Iterator[Finding]:
    """What an interruption leaves undone. Where a manifest is bad, what is under it can't be told."""
    sets = [read_prompts(run, file) for file in (run.path / "prompts").glob("[!.]*.toml") if file not in bad]
    folders = [folder for signal in kinds() for folder in sorted((run.path / signal).glob("[!.]*/"))]
    for annotator in [read_annotator(run, folder) for folder in folders if folder / "manifest.json" not in bad]:
        for asked in request_folders(annotator):
            yield from _missing(run, asked, annotator.unit_size)
            rating = annotator.signal == RatingPrompt.signal and asked / "manifest.json" not in bad
            if rating and not any(is_of(run, asked, each) for each in sets):
                yield Finding(asked, f"{asked} belongs to no prompt set in {run.path / 'prompts'}", _AGAIN)
    for folder in sorted((run.path / "tokens").glob("[!.]*/")):
        yield from _missing(run, folder, UNIT_SIZE)
    for folder in sorted((run.path / "probes").glob("[!.]*/")):
        if not os.path.lexists(folder / "results.json"):
            yield Finding(folder, f"{folder} has no results.json", _AGAIN)
    for inner in _inner(run.path):
        if inner / "manifest.json" not in bad:
            yield from _unfinished(open_run(inner), bad)


def _missing(run: Run, folder: Path, size: int) -> Iterator[Finding]:
    for number in range(-(-run.rows // size)):
        part = folder / part_name(number)
        if not os.path.lexists(part):
            yield Finding(part, f"{part} is not there", _AGAIN)


_INNER = ("probes", "cascades", "targets", "answers", "assess")
"""The folders of a run that hold runs; see `run`."""


def _inner(path: Path) -> list[Path]:
    """The runs in a run."""
    found = sorted(each for kind in _INNER for each in path.glob(f"{kind}/*/run"))
    return [inner for inner in found if any(os.path.lexists(inner / name) for name in ("manifest.json", "source"))]


def _checks(path: Path) -> Iterator[_Check]:
    """All files of a run. Where its manifest is bad, nothing else can be told."""
    yield path / "manifest.json", partial(open_run, path)
    try:
        run = open_run(path)
    except (RunError, OSError):
        return
    yield from _others(path)
    yield from _source(run)
    for file in sorted((path / "prompts").glob("[!.]*.toml")):
        yield file, partial(read_prompts, run, file)
    for signal in kinds():
        for folder in sorted((path / signal).glob("[!.]*/")):
            yield from _answers(run, folder)
    for folder in sorted((path / "tokens").glob("[!.]*/")):
        yield folder / "manifest.json", partial(run.read_json, folder / "manifest.json")
        for part in sorted(folder.glob("part-*")):
            yield part, partial(run.check_part, part)
    yield from _results(run)
    yield path / "timing.json", run.timing
    for file in sorted((path / "probes").glob("*/results.json")):
        yield file, partial(run.read_json, file)
    for inner in _inner(path):
        yield from _checks(inner)


def _others(path: Path) -> Iterator[_Check]:
    """Links, pipes and devices, wherever they are."""
    for folder, folders, files in os.walk(path):
        for file in (Path(folder) / name for name in (*folders, *files)):
            mode = file.lstat().st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                yield file, partial(refuse_other, file)


def _source(run: Run) -> Iterator[_Check]:
    for number, (start, stop) in enumerate(run.part_ranges()):
        path = run.path / "source" / part_name(number)
        yield path, partial(run.check_part, path)
        yield path, partial(_check_source_part, run, path, number, start, stop)
    yield run.path / "source" / "schema.arrow", partial(getattr, run, "table_schema")
    for name, digest in run.manifest.get("files", {}).items():
        path = run.path / "source" / str(name)
        yield path, partial(_check_sum, run, path, digest)


def _check_source_part(run: Run, path: Path, number: int, start: int, stop: int) -> None:
    check_rows(run, path, run.source_part(number, ["row"]), start, stop)


def _check_sum(run: Run, path: Path, digest: str) -> None:
    place = run.place(path)
    if hashlib.sha256(read_bytes(path, place)).hexdigest() != digest:
        raise DamagedError(path, "its sum differs", place)


def _answers(run: Run, folder: Path) -> Iterator[_Check]:
    """A model's answers for a signal."""
    yield folder / "manifest.json", partial(read_annotator, run, folder)
    try:
        annotator = read_annotator(run, folder)
    except (RunError, OSError):
        return
    for asked in request_folders(annotator):
        yield asked / "manifest.json", partial(run.read_json, asked / "manifest.json")
        for part in sorted(asked.glob("part-*")):
            yield part, partial(run.check_part, part)
            yield part, partial(_check_part, run, part, annotator.unit_size)


def _check_part(run: Run, path: Path, size: int) -> None:
    number = re.fullmatch(r"part-(\d+)\.parquet", path.name)
    start = int(number[1]) * size if number else run.rows
    if start >= run.rows:
        raise DamagedError(path, f"the run has no such rows, only {run.rows}", run.place(path))
    check_rows(run, path, run.read_part(path, ["row"]), start, min(start + size, run.rows))


def _results(run: Run) -> Iterator[_Check]:
    """Scores and selections."""
    for name in names_of_scores(run):
        path = run.path / "scores" / f"{name}.parquet"
        yield path, partial(run.check_part, path)
        yield path, partial(read_scores, run, name)
        yield path.with_name(f"{name}.toml"), partial(run.read_toml, path.with_name(f"{name}.toml"))
    for name in selections(run):
        folder = run.path / "selections" / name
        yield folder / "config.toml", partial(run.read_toml, folder / "config.toml")
        yield folder / "summary.json", partial(run.read_json, folder / "summary.json")
        yield folder / "rows.parquet", partial(run.check_part, folder / "rows.parquet")
        yield folder / "rows.parquet", partial(read_selection, run, name)
        yield from _beside(run, name)


def _beside(run: Run, name: str) -> Iterator[_Check]:
    """What a selection has beside its rows."""
    try:
        files = asides(run, name)
    except (RunError, OSError):
        return
    for path in (run.path / "selections" / name / file for file in files):
        yield path, partial(run.check_part, path)
        yield path, partial(read_beside, run, name, path.name)
