"""What the command prints."""

from __future__ import annotations

import json
from typing import Any

import click

from selectit.jsonable import plain
from selectit.text_tables import printable, printable_json


def say(text: str, *, err: bool = False) -> None:
    """Print what may hold words of others (data, names, a server's): control characters are shown, not sent."""
    click.echo(printable(text), err=err)


def print_json(value: Any) -> None:
    """One JSON value on stdout; a number that is none (NaN) becomes null."""
    click.echo(printable_json(json.dumps(plain(value), ensure_ascii=False)))
