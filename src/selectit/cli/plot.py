"""`selectit plot`: an analysis of a selection as a figure for a paper."""

from __future__ import annotations

import click
import cloup

from selectit.cli.options import join_selection, options
from selectit.cli.printing import print_json, say


@cloup.command("plot")
@click.argument("run", metavar="RUN[:NAME]")
@click.option(
    "--what",
    required=True,
    metavar="FIGURE",
    help="scores, map, lengths, calculations, sweep (of K and alpha), agreement or cost.",
)
@click.option("--out", required=True, metavar="FILE", help="A file that ends in .png, .svg or .pdf.")
@options("selection", "force", "json")
def command(run: str, what: str, out: str, selection: str | None, force: bool | None, as_json: bool) -> None:
    """Draw an analysis of the selection NAME of a run, or of its only one. No model is loaded.

    The figures fit one column of a paper, can be read in grey and have their fonts with them. docs/figures.md says what
    each one shows. Needs the extra report.
    """
    from selectit.pages.plot import plot

    path = plot(join_selection(run, selection), what, out, force=bool(force))
    if as_json:
        print_json({"figure": path})
    else:
        say(f"figure    {path}")
