"""Reading, checking, scoring without a model and writing: 1,000,000 generated rows, time and peak memory.

    python benchmarks/data.py [--rows 1000000] [--turns 3] [--kinds jsonl …] [--folder DIR]

Each line is one whole process; with several turns all take turns, and the median stands. No page is written
(`--no-report`). Beside them: what `pandas.read_json` and `datasets` take to read the same JSON Lines, where they are
installed; they neither check nor write.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

KINDS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet", "sharegpt.jsonl")
PANDAS = "import pandas; print(len(pandas.read_json({path!r}, lines=True)))"
DATASETS = (
    "import datasets; "
    "print(len(datasets.load_dataset('json', data_files={path!r}, cache_dir={cache!r}, split='train')))"
)


def main() -> None:
    """Generate the rows, run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = generate(folder, options.rows, options.kinds)
        taken: dict[str, list[tuple[float, float]]] = {}
        for _ in range(options.turns):
            for what, command in commands(folder, files):
                if what.startswith("select --method length"):
                    shutil.rmtree(folder / "run", ignore_errors=True)
                shutil.rmtree(folder / "cache", ignore_errors=True)
                taken.setdefault(what, []).append(measure(what, command))
        print(f"{options.rows:,} rows, median of {options.turns}; {'what':40} {'seconds':>8} {'peak MB':>8}")
        for what, found in taken.items():
            seconds, memory = (statistics.median(each) for each in zip(*found, strict=True))
            print(f"{what:70} {seconds:8.1f} {memory:8.0f}", flush=True)


def commands(folder: Path, files: list[Path]) -> list[tuple[str, list[str]]]:
    """What is measured: a first selection of each file, another on its run, and other libraries that read one."""
    found = []
    for path in files:
        for method, note in (("length", ""), ("random", ", run directory there")):
            line = [
                "select",
                str(path),
                "--run",
                str(folder / "run"),
                "--method",
                method,
                "--quiet",
                "--force",
                "--no-report",
            ]
            out = str(folder / f"out.{path.name}")
            found.append(
                (f"select --method {method} {path.name}{note}", [sys.executable, "-m", "selectit", *line, "--out", out])
            )
    for library, code in (("pandas", PANDAS), ("datasets", DATASETS)):
        lines = next((path for path in files if path.name == "data.jsonl"), None)
        if lines is not None and importlib.util.find_spec(library) is not None:
            script = code.format(path=str(lines), cache=str(folder / "cache"))
            found.append((f"{library}: read {lines.name}", [sys.executable, "-c", script]))
    return found


def generate(folder: Path, rows: int, kinds: list[str]) -> list[Path]:
    """The same rows as JSON Lines, gzip, zstd and Parquet, and as conversations of three questions."""
    draw = random.Random(0)
    words = [f"word{n}" for n in range(2000)]
    lines, talks = folder / "data.jsonl", folder / "data.sharegpt.jsonl"
    with lines.open("w") as file, talks.open("w") as conversations:
        for number in range(rows):
            row = {
                "instruction": " ".join(draw.choices(words, k=10)),
                "input": " ".join(draw.choices(words, k=draw.choice((0, 0, 8)))),
                "output": " ".join(draw.choices(words, k=draw.randint(1, 60))),
                "id": number,
            }
            file.write(json.dumps(row) + "\n")
            if "sharegpt.jsonl" in kinds:
                turns = [
                    {"from": who, "value": row[what]} for who, what in (("human", "instruction"), ("gpt", "output"))
                ]
                conversations.write(json.dumps({"id": str(number), "conversations": turns * 3}) + "\n")
    files = {kind: folder / f"data.{kind}" for kind in kinds}
    if "jsonl.gz" in kinds:
        with lines.open("rb") as source, gzip.open(files["jsonl.gz"], "wb", compresslevel=1) as packed:
            shutil.copyfileobj(source, packed)
    if "jsonl.zst" in kinds:
        with lines.open("rb") as source, pa.CompressedOutputStream(str(files["jsonl.zst"]), "zstd") as packed:
            shutil.copyfileobj(source, packed)
    if "parquet" in kinds:
        with pj.open_json(lines) as reader, pq.ParquetWriter(files["parquet"], reader.schema) as writer:
            for batch in reader:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=reader.schema))
    return list(files.values())


def measure(what: str, command: list[str]) -> tuple[float, float]:
    """Seconds and peak MB of a process from its start to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{what} failed")
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
