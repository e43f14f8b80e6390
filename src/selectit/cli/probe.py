"""`selectit probe`: can this model tell good rows of my data from bad ones?"""

from __future__ import annotations

import dataclasses
from typing import Any

import cloup

from selectit.cli.options import COMMON, data_argument, options, split_names, to_settings
from selectit.cli.printing import print_json, say
from selectit.config.groups import (
    EngineOptions,
    ExecutionOptions,
    LoadingOptions,
    MethodOptions,
    ModelOptions,
    ParameterOptions,
    PlaceOptions,
    RatingOptions,
    ReadingOptions,
    SourceOptions,
)
from selectit.data.memory import Data


@cloup.command("probe")
@data_argument
@cloup.option_group(
    "The probe",
    cloup.option(
        "--methods",
        multiple=True,
        metavar="A,B,…",
        help="Several instead of --method, each NAME or 'NAME:parameter=value;parameter=value'; repeatable.",
    ),
    cloup.option(
        "--prompts",
        multiple=True,
        metavar="FILE",
        help="Rating prompts: a file, or default, aspects, yes-no; repeatable.",
    ),
    cloup.option("--sample", type=int, default=200, metavar="N", help="Rows, or pairs, to draw [200]."),
    cloup.option("--sample-seed", type=int, default=0, metavar="N", help="Of the drawing and planting [0]."),
    cloup.option(
        "--labelled",
        metavar="FIELD=VALUE",
        help="Your own labels instead of planted defects: what marks a good row; also FIELD>=NUMBER.",
    ),
    cloup.option(
        "--pairs",
        is_flag=True,
        help="DATA has two answers to a question, one of them preferred: count how many pairs a score wins. Rows with "
        "chosen and rejected are known; name other fields by --map instruction=…,chosen=…,rejected=… and, where a "
        "field says which won, label=… (1, 2) or strength=… (below 0: the first).",
    ),
)
@options(
    PlaceOptions, SourceOptions, ReadingOptions, RatingOptions, ModelOptions, EngineOptions, LoadingOptions,
    ExecutionOptions, MethodOptions, ParameterOptions, *COMMON, without=("prompts",),
)  # fmt: skip
def command(
    data: Data | None,
    methods: tuple[str, ...],
    prompts: tuple[str, ...],
    sample: int,
    sample_seed: int,
    labelled: str | None,
    pairs: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Plant defects in a sample of DATA, score the originals and the defects, and say which are told apart.

    Several models, prompt sets and methods stand in one table. Rate the whole data set with what works.
    """
    chosen = to_settings(given)
    from selectit.cli.progress import notes
    from selectit.probing.probe import probe
    from selectit.probing.report import probe_lines

    names = split_names(*methods)
    with notes(quiet) as progress:
        found = probe(data, chosen, names, prompts, sample, sample_seed, labelled, progress, pairs)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(probe_lines(found)))
