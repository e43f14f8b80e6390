"""How a stored file shows that it is whole and lies in its place.

Every file of a run states its place (of which source, and where in the run) and a sum. A Parquet file does so in its
footer: there are a sum of the footer itself and one of all that stands before it. Its pages have checksums of their
own, so that a few columns can be read safely without the rest. Files of older runs state nothing and are read as they
are.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from selectit.errors import RunError
from selectit.jsonable import digest_of

_PLACE, _PAGES, _FOOTER = b"selectit.place", b"selectit.pages", b"selectit.footer"
_NO_SUM = b"0" * 64
_STORED_AS = re.compile(r"# stored as (.+), sha256 ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored file belongs."""

    source: str
    """The first 16 digits of the digest of the source's identity; '' of the run's manifest, which states it in full."""
    file: str
    """Its path in the run, with '/'."""
    has_sum: bool = False
    """Whether a file there has to state a sum: the run was begun by a version that states the sum of every file."""

    def __str__(self) -> str:
        return f"{self.file} of source {self.source}" if self.source else self.file

    @property
    def remedy(self) -> str:
        """What to do where the file is damaged or missing."""
        top, _, rest = self.file.partition("/")
        if top in ("source", "manifest.json"):
            return "Restore it from a copy, or begin anew: name another folder with --run."
        if top in ("scores", "selections"):
            return "Score or select again: that writes it anew. If it is refused there too, remove it first."
        if top == "prompts":
            return "Remove it, and name the prompts with --prompts."
        if top == "timing.json":
            return "Remove it: it holds durations alone."
        if top == "tokens":
            return "Remove it: it is counted again."
        if not rest.endswith(".parquet"):
            return "Restore it from a copy, or remove its folder: what was in that is asked again."
        return "The same `selectit rate`, or `selectit select` with the data, does it again."


class DamagedError(RunError):
    """A stored file is not what was written."""

    def __init__(self, path: Path, why: object, place: Place | None = None) -> None:
        hint = "Restore it, or remove it and run again." if place is None else place.remedy
        super().__init__(f"{path} is damaged or gone: {why}", hint)


