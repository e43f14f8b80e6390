"""What choosing costs once the embeddings are there: seconds and memory of every method that chooses by vectors.

    python benchmarks/sets.py [--rows 10000 100000 1000000] [--only kcenter …] [--most 3600] [--folder DIR]
    python benchmarks/sets.py --loss [--rows 50000]

The vectors are random, seeded, in groups of very different sizes, 384 dimensions, of length 1. 10,000 rows are chosen,
of 10,000 rows 1,000. Each method runs in a process and a thread of its own. Its seconds are the processor's, so that
other work on the machine hardly changes them; its peak memory counts the vectors too (1.5 GB of a million, and as much
again in the order of a draw). What a choice is worth is measured on 100,000 of a million rows. Of 10,000 rows also by
submodlib and apricot, where they are installed. `--loss` says what the short cuts that are taken with many rows lose
against exact answers, where those are still possible.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit import methods
from selectit.methods._base import ScoringMethod
from selectit.numerics import clusters, coverage, neighbours, subsets
from selectit.numerics.vectors import mean_squared_distance, similarity
from selectit.signals.arrays import Embeddings, Float64, Int64, Signals
from selectit.signals.rows import Rows

SPECS = (
    "kcenter",
    "facility-location",
    "qdit:quality=made-up",
    "superfiltering-d:score=made-up",
    "dpp",
    "herding",
    "kmeans",
    "knn",
    "deita:complexity=made-up;quality=made-up",
    "semdedup:score=made-up",
    "similarity:quality=made-up",
    "mmr:quality=made-up",
    "novelselect",
    "ltd",
    "lift:quality=made-up;length=made-up",
)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
RIVALS = ("submodlib facility location", "apricot facility location", "submodlib disparity-min (farthest first)")
WIDTH = 384
Vectors = NDArray[np.float32]


def made_up_vectors(rows: int, seed: int = 0) -> Vectors:
    """(rows, 384) in groups of about 200 rows, some of very many and most of few, some tight and some wide."""
    rng = np.random.default_rng(seed)
    groups = max(rows // 200, 20)
    centres = rng.normal(size=(groups, WIDTH)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    share = rng.pareto(1.5, groups) + 0.2
    vectors = np.empty((rows, WIDTH), dtype=np.float32)
    for at in range(0, rows, 50_000):
        part = vectors[at : at + 50_000]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32) * rng.uniform(0.015, 0.05, (len(part), 1))
        part += centres[rng.choice(groups, len(part), p=share / share.sum())]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def signals(vectors: Vectors) -> Signals:
    """As if these were the embeddings of so many rows, which a made-up score is known of."""
    count = len(vectors)
    digest = np.random.default_rng(1).integers(0, 2**63, (count, 2)).view("V16")[:, 0]
    rows = Rows(digest, np.zeros(count, np.int64), np.ones(count, np.int64))
    scores = {"made-up": np.random.default_rng(2).random(count)}
    return Signals(rows, {"embeddings": Embeddings(np.arange(count), vectors)}, stored_scores=scores)


def choose(spec: str, vectors: Vectors, n: int) -> Int64:
    """The rows that a method chooses."""
    method = methods.build(*methods.parse_spec(spec))
    if isinstance(method, ScoringMethod):
        return np.argsort(-method.score(signals(vectors)), kind="stable")[:n]
    return np.asarray(method.select(signals(vectors), n))


def choose_by_rival(name: str, vectors: Vectors, n: int) -> Int64:
    """The rows that another library chooses. Raises ImportError."""
    alike = similarity(vectors, "cosine01")(np.arange(len(vectors)))
    if name.startswith("apricot"):
        from apricot import FacilityLocationSelection

        return np.asarray(FacilityLocationSelection(n, metric="precomputed", optimizer="lazy").fit(alike).ranking)
    from submodlib import DisparityMinFunction, FacilityLocationFunction

    if "disparity" in name:
        gap = np.sqrt(np.maximum(2 - 2 * (2 * alike - 1), 0))
        made = DisparityMinFunction(n=len(vectors), mode="dense", sijs=1 - gap / gap.max())
        picked = made.maximize(n, optimizer="NaiveGreedy", show_progress=False)
    else:
        made = FacilityLocationFunction(n=len(vectors), mode="dense", separate_rep=False, sijs=alike)
        picked = made.maximize(n, optimizer="LazyGreedy", show_progress=False)
    return np.array([row for row, _ in picked])


def covered(vectors: Vectors, chosen: Vectors) -> Float64:
    """(N,) the largest cosine of each row to a chosen one."""
    best = np.full(len(vectors), -1.0)
    for at in range(0, len(vectors), 4096):
        best[at : at + 4096] = (vectors[at : at + 4096] @ chosen.T).max(axis=1)
    return best


def measure(spec: str, path: Path, n: int, most: int) -> dict[str, float]:
    """Seconds, peak memory in GB, and what the choice is worth: mean similarity and radius. In a process of its own."""
    vectors = np.load(path)
    began = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(began) + most, resource.RLIM_INFINITY))
    chosen = choose_by_rival(spec, vectors, n) if spec in RIVALS else choose(spec, vectors, n)
    seconds = time.process_time() - began
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    best = covered(vectors[:: max(len(vectors) // 100_000, 1)], vectors[chosen])
    radius = float(np.sqrt(max(2 - 2 * best.min(), 0)))
    found = {"seconds": seconds, "peak": peak, "chosen": len(chosen), "mean": float((1 + best).mean() / 2)}
    return {**found, "radius": radius}


def row(spec: str, path: Path, rows: int, n: int, most: int) -> str:
    """A line of the table; what takes more than `most` seconds of the processor is ended."""
    command = [sys.executable, __file__, "--one", spec, "--vectors", str(path), "--n", str(n), "--most", str(most)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
    if done.returncode == -signal.SIGXCPU:
        return f"| {spec} | {rows:,} | more than {most} | | | | |"
    if done.returncode:
        return f"| {spec} | {rows:,} | failed: {done.stderr.strip().splitlines()[-1]} | | | | |"
    found = json.loads(done.stdout)
    cells = (f"{found['seconds']:.1f}", f"{found['peak']:.1f}", f"{found['chosen']:,}")
    return f"| {spec} | {rows:,} | {' | '.join(cells)} | {found['mean']:.4f} | {found['radius']:.3f} |"


def table(sizes: list[int], only: list[str], most: int, folder: Path) -> None:
    """Measure and print."""
    print("| method | rows | seconds | peak GB | chosen | mean similarity | radius |\n|---|---|---|---|---|---|---|")
    for rows in sizes:
        path = folder / f"vectors-{rows}.npy"
        if not path.exists():
            np.save(path, made_up_vectors(rows))
        for spec in SPECS + (RIVALS if rows <= 10_000 else ()):
            if not only or spec.partition(":")[0] in only:
                print(row(spec, path, rows, min(10_000, rows // 10) if rows < 100_000 else 10_000, most), flush=True)


def timed(what: str, action: Callable[[], Any]) -> Any:
    """What the action gives; its seconds of the processor are printed."""
    began = time.process_time()
    found = action()
    print(f"{what}: {time.process_time() - began:.1f} s", flush=True)
    return found


def losses(rows: int) -> None:
    """The short cuts against exact answers on the same vectors, choosing a tenth and a hundredth."""
    vectors = made_up_vectors(rows)
    exact = timed("neighbours, exact", lambda: neighbours.nearest(vectors, 11)[1])
    neighbours.EXACT = 0
    found = timed("neighbours, through lists", lambda: neighbours.nearest(vectors, 11)[1])
    same = np.mean([len(np.intersect1d(a, b)) for a, b in zip(exact[::10], found[::10], strict=True)]) / 11
    print(f"  {same:.4f} of the 10 nearest found")
    for n in (rows // 100, rows // 10):
        print(f"choosing {n:,} of {rows:,}")
        _lose_coverage(vectors, n)
        _lose_clusters(vectors, n)
        _lose_novelty_and_mean(vectors, n)
        _lose_volume(vectors, min(n, 1000))


def _lose_coverage(vectors: Vectors, n: int) -> None:
    alike = similarity(vectors, "cosine01")
    chosen = timed("facility location, exact", lambda: coverage.facility_location(alike, len(vectors), n)[0])
    whole = (1 + covered(vectors, vectors[chosen])).sum()
    drawn = np.random.default_rng(3).permutation(len(vectors))[:n]
    print(f"  a random choice has {(1 + covered(vectors, vectors[drawn])).sum() / whole:.4f} of its sum")
    for k in (16, 64, 256):
        chosen = timed(f"facility location, {k} neighbours", lambda k=k: coverage.cover(vectors, n, "cosine01", k)[0])
        print(f"  {(1 + covered(vectors, vectors[chosen])).sum() / whole:.4f} of the exact sum")


def _lose_clusters(vectors: Vectors, n: int) -> None:
    limit, clusters._WHOLE = clusters._WHOLE, len(vectors) * n
    whole = timed("k-means, whole", lambda: clusters.k_means(vectors, n)[1].sum())
    clusters._WHOLE = limit if len(vectors) * n > limit else len(vectors) * n - 1
    levels = timed("k-means, two levels", lambda: clusters.k_means(vectors, n)[1].sum())
    clusters._WHOLE = limit
    print(f"  {levels / whole:.4f} times the sum of squares")


def _lose_novelty_and_mean(vectors: Vectors, n: int) -> None:
    dense = subsets.density(vectors, 10) ** 0.5
    found = timed("novelselect", lambda: subsets.novel_select(vectors, dense, n))
    if n <= 1000:  # all ranks of more take hours
        head, subsets._HEAD = subsets._HEAD, n
        whole = timed("novelselect, all ranks", lambda: subsets.novel_select(vectors, dense, n))
        subsets._HEAD = head
        print(f"  {len(np.intersect1d(found, whole)) / n:.4f} of the rows the same")
    window = subsets._WINDOW
    for subsets._WINDOW in (window, max(len(vectors) // 20, 1)):
        chosen = timed(f"herding, windows of {subsets._WINDOW:,}", lambda: subsets.herding(vectors, n))
        print(f"  {np.linalg.norm(vectors[chosen].mean(0) - vectors.mean(0)):.2e} from the mean")
    subsets._WINDOW = window


def _lose_volume(vectors: Vectors, n: int) -> None:
    width = mean_squared_distance(vectors)

    def volume(points: Vectors) -> float:
        """The logarithm of the determinant of what is chosen of these."""
        double = points.astype(np.float64)
        squares = np.einsum("ij,ij->i", double, double)

        def kernel(some: Int64, others: Int64 | slice) -> Float64:
            gap = squares[some, None] + squares[others] - 2 * double[some] @ double[others].T
            near: Float64 = np.exp(-np.maximum(gap, 0) / width)
            return near

        return float(np.log(subsets.dpp(kernel, np.ones(len(points)), n)[1]).sum())

    whole = timed(f"dpp of {n:,}, all rows", lambda: volume(vectors))
    few = timed("  of twice as many by k-center", lambda: volume(vectors[coverage.k_center(vectors, 2 * n)]))
    drawn = volume(vectors[np.random.default_rng(0).permutation(len(vectors))[: 2 * n]])
    print(f"  log determinant {whole:.1f}, {few:.1f} by k-center, {drawn:.1f} of a random draw of as many")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--only", nargs="+", default=[], help="methods by name")
    parser.add_argument("--most", type=int, default=3600, help="seconds of one method")
    parser.add_argument("--folder", type=Path, help="keep the vectors here")
    parser.add_argument("--loss", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--n", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.vectors, given.n, given.most)))
    elif given.loss:
        losses((given.rows or [50_000])[0])
    else:
        with tempfile.TemporaryDirectory() as folder:
            table(given.rows or [10_000, 100_000, 1_000_000], given.only, given.most, given.folder or Path(folder))


if __name__ == "__main__":
    main()
