"""The data sets of the witness's cases."""

# ruff: noqa: E501

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from witness_keeping import ROOT


def rows(count: int = 60) -> list[dict[str, Any]]:
    """The first rows of the example, with fields that methods can read."""
    whole = json.loads((ROOT / "examples" / "demo.json").read_text())[:count]
    numbers = [len(row["output"]) % 7 / 2 for row in whole]
    return [
        {**row, "source": "abc"[at % 7 % 3], "score": number, "complexity": 6 - number, "quality": number + at % 3}
        for at, (row, number) in enumerate(zip(whole, numbers, strict=True))
    ]


def put(name: str, value: Any, indent: int | None = 1) -> None:
    """Write a JSON array, JSON Lines, a text or bytes, compressed as the name says."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, list):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in value)
        value = lines if ".jsonl" in name else json.dumps(value, indent=indent, ensure_ascii=False)
    data = value if isinstance(value, bytes) else value.encode()
    if name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    if name.endswith(".zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)


def talk(*turns: str) -> list[dict[str, str]]:
    """'user: text' as messages."""
    return [{"role": role, "content": text} for role, _, text in (turn.partition(": ") for turn in turns)]


TALKS = [
    {"id": 1, "messages": talk("system: Be brief.", "user: Name a fruit.", "assistant: An apple, for example.")},
    {"id": 2, "messages": talk("user: One?", "assistant: Uno.", "user: And two?", "assistant: Dos, of course, my friend.")},
    {"id": 3, "messages": talk("user: Grüße {name} 😀", "assistant: {x} a\u2028b\n")},
    {
        "id": 4,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, {"type": "image", "image": "x"}]},
            {"role": "assistant", "content": "A picture of a house."},
        ],
    },
    {
        "id": 5,
        "messages": [
            *talk("user: Who?"),
            {"role": "assistant", "content": "", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"q": 1}'}}]},
            {"role": "tool", "content": "nobody", "tool_call_id": "x"},
            *talk("assistant: Nobody that I know of."),
        ],
    },
    *({"id": 6 + n, "messages": talk(f"user: Question {n}?", f"assistant: {'word ' * (n + 1)}")} for n in range(7)),
]  # fmt: skip
SHAREGPT = [
    {"system": "Be brief.", "conversations": [{"from": "human", "value": "a?"}, {"from": "gpt", "value": "b b"}]},
    {"conversations": [{"from": "human", "value": "c?"}, {"from": "gpt", "value": "d"}] * 2},
    {"conversations": [{"from": "user", "value": "who?"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}, {"from": "observation", "value": "x"}, {"from": "gpt", "value": "he"}]},
]  # fmt: skip
LAYOUTS: dict[str, list[Any]] = {
    "alpaca": [{"instruction": f"q{n}", "input": "i" * (n % 2), "output": "w " * n + "w", "n": n} for n in range(6)],
    "sharegpt": SHAREGPT,
    "lima": [{"conversations": [f"q{n}", "w " * n + "w"], "source": "s"} for n in range(5)],
    "messages": TALKS,
    "prompt-completion": [
        {"prompt": "p", "completion": "c c"},
        {"prompt": talk("user: p"), "completion": talk("assistant: c d e")},
    ],
    "seed-tasks": [
        {"instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "1 2", "output": "3 or so"}]},
        {"instruction": "Say.", "instances": [{"input": "", "output": "yes"}]},
    ],
}
MAPPED = [{"q": {"text": f"q{n}"}, "context": "c" * (n % 2), "answers": [f"{'w ' * n}w", "other"]} for n in range(5)]
BAD = [
    {"instruction": "a", "output": "b b"}, {"instruction": 3, "output": "x"}, {"instruction": "x"}, [1, 2],
    {"instruction": "a\0", "output": "b"}, {"instruction": "c", "output": "d"}, {"instruction": "e", "output": None},
]  # fmt: skip
OWN = """from dataclasses import dataclass
from typing import ClassVar
import numpy as np

@dataclass(frozen=True)
class Brevity:
    \"\"\"The shortest responses.\"\"\"
    least: int = 3
    needs: ClassVar[tuple[str, ...]] = ("texts",)

    @property
    def label(self):
        return f"brevity-{self.least}"

    def score(self, signals):
        return np.array([-max(len(each.response.split()), self.least) for each in signals.texts], np.float64)

@dataclass(frozen=True)
class Every:
    n: int = 7
    needs: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = "every"

    def select(self, signals, budget):
        return np.arange(0, len(signals.rows), self.n)[:budget]

@dataclass(frozen=True)
class Stops(Brevity):
    def score(self, signals):
        raise KeyboardInterrupt

@dataclass(frozen=True)
class Breaks(Brevity):
    def score(self, signals):
        raise ZeroDivisionError("a bug")

class Nothing:
    pass
"""
