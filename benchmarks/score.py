"""How long scoring takes without a model: 1,000,000 x 5 x 5 ratings at every level, and start-up of the command.

    python benchmarks/score.py [RUN_DIRECTORY]

With a rated run directory it also times `selectit select --run` as a whole process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from selectit.methods.selectit import LEVELS, SelectIT
from selectit.signals.arrays import Ratings, Signals
from selectit.signals.rows import Rows

N = 1_000_000
SELECTIT = str(Path(sys.executable).with_name("selectit"))


def main(run: str | None = None) -> None:
    """Print the figures."""
    rng = np.random.default_rng(0)
    logprob = np.log(rng.random((N, 1, 5, 5), dtype=np.float32) + 1e-3)
    zeros = np.zeros((N, 1, 5))
    rows = Rows(np.zeros(N, "V16"), np.zeros(N, np.int64), np.zeros(N, np.int64))
    ratings = Ratings(logprob, np.arange(N), zeros.astype(np.uint8), zeros.astype(np.int32), np.array([1]), ("one",))
    total = 0.0
    for level in LEVELS:
        began = time.perf_counter()
        SelectIT(level=level).score(Signals(rows, {"ratings": ratings}))
        seconds = time.perf_counter() - began
        total += seconds
        print(f"{N:,} x 5 x 5 ratings, level {level:12} {seconds:5.2f} s")
    print(f"all levels {total:.2f} s")
    print(f"selectit --help, whole process: {median_seconds([SELECTIT, '--help']):.2f} s")
    if run is not None:
        with tempfile.TemporaryDirectory() as folder:
            command = [SELECTIT, "select", "--run", run, "--alpha", "0.6", "--k", "3", "--keep", "10%"]
            command += ["--out", f"{folder}/out.json", "--force", "--quiet"]
            print(f"selectit select --run --no-report, whole: {median_seconds([*command, '--no-report']):.2f} s")
            print(f"selectit select --run, with its page: {median_seconds(command):.2f} s")


def median_seconds(command: list[str]) -> float:
    """Median of five whole-process times after one warm-up."""
    times = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
