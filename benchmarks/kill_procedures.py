"""Kill methods that tune a model on the way with SIGKILL, go on each time, and compare with a choice left alone.

    python benchmarks/kill_procedures.py [--seed 0] [--only METHOD …]

Each method is killed at three seeded moments: while a model is tuned, while it reads (losses, states, gradients) or
answers, and anywhere; tiny random models are made, so that all of that is real and short. The same command then has to
end with the same rows and the same bytes in every file of the run but timing.json, the page that shows it, and the
cards of the tuned models, and must not do again what is finished: trainings and units are as they were written first.
Exit code 1 when anything differs.
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
from pathlib import Path

METHODS = {
    "diverse-evol": ["rounds=2", "epochs=2"],
    "mods-selfnll": ["epochs=2"],
    "mods": ["epochs=2", "quality=-9", "necessity=9", "tokens=8"],
    "ifd-pre": ["clusters=4", "each=5"],
    "delta-loss": ["share=0.3"],
    "forgetting": ["rounds=2"],
    "tagcos": ["epochs=2", "share=0.2", "clusters=5", "recipe=lora.toml"],
    "less": ["epochs=2", "warmup=0.2", "recipe=lora.toml"],
    "gist": ["epochs=2", "warmup=0.2", "recipe=lora.toml"],
}
OPTIONS = {
    "mods": ["--reward-model", "./reward", "--encoder", "./tiny"],
    "less": ["--target", "wanted.jsonl"],
    "gist": ["--target", "wanted.jsonl"],
}
PHASES = ("tuning", "reading", "anywhere")
ROWS, UNIT = 120, 10
RECIPE = "batch_size = 2\nmicro_batch = 1\nlearning_rate = 1e-3\nmax_tokens = 64\ngradient_checkpointing = false\n"


def main() -> int:
    """Kill, go on and compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    draw = random.Random(options.seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, draw)
        for method in options.only:
            whole = folder / f"{method}-whole"
            if start(folder, whole, method).wait():
                raise SystemExit(f"{method}, uninterrupted, failed")
            for phase in PHASES:
                verdict = killed_and_resumed(folder, folder / f"{method}-{phase}", method, phase, draw, whole)
                print(f"{method}, killed while {phase}: {verdict}", flush=True)
                if not verdict.startswith("equal"):
                    return 1
    print(
        f"{len(PHASES) * len(options.only)} kills, {time.monotonic() - began:.0f} s: all choose the same rows, nothing "
        "finished was done again"
    )
    return 0


def prepare(folder: Path, draw: random.Random) -> None:
    """Data, examples of a target, recipes and models."""
    words = "red blue one two river stone light answer make find because under".split()
    rows = [
        {
            "instruction": " ".join(draw.choices(words, k=5)),
            "output": " ".join(draw.choices(words, k=draw.randint(1, 20))),
        }
        for _ in range(ROWS)
    ]
    (folder / "data.json").write_text(json.dumps(rows))
    wanted = [{"prompt": f"Which {each}?", "completion": f"The {each} one."} for each in words]
    (folder / "wanted.jsonl").write_text("\n".join(map(json.dumps, wanted)))
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "lora.toml").write_text(RECIPE + "lora = 4\n")
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from tiny import build_chat, build_reward

    build_reward(folder / "reward", build_chat(folder / "tiny"))


def start(folder: Path, place: Path, method: str) -> subprocess.Popen[bytes]:
    """The command under test."""
    command = [sys.executable, "-m", "selectit", "select", "data.json", "--method", method, "--model", "./tiny"]
    command += ["--keep", "30", "--unit-size", str(UNIT), "--run", str(place), "--out", f"{place}.json", "--quiet"]
    for param in {"recipe": "recipe.toml", **dict(each.split("=") for each in METHODS[method])}.items():
        command += ["--param", "=".join(param)]
    command += OPTIONS.get(method, [])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_and_resumed(folder: Path, place: Path, method: str, phase: str, draw: random.Random, whole: Path) -> str:
    """Kill in a phase and type the command again: 'equal' with when it was killed, or what is not."""
    process = start(folder, place, method)
    when = kill(process, place, phase, draw)
    finished = steps(place)
    if start(folder, place, method).wait():
        return "FAILED"
    now = steps(place)
    again = [str(path) for path, written in finished.items() if now.get(path) != written]
    if again:
        return f"DONE TWICE: {again[:3]}"
    first, second = contents(whole), contents(place)
    differing = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    return f"DIFFERENT: {differing[:3]}" if differing else f"equal ({when}, {len(finished)} steps finished)"


def kill(process: subprocess.Popen[bytes], place: Path, phase: str, draw: random.Random) -> str:
    """Kill in the phase, or some time after the run began; what it was doing then."""
    pause = draw.random() * {"tuning": 0.3, "reading": 0.05, "anywhere": 3.0}[phase]
    while process.poll() is None and phase_of(place) != phase and not (phase == "anywhere" and place.exists()):
        time.sleep(0.001)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return f"killed while {phase_of(place)}" if process.returncode == -signal.SIGKILL else "it had ended"


def phase_of(place: Path) -> str:
    """What the run is doing, from what there is of it; unlike `glob`, `walk` passes over what goes away meanwhile."""
    files = {Path(folder): names for folder, _, names in os.walk(place)}
    if any("begun.json" in names for folder, names in files.items() if folder.match("tuned/*/work")):
        return "tuning"
    parts = [names for folder, names in files.items() if folder.parent.match("*-tuned-on-*")]
    counts = [sum(name.startswith("part-") for name in names) for names in parts]
    return "reading" if any(0 < count < ROWS // UNIT for count in counts) else "between"


def steps(place: Path) -> dict[Path, int]:
    """What must not be done again, and when it was written: trainings, units."""
    patterns = ("tuned/*/training.json", "**/part-*.parquet")
    return {path: path.stat().st_mtime_ns for pattern in patterns for path in place.glob(pattern)}


def contents(place: Path) -> dict[str, bytes]:
    """Every file of a run that must not differ."""
    paths = [path for path in place.rglob("*") if path.is_file()]
    inner = {path: path.relative_to(place) for path in paths}
    kept = [path for path in paths if not {"tuned", "locks", "timing.json"} & set(inner[path].parts)]
    kept = [path for path in kept if path.name != "report.html"]  # it shows times
    return {str(inner[path]): path.read_bytes() for path in kept}


if __name__ == "__main__":
    sys.exit(main())
