"""Notes and progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from selectit.cli.printing import say
from selectit.progress import Progress, Silent
from selectit.text_tables import printable

_EVERY = 15.0  # seconds between the lines where there is no terminal


@contextmanager
def notes(quiet: bool) -> Iterator[Progress]:
    """Send the library's notes to stderr, and give it a progress to tell."""
    if quiet:
        yield Silent()
        return
    logger = logging.getLogger("selectit")
    handler = _Notes()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield Bar() if sys.stderr.isatty() else Lines()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), err=True)


class Lines:
    """A line every quarter of a minute: how far, how fast, how long still."""

    def start(self, what: str, total: int, done: int) -> None:
        self.what, self.total, self.done = what, total, done
        self.ratings, self.tokens = 0.0, 0
        self.began = self.told = time.monotonic()

    def advance(self, ratings: float, tokens: int) -> None:
        self.ratings += ratings
        self.tokens += tokens
        if time.monotonic() - self.told >= _EVERY:
            self.told = time.monotonic()
            say(self.line(), err=True)

    def line(self) -> str:
        """What is done, the rate and the time left."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        rate = self.ratings / seconds
        left = max(self.total - self.done - self.ratings, 0) / rate if rate else float("inf")
        tokens = f"{self.tokens / seconds:,.0f} tokens/s, " if self.tokens else ""
        return (
            f"{self.what}: {self.done + self.ratings:,.0f} of {self.total:,}, {rate:,.1f}/s, "
            f"{tokens}{duration(left)} left"
        )

    def finish(self) -> None:
        say(self.line(), err=True)


class Bar(Lines):
    """The same on one line of a terminal, with a bar."""

    def start(self, what: str, total: int, done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().start(what, total, done)
        self.progress = Progress(
            BarColumn(), TextColumn("{task.description}", markup=False), console=Console(stderr=True)
        )
        self.task = self.progress.add_task(what, total=total, completed=done)
        self.progress.start()

    def advance(self, ratings: float, tokens: int) -> None:
        self.ratings += ratings
        self.tokens += tokens
        self.progress.update(self.task, advance=ratings, description=printable(self.line()))

    def finish(self) -> None:
        self.progress.stop()


def duration(seconds: float) -> str:
    """'42 s', '3 min 5 s', '2 h 10 min'; '?' where it is not known."""
    if seconds == float("inf"):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
