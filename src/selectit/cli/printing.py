"""What the command prints."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from selectit.jsonable import plain
from selectit.text_tables import printable, printable_json


def say(text: str, *, err: bool = False) -> None:
    """Print what may hold words of others (data, names, a server's): control characters are shown, not sent."""
    click.echo(printable(text), err=err)


def seen_together(*, err: bool) -> bool:
    """Whether notes, which go to stderr, and what is printed are seen in one place; `err`: that goes to stderr too."""
    if err or sys.stdout is None or sys.stderr is None:
        return err
    if sys.stdout.isatty() and sys.stderr.isatty():
        return True
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())  # as by 2>&1
    except (OSError, ValueError):  # a stream of a program that calls this one, which is no file
        return False


def print_json(value: Any) -> None:
    """One JSON value on stdout; a number that is none (NaN) becomes null."""
    escaped = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()  # else it has no place for some
    click.echo(printable_json(json.dumps(plain(value), ensure_ascii=escaped)))
