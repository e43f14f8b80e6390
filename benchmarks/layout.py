"""The paper's layout against --layout sample-first on the same rows: speed, agreement, and where the time goes.

    python benchmarks/layout.py DATA [--model smollm2] [--limit 300] [--k 5] [--run DIR]

Each layout rates into the same run directory. The shares of the time are taken by clocks around the functions that make
token ids, run the model, and read and write the run; loading the model is not counted.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import selectit
from selectit.config.settings import Settings
from selectit.engines.hf.packing import Reader
from selectit.engines.texts import Texts
from selectit.inference import units as collect
from selectit.numerics.ranking import spearman
from selectit.runs.annotators import annotators
from selectit.runs.run import Run, open_run
from selectit.runs.stored import load_arrays
from selectit.signals import prompts, ratings

CLOCKS: tuple[tuple[Any, str, str], ...] = (
    (Reader, "packed", "model"),
    (Reader, "plain", "model"),
    (Reader, "begin", "model"),
    (Reader, "go_on", "model"),
    (Texts, "encode", "tokenising"),
    (Texts, "heads", "tokenising"),
    (Run, "samples", "reading"),
    (collect, "write_table", "writing"),
    (collect, "do_group", "all"),
)


@contextmanager
def clocked(seconds: Counter[str]) -> Iterator[None]:
    """Add the time spent in each function of CLOCKS to `seconds`."""
    originals = [(place, name, getattr(place, name)) for place, name, _ in CLOCKS]

    def timed(function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                seconds[what] += time.perf_counter() - began

        return run

    for (place, name, original), (_, _, what) in zip(originals, CLOCKS, strict=True):
        setattr(place, name, timed(original, what))
    from selectit.inference import units

    units.do_group = units.do_group  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for place, name, original in originals:
            setattr(place, name, original)
        units.do_group = units.do_group  # type: ignore[attr-defined]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--run", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = str(args.run or Path(folder) / "run")
        scores = {}
        for layout in ratings.LAYOUTS:
            seconds: Counter[str] = Counter()
            load = os.getloadavg()[0]
            settings = Settings(run=run, limit=args.limit, model=(args.model,), k=args.k, layout=layout)
            with clocked(seconds):
                selectit.rate(args.data, settings)
            scores[layout] = selectit.score(run, Settings(layout=layout, k=args.k)).score
            asked = prompts.changed(prompts.packaged(), None, False, layout).first(args.k)
            opened = open_run(run)
            tokens = load_arrays(opened, annotators(opened), asked).tokens
            number = tokens.size
            print(f"{layout}: {number} prompts, {tokens.sum()} tokens of text, load before {load:.1f}")
            if not seconds["all"]:
                print("  (stored already: not timed)")
                continue
            print(f"  {number / seconds['all']:.2f} prompts/s, {tokens.sum() / seconds['all']:.0f} tokens of text/s")
            rest = seconds["all"] - sum(seconds[what] for what in ("model", "tokenising", "reading", "writing"))
            for what, spent in (
                *((w, seconds[w]) for w in ("model", "tokenising", "reading", "writing")),
                ("rest", rest),
            ):
                print(f"  {what}: {spent:.1f} s, {spent / seconds['all']:.1%}")
        a, b = scores.values()
        fifth = max(len(a) // 5, 1)
        shared = len(set(np.argsort(-a)[:fifth]) & set(np.argsort(-b)[:fifth])) / fifth
        print(
            f"Spearman of the sentence scores {spearman(a, b):.3f}, shared of the best fifth {shared:.0%} (chance 20 %)"
        )


if __name__ == "__main__":
    main()
