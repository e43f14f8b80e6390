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
@options("report", "force", "json")
def command(a: str, b: str, report: str | None, force: bool | None, as_json: bool) -> None:
    """Show what differs between two selections: their rows, the cut, and the places of rows in the ranking.

    NAME may be left out where a run has one selection. Runs of different data are compared by the rows that both have.
    The page has the rows with their texts. No model is loaded.
    """
    from selectit.selection.diff import diff, difference_lines

    found = diff(a, b)
    page = None
    if report is not None:  # before anything is printed, so that an error stands alone
        from selectit.pages.difference import report_difference

        page = report_difference(a, b, report, force=bool(force))
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(difference_lines(found)))
    if page is not None:
        say(f"report    {page}", err=as_json)
