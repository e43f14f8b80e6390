"""Two Ray workers of one thread against one process of two threads, on the same cores and rows.

    python benchmarks/cluster.py DATA [--model smollm2] [--limit 200] [--k 1] [--unit-size 10] [--rounds 2]

They take turns, so that a machine which gets slower or faster treats them alike. Start-up (Ray, loading the model) is
apart from the rate; the rate is given by the clock, from the first unit handed out to the last one stored, and by the
time in which the engines were at work, which leaves out handing over, writing, and waiting for a worker that still
loads. (The file is not named ray.py, since then it would be what `import ray` finds.)
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import selectit
from selectit.config.settings import Settings
from selectit.progress import Silent
from selectit.runs.annotators import annotators
from selectit.runs.run import open_run
from selectit.runs.stored import load_arrays
from selectit.signals import prompts


class Clock(Silent):
    """When rating began and ended."""

    def __init__(self) -> None:
        self.called = time.perf_counter()

    def start(self, what: str, total: int, done: int) -> None:
        """Engines are loaded (of several workers the first)."""
        self.began = time.perf_counter()

    def finish(self) -> None:
        """Everything is stored."""
        self.ended = time.perf_counter()


def measure(data: str, run: Path, settings: Settings, workers: int) -> np.ndarray:
    """Rate into a fresh run, print the rates, return the log-probabilities."""
    load, clock = os.getloadavg()[0], Clock()
    selectit.rate(data, settings, clock)
    ended = time.perf_counter()
    opened = open_run(run)
    found = annotators(opened)
    timing = opened.timing()[f"ratings/{found[0].path.name}"]
    by_clock = clock.ended - clock.began
    at_work = timing["seconds"] / workers
    print(
        f"{settings.executor:5} {workers} x {found[0].manifest['settings']['threads']} threads: "
        f"start-up {clock.began - clock.called:5.1f} s, rating {by_clock:6.1f} s, end {ended - clock.ended:4.1f} s; "
        f"{timing['ratings'] / by_clock:5.2f} ratings/s by the clock, {timing['ratings'] / at_work:5.2f} at work "
        f"({at_work / by_clock:.0%} of the time); load before {load:.1f}",
        flush=True,
    )
    return load_arrays(opened, found, prompts.packaged().first(settings.k or 1)).logprob


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="at least --limit rows")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--k", type=int, default=1)
    parser.add_argument("--unit-size", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(2)
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            stored = []
            for executor, workers, cpus in (("local", None, None), ("ray", 2, 1)):
                run = Path(name, executor)
                settings = Settings(
                    model=args.model,
                    limit=args.limit,
                    k=args.k,
                    unit_size=args.unit_size,
                    run=str(run),
                    executor=executor,
                    workers=workers,
                    worker_cpus=cpus,
                )
                stored.append(measure(args.data, run, settings, workers or 1))
            differ = np.abs(np.exp(stored[0]) - np.exp(stored[1])).max()
            print(f"round {number + 1}: largest difference of a probability {differ:.1e}", flush=True)


if __name__ == "__main__":
    main()
