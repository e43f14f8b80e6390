"""Preference pairs for `selectit probe --pairs`: rows with planted defects, or two files' answers to one instruction.

python benchmarks/pairs.py planted DATA OUT              one defect a row, the kinds in turn
python benchmarks/pairs.py joined BETTER WORSE OUT       where both files answer the same instruction, otherwise
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.probing.defects import KINDS, has_response, keep_last, plant
from selectit.runs.source import create

ROWS = 200


def main(what: str, *paths: str) -> None:
    """Write the pairs as JSON Lines."""
    *files, out = paths
    pairs = planted(read(files[0])) if what == "planted" else joined(*map(read, files))
    lines = [json.dumps({"instruction": asked, "chosen": good, "rejected": bad}) for asked, good, bad in pairs]
    Path(out).write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} pairs: {out}")


def read(path: str) -> list[Sample]:
    """The last rated pair of each row that has a response."""
    with tempfile.TemporaryDirectory() as folder:
        run = create(path, Settings(run=f"{folder}/run"))
        samples = [each for start, stop in run.part_ranges() for each in run.samples(start, stop)]
    return [each for each in keep_last(samples) if has_response(each)]


def planted(samples: list[Sample]) -> list[tuple[str, str, str]]:
    """Of the first `ROWS` rows, a defect each: the kinds in turn, from the first that fits."""
    samples = samples[:ROWS]
    defects = {(each.of, each.kind): each for each in plant(samples, tuple(KINDS), 0)}
    kinds, found = list(KINDS), []
    for place, sample in enumerate(samples):
        order = kinds[place % len(kinds) :] + kinds[: place % len(kinds)]
        kind = next(kind for kind in order if (sample.row, kind) in defects)
        found.append((sample.instruction, sample.response, defects[sample.row, kind].response))
    return found


def joined(better: list[Sample], worse: list[Sample]) -> list[tuple[str, str, str]]:
    """The answers of two files to the same instruction, where they differ."""
    others = {each.instruction.strip(): each.response for each in worse}
    pairs = [(each.instruction, each.response, others.get(each.instruction.strip(), "")) for each in better]
    return [(asked, good, bad) for asked, good, bad in pairs if bad.strip() not in ("", good.strip())]


if __name__ == "__main__":
    main(*sys.argv[1:])
