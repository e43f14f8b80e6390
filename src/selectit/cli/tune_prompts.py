"""`selectit tune-prompts`: pick the rating prompts that tell good from bad best."""

from __future__ import annotations

import dataclasses
from typing import Any

import cloup

from selectit.cli.options import COMMON, data_argument, options, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import (
    EngineOptions,
    ExecutionOptions,
    LoadingOptions,
    PlaceOptions,
    RatingOptions,
    ReadingOptions,
    SourceOptions,
)
from selectit.data.memory import Data


@cloup.command("tune-prompts")
@data_argument
@cloup.option_group(
    "The picking",
    cloup.option("--out", required=True, metavar="FILE", help="The prompt file to write (TOML), for --prompts."),
    cloup.option("--k", type=int, default=5, metavar="K", help="How many of the pool (--prompts) to pick [5]."),
    cloup.option(
        "--sample", type=int, default=200, metavar="N", help="Rows to draw: half to pick by, half to measure on [200]."
    ),
    cloup.option("--sample-seed", type=int, default=0, metavar="N", help="Of the drawing and planting [0]."),
)
@options(
    PlaceOptions,
    SourceOptions,
    ReadingOptions,
    RatingOptions,
    EngineOptions,
    LoadingOptions,
    ExecutionOptions,
    "force",
    *COMMON,
    without=("k",),
)
def command(
    data: Data | None, out: str, k: int, sample: int, sample_seed: int, as_json: bool, quiet: bool, **given: Any
) -> None:
    """Pick K prompts of a pool by what they detect among defects planted in a sample of DATA.

    What they are worth is measured on rows that had no part in the picking.
    """
    chosen = to_settings(given)
    from selectit.cli.progress import notes
    from selectit.probing import tune_prompts

    with notes(quiet) as progress:
        found = tune_prompts.tune_prompts(data, out, chosen, k, sample, sample_seed, progress)
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    figures = {"picked": found.wins, f"the first {k} of the pool": found.first, "difference": found.gain}
    say(f"wrote {found.out}: {len(found.prompts)} of {len(found.alone)} prompts")
    say("pairs won on rows that had no part in the picking, with 95 % intervals:")
    for name, figure in figures.items():
        say(f"  {name}: {figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})")
    if found.gain.low <= 0:
        say("The interval of the difference includes 0: the picked prompts are not shown to be better.")
