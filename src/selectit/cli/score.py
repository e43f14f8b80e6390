"""`selectit score`: scores from stored ratings."""

from __future__ import annotations

from typing import Any

import click
import cloup
import numpy as np

from selectit.cli.options import COMMON, options, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import (
    CombinationOptions,
    EngineOptions,
    MethodOptions,
    ModelOptions,
    ParameterOptions,
    PlaceOptions,
    RatingOptions,
)


@cloup.command("score")
@options(
    PlaceOptions,
    RatingOptions,
    EngineOptions,
    ModelOptions,
    MethodOptions,
    ParameterOptions,
    CombinationOptions,
    *COMMON,
)
def command(as_json: bool, quiet: bool, **given: Any) -> None:
    """Score the rows of a run. With --json, one object a row: row, score and what it was made of."""
    if given["run"] is None:
        raise click.UsageError("Name the run with --run DIR.")
    chosen = to_settings(given)
    from selectit.cli.progress import notes
    from selectit.selection.score import score

    with notes(quiet) as progress:
        scores = score(given["run"], chosen, progress)
    if as_json:
        names = list(scores.parts)
        columns = [scores.parts[name].tolist() for name in names]
        for row, (value, *parts) in enumerate(zip(scores.score.tolist(), *columns, strict=True)):
            print_json({"row": row, "score": value, **dict(zip(names, parts, strict=True))})
    else:
        present = scores.score[~np.isnan(scores.score)]
        spread = f", from {present.min():.4g} to {present.max():.4g}, mean {present.mean():.4g}" if len(present) else ""
        say(f"{scores.name}: {len(present):,} of {len(scores.score):,} rows scored{spread}")
