"""How often a score prefers a true response to its planted defect, by kind of defect.

    python examples/pairs.py examples/demo.json RUN_DIRECTORY [SCORES]

A pair is two rows with the same instruction and input, one of which has a kind of defect in the field `defect`. 50 %
is what a coin does.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq


def main(data: str, run: str, scores: str = "selectit-sentence-paper-k5-a0.2") -> None:
    """Print the table."""
    rows = json.loads(Path(data).read_text(encoding="utf-8"))
    score = pq.read_table(Path(run) / "scores" / f"{scores}.parquet")["score"].to_pylist()
    true = {(row["instruction"], row["input"]): n for n, row in enumerate(rows) if not row["defect"]}
    pairs: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for n, row in enumerate(rows):
        if row["defect"]:
            pairs[row["defect"]] += 1
            right[row["defect"]] += score[true[row["instruction"], row["input"]]] > score[n]
    for kind in [*sorted(pairs), "all"]:
        of, good = (pairs.total(), right.total()) if kind == "all" else (pairs[kind], right[kind])
        print(f"{kind:16} {good:2} of {of:2} pairs right")


if __name__ == "__main__":
    main(*sys.argv[1:])
