"""How far a long step has come: reported by the library, drawn by the command."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what is going on; the command draws it."""

    def start(self, what: str, total: int, done: int) -> None:
        """A stage of `total` ratings begins; `done` of them are stored already."""

    def advance(self, ratings: float, tokens: int) -> None:
        """More ratings are done, of `tokens` tokens; an answer of a row with several counts as a part of one."""

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
