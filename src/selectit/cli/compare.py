"""`selectit compare`: how far methods agree on a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
import cloup

from selectit.cli.options import COMMON, options, split_names, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import (
    DiversityOptions,
    EngineOptions,
    FilterOptions,
    ModelOptions,
    PlaceOptions,
    QuotaOptions,
    RatingOptions,
    TargetOptions,
)


@cloup.command("compare")
@cloup.option_group(
    "The comparison",
    cloup.option(
        "--methods",
        multiple=True,
        metavar="A,B,…",
        help="Two or more, each NAME or 'NAME:parameter=value;parameter=value'; repeatable.",
    ),
)
@options(
    PlaceOptions, RatingOptions, EngineOptions, ModelOptions, TargetOptions, FilterOptions, QuotaOptions,
    DiversityOptions, "keep", *COMMON,
)  # fmt: skip
def command(methods: tuple[str, ...], as_json: bool, quiet: bool, **given: Any) -> None:
    """Compare what methods make of a run: their scores and choices, the length of what they take, and their cost.

    From stored signals only; no model is loaded. A set that a method can't fill is smaller.
    """
    if given["run"] is None:
        raise click.UsageError("Name the run with --run DIR.")
    chosen = to_settings(given)
    from selectit.cli.progress import notes
    from selectit.selection.compare import compare, comparison_lines

    names = split_names(*methods)
    with notes(quiet) as progress:
        found = compare(given["run"], names, chosen, progress)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(comparison_lines(found)))
