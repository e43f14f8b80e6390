"""The manifest of a run: which data it is of, how that was read, and what of it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selectit.data.columns import TABLES
from selectit.data.csv_text import DELIMITERS
from selectit.errors import RunError
from selectit.runs.files import parse_json
from selectit.runs.sums import DamagedError, Place, read_bytes, unsealed
from selectit.text_tables import write_count

MANIFEST = {
    "data": str, "identity": dict, "rows": int, "skipped_rows": int, "layout": str, "written": str,
    "compression": str, "indent": str, "suffix": str,
}  # fmt: skip
"""What a run's manifest says, and in what type; `files` has the sums of those files of the source that state none,
`reading` what was read of the data (see `reading_lines`); older runs have neither."""


MANIFEST_PLACE = Place("", "manifest.json")


def read_manifest(path: Path) -> tuple[dict[str, Any], bool]:
    """What a run's manifest.json says, and whether every file of the run states a sum. Raises RunError."""
    found = parse_json(path, read_bytes(path, MANIFEST_PLACE), MANIFEST_PLACE)
    if not {"identity", "rows", "written"} <= set(found):
        raise RunError(f"{path} is not the manifest of a run", "Name the folder above, which has source/ in it.")
    has_sums = "stored" in found
    found = unsealed(path, found, MANIFEST_PLACE)
    wrong = [key for key, kind in MANIFEST.items() if not isinstance(found.get(key), kind)]
    if wrong or not _is_possible(found):
        raise DamagedError(path, f"{wrong[0] if wrong else 'something'} in it is not as it was written", MANIFEST_PLACE)
    return found, has_sums


def _is_possible(manifest: Mapping[str, Any]) -> bool:
    """Whether the values are some that a manifest may have, whoever wrote it: paths are made of the suffix."""
    return (
        manifest["rows"] > 0
        and manifest["identity"].get("turns") in ("last", "each", "first")
        and isinstance(manifest["identity"].get("sha256"), str)
        and manifest["written"] in ("json", "jsonl", "csv", *TABLES)
        and manifest.get("delimiter", ",") in DELIMITERS
        and manifest["compression"] in ("", "gz", "zst")
        and not set("/\0") & set(manifest["suffix"])
        and isinstance(manifest.get("files", {}), dict)
        and _is_reading(manifest.get("reading"))
    )


def _is_reading(value: Any) -> bool:
    kinds = {"files": int, "left_out": list, "read": dict, "unread": dict}
    return value is None or (
        isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())
    )


_NAMED = 8


def reading_lines(facts: Mapping[str, Any] | None) -> Iterator[str]:
    """What was read of the data as what, and what was not, as lines of text; none for runs of older versions."""
    if facts is None:
        return
    read: dict[str, list[str]] = {}
    for field, word in facts["read"].items():
        read.setdefault(word, []).append(field)
    unread = [f"{name} ({write_count(rows, 'row')})" for name, rows in facts["unread"].items()]
    kept = f"; {len(unread)} kept and not read: {_first(unread)}" if unread else ""
    yield "read " + "; ".join(f"{', '.join(fields)} → {word}" for word, fields in read.items()) + kept
    if facts["files"] > 1 or facts["left_out"]:
        others = facts["left_out"]
        out = f", {len(others)} left out: {_first(others)}" if others else ""
        yield f"read {write_count(facts['files'], 'file')}{out}"


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")
