"""`selectit fit-rule`: your own rule for Instruction Mining."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import cloup

from selectit.cli.options import options, split_names
from selectit.cli.printing import print_json, say
from selectit.config.groups import ModelOptions


@cloup.command("fit-rule")
@click.argument("file", type=click.Path(path_type=Path))
@cloup.option_group(
    "The rule",
    cloup.option(
        "--indicators",
        required=True,
        metavar="A,B,…",
        help="Scoring methods, each NAME or 'NAME:parameter=value;parameter=value'.",
    ),
    cloup.option("--data", metavar="FILE", help="The data set, instead of the file's."),
    cloup.option("--out", metavar="DIR", help="The experiment's folder [selectit-experiments/<name of the file>]."),
    cloup.option(
        "--metric", default="", metavar="LINE", help="A line of the evaluation that is a loss [the only one]."
    ),
    cloup.option(
        "--drop", type=float, default=0.05, metavar="P", help="Drop indicators with a larger p-value; 1: none [0.05]."
    ),
    cloup.option(
        "--keep", metavar="AMOUNT", help="Choose so many rows by the rule, as 20% or 1000: selected.* in DIR."
    ),
    cloup.option("--rule", metavar="FILE", help="The rule to write (TOML), for --config [rule.toml in the folder]."),
    cloup.option("--model", metavar="NAME", help="The base model, of several [the only one]."),
    cloup.option("--choice", metavar="NAME", help="The random choice, of several [the only one]."),
    cloup.option("--budget", metavar="AMOUNT", help="Its budget, of several [the only one]."),
)
@options(ModelOptions, "json", "quiet")
def command(
    file: Path,
    data: str | None,
    out: str | None,
    indicators: str,
    metric: str,
    model: str | None,
    choice: str | None,
    budget: str | None,
    drop: float,
    keep: str | None,
    rule: str | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Tune models on random rows, regress their losses on the mean indicators of these rows, and choose by that rule.

    FILE, --data and --out are those of `selectit experiment`: what of its random choice is not finished is done first.
    Interrupt it at any moment and type it again. The rule is written as a configuration of `selectit select`; with
    --keep it chooses rows of the same data.
    """
    from selectit.cli.progress import notes
    from selectit.experiments.load import check_files, load

    loaded = load(file, data)
    check_files(loaded)  # what is missing is said before torch is imported, which takes seconds
    from selectit.experiments import fit_rule as rules
    from selectit.experiments.rule_report import rule_lines

    with notes(quiet) as progress:
        found = rules.fit_rule(
            loaded,
            out if out is not None else Path("selectit-experiments") / file.stem,
            split_names(indicators),
            metric=metric,
            model=model,
            choice=choice,
            budget=budget,
            drop=drop,
            keep=keep,
            rule=rule,
            settings={name: value for name, value in given.items() if value is not None},
            progress=progress,
        )
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(rule_lines(found)))
