"""`selectit select`: the whole job."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloup

from selectit.cli.options import COMMON, data_argument, options, refuse_mixed, to_settings
from selectit.cli.printing import print_json, say, seen_together
from selectit.config.settings import GROUPS
from selectit.data.memory import Data

if TYPE_CHECKING:
    from selectit.selection.select import Selected


@cloup.command("select")
@data_argument
@options(*GROUPS, "no_report", *COMMON, without=("share",))  # a choice is made once all units are done
def command(data: Data | None, as_json: bool, quiet: bool, no_report: bool, **given: Any) -> None:
    """Choose the best part of DATA: rate, score, select, write.

    DATA is a file or several (JSON, JSON Lines, CSV, TSV; .gz and .zst too; Parquet, Arrow, Feather), a pattern, a
    folder, a hub id, or - for standard input. Typed again, the command goes on where it stopped. With --run DIR and
    without DATA it chooses anew from stored ratings, without a model.
    """
    chosen = to_settings(given)
    if as_json:
        refuse_mixed(data, chosen)
    from selectit.cli.progress import notes
    from selectit.selection.select import select

    with notes(quiet) as progress:
        selected = select(data, chosen, progress)
    if as_json:
        page = None if no_report else _write_page(selected)
        print_json(_table(selected) | {"report": page})
    else:
        from selectit.runs.run import open_run
        from selectit.selection.cascade_report import read_timing
        from selectit.selection.summary import summary_lines

        on_stderr = str(selected.out) == "-"  # the subset has standard output
        summary = selected.summary
        read_now = data is not None and not quiet
        if read_now and seen_together(err=on_stderr):  # what was read stands there already, as a note
            summary = dataclasses.replace(summary, reading=None)
        for line in summary_lines(summary, read_timing(open_run(selected.run))):
            say(line, err=on_stderr)
        say(f"selection {selected.name}\nrun       {selected.run}\nsubset    {selected.out}", err=on_stderr)
        if not no_report:  # last, so that what was chosen is named even where it can't be written
            say(f"report    {_write_page(selected)}", err=on_stderr)


def _write_page(selected: Selected) -> Path:
    from selectit.pages.report import report

    return report(f"{selected.run}:{selected.name}")


def _table(selected: Selected) -> dict[str, Any]:
    return {
        "run": selected.run,
        "selection": selected.name,
        "out": selected.out,
        "rows": [int(row) for row in selected.selection.rows],
        "summary": dataclasses.asdict(selected.summary),
    }
