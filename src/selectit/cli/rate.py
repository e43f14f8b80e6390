"""`selectit rate`: the only verb that loads a model without choosing."""

from __future__ import annotations

from typing import Any

import cloup

from selectit.cli.options import COMMON, data_argument, options, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import (
    CascadeOptions,
    EngineOptions,
    ExecutionOptions,
    LoadingOptions,
    ModelOptions,
    PlaceOptions,
    RatingOptions,
    ReadingOptions,
    ResumeOptions,
    SourceOptions,
    TargetOptions,
)
from selectit.data.memory import Data


@cloup.command("rate")
@data_argument
@options(
    PlaceOptions, SourceOptions, ReadingOptions, RatingOptions, CascadeOptions, ModelOptions, EngineOptions,
    LoadingOptions, ResumeOptions, ExecutionOptions, "method", "seed", "param", "combine", TargetOptions, "dedup", "by",
    "diversity", *COMMON,
)  # fmt: skip
def command(data: Data | None, as_json: bool, quiet: bool, **given: Any) -> None:
    """Rate DATA, or the run that --run names, and store the ratings.

    Only what is missing is computed: another model, more prompts, or what an interruption left. With --method,
    --combine, --dedup, --by or --diversity, what these read of a model is collected.
    """
    chosen = to_settings(given)
    from selectit.cli.progress import notes
    from selectit.selection.rate import rate

    with notes(quiet) as progress:
        run = rate(data, chosen, progress)
    if as_json:
        print_json({"run": run})
    else:
        say(f"run {run}")
