"""The command that chooses again what a selection has chosen."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from selectit.config.groups import AmountOptions
from selectit.config.options import flag, names, options_of
from selectit.config.settings import Settings
from selectit.runs.run import Run
from selectit.runs.source import data_name
from selectit.selection.summary import Summary

ROWS = "@ROWS@"
"""In the place of the number of rows, in a command for any cut."""


def known_options(summary: Summary) -> Mapping[str, Any] | None:
    """What a selection was asked for; None where an older version, or one that knows more options, has stored it."""
    options = summary.options
    return options if options is not None and set(options) <= set(names(Settings)) else None


def to_flags(options: Mapping[str, Any]) -> list[str]:
    """Options by name as they are typed on a command line."""
    return list(_flags(options))


def _flags(options: Mapping[str, Any]) -> Iterator[str]:
    about = dict(options_of(Settings))
    for name, value in options.items():
        if isinstance(value, Mapping):
            for key, each in value.items():
                yield from (flag(name), f"{key}={each}")
        elif isinstance(value, list | tuple) and not about[name].separated:
            for each in value:
                yield from (flag(name), str(each))
        elif isinstance(value, list | tuple):
            yield from (flag(name), ",".join(map(str, value)))
        else:
            yield from (flag(name), *([] if value is True else [str(value)]))


def write_command(run: Run, options: Mapping[str, Any]) -> str:
    """The command that makes a selection of the run with these options; no model is asked."""
    return shlex.join(["selectit", "select", "--run", str(run.path), *to_flags(options)])


def write_row_command(run: Run) -> str:
    """The command that prints a row, whose number is to be added."""
    return shlex.join(["selectit", "show", str(run.path), "--row"])


def write_cut_command(run: Run, options: Mapping[str, Any]) -> str:
    """The same for the best ROWS, a text that a shell leaves alone and a number takes the place of.

    A least score goes, and so does --allow-fewer, since the number of rows alone decides now.
    """
    amounts = {name for name in names(AmountOptions) if name != "best_of"}
    others = {name: value for name, value in options.items() if name not in amounts}
    out = f"{data_name(str(run.manifest['data']))}.{ROWS}rows{run.manifest['suffix']}"
    return write_command(run, {**others, "keep": ROWS, "out": out})
