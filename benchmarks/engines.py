"""The same rows and rating prompts through several engines: how fast each is, and how far apart their numbers are.

    python benchmarks/engines.py DATA [--engines hf,ray,vllm,server] [--dtypes fp32,bf16] [--limit 100] [--k 2]

`ray` is the engine `hf` on a Ray that is started here, `server` has a vLLM server behind it, also started here:

    make .venv-engines/done
    .venv-engines/bin/pip install -c constraints.txt ray
    .venv-engines/bin/python benchmarks/engines.py alpaca.json

Each engine rates into a run directory of its own, in a process of its own. The rate is from its first report of
progress to its last: without loading, and without the first piece of work, in which a model warms up. A second pass
over the same rows is no measure: vLLM finds whole texts in its prefix cache.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import selectit
from selectit.config.settings import Settings
from selectit.methods import selectit as method
from selectit.models import resolve
from selectit.numerics import label_probs
from selectit.numerics.ranking import spearman
from selectit.runs.annotators import annotators
from selectit.runs.run import open_run
from selectit.runs.stored import load_arrays
from selectit.signals import prompts

UNIT = 25
VLLM_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
SERVED_WITH = ("--hf-overrides", '{"head_dtype": "float32"}', "--kv-cache-memory-bytes", str(4 * 2**30))
"""What the engine `vllm` does by itself: logits rounded to bf16 are up to 0.1 off."""


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
        return label_probs.sentence_scores(method.token_scores(self.logprob).T, 0.2, len(self.logprob))

    def rank(self, other: Column) -> float:
        """Spearman of the sentence scores."""
        return spearman(self.scores, other.scores)

    def apart(self, other: Column) -> float:
        """Largest difference of a log-probability."""
        return float(np.abs(self.logprob - other.logprob).max())


@contextlib.contextmanager
def served(model: str, dtype: str) -> Iterator[str]:
    """The address of a vLLM server with the model that runs inside the `with` statement."""
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    from vllm_server import free_url, serve

    with serve(resolve.resolve(model).path, model, free_url(), VLLM_DTYPES[dtype], *SERVED_WITH) as url:
        yield url


def measure(name: str, dtype: str, args: argparse.Namespace, folder: Path) -> Column:
    """Rate with one engine. A further column is a further case here."""
    common = Settings(
        run=str(folder / f"{name}-{dtype}"),
        model=args.model,
        k=args.k,
        limit=args.limit,
        max_tokens=1024,
        unit_size=UNIT,
    )
    if name == "server":
        with served(args.model, dtype) as url:
            return rated(args, dataclasses.replace(common, engine=name, base_url=url, tokenizer=args.model))
    if name == "ray":
        return rated(args, dataclasses.replace(common, engine="hf", executor="ray", dtype=dtype))
    return rated(args, dataclasses.replace(common, engine=name, dtype=dtype))


def rated(args: argparse.Namespace, settings: Settings) -> Column:
    """Rate and read what is stored."""
    clock, load = Clock(), os.getloadavg()[0]
    run = open_run(selectit.rate(args.data, settings, clock))
    stored = load_arrays(run, annotators(run), prompts.packaged().first(args.k))
    return Column(clock.rate, stored.logprob[:, 0].transpose(1, 0, 2), load)


def show(columns: dict[str, Column], exact: Column) -> None:
    """Print the table of one dtype; `exact` is the first engine in the first dtype."""
    name, first = next(iter(columns.items()))
    print(f"| engine | prompts/s | ratio | apart from {name} | ranks as {name} | ranks as {name} in the first dtype |")
    print("|---|---|---|---|---|---|")
    for each, column in columns.items():
        speed = f"{column.rate:.2f} | {column.rate / first.rate:.2f}"
        own = "| " if column is first else f"{column.apart(first):.1e} | {column.rank(first):.4f}"
        print(f"| {each} | {speed} | {own} | {column.rank(exact):.4f} |")
    pairs = list(combinations(columns.values(), 2))
    if pairs:
        print(
            f"\nOf any two engines: ranks {min(one.rank(other) for one, other in pairs):.4f} or more, "
            f"log-probabilities {max(one.apart(other) for one, other in pairs):.1e} or less apart.",
            flush=True,
        )


def main() -> None:
    """Measure, and print a table for each dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--engines", default="hf,ray,vllm,server")
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--k", type=int, default=2)
    args = parser.parse_args()
    exact = None
    with tempfile.TemporaryDirectory() as folder:
        for dtype in args.dtypes.split(","):
            columns: dict[str, Column] = {}
            for name in args.engines.split(","):
                # Threads and environment variables that one engine sets are not for the next.
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    columns[name] = pool.submit(measure, name, dtype, args, Path(folder)).result()
                print(f"{name}: {columns[name].rate:.2f} prompts/s, load before {columns[name].load:.1f}", flush=True)
            exact = exact or next(iter(columns.values()))
            print(f"\n{args.model}, {dtype}, {args.limit} rows, {args.k} prompts\n")
            show(columns, exact)


if __name__ == "__main__":
    main()
