"""Situations from the field: what the program is expected to do, and what it does.

    python benchmarks/cases.py FOLDER [NAME…]

FOLDER has a folder for each situation (its name begins with one of NAME, where some are given), with the data and
case.md: commands after '$ ', each with the output of an earlier version, and a section '## Expected'. Every command
is run in a copy of the folder, by the `selectit` of this Python; one that names data begins its run anew, since an
earlier one may have made a run of that name from other data. Nothing is decided here: the reader compares.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 300
BEGINS = re.compile(r"selectit (?:select|rate|probe) (?!-).*? --run ([\w.-]+)")
"""A command that begins a run of its own, and the run's name."""


def main(folder: Path, names: list[str]) -> None:
    """Run every situation and print what is expected and what happens."""
    for case in sorted(folder.glob("*/case.md")):
        if not names or case.parent.name.startswith(tuple(names)):
            print("=" * 100, run_case(case), sep="\n", flush=True)


def run_case(case: Path) -> str:
    """What is expected of a situation, then each of its commands with what it prints and its exit code."""
    text = case.read_text(encoding="utf-8")
    expected = text.partition("## Expected")[2].strip()
    commands = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    lines = [f"{case.parent.name}\n\nexpected: {expected}\n"]
    with tempfile.TemporaryDirectory() as place:
        here = Path(place) / "case"
        shutil.copytree(case.parent, here)
        with (here / "selectit").open("w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec "{sys.executable}" -m selectit "$@"\n')
        shutil.move(here / "selectit", Path(place) / "selectit")
        (Path(place) / "selectit").chmod(0o755)
        surroundings = {**os.environ, "PATH": f"{place}:{os.environ['PATH']}"}
        for command in commands:
            begins = BEGINS.match(command)
            if begins:
                shutil.rmtree(here / begins[1], ignore_errors=True)
            lines.append(f"$ {command}\n{run_command(command, here, surroundings)}\n".replace(place, "…"))
    return "\n".join(lines)


def run_command(command: str, here: Path, surroundings: dict[str, str]) -> str:
    """What a command prints, and its exit code."""
    try:
        done = subprocess.run(
            ["bash", "-c", command], cwd=here, env=surroundings, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"[no end after {SECONDS} seconds]"
    return f"{(done.stdout + done.stderr).decode(errors='replace')}[exit {done.returncode}]"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(str(__doc__))
    main(Path(sys.argv[1]), sys.argv[2:])
