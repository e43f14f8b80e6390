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
    rule: str | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Regress the loss of an experiment's models on the mean indicators of the random rows that they were tuned on.

    FILE, --data and --out are those of `selectit experiment`, which has to be finished for its random choice. The
    rule is written as a configuration of `selectit select`.
    """
    from selectit.cli.progress import notes
    from selectit.experiments import fit_rule as rules
    from selectit.experiments.load import load
    from selectit.experiments.rule_report import rule_lines

    loaded = load(file, data)
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
            rule=rule,
            settings={name: value for name, value in given.items() if value is not None},
            progress=progress,
        )
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        say("\n".join(rule_lines(found)))
