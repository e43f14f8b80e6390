"""What lies in a run directory."""

from pathlib import Path


def contents(folder):
    """Every file that must not differ between equal runs, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name != "timing.json" and "locks" not in path.parts
    }


def finished(folder):
    """The units of ratings that are done, with the time at which each was written."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).glob("ratings/*/prompt-*/part-*.parquet")}
