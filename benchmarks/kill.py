"""Kill a run with SIGKILL at 20 seeded moments, resume it each time, and compare with an uninterrupted run.

    python benchmarks/kill.py [--model NAME] [--rows 3600] [--seed 0]

At least 12 kills fall while units are being written, 3 while the source is, 3 while scores or the subset are. After
each the finished units are counted; the same command then has to end with the same bytes in every file, and must not
write a finished unit again. Exit code 1 when anything differs. Without --model a tiny random model is made, so that
the loading and the engine are real and the run is short.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SELECTIT = str(Path(sys.executable).with_name("selectit"))
WANTED = {"source": 3, "units": 12, "results": 3}
KILLS = 20
ANY = "units"  # where the two kills over the wanted 18 go


def main() -> int:
    """Kill, resume and compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.json"
        write_rows(data, options.rows, draw)
        model = options.model or str(tiny_model(folder))
        whole, lengths = uninterrupted(folder / "whole", data, model)
        units = sum("ratings" in path and "part-" in path for path in whole)
        phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in lengths.items())
        print(f"uninterrupted: {units} units; {phases}", flush=True)
        done: Counter[str] = Counter()
        while done.total() < KILLS:
            phase = next((p for p, n in WANTED.items() if done[p] < n), ANY)
            moment = draw.random() * lengths[phase]
            place = folder / f"kill-{done.total()}"
            finished = kill(place, data, model, phase, moment)
            if finished is None:  # too late: it had gone on to the next phase
                shutil.rmtree(place)
                continue
            again = resume(place, data, model, finished)
            differing = [path for path in whole.keys() | again.keys() if whole.get(path) != again.get(path)]
            print(
                f"kill {done.total() + 1:2}: {moment:5.2f} s into {phase:7}  {len(finished):3} of {units} units were "
                f"finished  {'equal' if not differing else f'DIFFERENT: {sorted(differing)[:3]}'}",
                flush=True,
            )
            if differing:
                return 1
            done[phase] += 1
            shutil.rmtree(place)
    print(
        f"{KILLS} kills ({', '.join(f'{n} in {p}' for p, n in done.items())}): every resumed run equals the whole one"
    )
    return 0


def write_rows(path: Path, count: int, draw: random.Random) -> None:
    """An Alpaca file of made-up rows of many lengths."""
    words = "red blue one two river stone light answer make find because under".split()

    def text(most: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(1, most)))

    rows = [{"instruction": text(3), "input": "", "output": text(8)} for _ in range(count)]
    path.write_text(json.dumps(rows, indent=2))


def tiny_model(folder: Path) -> Path:
    """The tests' random model."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny import build

    return Path(build(folder / "tiny"))


def start(place: Path, data: Path, model: str) -> subprocess.Popen[bytes]:
    """The command under test."""
    command = [
        SELECTIT,
        "select",
        str(data),
        "--model",
        model,
        "--k",
        "2",
        "--unit-size",
        "400",
        "--batch-tokens",
        "16384",
        "--quiet",
    ]
    return subprocess.Popen([*command, "--run", str(place / "run"), "--out", str(place / "subset.json")])


def phase_of(place: Path, units: int) -> str:
    """What the run is doing, from what there is of it."""
    run = place / "run"
    if not (run / "manifest.json").exists():
        return "source" if (run / "source.partial").exists() or (run / "source").exists() else "before"
    parts = len(list(run.glob("ratings/*/prompt-*/part-*.parquet")))
    if parts == 0:
        return "loading"
    if parts < units:
        return "units"
    return "end" if (place / "subset.json").exists() else "results"


def uninterrupted(place: Path, data: Path, model: str) -> tuple[dict[str, bytes], dict[str, float]]:
    """The files of a whole run, and how long each of its phases took."""
    place.mkdir()
    rows = len(json.loads(data.read_text()))
    units = -(-rows // 400) * 2
    process = start(place, data, model)
    first: dict[str, float] = {}
    while process.poll() is None:
        first.setdefault(phase_of(place, units), time.monotonic())
        time.sleep(0.002)
    if process.returncode:
        raise SystemExit("the uninterrupted run failed")
    first.setdefault("end", time.monotonic())
    lengths = {
        "source": first["loading"] - first["source"],
        "units": first["results"] - first["units"],
        "results": first["end"] - first["results"],
    }
    return dict(files(place)), lengths


def kill(place: Path, data: Path, model: str, phase: str, moment: float) -> dict[Path, int] | None:
    """Kill a run `moment` seconds into a phase: the finished units with their times of writing; None if too late."""
    place.mkdir()
    rows = len(json.loads(data.read_text()))
    units = -(-rows // 400) * 2
    process = start(place, data, model)
    while phase_of(place, units) != phase and process.poll() is None:
        time.sleep(0.001)
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if process.returncode != -signal.SIGKILL or phase_of(place, units) != phase:
        return None
    return {path: path.stat().st_mtime_ns for path in (place / "run").glob("ratings/*/prompt-*/part-*.parquet")}


def resume(place: Path, data: Path, model: str, finished: dict[Path, int]) -> dict[str, bytes]:
    """The files after the same command was given again; a finished unit that was written again counts as different."""
    if start(place, data, model).wait():
        raise SystemExit("the resumed run failed")
    for path, time_of_writing in finished.items():
        if path.stat().st_mtime_ns != time_of_writing:
            raise SystemExit(f"{path} was finished and has been computed again")
    return dict(files(place))


def files(place: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a run and its subset, but for times and locks."""
    for path in sorted(place.rglob("*")):
        if path.is_file() and path.name not in ("timing.json", "report.html") and "locks" not in path.parts:
            yield str(path.relative_to(place)), path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
