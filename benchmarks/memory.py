"""Does a long rating grow? Resident memory after every 256 rows under one prompt, read again and again or each once.

    python benchmarks/memory.py DATA [--same] [--model smollm2] [--dtype auto] [--times 14]

DATA is an Alpaca file. With --same the first 256 rows are rated every time.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import psutil

from rate import read
from selectit.engines.hf import engine as hf_engine
from selectit.models import resolve
from selectit.signals import prompts

ROWS = 256


def main() -> None:
    """Rate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--same", action="store_true")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--times", type=int, default=14)
    given = parser.parse_args()
    samples = read(given.data, ROWS * given.times)
    engine = hf_engine.load(resolve.resolve(given.model).path, dtype=given.dtype, max_tokens=2048)
    prompt, began = prompts.packaged().first(1), time.perf_counter()
    for number in range(given.times):
        start = 0 if given.same else number * ROWS
        engine.rate(prompt, samples[start : start + ROWS], lambda done, tokens: None)
        memory = psutil.Process().memory_info().rss / 1e6
        print(f"{(number + 1) * ROWS:,} rows, {time.perf_counter() - began:.0f} s: {memory:,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
