"""Keeping what commands say and write, without what differs from one run to the next."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selectit.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
TEXTS = {".json", ".jsonl", ".toml", ".md", ".txt", ".csv", ".tex", ".html", ".svg", ".py", ".jinja", ""}


def in_tests(name: str) -> Path:
    """A file of the tests, wherever it is."""
    return next((ROOT / "tests").rglob(name))


# What differs from one run to the next though the program is the same

NUMBER = r"(?:\d[\d,]*(?:\.\d+)?(?:e-?\d+)?|\?)"
STEADY = (
    (r"TMPTMP\w{8}", "CWD"),  # of the recording that is reopened
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b20\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\+\d\d:\d\d|Z)?)?", "DATE"),
    (rf"{NUMBER} h {NUMBER} min|{NUMBER} min {NUMBER} s\b", "# s"),
    (rf"{NUMBER}(?= (?:s|ms|min|seconds?|minutes?|hours?)\b)", "#"),
    (rf"{NUMBER}(?= ?\w*/s\b| \w+ a second\b)", "#"),
    (r"<(svg|table)\b(?:(?!</\1>)[^\0])*?seconds to (?:choose|train)(?:(?!</\1>)[^\0])*</\1>", r"<\1 of seconds>"),
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
    if path.suffix in (".parquet", ".arrow"):
        try:
            read = pq.read_table if path.suffix == ".parquet" else _read_stream
            table = read(path)
        except pa.ArrowInvalid:  # a schema alone, or a broken file of a case
            return None
        rows = (json.dumps(row, ensure_ascii=False, default=plain) for row in table.to_pylist())
        return "\n".join([str(table.schema), *rows, ""])
    if path.suffix == ".gz" or path.suffix not in TEXTS:
        return None
    return steady(path.read_text(encoding="utf-8", errors="surrogateescape"))


def _read_stream(path: Path) -> pa.Table:
    return pa.ipc.open_stream(path.read_bytes()).read_all()


def plain(value: Any) -> str:
    """What JSON has no way to say, as a text."""
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
        title = steady(title)
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
        with contextlib.redirect_stdout(told[0]), contextlib.redirect_stderr(told[1]):
            try:
                call()
            except SystemExit as error:
                end = error.code
            except Exception as error:
                end = f"{type(error).__name__}: {error}"
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
