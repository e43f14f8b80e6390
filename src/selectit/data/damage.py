"""What the libraries that read files raise, made one error that names the file and says what to do."""

from __future__ import annotations

import csv
import errno
import json
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from selectit.errors import DataError

DAMAGE = (
    EOFError,  # gzip: the end is missing
    zlib.error,  # gzip: what is packed is wrong
    pa.ArrowException,  # Arrow, Parquet: all that have a class of their own
    OverflowError,  # Arrow: a length that no buffer has
    csv.Error,  # a quote, or a NUL
    json.JSONDecodeError,
    tomllib.TOMLDecodeError,
    UnicodeError,  # Arrow: a name or a text that is not UTF-8
)
"""Beside these an OSError without a number: gzip.BadGzipFile, and what Arrow, Parquet (thrift) and zstd say."""


@contextmanager
def reading(path: Path | str, again: str = "Copy or save it again.") -> Iterator[None]:
    """Turn what is raised while a file is read into a DataError: it is damaged (do it `again`), or can't be read."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise _damaged(path, error, again) from error
        raise DataError(f"can't read {path}: {error.strerror}", read_remedy(error.errno)) from error
    except DAMAGE as error:
        raise _damaged(path, error, again) from error


def read_remedy(number: int) -> str:
    """What to do where the system can't read a file."""
    return {
        errno.EMFILE: "Raise the limit of open files: ulimit -n 4096.",
        errno.ENFILE: "Close other programs: the machine has no more open files to give.",
        errno.ESTALE: "Mount its folder again.",
        errno.EIO: "Look after the disk, or copy the file from elsewhere.",
    }.get(number, "See that it is there and can be read.")


def _damaged(path: Path | str, error: Exception, again: str) -> DataError:
    what = str(error).strip().partition("\n")[0] or type(error).__name__
    return DataError(f"{path} is damaged: {what}", again)
