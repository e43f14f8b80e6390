"""Four scores, each alone and with three diversity steps, on the same real rows: what a step changes and costs.

    python benchmarks/diversity.py DATA [--model smollm2] [--limit 1000] [--k 3] [--keep 10%] [--pool 40%] [--run DIR]

The model and the encoder are asked once, and the rest is arithmetic on what they said. Each choice is measured by the
encoder's unit vectors: the mean distance of a kept row to the nearest other kept row, the Vendi score (Friedman and
Dieng, arXiv 2210.02410: how many rows unlike each other would be as diverse), and of 100 k-means clusters of all rows
how many have a kept row. The seconds are the processor's for the whole of `select` on what is stored.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

import selectit
from selectit.config.settings import Settings
from selectit.numerics.clusters import k_means
from selectit.numerics.diversity import vendi_score
from selectit.numerics.neighbours import knn_distance
from selectit.numerics.vectors import row_vectors, unit
from selectit.runs.run import open_run
from selectit.selection.collect import load_answers
from selectit.signals.arrays import Float32, Int64
from selectit.signals.requests import EmbeddingRequest

SCORES = ("selectit", "ifd", "perplexity:policy=low", "length")
STEPS = (None, "facility-location", "kcenter", "mmr")
CLUSTERS = 100


def choose(settings: Settings, score: str, step: str | None, folder: Path) -> tuple[Int64, float]:
    """The rows of a choice, and seconds."""
    name, _, parameters = score.partition(":")
    own = dataclasses.replace(
        settings,
        method=name,
        param=dict(each.split("=") for each in parameters.split(";") if each),
        diversity=step,
        pool=None if step is None else settings.pool,
        out=str(folder / f"{name}-{step}.json"),
    )
    began = time.process_time()
    return selectit.select(None, own).selection.rows, time.process_time() - began


def measure(vectors: Float32, rows: Int64, label: Int64) -> tuple[float, float, int]:
    """Mean distance to the nearest kept row, Vendi score, clusters with a kept row; (N, D) unit vectors."""
    kept = vectors[rows]
    return float(knn_distance(kept, 1).mean()), vendi_score(kept), len(set(label[rows]))


def table(settings: Settings) -> list[str]:
    """Lines of a Markdown table."""
    run = open_run(str(settings.run))
    vectors = unit(row_vectors(load_answers(run, EmbeddingRequest("both"), settings)[1], run.rows))
    label = k_means(vectors, CLUSTERS)[0]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        drawn = choose(settings, "random", None, Path(folder))
        lines.append(line("random", "", drawn, drawn[0], measure(vectors, drawn[0], label)))
        for score in SCORES:
            alone = choose(settings, score, None, Path(folder))
            for step in STEPS:
                found = alone if step is None else choose(settings, score, step, Path(folder))
                lines.append(line(score, step or "alone", found, alone[0], measure(vectors, found[0], label)))
    return lines


def line(score: str, step: str, found: tuple[Int64, float], alone: Int64, measured: tuple[float, float, int]) -> str:
    """A line of the table."""
    rows, seconds = found
    same = len(np.intersect1d(rows, alone)) / len(rows)
    distance, vendi, covered = measured
    return f"| {score} | {step} | {same:.0%} | {distance:.3f} | {vendi:.1f} | {covered} | {seconds:.2f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--k", type=int, default=3, help="rating prompts of selectit")
    parser.add_argument("--keep", default="10%")
    parser.add_argument("--pool", default="40%")
    parser.add_argument("--run", type=Path, help="keep the run directory here, and go on with it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or Path(folder) / "run"
        settings = Settings(
            run=str(run), model=args.model, k=args.k, diversity="kcenter", keep=args.keep, pool=args.pool
        )
        rated = dataclasses.replace(settings, limit=args.limit, combine=",".join(SCORES), keep=None, pool=None)
        selectit.rate(args.data, rated)
        print("| score | step | as the score alone | nearest kept | Vendi score | clusters | seconds |")
        print("|---|---|---|---|---|---|---|")
        print("\n".join(table(settings)))


if __name__ == "__main__":
    main()
