"""`selectit export`: the chosen rows for a training tool."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click
import cloup

from selectit.cli.options import join_selection, options
from selectit.cli.printing import print_json, say
from selectit.text_tables import write_count

if TYPE_CHECKING:
    from selectit.exports.export import Exported


@cloup.command("export")
@click.argument("run", metavar="RUN[:NAME]")
@click.option(
    "--to",
    required=True,
    metavar="TOOL",
    help="trl, llama-factory, axolotl, ms-swift, openai, hf-dataset or parquet; atlas: a map of all rows.",
)
@click.option("--out", metavar="DIR", help="The folder [<data>.<tool> in this folder].")
@click.option("--selection", metavar="NAME", help="The same as RUN:NAME; all: every row [the only one].")
@click.option("--licence", metavar="TEXT", help="Of the source, for the card, for example cc-by-nc-4.0 [not stated].")
@options("bad_rows", "with_scores", "force", "json", "quiet")
def command(
    run: str,
    to: str,
    out: str | None,
    selection: str | None,
    licence: str | None,
    bad_rows: str | None,
    with_scores: bool | None,
    force: bool | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the selection NAME of a run, or its only one, into a folder in the layout that a training tool reads.

    A README.md beside the data says where the rows come from and how they were chosen. What the layout can't hold is
    refused, or left out and counted with --bad-rows skip. No model is loaded.
    """
    from selectit.exports.export import export
    from selectit.runs.selections import split_selection

    path, name = split_selection(join_selection(run, selection))
    done = export(
        path,
        to,
        out,
        name,
        scores=bool(with_scores),
        licence=licence,
        bad_rows=bad_rows or "stop",
        force=bool(force),
    )
    if as_json:
        print_json(dataclasses.asdict(done))
    else:
        say("\n".join(_lines(done, marks=to == "atlas")))


def _lines(done: Exported, *, marks: bool) -> list[str]:
    """`marks`: all rows are there, and the chosen ones are marked."""
    of = f"; those of the selection {done.selection} are marked" if marks else f" of the selection {done.selection}"
    lines = [f"exported  {write_count(done.rows, 'row')}{of}"]
    if done.skipped_rows:
        lines.append(f"left out  {write_count(done.skipped_rows, 'row')}")
        lines += [f"          {line}" for line in done.skipped]
    if done.left_behind:
        lines.append(f"not there the source's fields {', '.join(done.left_behind)}")
    return [*lines, f"folder    {done.path}", f"files     {', '.join(done.files)}"]
