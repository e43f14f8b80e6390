"""`selectit report`: the page of a selection."""

from __future__ import annotations

import click
import cloup

from selectit.cli.options import join_selection, options
from selectit.cli.printing import print_json, say


@cloup.command("report")
@click.argument("run", metavar="RUN[:NAME]")
@click.option("--out", metavar="FILE", help="The page [report.html beside the selection, in the run].")
@click.option("--umap", is_flag=True, help="Lay the map out by UMAP [PCA]; takes minutes, and the extra map.")
@options("selection", "force", "json")
def command(run: str, out: str | None, umap: bool, selection: str | None, force: bool | None, as_json: bool) -> None:
    """Write the page of the selection NAME of a run, or of its only one: one file for a browser, without network.

    It shows what was kept and why: the scores with a cut to move, every row, the rows worth a look, and how the choice
    depends on prompts, models and settings. select writes it too. No model is loaded.
    """
    from selectit.pages.report import report

    path = report(join_selection(run, selection), out, force=bool(force), umap=umap)
    if as_json:
        print_json({"report": path})
    else:
        say(f"report    {path}")
