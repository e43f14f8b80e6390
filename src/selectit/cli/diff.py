"""`selectit diff`: what differs between two selections."""

from __future__ import annotations

import dataclasses

import click
import cloup

from selectit.cli.options import options
from selectit.cli.printing import print_json, say


@cloup.command("diff")
@click.argument("a", metavar="RUN[:NAME]")
@click.argument("b", metavar="RUN[:NAME]")
@options("json")
def command(a: str, b: str, as_json: bool) -> None:
    """Show what differs between two selections: their rows, the cut, and the places of rows in the ranking.

    NAME may be left out where a run has one selection. Runs of different data are compared by the rows that both have.
    No model is loaded.
    """
    from selectit.selection.diff import diff, difference_lines

    found = diff(a, b)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(difference_lines(found)))
