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
    TargetOptions,
)
from selectit.config.settings import Settings
from selectit.data.memory import Data
from selectit.errors import SettingsError

SAMPLE = 200


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
    cloup.option("--sample", type=int, default=SAMPLE, metavar="N", help=f"Rows, or pairs, to draw [{SAMPLE}]."),
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
    ExecutionOptions, MethodOptions, TargetOptions, ParameterOptions, "keep", *COMMON, without=("prompts",),
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

    With --target FILE: say whether what methods choose is nearer to held-out examples of FILE than random rows are.

    Several models, prompt sets and methods stand in one table. Rate the whole data set with what works.
    """
    chosen = to_settings(given)
    if chosen.target:
        if labelled is not None or pairs or prompts or sample != SAMPLE:
            raise SettingsError(
                "--labelled, --pairs, --prompts and --sample do nothing with --target", "Probe one after the other."
            )
        _probe_target(data, chosen, methods, sample_seed, as_json, quiet)
        return
    if chosen.keep is not None:
        raise SettingsError("--keep does nothing without --target: nothing is chosen", "Leave it out.")
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


def _probe_target(
    data: Data | None, chosen: Settings, methods: tuple[str, ...], seed: int, as_json: bool, quiet: bool
) -> None:
    from selectit.cli.progress import notes
    from selectit.probing.target import probe_target, target_lines

    with notes(quiet) as progress:
        found = probe_target(data, chosen, split_names(*methods), seed, progress)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(target_lines(found)))
