"""Choosing towards a target without a model: seconds of the choosers, and of DSIR's words and pairs.

    python benchmarks/targets.py [--rows 1000000] [--targets 150] [--keep 10000] [--texts alpaca.json]

The similarities are random numbers in float32. The texts are halves of two rows of an Alpaca file joined, so that no
two are alike; without a file they are drawn from a made-up vocabulary.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from pathlib import Path

import numpy as np

from selectit.numerics.choosers import CHOOSERS, choose_rows
from selectit.numerics.ngrams import BUCKETS, hash_texts, log_ratios


def main() -> None:
    """Measure and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--targets", type=int, default=150)
    parser.add_argument("--keep", type=int, default=10_000)
    parser.add_argument("--texts", type=Path)
    options = parser.parse_args()
    texts = make_texts(options.rows, options.texts)
    began, used = time.perf_counter(), time.process_time()
    pool = hash_texts(texts)
    pool.means(log_ratios(hash_texts(texts[:50]).counts(BUCKETS), pool.counts(BUCKETS), 1))
    show(f"dsir, {len(pool.bucket) / len(texts):.0f} words and pairs a row", began, used)
    del texts, pool
    alike = np.random.default_rng(0).random((options.targets, options.rows), dtype=np.float32)
    group = np.arange(options.targets) * 3 // options.targets
    for chooser in CHOOSERS:
        began, used = time.perf_counter(), time.process_time()
        choose_rows(alike, options.keep, group, chooser)
        show(chooser, began, used)


def make_texts(rows: int, file: Path | None) -> list[str]:
    """So many texts."""
    draw = random.Random(0)
    if file is None:
        words = ["".join(draw.choices("abcdefghij", k=draw.randint(2, 9))) for _ in range(50_000)]
        return [" ".join(draw.choices(words, k=70)) for _ in range(rows)]
    known = [f"{row['instruction']}\n{row.get('input', '')}\n{row['output']}" for row in json.loads(file.read_text())]
    pairs = (draw.choices(known, k=2) for _ in range(rows))
    return [first[: len(first) // 2] + second[len(second) // 2 :] for first, second in pairs]


def show(what: str, began: float, used: float) -> None:
    """Seconds by the clock and of the processor, and the most memory of the process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    print(f"{what:40} {seconds:7.1f} s, {processor:7.1f} of the processor, {peak:5.1f} GB", flush=True)


if __name__ == "__main__":
    main()
