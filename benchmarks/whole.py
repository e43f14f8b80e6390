"""The whole job on real rows, from the file to the subset: time and peak memory of the whole process, and its growth.

    python benchmarks/whole.py DATA [--model smollm2] [--rows 1000,all] [--dtype auto]

Each line is one `selectit select` at sentence level, from nothing; where the seconds go is read from its timing.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SELECTIT = str(Path(sys.executable).with_name("selectit"))


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--rows", default="1000,all")
    parser.add_argument("--dtype", default="auto")
    given = parser.parse_args()
    print("| rows | kept | seconds | of them the engine | ratings/s | seconds per 1,000 rows | peak MB |")
    print("|---|---|---|---|---|---|---|")
    for rows in given.rows.split(","):
        with tempfile.TemporaryDirectory() as name:
            run, out = Path(name) / "run", Path(name) / "best.json"
            limit = [] if rows == "all" else ["--limit", rows]
            command = [SELECTIT, "select", str(given.data), "--model", given.model, "--dtype", given.dtype, *limit]
            began = time.perf_counter()
            process = subprocess.Popen([*command, "--run", str(run), "--out", str(out), "--quiet"])
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
            if status:
                raise SystemExit(f"{rows} rows failed")
            count = json.loads((run / "manifest.json").read_text())["rows"]
            [work] = json.loads((run / "timing.json").read_text()).values()
            kept, rate = len(json.loads(out.read_text())), work["ratings"] / work["seconds"]
            cells = (f"{count:,}", f"{kept:,}", f"{seconds:.0f}", f"{work['seconds']:.0f}", f"{rate:.1f}")
            peak = usage.ru_maxrss / 1024
            print(f"| {' | '.join(cells)} | {1000 * seconds / count:.0f} | {peak:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
