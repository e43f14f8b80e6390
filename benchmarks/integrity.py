"""What sums and checks cost: the same commands by two versions of the program, in turns.

    python benchmarks/integrity.py BEFORE AFTER [ROUNDS]

BEFORE and AFTER are checkouts. Each command is a process; its processor seconds count, since the clock's depend on what
else the machine does. Printed are the medians over the rounds, and of the ratios within a round the median, the
least and the greatest. With one checkout given twice they show what is chance.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SELECTIT = str(Path(sys.executable).with_name("selectit"))
FAKE = ("--engine", "fake", "--model", "m", "--quiet")
COMMANDS = {
    "rate, made-up numbers, 20,000 rows": ("rate", "few.jsonl", *FAKE, "--k", "1", "--run", "new"),
    "score, 1,000,000 stored ratings": ("score", "--run", "rated", "--quiet"),
    "select --method length, 200,000 rows": (
        "select", "many.jsonl", "--method", "length", "--run", "new", "--out", "out.jsonl", "--force", "--quiet",
    ),
}  # fmt: skip


def main(before: str, after: str, rounds: str = "5") -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        versions = [
            (Path(version).resolve() / "src", Path(folder, name)) for version, name in ((before, "a"), (after, "b"))
        ]
        for source, place in versions:
            place.mkdir()
            write_rows(place / "few.jsonl", 20_000)
            write_rows(place / "many.jsonl", 200_000)
            seconds = run(source, place, ("rate", "many.jsonl", *FAKE, "--k", "5", "--run", "rated"))
            print(f"rated 200,000 rows under 5 prompts, {source}: {seconds:.1f} s", flush=True)
        for name, command in COMMANDS.items():
            times = [measure(versions, command, first=number % 2) for number in range(int(rounds) + 1)][1:]
            one, other = (statistics.median(each) for each in zip(*times, strict=True))
            ratios = [new / old - 1 for old, new in times]
            print(
                f"{name}: {one:.2f} s before, {other:.2f} s after, {statistics.median(ratios):+.1%} "
                f"(from {min(ratios):+.1%} to {max(ratios):+.1%})",
                flush=True,
            )


def measure(versions: Sequence[tuple[Path, Path]], command: Sequence[str], first: int) -> list[float]:
    """Processor seconds by each version, of which now one and now the other is first."""
    times = [0.0] * len(versions)
    for place in (first, 1 - first):
        times[place] = run(*versions[place], command)
    return times


def write_rows(path: Path, rows: int) -> None:
    """Write Alpaca rows of some 400 characters."""
    with path.open("w") as file:
        for n in range(rows):
            row = {"instruction": f"Question {n}?", "input": "", "output": f"word {n} " * (10 + n * 7 % 80)}
            file.write(json.dumps(row) + "\n")


def run(source: Path, place: Path, command: Sequence[str]) -> float:
    """Processor seconds of a command by the version in `source`; its run `new` is removed first."""
    subprocess.run(["rm", "-rf", "new"], cwd=place, check=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(source)}
    subprocess.run([SELECTIT, *command], cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
