"""Kill an experiment with SIGKILL at ten seeded moments, go on each time, and compare with one that was left alone.

    python benchmarks/kill_experiment.py [--seed 0]

At least three kills fall while rows are rated, three while a model is tuned, three while one is evaluated; a tiny
random model is made, so that all of that is real and short. After each kill the same command has to end with the same
figures in every cell, and must not do a finished step again: units of ratings, trainings and cells keep their times of
writing. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SELECTIT = str(Path(sys.executable).with_name("selectit"))
WANTED = {"rating": 4, "training": 3, "evaluating": 3}
ROWS = 240
FILE = """
models = ["{model}"]
budgets = ["10%"]
seeds = [0]
recipe = "small"
keep_models = true
[recipe_changes]
steps = 20
batch_size = 4
max_tokens = 64
[settings]
unit_size = 20
[evaluation]
heldout = ["heldout.json"]
[[choices]]
method = "random"
[[choices]]
method = "selectit:k=2"
[[choices]]
method = "expected-rating:k=3"
"""


def main() -> int:
    """Kill, go on and compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    draw = random.Random(parser.parse_args().seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, draw)
        whole = folder / "whole"
        if start(folder, whole).wait():
            raise SystemExit("the uninterrupted experiment failed")
        wanted = figures(whole)
        print(f"uninterrupted: {len(wanted)} cells", flush=True)
        done: Counter[str] = Counter()
        while done.total() < sum(WANTED.values()):
            phase = next(p for p, n in WANTED.items() if done[p] < n)
            place = folder / f"kill-{done.total()}"
            finished = kill(folder, place, phase, draw)
            if finished is not None:
                verdict = go_on(folder, place, finished, wanted)
                print(
                    f"kill {done.total() + 1:2} while {phase:10}: {len(finished):3} files finished  {verdict}",
                    flush=True,
                )
                if verdict != "equal":
                    return 1
                done[phase] += 1
            shutil.rmtree(place)
    print(f"{done.total()} kills ({', '.join(f'{n} while {p}' for p, n in done.items())}): every one ends the same")
    return 0


def prepare(folder: Path, draw: random.Random) -> None:
    """Data, held-out data, a model and the experiment's file."""
    words = "red blue one two river stone light answer make find because under".split()
    for name, count in (("data", ROWS), ("heldout", 30)):
        rows = [
            {"instruction": " ".join(draw.choices(words, k=6)), "output": " ".join(draw.choices(words, k=12))}
            for _ in range(count)
        ]
        (folder / f"{name}.json").write_text(json.dumps(rows))
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny import build_chat

    (folder / "e.toml").write_text(FILE.format(model=build_chat(folder / "tiny")))


def start(folder: Path, place: Path) -> subprocess.Popen[bytes]:
    """The command under test."""
    command = [SELECTIT, "experiment", "e.toml", "--data", "data.json", "--out", str(place), "--quiet"]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)


def phase_of(place: Path) -> str:
    """What the experiment is doing, from what there is of it."""
    cells = {path.stem for path in place.glob("cells/*.json")}
    trained = {path.parent.name for path in place.glob("models/*/training.json")}
    if trained - cells:
        return "evaluating"
    if list(place.glob("models/*/work/begun.json")):
        return "training"
    parts = len(list(place.glob("run/ratings/*/*/part-*")))
    return "rating" if 0 < parts < 3 * ROWS // 20 and parts != 2 * ROWS // 20 else "between"


def kill(folder: Path, place: Path, phase: str, draw: random.Random) -> dict[Path, int] | None:
    """Kill in a phase, at its first, second or third coming; the finished files and their times. None if too late."""
    coming, pause = draw.randint(1, 3), draw.random() * 0.5
    process = start(folder, place)
    came, before = 0, ""
    while process.poll() is None:
        now = phase_of(place)
        came += now == phase != before
        before = now
        if came == coming or (phase == "rating" and came):
            time.sleep(pause * (0.2 if phase == "rating" else 1))
            hit = phase_of(place) == phase
            process.send_signal(signal.SIGKILL)
            process.wait()
            return finished_files(place) if hit else None
        time.sleep(0.002)
    return None


def finished_files(place: Path) -> dict[Path, int]:
    """What must not be written again: rated units, finished trainings, cells."""
    patterns = ("run/ratings/*/*/part-*.parquet", "models/*/training.json", "cells/*.json")
    return {path: path.stat().st_mtime_ns for pattern in patterns for path in place.glob(pattern)}


def go_on(folder: Path, place: Path, finished: dict[Path, int], wanted: dict[str, Any]) -> str:
    """Type the command again: 'equal', or what is not."""
    if start(folder, place).wait():
        return "FAILED"
    again = [path.name for path, written in finished.items() if path.stat().st_mtime_ns != written]
    if again:
        return f"DONE TWICE: {again[:3]}"
    found = figures(place)
    return "equal" if found == wanted else f"DIFFERENT: {[name for name in wanted if found.get(name) != wanted[name]]}"


def figures(place: Path) -> dict[str, Any]:
    """Every cell, which is all that the tables are made of, without its seconds."""
    found = {}
    for path in place.glob("cells/*.json"):
        cell = json.loads(path.read_text())
        found[path.stem] = {key: value for key, value in cell.items() if "seconds" not in key}
    return found


if __name__ == "__main__":
    sys.exit(main())
