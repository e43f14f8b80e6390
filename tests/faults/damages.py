"""What can happen to a file of a run directory, and to the disk on which it lies."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import re
import resource
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from selectit.runs import sums

DAMAGES = (
    "flip", "truncate", "empty", "remove", "exchange", "edit", "append", "link", "folder-link", "pipe", "socket",
    "directory", "unreadable",
)  # fmt: skip
SYSTEM = ("full disk", "file-size limit", "disk error")
"""What the system says while a verb writes."""
READ_ERROR = "read error"
"""What the disk says while a verb reads the run."""


def kind_of(file: str) -> str:
    """Files of one kind are damaged alike: the name without numbers and digests, and where it lies."""
    parts = file.split("/")
    inner = "inner " if parts[0] in ("probes", "cascades") and "run" in parts else ""
    parts = parts[parts.index("run") + 1 :] if inner else parts
    name = re.sub(r"\d+", "N", parts[-1]) if parts[0] in ("source", "ratings", "tokens") else Path(parts[-1]).suffix
    return f"{inner}{parts[0] if len(parts) > 1 else parts[-1]}{f'/{len(parts)}' if len(parts) > 1 else ''} {name}"


def damage(run: Path, file: str, how: str, files: list[str], draw: random.Random) -> list[str]:
    """Do something to a file of a run, and say to which files; a link goes to 'elsewhere' in the working folder."""
    path, touched = run / file, [file]
    content = path.read_bytes()
    if how in ("flip", "truncate", "empty", "append", "edit"):
        path.write_bytes(_changed(path, content, how, draw))
    elif how == "remove":
        path.unlink()
    elif how == "exchange":
        others = [each for each in files if each != file and Path(each).suffix == path.suffix]
        alike = [each for each in others if kind_of(each) == kind_of(file)]
        touched.append(draw.choice(alike or others or [file]))
        other = run / touched[1]
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif how in ("link", "folder-link"):
        moved = path.parent if how == "folder-link" and path.parent != run else path
        moved.rename("elsewhere")
        moved.symlink_to(Path("elsewhere").absolute())
    elif how == "unreadable":
        path.chmod(0)
    else:
        path.unlink()
        _put(path, how)
    return touched


def _put(path: Path, what: str) -> None:
    """Something that is no file."""
    if what == "pipe":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):
            bound.bind(path.name)
    else:
        path.mkdir()


def _changed(path: Path, content: bytes, how: str, draw: random.Random) -> bytes:
    if how == "flip":
        at = draw.randrange(len(content))
        return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    if how == "edit":
        return _edited(path, content, draw)
    return {"truncate": content[: draw.randrange(len(content))], "append": content + draw.randbytes(9)}.get(how, b"")


def _edited(path: Path, content: bytes, draw: random.Random) -> bytes:
    """Another value in the place of one, by whoever has a text editor or pyarrow."""
    if path.suffix == ".parquet":
        table = pq.read_table(pa.BufferReader(content))
        names = [name for name in table.column_names if pa.types.is_integer(table.schema.field(name).type)]
        name = draw.choice(names)
        values = table[name].to_pylist()
        values[draw.randrange(len(values))] = 3
        column = pa.array(values, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        return bytes(sink.getvalue())
    places = [match.span() for match in re.finditer(rb"\d+|[a-z]{4,}", content)]
    if not places:
        return content + b" "
    start, stop = draw.choice(places)
    return content[:start] + (b"7" if content[start:stop].isdigit() else b"other") + content[stop:]


@contextlib.contextmanager
def system(how: str, draw: random.Random):
    """A disk that is full, or fails, from some write on, or a limit on the size of files."""
    if how == "file-size limit":
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (draw.choice((0, 100, 1000, 2500)), limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return
    if how == READ_ERROR:
        with _failing_reads(draw.randrange(40)):
            yield
        return
    number = errno.ENOSPC if how == "full disk" else errno.EIO
    original, left = os.fsync, [draw.randrange(8)]

    def fsync(descriptor: int) -> None:
        if left[0] <= 0:
            raise OSError(number, os.strerror(number))
        left[0] -= 1
        original(descriptor)

    os.fsync = fsync
    try:
        yield
    finally:
        os.fsync = original


@contextlib.contextmanager
def _failing_reads(left: int):
    """The disk fails once so much was read: the bytes of a run's files come through `sums`, from these two."""
    pread = os.pread

    def count() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    class File(io.FileIO):
        def read(self, size: int = -1) -> bytes:
            count()
            return super().read(size)

    def failing_pread(descriptor: int, size: int, begin: int) -> bytes:
        count()
        return pread(descriptor, size, begin)

    os.pread = failing_pread
    sums.open = lambda descriptor, *_, **__: File(descriptor, closefd=False)
    try:
        yield
    finally:
        os.pread = pread
        del sums.open


@contextlib.contextmanager
def as_nobody(how: str):
    """Root may read everything: an unreadable file needs another user."""
    if how != "unreadable" or os.geteuid() != 0:
        yield
        return
    for path in (Path(), *Path().rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
