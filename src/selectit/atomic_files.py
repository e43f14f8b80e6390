"""Files and folders that are whole or not there: written next to their place, synced, and renamed."""

from __future__ import annotations

import filecmp
import functools
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path, *, keep_equal: bool = False) -> Iterator[IO[bytes]]:
    """A file that takes the name `path`, synced, when the block ends well; else nothing of it is left.

    With `keep_equal` nothing is touched where what is there holds the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _free_name(path)
    try:
        with beside.open("x+b") as file:  # a writer may read back what it wrote
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep_equal and path.exists() and filecmp.cmp(beside, path, shallow=False):
            beside.unlink()
        else:
            beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `path`, synced, when the block ends well; else nothing of it is left."""
    with folder_beside(path) as beside:
        yield beside
        sync_tree(beside)
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    sync(path.parent)


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder next to `path`, so that what is made in it can be renamed there; it goes when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _free_name(path)
    beside.mkdir()
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make all that is in a folder outlive a power cut."""
    for each in folder.rglob("*"):
        sync(each)
    sync(folder)


def _free_name(path: Path) -> Path:
    """A hidden name next to `path` that nobody can foresee."""
    remove_leftovers(path.parent.absolute())
    return path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.{secrets.token_hex(8)}.tmp")


@functools.cache  # a folder may have a hundred thousand parts: it is listed once, not for each that is written
def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder under such names; once in a process."""
    name = re.compile(rf"\..+\.{re.escape(socket.gethostname())}-(\d{{1,9}})(\.[0-9a-f]+)?\.tmp")
    with os.scandir(folder) as entries:
        found = [(entry, match) for entry in entries if (match := name.fullmatch(entry.name))]
    for entry, match in found:
        if _is_alive(int(match[1])):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
