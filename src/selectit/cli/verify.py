"""`selectit verify`: whether every file of a run is as it was written."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click
import cloup

from selectit.cli.options import options
from selectit.cli.printing import print_json, say


@cloup.command("verify")
@click.argument("run", type=click.Path(path_type=Path))
@options("json")
def command(run: Path, as_json: bool) -> None:
    """Check every file of the run directory RUN, and say what to do about each that is bad.

    Exit code 1 where there is any. Nothing is changed.
    """
    from selectit.runs.verify import verify

    found = verify(run)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        for finding in found.findings:
            say(f"{finding.what}\n  {finding.remedy}")
        for finding in found.unfinished:
            say(f"{finding.what}\n  {finding.remedy}")
        older = f"; {found.older:,} of an older version have no sum and were only read" if found.older else ""
        say(f"{run}: {found.files:,} files, {len(found.findings):,} of them bad{older}")
    sys.exit(1 if found.findings else 0)
