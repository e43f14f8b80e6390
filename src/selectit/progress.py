"""How far a long step has come: told by the library, drawn by the command."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what is going on; the command draws it."""

    def start(self, what: str, total: int, done: int) -> None:
        """A stage of `total` ratings begins, `done` of which are there already."""

    def advance(self, ratings: float, tokens: int) -> None:
        """So many ratings of rows more (parts of one, where a row has several answers), of so many tokens."""

    def finish(self) -> None:
        """The stage has ended."""


class Silent:
    """Progress for callers that want none."""

    def start(self, what: str, total: int, done: int) -> None:
        return

    def advance(self, ratings: float, tokens: int) -> None:
        return

    def finish(self) -> None:
        return
