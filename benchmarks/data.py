"""Reading, checking, scoring without a model and writing: 1,000,000 generated Alpaca rows, time and peak memory.

    python benchmarks/data.py [--rows 1000000] [--folder DIR]

Each line is one whole process. Beside them: what `pandas.read_json` and `datasets` take to read the same JSON Lines,
where they are installed (`pip install pandas datasets`); they neither check nor write.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

SELECTIT = str(Path(sys.executable).with_name("selectit"))
PANDAS = "import pandas; print(len(pandas.read_json({path!r}, lines=True)))"
DATASETS = (
    "import datasets; "
    "print(len(datasets.load_dataset('json', data_files={path!r}, cache_dir={cache!r}, split='train')))"
)


def main() -> None:
    """Generate the rows, run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = generate(folder, options.rows)
        print(f"{options.rows:,} rows; {'what':44} {'seconds':>8} {'MB/s':>6} {'peak MB':>8}")
        for path in files:
            for method in ("length", "random"):
                run = str(folder / f"run-{path.name}")
                out = str(folder / f"out-{method}-{path.name}")
                command = [SELECTIT, "select", str(path), "--run", run, "--method", method, "--out", out, "--quiet"]
                again = ", run directory there" if method == "random" else ""
                measure(f"select --method {method} {path.name}{again}", command, path.stat().st_size)
            shutil.rmtree(folder / f"run-{path.name}")
        size = files[0].stat().st_size
        for library, code in (("pandas", PANDAS), ("datasets", DATASETS)):
            if importlib.util.find_spec(library) is None:
                print(f"{library} is not installed")
                continue
            script = code.format(path=str(files[0]), cache=str(folder / "cache"))
            measure(f"{library}: read {files[0].name}", [sys.executable, "-c", script], size)


def generate(folder: Path, rows: int) -> list[Path]:
    """The same rows as JSON Lines, gzip and Parquet."""
    draw = random.Random(0)
    words = [f"word{n}" for n in range(2000)]
    lines, packed, table = folder / "data.jsonl", folder / "data.jsonl.gz", folder / "data.parquet"
    with lines.open("w") as file:
        for number in range(rows):
            row = {
                "instruction": " ".join(draw.choices(words, k=10)),
                "input": " ".join(draw.choices(words, k=draw.choice((0, 0, 8)))),
                "output": " ".join(draw.choices(words, k=draw.randint(1, 60))),
                "id": number,
            }
            file.write(json.dumps(row) + "\n")
    with lines.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target)
    with pj.open_json(lines) as reader, pq.ParquetWriter(table, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=reader.schema))
    return [lines, packed, table]


def measure(what: str, command: list[str], size: int) -> None:
    """Run a process to its end and print its time, rate and peak memory."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise SystemExit(f"{what} failed")
    print(f"{what:62} {seconds:8.1f} {size / 1e6 / seconds:6.1f} {usage.ru_maxrss / 1024:8.0f}", flush=True)


if __name__ == "__main__":
    main()
