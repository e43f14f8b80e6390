"""Which share of what a choice keeps is good, in a pool of which 40 % of the rows were made bad in eight ways.

    python examples/experiments/dirty_pool.py --alpaca alpaca.json --out dirty
    python benchmarks/dirty_pool.py dirty [--model smollm2]

The field `made` of the pool says what was done to a row; no choice reads it. The interval is Wilson's, of the share of
good rows among those that were kept; a random choice keeps 60 %. The second table says which share of each kind is kept
at 20 %.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import selectit
from selectit.numerics.statistics import wilson

BUDGETS = ("10%", "20%", "50%")
CHOICES: dict[str, dict[str, object]] = {
    "random": {"method": "random"},
    "length": {"method": "length"},
    "selectit (the paper's score)": {"method": "selectit"},
    "yes or no (log-odds)": {"method": "log-odds", "prompts": "yes-no"},
    "ifd": {"method": "ifd"},
    "perplexity": {"method": "perplexity"},
    "length, near-copies out": {"method": "length", "dedup": "near"},
    "selectit + ifd, by rank": {"method": "selectit", "combine": "selectit:1,ifd:1"},
    "yes or no, near-copies out": {"method": "log-odds", "prompts": "yes-no", "dedup": "near"},
}


def main() -> None:
    """Choose with each method and budget, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="smollm2")
    given = parser.parse_args()
    made = [json.loads(line)["made"] for line in (given.folder / "pool.jsonl").read_text().splitlines()]
    kinds = ["good", *sorted(set(made) - {"good"})]
    shares = []
    print(f"| share of good rows among the kept | {' | '.join(BUDGETS)} |\n|---|{'---|' * len(BUDGETS)}")
    for name, settings in CHOICES.items():
        cells = []
        for budget in BUDGETS:
            rows = choose(given.folder, given.model, budget, settings)
            kept = [made[row] for row in rows]
            share = wilson(kept.count("good"), len(kept))
            cells.append(f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})")
            if budget == "20%":
                shares.append((name, [kept.count(kind) / made.count(kind) for kind in kinds]))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print(f"\n| kept at 20 %, of | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
    for name, of_kind in shares:
        print(f"| {name} | {' | '.join(f'{share:.0%}' for share in of_kind)} |")


def choose(folder: Path, model: str, budget: str, settings: dict[str, object]) -> list[int]:
    """The rows that a choice keeps; what models answer is stored, so that each is asked once."""
    whole = selectit.Settings(
        model=(model,), run=str(folder / "run"), out=str(folder / "chosen.jsonl"), force=True, keep=budget, k=3,
        layout="sample-first", **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    return selectit.select(folder / "pool.jsonl", whole).selection.rows.tolist()


if __name__ == "__main__":
    main()
