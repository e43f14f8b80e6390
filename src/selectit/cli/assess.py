"""`selectit assess`: what whole data sets are worth, side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import cloup

from selectit.cli.options import COMMON, options, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import EngineOptions, LoadingOptions, ReadingOptions, SourceOptions
from selectit.errors import RunError

SAMPLE = 500


@cloup.command("assess")
@click.argument("data", nargs=-1, required=True)
@cloup.option_group(
    "The assessment",
    cloup.option(
        "--model", multiple=True, metavar="NAME", help="Add its tokens, losses and ratings; repeatable [no model]."
    ),
    cloup.option("--encoder", metavar="NAME", help="Add diversity by its embeddings [no encoder]."),
    cloup.option(
        "--target",
        multiple=True,
        metavar="FILE",
        help="Add the distance to examples of what the model should become good at; needs --encoder; repeatable.",
    ),
    cloup.option(
        "--decontaminate",
        multiple=True,
        metavar="FILE",
        help="Count rows that share 13 words in a row with a question of this file or benchmark; repeatable.",
    ),
    cloup.option(
        "--sample", type=int, default=SAMPLE, metavar="N", help=f"Rows that models are asked about [{SAMPLE}]."
    ),
    cloup.option("--sample-seed", type=int, default=0, metavar="N", help="Of the drawing and the intervals [0]."),
)
@options(
    "report", "force", "pooling", "prompts", "max_tokens", "overflow", "data_dir", SourceOptions, ReadingOptions,
    EngineOptions, LoadingOptions, *COMMON,
)  # fmt: skip
def command(
    data: tuple[str, ...],
    sample: int,
    sample_seed: int,
    report: str | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Judge whole data sets side by side: each DATA is one, or a run directory.

    Size, lengths, copies, languages, damaged rows, questions of evaluations, what the data sets share. No model is
    loaded unless one is named: --model adds losses and ratings, --encoder diversity and the distance to --target.
    Languages and near-copies need the extra filters.
    """
    chosen = to_settings(given)
    from selectit.assessing.assess import assess
    from selectit.assessing.report import assessment_lines
    from selectit.cli.progress import notes
    from selectit.pages.document import check_page

    if report is not None:  # before models are asked
        check_page("--report", Path(report))
        if Path(report).exists() and not chosen.force:
            raise RunError(f"{report} is there", "Name another with --report, or replace it with --force.")
    with notes(quiet) as progress:
        found = assess(data, chosen, sample, sample_seed, progress)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(assessment_lines(found)))
    if report is not None:
        from selectit.pages.assessment import report_assessment

        say(f"report    {report_assessment(found, report, force=bool(chosen.force))}", err=as_json)
