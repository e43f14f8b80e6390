"""A batch on which the model may fail, for want of memory mostly, done in halves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from selectit.engines.memory import release_cached
from selectit.engines.texts import first_line

log = logging.getLogger(__name__)

K = TypeVar("K")
R = TypeVar("R")


def read_in_halves(batch: list[K], read: Callable[[list[K]], R]) -> Iterator[tuple[list[K], R | str]]:
    """What `read` makes of a batch; where the model fails on it, of its halves, down to single texts.

    Yields:
        Texts with what was read of them together, or one text with the model's error.
    """
    try:
        found = read(batch)
    except (RuntimeError, IndexError) as error:  # out of memory; a token that the model does not have
        failure = first_line(str(error))
    else:
        yield batch, found
        return
    release_cached()  # after the except clause, whose traceback holds the tensors
    if len(batch) == 1:
        yield batch, failure
        return
    log.warning("a batch of %d texts failed and is read in halves: %s", len(batch), failure)
    middle = len(batch) // 2
    for half in (batch[:middle], batch[middle:]):
        yield from read_in_halves(half, read)
