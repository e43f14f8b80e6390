"""The run of a data set: opened where it is there, else read, checked and written.

A data set of pairs made from a run's rows has its own run directory inside that run, so it is rated, stored and
resumed like any other.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from selectit.atomic_files import replacing, sync
from selectit.config.settings import Settings
from selectit.data import detect, layouts, read, sources, turns
from selectit.data.memory import Data
from selectit.data.records import without_input
from selectit.errors import DataError, RunError
from selectit.jsonable import digest_of
from selectit.runs.files import part_name, write_json, write_table
from selectit.runs.manifest import MANIFEST_PLACE
from selectit.runs.run import RUNS, Run, in_parts, open_run
from selectit.runs.sums import Place


class Pair(Protocol):
    """An instruction, with its input at its end where it has one, and a response."""

    @property
    def instruction(self) -> str: ...
    @property
    def response(self) -> str: ...
    @property
    def input(self) -> str: ...


def pair_records(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Pairs as records of a layout that keeps what they hold, for `create_pairs_run`."""
    if any(each.input for each in pairs):
        return [
            {"instruction": without_input(each.instruction, each.input), "input": each.input, "output": each.response}
            for each in pairs
        ]
    return [{"prompt": each.instruction, "completion": each.response} for each in pairs]


def create_pairs_run(folder: Path, pairs: Sequence[Mapping[str, Any]]) -> Run:
    """The run of these pairs: written where it is not there.

    It is `folder`/run; where that has other pairs (of other data, or made otherwise), that of a folder beside it whose
    name ends in a digest of these.

    Args:
        folder: inside a run.
        pairs: one or more, all with 'prompt' and 'completion' or all with 'instruction', 'input' and 'output', and what
            else should be known of each.
    """
    text = ("\n".join(json.dumps(pair) for pair in pairs) + "\n").encode()
    path = folder / "rows.jsonl"
    if not _is_made_of(folder / "run", text) and path.is_file() and path.read_bytes() != text:
        path = folder.with_name(f"{folder.name}-{hashlib.sha256(text).hexdigest()[:8]}") / "rows.jsonl"
    if not path.is_file() or path.read_bytes() != text:  # it may be damaged
        with replacing(path) as file:
            file.write(text)
    return create(path, Settings(run=str(path.parent / "run"), format=detect.detect(pairs[0]).name))


def _is_made_of(run: Path, text: bytes) -> bool:
    """Whether a run is there and of this file."""
    if not (run / "manifest.json").is_file():
        return False
    return bool(open_run(run).manifest["identity"]["sha256"] == hashlib.sha256(text).hexdigest())


def create(data: Data, settings: Settings) -> Run:
    """The run of a data set: opened where it is there, else read, checked and written.

    Args:
        data: a file, a folder, a hub id, a pattern, '-' for standard input, several files, or a data set in memory.
        settings: `run` names the directory, None = selectit-runs/<name>-<turns and limit, where given>-<8 digits of the
            source's fingerprint> here; and what of the data is read, and how.

    Raises:
        DataError: the data can't be read, or has bad rows; nothing is left behind.
        RunError: `run` holds another source, or another process is writing it.
    """
    spec = read.ReadSpec(
        layouts.parse_layout(settings.format, settings.map),
        settings.turns,
        settings.limit,
        layouts.parse_roles(settings.roles),
    )
    with sources.open_source(data, settings.split, settings.subset) as source:
        return _open_or_write(source, settings, spec)


def _open_or_write(source: sources.Source, settings: Settings, spec: read.ReadSpec) -> Run:
    before = _times(source)
    identity = {
        "sha256": sources.fingerprint(source),
        "limit": settings.limit,
        "format": settings.format,
        "map": settings.map,
        "turns": settings.turns,
        "bad_rows": settings.bad_rows,
        "reading": turns.READING,
        **({"roles": [f"{name}={role}" for name, role in spec.roles]} if spec.roles else {}),
    }
    fingerprint = digest_of(identity)
    path = Path(settings.run) if settings.run is not None else RUNS / _name_run(source.name, settings, fingerprint)
    if (path / "manifest.json").is_file():
        return _check_same_source(open_run(path), source, identity, spec)
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file", "Name a folder for the run with --run.")
    if path.is_dir() and any(not _is_part_of_source(entry) for entry in path.iterdir()):
        raise RunError(f"{path} is not empty and is not a run directory", "Name another folder with --run.")
    fresh = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        with Run(path, {}).lock("plan", f"another selectit is reading into {path}"):
            if (path / "manifest.json").is_file():  # written while we waited for nobody: the other one was quick
                return _check_same_source(open_run(path), source, identity, spec)
            return _write_source(path, source, spec, identity, before)
    except DataError:
        if fresh:
            shutil.rmtree(path)
        raise


