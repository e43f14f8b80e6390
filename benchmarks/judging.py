"""What the packaged models can tell: the tables of docs/judging.md.

    python benchmarks/judging.py OUT DATA… [--model NAME…] [--sample 50] [--k 3] [--seed 0]

Probes every data set with every model by every rating, and prints Markdown: the share of pairs won, mean over the
kinds of defects, and the kinds that are detected. Then, for each model, the rating that is best on one half of the
rows of all data sets against the paper's on the other half. OUT keeps the runs: type it again and it goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import selectit
from selectit.numerics.statistics import Estimate, bootstrap_mean
from selectit.probing.defects import KINDS
from selectit.probing.measure import Probed, preference_table
from selectit.probing.probe import Probe
from selectit.probing.rows import draw_rows
from selectit.probing.verdicts import DETECTED, PREFERRED
from selectit.runs.run import open_run
from selectit.signals.arrays import Float64

PAPER = "selectit"
METHODS = (
    PAPER,
    "selectit:profile=official",
    "expected-rating",
    "expected-rating:alpha=0.2",
    "log-odds",
    "calibrated",
    "calibrated:by=batch",
    "contrast",
    "perplexity",
    "length",
)
YES_NO = ("expected-rating", "log-odds")


def main() -> None:
    """Probe and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--model", action="append")
    parser.add_argument("--sample", type=int, default=50)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for model in given.model or ["smollm2", "gemma3-270m"]:
        tables: dict[str, list[Float64]] = {}
        for data in given.data:
            settings = selectit.Settings(
                model=(model,), k=given.k, run=str(given.out / data.name.partition(".")[0]), accept_terms=True
            )
            asked = {"sample": given.sample, "seed": given.seed}
            found = selectit.probe(data, settings, METHODS, **asked)
            yes_no = selectit.probe(data, settings, YES_NO, ["yes-no"], **asked)
            named = [f"`{each}`" for each in METHODS] + [f"`{each}`, `--prompts yes-no`" for each in YES_NO]
            results = dict(zip(named, (*found.results, *yes_no.results), strict=True))
            print(f"\n### {model}, {data.name}: {found.rows} rows, K = {given.k}, seed {given.seed}\n")
            print("\n".join(markdown(results)), flush=True)
            for name, result in results.items():
                tables.setdefault(name, []).append(preferences(found, result, given))
        print(f"\n### {model}: picked on one half, told on the other\n")
        print("\n".join(halves(tables)), flush=True)


def markdown(results: dict[str, Probed]) -> list[str]:
    """A line for each rating, a column for each kind: pairs won, bold where detected, struck where inverted."""
    planted = {each.kind for result in results.values() for each in result.kinds}
    kinds = [kind for kind in KINDS if kind in planted]
    lines = [f"| rating | pairs won (95 %) | {' | '.join(kinds)} | mass | agree | length |"]
    lines.append("|---|---|" + "---|" * (len(kinds) + 3))
    for name, result in results.items():
        facts = {each.kind: each for each in result.kinds}
        cells = []
        for kind in kinds:
            mark = "**" if facts[kind].verdict == DETECTED else "~~" if facts[kind].verdict == PREFERRED else ""
            cells.append(f"{mark}{facts[kind].wins.value:.2f}{mark}")
        more = [figure(each) for each in (result.mass, result.agreement, result.length_correlation)]
        assert result.wins is not None
        lines.append(f"| {name} | {interval(result.wins)} | {' | '.join([*cells, *more])} |")
    return lines


def preferences(probe: Probe, result: Probed, given: argparse.Namespace) -> Float64:
    """(originals, KINDS) preferences of one rating; NaN for what is not planted."""
    rows = draw_rows(open_run(probe.folder.parent.parent), given.sample, given.seed)
    scores = pq.read_table(probe.folder / "run" / "scores" / f"{result.scores}.parquet")["score"].to_numpy()
    found = preference_table(scores, rows)
    table = np.full((len(found), len(KINDS)), np.nan)
    table[:, [n for n, kind in enumerate(KINDS) if any(row.kind == kind for row in rows)]] = found
    return table


def halves(tables: dict[str, list[Float64]]) -> list[str]:
    """The best rating on the even rows of all data sets, against the paper's on the odd ones, pair by pair."""
    pick = {each: np.concatenate([table[0::2] for table in some]) for each, some in tables.items()}
    tell = {each: np.concatenate([table[1::2] for table in some]) for each, some in tables.items()}
    ratings = [each for each in tables if not each.startswith(("`length", "`perplexity"))]
    paper = f"`{PAPER}`"
    best = max(ratings, key=lambda each: bootstrap_mean(used(pick[each]), 0).value)
    gain = bootstrap_mean(used(tell[best] - tell[paper]), 0)
    lines = [f"- {each}: {interval(bootstrap_mean(used(pick[each]), 0))} on the half that picks" for each in ratings]
    return [
        *lines,
        f"- picked: {best}; on the other half {interval(bootstrap_mean(used(tell[best]), 0))}, "
        f"the paper's {interval(bootstrap_mean(used(tell[paper]), 0))}, difference {interval(gain)}",
    ]


def used(table: Float64) -> Float64:
    """The kinds that are planted anywhere."""
    return table[:, ~np.isnan(table).all(axis=0)]


def interval(value: Estimate) -> str:
    """A figure with its interval."""
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def figure(value: float | None) -> str:
    """Two digits."""
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
