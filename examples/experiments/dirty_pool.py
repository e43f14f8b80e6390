"""Makes the data of dirty-pool.toml: real rows of which 40 % were made bad, and clean ones that are held out.

    python examples/experiments/dirty_pool.py --alpaca alpaca.json --out dirty

Eight ways in equal parts, as people meet them: the answer of another row, an answer that is cut, one as a bad machine
translation leaves it, boilerplate before and after, wrong numbers, a near-copy of a good row, an answer in another
language, and an empty one. The field `made` says which; no method reads it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

Row = dict[str, str]

ROWS, HELDOUT, BAD = 1200, 100, 0.4
GERMAN = (
    "Das ist eine gute Frage. Es kommt darauf an, was man damit erreichen will, und wie viel Zeit dafür zur Verfügung "
    "steht. Im Allgemeinen empfiehlt es sich, mit kleinen Schritten anzufangen und das Ergebnis zu prüfen."
)
BOILERPLATE = (
    "As an AI language model, I am here to help you with your request. ",
    " I hope this helps! Please let me know if you have any further questions. Subscribe to our newsletter for more.",
)


def main() -> None:
    """Read, draw, spoil and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alpaca", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("dirty"))
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = [row for row in json.loads(given.alpaca.read_text()) if len(row["output"].split()) >= 8]
    draw = random.Random("selectit dirty pool")
    draw.shuffle(rows)
    write(given.out / "heldout.jsonl", [{**row, "made": ""} for row in rows[:HELDOUT]])
    write(given.out / "pool.jsonl", spoil(rows[HELDOUT : HELDOUT + given.rows], draw))


def spoil(rows: Sequence[Row], draw: random.Random) -> list[Row]:
    """The rows with a field `made`: 'good', or in which way a row was made bad."""
    ways = list(WAYS)
    bad = round(BAD * len(rows))
    made = []
    for place, row in enumerate(rows):
        way = ways[place % len(ways)] if place < bad else ""
        good = draw.choice(rows[bad:])
        if way == "near-copy":
            row = {**good, "output": re.sub(r"\b(the|a)\b", "this", good["output"], count=2) + " That is all."}
        elif way:
            row = {**row, "output": WAYS[way](row["output"], good["output"], draw)}
        made.append({**row, "made": way or "good"})
    draw.shuffle(made)
    return made


def cut(answer: str, other: str, draw: random.Random) -> str:
    """The first third of the words."""
    words = answer.split(" ")
    return " ".join(words[: max(2, len(words) // 3)])


def translate(answer: str, other: str, draw: random.Random) -> str:
    """Without articles and forms of to be, and with neighbours exchanged here and there."""
    words = [word for word in answer.split() if word.lower() not in ("the", "a", "an", "is", "are", "was", "to", "of")]
    for place in range(0, len(words) - 1, 4):
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words)


def change_numbers(answer: str, other: str, draw: random.Random) -> str:
    """Every number another; of an answer without one the sum at its end is wrong."""
    changed = re.sub(r"\d+", lambda found: str(int(found[0]) + draw.randint(1, 9)), answer)
    return changed if changed != answer else f"{answer} In total: {draw.randint(2, 9)} + {draw.randint(2, 9)} = 97."


WAYS: dict[str, Callable[[str, str, random.Random], str]] = {
    "another row's answer": lambda answer, other, draw: other,
    "cut": cut,
    "bad translation": translate,
    "boilerplate": lambda answer, other, draw: f"{BOILERPLATE[0]}{answer}{BOILERPLATE[1]}",
    "wrong numbers": change_numbers,
    "near-copy": lambda answer, other, draw: answer,
    "another language": lambda answer, other, draw: GERMAN,
    "empty": lambda answer, other, draw: "",
}


def write(path: Path, rows: Sequence[Row]) -> None:
    """As JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{path}: {len(rows):,} rows")


if __name__ == "__main__":
    main()