def _name_run(data: str, settings: Settings, fingerprint: str) -> str:
    """The name of a run's directory: two that read a file differently are told apart by it."""
    turns = "" if settings.turns == "last" else f"-{settings.turns}"
    limit = "" if settings.limit is None else f"-limit{settings.limit}"
    return f"{data_name(data)}{turns}{limit}-{fingerprint[:8]}"


def data_name(data: str) -> str:
    """The name of a data set without folders and endings: 'alpaca' of 'data/alpaca.jsonl.gz'."""
    return sources.strip_ending(Path(data).resolve().name)


def _is_part_of_source(entry: Path) -> bool:
    """Whether a source that was interrupted may have left this entry."""
    return entry.name in ("locks", "source", "source.partial") or entry.name.startswith(".manifest.json")


def _check_same_source(run: Run, source: sources.Source, identity: Mapping[str, Any], spec: read.ReadSpec) -> Run:
    stored = run.manifest["identity"]
    changed = [key for key in {**identity, **stored} if stored.get(key) != identity.get(key)]
    if changed == ["reading"] and _reads_the_same(run, source, spec):
        return run
    if changed == ["reading"]:
        raise RunError(
            f"{run.path} is of another version of selectit, which read other turns of {source.name}",
            "Go on with it by --run without the data; to read the data anew, leave --run out or name a new folder.",
        )
    if changed:
        what = {"sha256": f"the content of {source.name}"}
        differ = ", ".join(what.get(key, "--" + key.replace("_", "-")) for key in changed)
        raise RunError(
            f"{run.path} is the run of another source: {differ} differs",
            "Leave --run out or name a new folder.",
        )
    return run


def _reads_the_same(run: Run, source: sources.Source, spec: read.ReadSpec) -> bool:
    """Whether the data gives the turns that a run of another version holds."""
    identity = run.manifest["identity"]
    stored = (digest for part in run.source(["digest"]) for digest in part["digest"].to_pylist())
    rejected = io.BytesIO() if identity["bad_rows"] == "skip" else None
    records = read.read_records(source, read.ReadReport(), spec, rejected)
    return all(one == other for one, other in itertools.zip_longest((each.digest for each in records), stored))


def _write_source(
    path: Path,
    source: sources.Source,
    spec: read.ReadSpec,
    identity: Mapping[str, Any],
    before: list[tuple[int, int]],
) -> Run:
    partial, final = path / "source.partial", path / "source"
    for leftover in (partial, final):  # without a manifest neither is finished
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    found = read.ReadReport()
    skip = identity["bad_rows"] == "skip"
    with (partial / "rejected.jsonl").open("wb") if skip else nullcontext() as rejected:
        tables = read.read_tables(source, found, spec, rejected)
        _write_parts(in_parts(tables), partial, digest_of(identity)[:16])
    if source.schema is not None:
        (partial / "schema.arrow").write_bytes(source.schema.serialize())
    if _times(source) != before:
        raise DataError(f"{source.name} changed while it was read", "Run again when it is finished.")
    plain = [each for each in (partial / "schema.arrow", partial / "rejected.jsonl") if each.exists()]
    sums = {each.name: _sum(each) for each in plain}
    partial.rename(final)
    sync(path)
    assert found.layout is not None  # there is at least one good row
    manifest = {
        "data": Path(source.name).name,
        "identity": identity,
        "rows": found.rows,
        "skipped_rows": found.bad_rows,
        "layout": found.layout.label,
        "written": source.written,
        "compression": source.suffix.rpartition(".")[2] if source.suffix.endswith((".gz", ".zst")) else "",
        "indent": source.indent,
        "suffix": source.suffix,
        "reading": {
            "files": len(source.files),
            "left_out": list(source.left_out),
            "read": found.read,
            "unread": dict(sorted(found.unread.items(), key=lambda each: (-each[1], each[0]))),
        },
        **({"files": sums} if sums else {}),
        **({"delimiter": source.delimiter} if source.delimiter else {}),
    }
    write_json(path / "manifest.json", manifest, MANIFEST_PLACE)
    return Run(path, manifest, has_sums=True)


def _write_parts(parts: Iterable[pa.Table], folder: Path, source: str) -> None:
    """Write the parts of a source; one is written while the next is read."""
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for number, part in enumerate(parts):
            if writing is not None:
                writing.result()
            place = Place(source, f"source/{part_name(number)}")
            writing = writer.submit(write_table, folder / part_name(number), part, place)
        if writing is not None:
            writing.result()


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _times(source: sources.Source) -> list[tuple[int, int]]:
    return [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in source.files)]
