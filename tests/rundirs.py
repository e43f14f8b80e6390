"""What lies in a run directory."""

import json
from pathlib import Path

MAY_DIFFER = ("timing.json", "report.html")
"""Durations, and the page that names them."""


def contents(folder):
    """Every file that must not differ between equal runs, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in MAY_DIFFER and "locks" not in path.parts
    }


def read_json(path):
    """The values of a JSON file of a run, without its sum."""
    return {key: value for key, value in json.loads(Path(path).read_text()).items() if key != "stored"}


def finished(folder):
    """The units of ratings that are done, with the time at which each was written."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).glob("ratings/*/prompt-*/part-*.parquet")}
