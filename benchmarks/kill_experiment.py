"""Kill an experiment with SIGKILL at ten seeded moments, go on each time, and compare with one that was left alone.

    python benchmarks/kill_experiment.py [--seed 0]

At least three kills fall while rows are rated, three while a model is tuned, three while one is evaluated; a tiny
random model is made, so that all of that is real and short. An experiment is killed again and again until it comes to
its end, then another is begun, until there are kills enough. Each has to end with the same figures in every cell and
the same table, and must not do a finished step again: units of ratings, trainings, parts of an evaluation and cells
are as they were written first. Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

SELECTIT = str(Path(sys.executable).with_name("selectit"))
PHASES = ("rating", "training", "evaluating")
EACH, KILLS = 3, 10
ROWS, UNIT = 240, 20
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
unit_size = {unit}
[evaluation]
heldout = ["heldout.json", "others.json"]
[[choices]]
method = "random"
[[choices]]
method = "selectit:k=2"
[[choices]]
method = "expected-rating:k=3"
"""
Steps = dict[str, Any]
"""Finished steps, each with what changes where it is done again."""


def main() -> int:
    """Kill, go on and compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    draw = random.Random(parser.parse_args().seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, draw)
        whole = folder / "whole"
        if start(folder, whole).wait():
            raise SystemExit("the uninterrupted experiment failed")
        wanted = figures(whole)
        print(f"uninterrupted: {len(wanted)} figures, {time.monotonic() - began:.0f} s", flush=True)
        done: Counter[str] = Counter()
        experiments = 0
        while lacking(done):
            experiments += 1
            verdict = killed_to_the_end(folder, folder / f"killed-{experiments}", done, draw, wanted)
            print(f"experiment {experiments}: {verdict}", flush=True)
            if verdict != "equal":
                return 1
    each = ", ".join(f"{done[phase]} while {phase}" for phase in PHASES)
    print(
        f"{done.total()} kills of {experiments} experiments ({each}), {time.monotonic() - began:.0f} s: "
        "all end the same, no finished step was done again"
    )
    return 0


def lacking(done: Counter[str]) -> list[str]:
    """The phases in which kills are still wanted."""
    few = [phase for phase in PHASES if done[phase] < EACH]
    return few or list(PHASES) * (done.total() < KILLS)


def prepare(folder: Path, draw: random.Random) -> None:
    """Data, held-out data, a model and the experiment's file."""
    words = "red blue one two river stone light answer make find because under".split()
    for name, count in (("data", ROWS), ("heldout", 30), ("others", 30)):
        rows = [
            {"instruction": " ".join(draw.choices(words, k=6)), "output": " ".join(draw.choices(words, k=12))}
            for _ in range(count)
        ]
        (folder / f"{name}.json").write_text(json.dumps(rows))
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny import build_chat

    (folder / "e.toml").write_text(FILE.format(model=build_chat(folder / "tiny"), unit=UNIT))


def start(folder: Path, place: Path) -> subprocess.Popen[bytes]:
    """The command under test."""
    command = [SELECTIT, "experiment", "e.toml", "--data", "data.json", "--out", str(place), "--quiet"]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)


def killed_to_the_end(
    folder: Path, place: Path, done: Counter[str], draw: random.Random, wanted: dict[str, Any]
) -> str:
    """Type the command and kill it until it ends by itself: 'equal', or what is not. Kills are added to `done`."""
    finished: Steps = {}
    while True:
        process = start(folder, place)
        phase = kill(process, place, lacking(done), draw)
        now = steps(place)
        again = [name for name, mark in finished.items() if now.get(name) != mark]
        if again:
            return f"DONE TWICE: {again[:3]}"
        finished = now
        if phase is None:
            break
        if phase in PHASES:
            done[phase] += 1
            print(f"  kill {done.total():2} while {phase:10}: {len(finished):3} steps finished", flush=True)
    if process.returncode:
        return f"FAILED with {process.returncode}"
    found = figures(place)
    return "equal" if found == wanted else f"DIFFERENT: {[name for name in wanted if found.get(name) != wanted[name]]}"


def kill(process: subprocess.Popen[bytes], place: Path, phases: list[str], draw: random.Random) -> str | None:
    """Kill in one of the phases, at its first or second coming; the phase it was in. None where it ended before."""
    wanted = draw.choice(phases) if phases else ""
    coming, pause = draw.randint(1, 2), draw.random() * (0.1 if wanted == "rating" else 0.5)
    came, before = 0, ""
    while process.poll() is None:
        now = phase_of(place)
        came += now == wanted != before
        before = now
        if came == coming:
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return phase_of(place) if process.returncode == -signal.SIGKILL else None
        time.sleep(0.002)
    return None


def phase_of(place: Path) -> str:
    """What the experiment is doing, from what there is of it."""
    cells = {path.stem for path in place.glob("cells/*.json")}
    trained = {path.parent.name for path in place.glob("models/*/training.json")}
    if trained - cells:
        return "evaluating"
    if list(place.glob("models/*/work/begun.json")):
        return "training"
    units = len(list(place.glob("run/ratings/*/*/part-*")))
    of_k2, of_k3 = (k * ROWS // UNIT for k in (2, 3))
    return "rating" if 0 < units < of_k3 and units != of_k2 else "between"


def steps(place: Path) -> Steps:
    """What must not be done again: rated units, trainings, parts of an evaluation, cells."""
    patterns = ("run/ratings/*/*/part-*.parquet", "models/*/training.json", "cells/*.json")
    files = {path: path.stat().st_mtime_ns for pattern in patterns for path in place.glob(pattern)}
    parts = {
        f"{path.name}: {part['name']}": part["seconds"]
        for path in place.glob("evaluations/*.json")
        for part in json.loads(path.read_text())["parts"]
    }
    return {**{str(path.relative_to(place)): written for path, written in files.items()}, **parts}


def figures(place: Path) -> dict[str, Any]:
    """The table, and every cell, which is all that the tables are made of, without its seconds."""
    found: dict[str, Any] = {"results.tex": (place / "results.tex").read_text()}
    for path in place.glob("cells/*.json"):
        cell = json.loads(path.read_text())
        found[path.stem] = {key: value for key, value in cell.items() if "seconds" not in key}
    return found


if __name__ == "__main__":
    sys.exit(main())
