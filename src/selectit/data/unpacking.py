"""A limit on the memory that reading may take, for what no file says of itself before it is unpacked."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selectit.errors import DataError

MOST = 1536 << 20
"""Bytes that unpacking some thousand rows may take: what Arrow needs of the longest that are read."""

_LOCK = threading.Lock()


@contextmanager
def limited(path: Path | str) -> Iterator[None]:
    """Let the process take no more than MOST bytes beside what it has. Raises DataError where the block needs more.

    Pages of Parquet and batches of Arrow are unpacked whole, and their sizes stand in places that may lie. The limit is
    the system's and holds for all threads, so that the block should be short. Only Linux has it.
    """
    if sys.platform != "linux":
        yield
        return
    with _LOCK:
        before = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (_limit(*before), before[1]))
        try:
            yield
        except MemoryError as error:
            raise DataError(
                f"{path} takes more than {MOST >> 20:,} MB when some of its rows are unpacked",
                "Instructions and responses are shorter: leave out the longest rows, or write it in smaller pages.",
            ) from error
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _limit(*others: int) -> int:
    """What the process has, and MOST; no more than the limits that it has already."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return min([pages * resource.getpagesize() + MOST, *(each for each in others if each != resource.RLIM_INFINITY)])
