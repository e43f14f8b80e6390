"""Methods that tune a model on the way, on the same real rows: what each costs to choose, beside what tuning costs.

    python benchmarks/procedures.py DATA [--model smollm2] [--limit 300] [--keep 60] [--recipe small] [--target FILE]
                                    [--run DIR] [--only METHOD …]

Each method is one `selectit select` in a process of its own, in a run of its own, so that its seconds, CPU seconds and
memory are its own. Those that read gradients tune an adapter, by the recipe `brief-lora`; `less` and `gist` choose
towards the examples of --target, or else towards the 8 rows that follow those of --limit. Ends with a Markdown table:
seconds of tuning and of reading are those of timing.json, and the share is what choosing took beside an epoch of tuning
on all rows at the rate of the method's own trainings.
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

from rate import read

METHODS = {
    "delta-loss": ["share=0.2"],
    "mods-selfnll": ["epochs=1"],
    "ifd-pre": ["clusters=10", "each=5"],
    "diverse-evol": ["rounds=2", "epochs=1"],
    "tagcos": ["recipe=brief-lora", "clusters=10"],
    "less": ["recipe=brief-lora"],
    "gist": ["recipe=brief-lora"],
    "forgetting": ["rounds=2"],
}
"""With parameters that suit a few hundred rows and two cores; the dearest comes last."""
HEAD = "| method | passes a row | trainings | steps | tokens | tuning s | reading s | all s | CPU s | GiB | share |"
TOWARDS = ("less", "gist")
EXAMPLES = 8


@dataclass(frozen=True)
class Cost:
    """What one choice took."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    summary: dict[str, Any]
    run: Path

    def row(self, name: str) -> str:
        """A line of the table."""
        tunings, others = self.summary["tunings"], self.summary["others"]
        tuning = sum(self.seconds_of("", f"train {each['folder']}") for each in tunings)
        reading = sum(self.seconds_of(each["within"], f"{each['signal']}/{each['folder']}") for each in others)
        epoch = tuning / sum(each["rows_read"] for each in tunings) * self.summary["rows"]
        cells = (
            name,
            f"{sum(each['passes_per_row'] for each in others if not each['within'].startswith('targets'))}",
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

    def seconds_of(self, within: str, what: str) -> float:
        """By the timing of the run, or of one inside it."""
        return float(json.loads((self.run / within / "timing.json").read_text())[what]["seconds"])


def choose(data: Path, method: str, options: argparse.Namespace, run: Path) -> Cost:
    """Choose rows in a process of its own."""
    command = [sys.executable, "-m", "selectit", "select", str(data), "--method", method, "--model", options.model]
    command += ["--limit", str(options.limit), "--keep", options.keep, "--run", str(run), "--quiet", "--json"]
    command += ["--out", str(run.with_suffix(".json")), "--force", "--dtype", "fp32"]
    command += ["--target", str(options.target)] if method in TOWARDS else []
    for param in {"recipe": options.recipe, **dict(each.split("=") for each in METHODS[method])}.items():
        command += ["--param", "=".join(param)]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{method} failed")
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    return Cost(time.monotonic() - began, cpu, peak, json.loads(told)["summary"], run)


def write_target(data: Path, limit: int, path: Path) -> Path:
    """The rows that follow the first `limit` ones as examples of a target."""
    samples = [each for each in read(data, limit + EXAMPLES)[limit:] if each.response.strip()]
    path.write_text(
        "\n".join(json.dumps({"prompt": each.instruction, "completion": each.response}) for each in samples)
    )
    return path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--keep", default="60")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--target", type=Path, help="examples for less and gist")
    parser.add_argument("--run", type=Path, help="keep the run directories here")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        base = options.run or Path(folder)
        base.mkdir(parents=True, exist_ok=True)
        options.target = options.target or write_target(options.data, options.limit, base / "target.jsonl")
        lines = []
        for method in options.only:
            lines.append(choose(options.data, method, options, base / method).row(method))
            print(lines[-1], flush=True)
    print("\n".join(["", HEAD, "|---" * 11 + "|", *lines]))


if __name__ == "__main__":
    main()
