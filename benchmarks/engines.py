"""The same rows and rating prompts through several engines: how fast each is, and how far apart their numbers are.

    python benchmarks/engines.py DATA [--engines hf,vllm] [--dtype fp32] [--limit 100] [--k 3] [--base-url URL]

The engine `server` needs the address of a server with the same model in the same dtype, started with

    python -m vllm.entrypoints.openai.api_server --model FOLDER --served-model-name smollm2 --dtype float32 \
        --max-model-len 2048 --enforce-eager --block-size 32 --port 8000

Each engine rates into a run directory of its own. The rate is from its first report of progress to its last: without
loading, and without the first piece of work, in which a model warms up. A second pass over the same rows is no measure:
vLLM finds whole texts in its prefix cache, so begin with a fresh server too.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import selectit
from selectit import Settings, prompts
from selectit.methods import selectit as method
from selectit.ratings import load_ratings, raters
from selectit.run import open_run
from selectit.selection import spearman

UNIT = 25


class Clock:
    """A `Progress` that notes when how many ratings were done."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def start(self, what: str, total: int, done: int) -> None:
        """Nothing is done yet."""

    def advance(self, ratings: float, tokens: int) -> None:
        """So many ratings more."""
        self.seen.append((time.perf_counter(), ratings))

    def finish(self) -> None:
        """All is noted."""

    @property
    def rate(self) -> float:
        """Ratings a second after the first piece."""
        return sum(ratings for _, ratings in self.seen[1:]) / (self.seen[-1][0] - self.seen[0][0])


@dataclass(frozen=True)
class Column:
    """What one engine did."""

    rate: float
    logprob: NDArray[np.float32]
    """(K, N, R)."""
    load: float
    """Load average of the machine when it began."""

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) sentence-level SelectIT, profile 'paper'."""
        return method.sentence_scores(method.token_scores(self.logprob).T, 0.2, len(self.logprob))


def settings_of(name: str, args: argparse.Namespace, run: Path) -> Settings:
    """What one engine is told. A further column is a further case here."""
    common = Settings(
        run=str(run), model=args.model, engine=name, k=args.k, limit=args.limit, max_tokens=1024, unit_size=UNIT
    )
    if name == "server":
        return dataclasses.replace(common, base_url=args.base_url, tokenizer=args.model)
    return dataclasses.replace(common, dtype=args.dtype)


def measure(name: str, args: argparse.Namespace, folder: Path) -> Column:
    """Rate with one engine."""
    clock, load = Clock(), os.getloadavg()[0]
    run = open_run(selectit.rate(args.data, settings_of(name, args, folder / name), clock))
    stored = load_ratings(run, raters(run), prompts.packaged().first(args.k))
    return Column(clock.rate, stored.logprob[:, 0].transpose(1, 0, 2), load)


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--engines", default="hf,vllm")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--base-url")
    args = parser.parse_args()
    columns: dict[str, Column] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.engines.split(","):
            columns[name] = measure(name, args, Path(folder))
            print(f"{name}: {columns[name].rate:.2f} prompts/s, load before {columns[name].load:.1f}", flush=True)
    first = next(iter(columns.values()))
    print(f"\n{args.model}, {args.dtype}, {args.limit} rows, {args.k} prompts\n")
    print("| engine | prompts/s | ratio |\n|---|---|---|")
    for name, column in columns.items():
        print(f"| {name} | {column.rate:.2f} | {column.rate / first.rate:.2f} |")
    print("\n| | Spearman of the sentence scores | largest difference in log-probability |\n|---|---|---|")
    for one, other in combinations(columns, 2):
        a, b = columns[one], columns[other]
        difference = np.abs(a.logprob - b.logprob).max()
        print(f"| {one}, {other} | {spearman(a.scores, b.scores):.4f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