@contextmanager
def opened(path: Path, place: Place | None = None) -> Iterator[int]:
    """The descriptor of a plain file; one that has a place in a run may not be a link either.

    Raises RunError where it is something else, DamagedError where it is gone.
    """
    try:
        # Without waiting: a pipe would have one wait for whoever writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if place is None else os.O_NOFOLLOW))
    except FileNotFoundError as error:
        raise DamagedError(path, "there is no such file", place) from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.ENODEV):  # a link, a socket
            raise
        refuse_other(path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            refuse_other(path)
        yield descriptor
    except OSError as error:
        if error.errno is not None and error.filename is None:  # of a descriptor the system knows no name
            error.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def refuse_other(path: Path) -> NoReturn:
    """Raise RunError about what is no plain file."""
    raise RunError(
        f"{path} is a link, a pipe or something else that is no plain file, and a run has none of these",
        "Remove it. If it is a link, put a copy of the file in its place.",
    )


def read_bytes(path: Path, place: Place | None = None) -> bytes:
    """All of a stored file. Raises as `opened`."""
    with opened(path, place) as descriptor, open(descriptor, "rb", closefd=False) as file:
        return file.read()


def _allow_none(path: Path, place: Place | None) -> None:
    """Raise DamagedError where a file without a sum can't be an older one."""
    if place is not None and place.has_sum:
        raise DamagedError(path, "it states no sum, and was not written by selectit", place)


def check_place(path: Path, found: str, place: Place | None) -> None:
    """Raise RunError where a file says that it belongs somewhere else."""
    if place is not None and found != str(place):
        raise RunError(
            f"{path} is another file: it was stored as {found}, and here belongs {place}",
            f"Put it back where it was. {place.remedy}",
        )


# Parquet


def write_parquet(file: IO[bytes], table: pa.Table, place: Place) -> None:
    """Write a table with its sums into a file that is open for reading too."""
    with pq.ParquetWriter(file, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
        sums = {_PLACE: str(place), _PAGES: _NO_SUM.decode(), _FOOTER: _NO_SUM.decode()}
        writer.add_key_value_metadata({key.decode(): value for key, value in sums.items()})
    file.flush()
    footer, begin = _footer(file.fileno())
    footer = _replaced(footer, _PAGES, _sum_of_pages(file.fileno(), begin).encode())
    footer = _replaced(footer, _FOOTER, hashlib.sha256(footer).hexdigest().encode())
    file.seek(begin)
    file.write(footer)


def read_parquet(path: Path, columns: list[str] | None, place: Place | None) -> pa.Table:
    """A stored table, or some of its columns. Raises DamagedError, and RunError where it belongs somewhere else."""
    with opened(path, place) as descriptor, _damage(path, place), open(descriptor, "rb", 0, closefd=False) as file:
        metadata = _checked(path, descriptor, place)
        # Not pq.read_table: it loads pyarrow.dataset, and with that pandas where it is installed.
        with pq.ParquetFile(pa.PythonFile(file), metadata=metadata, page_checksum_verification=True) as parquet:
            # Handing the columns of a small file to other threads takes longer than reading them.
            threads = os.fstat(descriptor).st_size > 2**18
            table = parquet.read(columns=columns, use_threads=threads).replace_schema_metadata(None)
        missing = sorted(set(columns or ()) - set(table.column_names))
        if missing:
            raise DamagedError(path, f"it has no column {missing[0]!r}", place)
        return table


def check_parquet(path: Path, place: Place) -> bool:
    """Raise as `read_parquet` would; True = the file has sums, False = it is older and was only read."""
    with opened(path, place) as descriptor, _damage(path, place):
        stated = _checked(path, descriptor, place).metadata or {}
        if _PAGES in stated:
            _, begin = _footer(descriptor)
            if _sum_of_pages(descriptor, begin).encode() != stated[_PAGES]:
                raise DamagedError(path, "its sum differs", place)
            return True
    read_parquet(path, None, place)
    return False


@contextmanager
def _damage(path: Path, place: Place | None) -> Iterator[None]:
    """What Arrow raises about bytes that are no Parquet file, as ours; the system's own errors stay what they are."""
    try:
        yield
    except pa.ArrowException as error:
        raise DamagedError(path, error, place) from error
    except (OSError, UnicodeDecodeError) as error:
        if getattr(error, "errno", None) is not None:
            raise
        raise DamagedError(path, error, place) from error


def _checked(path: Path, descriptor: int, place: Place | None) -> pq.FileMetaData:
    """The footer, parsed only when its sum is right, since damaged ones can end the process in Arrow."""
    footer, _ = _footer(descriptor)
    stated = _value(footer, _FOOTER)
    if stated is None:
        _allow_none(path, place)
    else:
        found = footer[stated]
        if hashlib.sha256(_replaced(footer, _FOOTER, _NO_SUM)).hexdigest().encode() != found:
            raise DamagedError(path, "the sum of its footer differs", place)
    metadata = pq.read_metadata(pa.BufferReader(b"PAR1" + footer))
    in_place = (metadata.metadata or {}).get(_PLACE)
    if in_place is not None:
        check_place(path, in_place.decode(), place)
    return metadata


def _footer(descriptor: int) -> tuple[bytes, int]:
    """The footer with its length and the mark after it, and where it begins. Raises ArrowInvalid."""
    size = os.fstat(descriptor).st_size
    end = os.pread(descriptor, 8, max(size - 8, 0))
    begin = size - 8 - int.from_bytes(end[:4], "little")
    if not end.endswith(b"PAR1") or begin < 4:
        raise pa.ArrowInvalid("it doesn't end as a Parquet file does")
    return os.pread(descriptor, size - begin, begin), begin


def _value(footer: bytes, key: bytes) -> slice | None:
    """Where the 64 digits after one of our keys stand; the keys come after all that the data itself puts there."""
    name = key + b"\x18\x40"  # Thrift's mark of a text, and its length
    found = footer.rfind(name)
    return None if found < 0 else slice(found + len(name), found + len(name) + 64)


def _replaced(footer: bytes, key: bytes, digits: bytes) -> bytes:
    place = _value(footer, key)
    assert place is not None
    return footer[: place.start] + digits + footer[place.stop :]


def _sum_of_pages(descriptor: int, end: int) -> str:
    """sha256 of a file's bytes up to `end`."""
    state = hashlib.sha256()
    for begin in range(0, end, 2**20):
        state.update(os.pread(descriptor, min(2**20, end - begin), begin))
    return state.hexdigest()


# JSON and TOML


def sealed(value: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Values with their place and sum under `stored`."""
    return {**value, "stored": {"place": str(place), "sha256": digest_of([str(place), dict(value)])}}


def unsealed(path: Path, value: dict[str, Any], place: Place) -> dict[str, Any]:
    """The reverse of `sealed`; what older runs have is as it was. Raises as `read_parquet`."""
    stored = value.pop("stored", None)
    if stored is None:
        _allow_none(path, place)
        return value
    if not isinstance(stored, dict) or not isinstance(stored.get("place"), str):
        raise DamagedError(path, "its place is not stated as it should be", place)
    if digest_of([stored["place"], value]) != stored.get("sha256"):
        raise DamagedError(path, "its sum differs", place)
    check_place(path, stored["place"], place)
    return value


def sealed_text(text: str, place: Place) -> str:
    """A text of TOML after a comment with its place and sum."""
    return f"# stored as {place}, sha256 {digest_of([str(place), text])}\n{text}"


def unsealed_text(path: Path, text: str, place: Place) -> str:
    """The reverse of `sealed_text`; what older runs have is as it was. Raises as `read_parquet`."""
    if not text.startswith("# stored as "):
        _allow_none(path, place)
        return text
    found = _STORED_AS.match(text)
    if found is None or digest_of([found[1], text[found.end() :]]) != found[2]:
        raise DamagedError(path, "its sum differs", place)
    check_place(path, found[1], place)
    return text[found.end() :]
