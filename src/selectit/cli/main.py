"""`selectit`: the group of verbs. Each verb's file is loaded when it is used, so that --help stays quick."""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from selectit._version import __version__
from selectit.errors import SelectitError

SECTIONS = {
    "The whole job": {
        "select": "Choose the best part of a data set: rate, score, choose, write.",
    },
    "Before you spend": {
        "plan": "Say what a rating will cost before it is begun.",
        "probe": "Find out whether a model can tell good rows of your data from bad ones.",
        "tune-prompts": "Pick the rating prompts that tell good from bad best.",
        "expand": "Have a model rewrite rows and add the new ones to the data.",
    },
    "Step by step": {
        "rate": "Ask a model for its ratings and store them.",
        "score": "Score a rated run; needs no model.",
        "compare": "Compare what several methods make of a rated run.",
        "show": "Show what a run holds, or all that is known of one row.",
        "verify": "Check that every file of a run is as it was written.",
    },
    "With what was chosen": {
        "export": "Write a selection as a training tool reads it.",
        "train": "Tune a model on a selection; needs the extra train.",
        "eval": "Evaluate models on benchmarks and held-out data.",
    },
    "Which choice was worth it": {
        "experiment": "Choose, tune and evaluate by several methods, and compare.",
        "fit-rule": "Fit Instruction Mining's rule to an experiment's random subsets.",
    },
    "What there is": {
        "methods": "List the methods of selection.",
        "models": "List and fetch the packaged models.",
    },
}
"""Every verb with its line of help, in the order of the work."""

VERBS = [verb for section in SECTIONS.values() for verb in section]

_USER_ERRNOS = {
    errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.ENOTDIR, errno.ENAMETOOLONG,
    errno.EFBIG, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EEXIST, errno.EISDIR, errno.ELOOP,
    errno.ENOTEMPTY, errno.ENXIO,
}  # fmt: skip


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return VERBS

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"selectit.cli.{name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, VERBS))  # one column for all sections
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(verb.ljust(width), what) for verb, what in verbs.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from selectit.errors import nearest

            raise click.UsageError(f"There is no command {args[0]!r}. {nearest(args[0], VERBS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, epilog="For example: selectit select data.json --model Qwen/Qwen2.5-7B-Instruct")
@click.version_option(__version__, prog_name="selectit")
def cli() -> None:
    """Choose the best part of an instruction-tuning data set with the tuned model's own uncertainty."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command. A user's error prints one message with a remedy and exits with 2; a bug keeps its traceback."""
    try:
        cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. What is finished is kept: type the same command to go on.", err=True)
        sys.exit(130)
    except SelectitError as error:
        fail(error.message, error.hint)
    except OSError as error:
        if error.errno not in _USER_ERRNOS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror}", "Make room or give access, and type the same command again: it goes on.")


def fail(message: str, hint: str) -> None:
    """Print an error with its remedy on stderr and exit with 2."""
    click.echo(click.style("error: ", fg="red", bold=True) + message, err=True)
    if hint:
        click.echo(hint, err=True)
    sys.exit(2)
