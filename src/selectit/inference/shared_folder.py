"""What a run directory must offer where several machines write into it, and the check that it does.

A file written and synced on one machine can be read on another under its final name; renaming is one step. Locks
between machines are not needed: only the process that was started by the user takes them.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selectit.atomic_files import replacing
from selectit.errors import RunError
from selectit.runs.run import Run, open_run

SEEN_WITHIN = 120.0
"""Seconds in which a file of one machine must be seen by another; NFS remembers for up to 60 that there was none."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A file of the run with a content that no copy of the run has."""

    path: Path
    content: bytes


@contextmanager
def marked(run: Run) -> Iterator[Mark]:
    """A new mark in the run, removed at the end. Raises RunError where the folder doesn't keep what is written."""
    mark = _write(run)
    try:
        yield mark
    finally:
        mark.path.unlink(missing_ok=True)


def check_shared(run: Run, mark: Mark) -> None:
    """Raise RunError unless this process sees the run and the mark, and can write as the one that made it."""
    where = f"the worker on {socket.gethostname()}"
    manifest = run.path / "manifest.json"
    seen = mark.path.exists() and mark.path.read_bytes() == mark.content
    if not seen or not manifest.exists() or open_run(run.path).manifest != run.manifest:
        raise RunError(
            f"{where} doesn't see {run.path}", "Put the run directory on a file system that all machines share."
        )
    try:
        _write(run).path.unlink()
    except OSError as error:
        raise RunError(f"{where} can't write into {run.path}: {error.strerror}", "Give it access.") from error


def wait_until_seen(paths: Sequence[Path]) -> None:
    """Return when this machine sees the files that a worker has written. Raises RunError after `SEEN_WITHIN`."""
    until = time.monotonic() + SEEN_WITHIN
    while missing := [path for path in paths if not path.exists()]:
        if time.monotonic() > until:
            raise RunError(
                f"a worker has written {missing[0]}, and after {SEEN_WITHIN:.0f} seconds it is not seen here",
                "Put the run directory on a file system that all machines share, and type the same command again.",
            )
        # Opening the folder makes NFS ask its server again.
        os.close(os.open(missing[0].parent, os.O_RDONLY))
        time.sleep(0.1)


def _write(run: Run) -> Mark:
    """Write, sync, rename and read back."""
    token = uuid.uuid4().hex
    mark = Mark(run.path / "locks" / f"mark-{socket.gethostname()}-{token}", token.encode())
    with replacing(mark.path) as file:
        file.write(mark.content)
    if mark.path.read_bytes() != mark.content:
        raise RunError(f"{run.path} doesn't keep what is written", "Put the run directory on another file system.")
    return mark
