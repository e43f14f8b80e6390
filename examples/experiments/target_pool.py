"""Makes the data of target.toml: a mixed pool, and of each of three targets 50 examples and 100 held-out ones.

    python examples/experiments/target_pool.py --alpaca alpaca.json --dolly dolly.json --gsm8k gsm8k/train.jsonl \
        --tools toolcalls.json --bbh bbh --out target

The files are those that everyone has: Alpaca and Dolly with instruction, input and output; GSM8K's train.jsonl;
conversations in ShareGPT's layout with function_call turns and a field `tools`; BIG-Bench-Hard's folder of 27 JSON
files. The targets: GSM8K, BIG-Bench-Hard, and Dolly's questions about a passage. No row is in two of the files that are
written; which rows they are depends on the files that are read alone.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TARGETS = ("gsm8k", "bbh", "reading")
EXAMPLES, HELDOUT = 50, 100
POOL = {"alpaca": 500, "dolly": 200, "tools": 80, "gsm8k": 130, "bbh": 180, "reading": 110}
"""Rows of each kind in the pool."""

Row = dict[str, Any]


def main() -> None:
    """Read, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("alpaca", "dolly", "gsm8k", "tools", "bbh"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("target"))
    parser.add_argument("--share", type=float, default=1.0, help="Of the pool's rows, for a trial [1].")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    reading, dolly = split_reading(json.loads(given.dolly.read_text()))
    rows = {
        "alpaca": read_alpaca(json.loads(given.alpaca.read_text())),
        "dolly": dolly,
        "tools": read_tool_calls(given.tools),
        "gsm8k": read_gsm8k(given.gsm8k),
        "bbh": read_bbh(given.bbh),
        "reading": reading,
    }
    pool: list[Row] = []
    for source, some in rows.items():
        random.Random(f"selectit {source}").shuffle(some)
        if source in TARGETS:
            write(given.out / f"{source}.jsonl", some[:EXAMPLES])
            write(given.out / f"{source}-heldout.jsonl", some[EXAMPLES : EXAMPLES + HELDOUT])
            some = some[EXAMPLES + HELDOUT :]
        wanted = round(POOL[source] * given.share)
        if len(some) < wanted:
            raise SystemExit(f"{source}: {wanted} rows are wanted for the pool, and {len(some)} are left")
        pool += [{**row, "source": source} for row in some[:wanted]]
    random.Random("selectit pool").shuffle(pool)
    write(given.out / "pool.jsonl", pool)


def ask(question: str, answer: str, system: str = "") -> Row:
    """A question and its answer as messages."""
    before = [{"role": "system", "content": system}] if system else []
    return {"messages": [*before, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def read_alpaca(rows: Sequence[Row]) -> list[Row]:
    """Rows with an answer, each question once."""
    pairs = {"\n".join(filter(None, [row["instruction"], row.get("input")])): row["output"] for row in rows}
    return [ask(question, answer) for question, answer in pairs.items() if answer.strip()]


def split_reading(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Dolly's questions about a passage, and the others."""
    about = [row["category"] in ("closed_qa", "information_extraction") and bool(row["input"]) for row in rows]
    return tuple(  # type: ignore[return-value]
        read_alpaca([row for row, each in zip(rows, about, strict=True) if each == wanted]) for wanted in (True, False)
    )


def read_gsm8k(path: Path) -> list[Row]:
    """The worked answers as they are."""
    return [ask(row["question"], row["answer"]) for row in map(json.loads, path.read_text().splitlines())]


def read_tool_calls(path: Path) -> list[Row]:
    """Conversations up to their first call of a function, which is the answer."""
    found = {}
    for row in json.loads(path.read_text()):
        turns = row["conversations"]
        call = next((at for at, turn in enumerate(turns) if turn["from"] == "function_call"), 0)
        if call:
            roles = {"human": "user", "gpt": "assistant"}
            before = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in turns[:call]]
            system = {"role": "system", "content": f"You can call these functions: {row['tools']}"}
            answer = {"role": "assistant", "content": turns[call]["value"]}
            found[before[-1]["content"]] = {"messages": [system, *before, answer]}
    return list(found.values())


def read_bbh(folder: Path) -> list[Row]:
    """Questions of all tasks with their short answers."""
    files = sorted(folder.glob("*.json"))
    examples = [each for path in files for each in json.loads(path.read_text())["examples"]]
    return [ask(each["input"], each["target"]) for each in examples]


def write(path: Path, rows: Sequence[Row]) -> None:
    """As JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{path}: {len(rows):,} rows")


if __name__ == "__main__":
    main()
