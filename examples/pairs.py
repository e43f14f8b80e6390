"""How often scores prefer a true response to its planted defect, by kind of defect, one score beside the other.

    python examples/pairs.py examples/demo.json RUN TITLE=SCORES [TITLE=SCORES …]

RUN is a run directory, SCORES a file name in its folder scores/, without the ending. A pair is two rows with the same
instruction and input, one of which names its kind of defect in the field `defect`. A coin is right in half of them.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq


def main(data: str, run: str, *columns: str) -> None:
    """Print the table: a line a kind of defect, a column a score."""
    rows = json.loads(Path(data).read_text(encoding="utf-8"))
    titles, names = zip(*(column.split("=", 1) for column in columns), strict=True)
    scores = [pq.read_table(Path(run) / "scores" / f"{name}.parquet")["score"].to_pylist() for name in names]
    true = {(row["instruction"], row["input"]): n for n, row in enumerate(rows) if not row["defect"]}
    pairs = [(row["defect"], true[row["instruction"], row["input"]], n) for n, row in enumerate(rows) if row["defect"]]
    sizes = Counter(kind for kind, _, _ in pairs)
    right = [Counter(kind for kind, good, bad in pairs if score[good] > score[bad]) for score in scores]
    lines = [(kind, sizes[kind], [count[kind] for count in right]) for kind in sorted(sizes)]
    lines.append(("all", sizes.total(), [count.total() for count in right]))
    print(" " * 16 + "".join(f"{title:>18}" for title in titles))
    for kind, size, counts in lines:
        print(f"{kind:16}" + "".join(f"{f'{count} of {size}':>18}" for count in counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
