"""`selectit experiment`: which choice was worth it?"""

from __future__ import annotations

from pathlib import Path

import click
import cloup

from selectit.cli.options import options
from selectit.cli.printing import say


@cloup.command("experiment")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", metavar="FILE", help="The data set, instead of the file's.")
@click.option("--out", metavar="DIR", help="The experiment's folder [selectit-experiments/<name of the file>].")
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Say what it will do and what that costs; a few rows are rated and a few steps tuned to measure it.",
)
@options("quiet")
def command(file: Path, data: str | None, out: str | None, only_plan: bool, quiet: bool) -> None:
    """Choose, tune and evaluate as FILE (TOML) says: methods x budgets x seeds x models, ending in one table.

    Interrupt it at any moment and type it again: what is finished is not done again.
    """
    from selectit.cli.progress import notes
    from selectit.experiments.load import check_files, load

    loaded = load(file, data)
    check_files(loaded)  # what is missing is said before torch is imported, which takes seconds
    from selectit.experiments import experiment

    folder = Path(out) if out is not None else Path("selectit-experiments") / file.stem
    with notes(quiet) as progress:
        if only_plan:
            from selectit.experiments.plan import plan

            say("\n".join(plan(loaded, folder, progress)))
            return
        finished = experiment.experiment(loaded, folder, progress)
    say(finished.report)
    say(f"tables: {finished.out}/results.md, .csv, .tex")
    say(f"page: {finished.page}")
