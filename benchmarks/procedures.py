"""Methods that tune a model on the way, on the same real rows: what each costs to choose, beside what tuning costs.

    python benchmarks/procedures.py DATA [--model smollm2] [--limit 300] [--keep 60] [--recipe small] [--run DIR]
                                    [--only METHOD …]

Each method is one `selectit select` in a process of its own, in a run of its own, so that its seconds, CPU seconds and
memory are its own. Ends with a Markdown table: seconds of tuning and of reading are those of timing.json, and the
share is what choosing took beside an epoch of tuning on all rows at the rate of the method's own trainings.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

METHODS = {
    "delta-loss": ["share=0.2"],
    "mods-selfnll": ["epochs=1"],
    "ifd-pre": ["clusters=10", "each=5"],
    "diverse-evol": ["rounds=2", "epochs=1"],
    "tagcos": ["rounds=2", "share=0.1", "clusters=10"],
    "forgetting": ["rounds=2"],
}
"""With parameters that suit a few hundred rows and two cores; the dearest comes last."""
HEAD = "| method | passes a row | trainings | steps | tokens | tuning s | reading s | all s | CPU s | GiB | share |"


@dataclass(frozen=True)
class Cost:
    """What one choice took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    summary: dict[str, Any]
    timing: dict[str, dict[str, float]]

    def row(self, name: str) -> str:
        """A line of the table."""
        tunings, others = self.summary["tunings"], self.summary["others"]
        tuning = sum(self.timing[f"train {each['folder']}"]["seconds"] for each in tunings)
        spent = [self.timing[f"{each['signal']}/{each['folder']}"] for each in others]
        reading = sum(each["seconds"] for each in spent)
        epoch = tuning / sum(each["rows_read"] for each in tunings) * self.summary["rows"]
        cells = (
            name,
            f"{sum(each['passes_per_row'] for each in others)}",
            f"{len(tunings)} on {', '.join(str(each['rows']) for each in tunings)}",
            f"{sum(each['steps'] for each in tunings)}",
            f"{sum(each['tokens'] for each in tunings):,}",
            f"{tuning:.0f}",
            f"{reading:.0f}",
            f"{self.seconds:.0f}",
            f"{self.cpu_seconds:.0f}",
            f"{self.peak_bytes / 2**30:.1f}",
            f"{(tuning + reading) / epoch:.2f}",
        )
        return f"| {' | '.join(cells)} |"


def choose(data: Path, method: str, options: argparse.Namespace, run: Path) -> Cost:
    """Choose rows in a process of its own."""
    command = [sys.executable, "-m", "selectit", "select", str(data), "--method", method, "--model", options.model]
    command += ["--limit", str(options.limit), "--keep", options.keep, "--run", str(run), "--quiet", "--json"]
    command += ["--out", str(run.with_suffix(".json")), "--force", "--dtype", "fp32"]
    for param in [f"recipe={options.recipe}", *METHODS[method]]:
        command += ["--param", param]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{method} failed")
    timing = json.loads((run / "timing.json").read_text())
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    return Cost(time.monotonic() - began, cpu, peak, json.loads(told)["summary"], timing)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--keep", default="60")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--run", type=Path, help="keep the run directories here")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = options.run or Path(folder)
        base.mkdir(parents=True, exist_ok=True)
        lines = []
        for method in options.only:
            lines.append(choose(options.data, method, options, base / method).row(method))
            print(lines[-1], flush=True)
    print("\n".join(["", HEAD, "|---" * 11 + "|", *lines]))


if __name__ == "__main__":
    main()
