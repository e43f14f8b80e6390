"""Damage every kind of file of a run directory in every way, and see what each verb makes of it.

    python tests/faults/faults.py [SEED] [FAULTS]     all of it; exit code 1 where a fault goes unnoticed

A fault may change nothing, be mended (the same bytes come out), or end in a message that names the file and exit code 1
or 2; timing.json alone may be lost, since it decides nothing. It may not be silent (exit code 0, another result, and no
word of the file), end in a traceback, hang, or end the process. Everything runs in this process with the fake engine:
its death would be seen by whoever started it.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from damages import DAMAGES, READ_ERROR, SYSTEM, as_nobody, damage, kind_of, system

from selectit import atomic_files
from selectit.cli.main import main
from selectit.runs import run as run_module

ROWS, UNIT, PART = 36, 8, 16
SECONDS = 30
"""A verb that takes longer hangs: it takes a tenth of a second."""

RATERS = ("--engine", "fake", "--model", "m", "--model", "n", "--k", "2")
CASCADE = ("--cascade", "50%", "--cascade-k", "1", "--k", "2", "--keep", "5")
TOKENS = ("--method", "length", "--param", "unit=tokens", "--model", "m")
VERBS = {
    "select": ("select", "--run", "RUN", "--k", "2", "--out", "out.json", "--rest", "rest.json"),
    "select-signals": ("select", "--run", "RUN", "--combine", "knn:1,alpagasus:1,ifd:1", "--out", "out.json"),
    "select-tokens": ("select", "--run", "RUN", *TOKENS, "--out", "out.json"),
    "select-data": ("select", "DATA", "--run", "RUN", *RATERS, "--unit-size", "8", "--out", "out.json"),
    "cascade": ("select", "--run", "RUN", "--model", "m", *CASCADE, "--out", "out.json"),
    "rate-data": ("rate", "DATA", "--run", "RUN", *RATERS, "--unit-size", "8"),
    "rate-cascade": ("select", "DATA", "--run", "RUN", "--engine", "fake", "--model", "m", *CASCADE, "--out", "o.json"),
    "rate": ("rate", "--run", "RUN", "--k", "2", "--method", "knn"),
    "score": ("score", "--run", "RUN", "--k", "2", "--json"),
    "compare": ("compare", "--run", "RUN", "--methods", "selectit,knn,random", "--k", "2", "--json"),
    "show": ("show", "RUN"),
    "show-row": ("show", "RUN", "--row", "9", "--json"),
    "verify": ("verify", "RUN"),
    "export": ("export", "RUN", "--selection", "chosen", "--to", "trl", "--out", "out", "--with-scores"),
    "export-table": ("export", "RUN", "--selection", "longest", "--to", "parquet", "--out", "out"),
    "probe": ("probe", "--run", "RUN", "--sample", "20", "--methods", "length", "--json"),
    "plan": ("plan", "DATA", "--run", "RUN", "--engine", "fake", "--model", "m", "--k", "2", "--json"),
}  # fmt: skip
"""What is typed; RUN and DATA are put in."""


@dataclass(frozen=True)
class Told:
    """What a verb did."""

    code: int | str
    """The exit code, or the traceback."""
    said: str
    noted: str
    wrote: dict[str, bytes]

    @property
    def result(self) -> tuple[object, ...]:
        """What has to be the same where nothing is said."""
        return self.code, self.said, self.wrote


class Base:
    """Two whole run directories, and what the verbs make of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [
            {"instruction": f"Question {n}?", "input": "", "output": " ".join(["word"] * (1 + n * 7 % 11)), "id": n}
            for n in range(ROWS)
        ]
        (folder / "data.json").write_text(json.dumps([*rows[:20], {"instruction": "bad"}, *rows[20:]], indent=1))
        pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
        self.runs = {}
        for name in ("data.json", "data.parquet"):
            run = folder / f"run-{name[5:]}"
            self._make(name, run)
            self.runs[name] = run
        self.files = {name: sorted(_files(run)) for name, run in self.runs.items()}
        self.whole: dict[tuple[str, str], Told] = {}

    def _make(self, data: str, run: Path) -> None:
        os.chdir(self.folder)
        bad = ["--bad-rows", "skip"] if data == "data.json" else []
        to = [data, "--run", str(run), "--unit-size", "8", *bad]
        both = ["--quiet", "--out", str(self.folder / "made"), "--force"]
        for options in (
            [*RATERS, "--keep", "5", "--name", "chosen"],
            [*RATERS, "--method", "knn", "--encoder", "e"],
            [*RATERS, "--method", "alpagasus", "--judge", "gpt-3.5-turbo", "--min-score", "1"],
            ["--engine", "fake", "--model", "m", "--method", "ifd"],
            ["--engine", "fake", *TOKENS, "--keep", "4", "--name", "longest"],
            ["--engine", "fake", "--model", "m", *CASCADE],
        ):
            made = _run(["select", *to, *options, *both])
            assert made.code == 0, made.noted
        probed = _run(["probe", "--run", str(run), "--sample", "20", "--methods", "length", "--quiet"])
        assert probed.code == 0, probed.noted
        (run / "timing.json").write_text("{}\n")  # else what is shown differs from time to time

    def told(self, verb: str, data: str) -> Told:
        """What the verb makes of the whole run, made once."""
        if (verb, data) not in self.whole:
            with self.copy(data) as run:
                self.whole[verb, data] = self.run(verb, data, run)
            assert self.whole[verb, data].code == 0, (verb, self.whole[verb, data].code, self.whole[verb, data].noted)
        return self.whole[verb, data]

    @contextlib.contextmanager
    def copy(self, data: str):
        """A copy of a run in an empty folder that becomes the working folder."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            shutil.copytree(self.runs[data], place / "run")
            shutil.copy(self.folder / data, place / data)
            os.chdir(place)
            yield Path("run")
        finally:
            os.chdir(self.folder)
            shutil.rmtree(place)

    def run(self, verb: str, data: str, run: Path) -> Told:
        """The verb over a run in the working folder."""
        put = {"RUN": str(run), "DATA": data}
        arguments = [put.get(each, each) for each in VERBS[verb]]
        if "DATA" in VERBS[verb] and data == "data.json":
            arguments += ["--bad-rows", "skip"]
        if data == "data.parquet":
            arguments = [each.replace(".json", ".parquet") for each in arguments]
        return _run(arguments)


def _files(run: Path) -> list[str]:
    return [
        path.relative_to(run).as_posix()
        for path in run.rglob("*")
        if path.is_file() and "locks" not in path.relative_to(run).parts
    ]


def _run(arguments: list[str]) -> Told:
    """The command in this process, with what it wrote into the working folder."""
    atomic_files.remove_leftovers.cache_clear()
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    code: int | str = 0
    signal.signal(signal.SIGALRM, _hang)
    signal.alarm(SECONDS)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = 0 if end.code is None else end.code
        except BaseException:
            code = traceback.format_exc()
        finally:
            signal.alarm(0)
            out.flush()
    wrote = {
        path.as_posix(): path.read_bytes()
        for path in sorted([*Path().glob("*.json"), *Path().glob("*.parquet"), *Path().glob("out/**/*")])
        if path.is_file()
    }
    return Told(
        code, _steady(out.buffer.getvalue().decode()), err.getvalue(), {k: _undated(v) for k, v in wrote.items()}
    )


def _hang(*_: object) -> None:
    raise TimeoutError(f"no answer within {SECONDS} seconds")


def _steady(text: str) -> str:
    """Without durations."""
    text = re.sub(r'("[\w]*(?:seconds|per_second|peak|bytes)[\w]*": )[-\d.e+]+', r"\1#", text)
    # Where it took no time at all there is no rate.
    return re.sub(r",? ?[\d.,]+ (rows|tokens)/s|  about .* s instead of .*\n", "", text)


def _undated(content: bytes) -> bytes:
    return re.sub(rb"(?m)^- made on: .*$|^- date: .*$", b"", content)


@dataclass(frozen=True)
class Outcome:
    """What came of a fault."""

    fault: str
    verb: str
    what: str
    """'unchanged', 'mended', 'refused'; or what may not be: 'silent', 'traceback', 'unnamed', 'not mended'."""
    told: Told


BAD = ("silent", "traceback", "unnamed", "not mended")


def try_damage(base: Base, data: str, file: str, how: str, verbs: list[str], seed: str) -> list[Outcome]:
    """What each of some verbs makes of a fault, each on a copy of its own."""
    found = []
    for verb in verbs:
        whole = base.told(verb, data)
        with base.copy(data) as run, as_nobody(how):
            touched = damage(run, file, how, base.files[data], random.Random(seed))
            told = base.run(verb, data, run)
        what = judge(told, whole, touched)
        found.append(Outcome(f"{how} {data} {file} ({seed})", verb, what, told))
    return found


def judge(told: Told, whole: Told, touched: list[str]) -> str:
    """What a verb made of a fault in some files, in a word."""
    words = told.said + told.noted
    named = any(part in words for file in touched for part in (file, *_folders(file)))
    if isinstance(told.code, str):
        return "traceback"
    if told.result == whole.result or (told.code == 0 and touched[0].endswith("timing.json")):
        return "mended" if named and "done again" in words else "unchanged"
    if told.code == 0:
        return "named" if named or _counted(told, whole) else "silent"
    # A unit that is gone is like one that was never done: what is missing is counted, not named.
    return "refused" if named or re.search(r"is not a run directory|\d+ of \d+ units", words) else "unnamed"


def _folders(file: str) -> list[str]:
    """The folders that are named where all of what is in them is refused, and a part by its bare name."""
    folder = os.path.dirname(file)
    return [f"run/{folder}"] if folder else []


def _counted(told: Told, whole: Told) -> bool:
    """Whether `show` or `plan` says that less is done: what an interruption leaves too."""
    done = re.compile(r'(\d+) of \d+ units|"passes_done": (\d+)')
    counts, before = ([int(a or b) for a, b in done.findall(each.said)] for each in (told, whole))
    return sum(counts) < sum(before)


WRITING = ("select", "select-data", "rate-cascade", "score", "export", "export-table", "probe", "rate-new")


def try_system(base: Base, data: str, how: str, verb: str, seed: str) -> Outcome:
    """What a verb makes of a system that does not write or read, and whether the same command mends it afterwards."""
    fresh = verb == "rate-new"
    verb = "select-data" if fresh else verb
    whole = base.told(verb, data)
    with base.copy(data) as run:
        if fresh:
            shutil.rmtree(run)
        with system(how, random.Random(seed)):
            told = base.run(verb, data, run)
        again = base.run(verb, data, run)
    fault = f"{how} {data} ({seed})"
    if isinstance(told.code, str) or isinstance(again.code, str):
        return Outcome(fault, verb, "traceback", told if isinstance(told.code, str) else again)
    if told.code == 0 and (told.wrote != whole.wrote or (how == READ_ERROR and told.result != whole.result)):
        return Outcome(fault, verb, "silent", told)
    if told.code != 0 and how == READ_ERROR and "Input/output error" not in told.noted + told.said:
        return Outcome(fault, verb, "unnamed", told)
    if again.wrote != whole.wrote or again.code != 0:
        return Outcome(fault, verb, "not mended", again)
    return Outcome(fault, verb, "unchanged" if told.code == 0 else "refused", told)


def faults(base: Base, seed: int | str, number: int):
    """So many faults, drawn so that each kind of file has each damage as often as any other has."""
    draw = random.Random(seed)
    kinds: dict[tuple[str, str], list[str]] = {}
    for data, files in base.files.items():
        for file in files:
            kinds.setdefault((data, kind_of(file)), []).append(file)
    cases = [(data, kind, how) for data, kind in kinds for how in DAMAGES]
    draw.shuffle(cases)
    verbs = itertools.cycle(draw.sample(sorted(VERBS), len(VERBS)))
    for count, (data, kind, how) in enumerate(itertools.islice(itertools.cycle(cases), number)):
        yield data, draw.choice(kinds[data, kind]), how, verbs, f"{seed}.{count}"


@contextlib.contextmanager
def prepared():
    """Whole runs to damage, removed at the end."""
    parts, run_module.PART_ROWS = run_module.PART_ROWS, PART
    fsync, os.fsync = os.fsync, lambda descriptor: None  # no power cut is tried, and it is most of the time
    here = Path.cwd()
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))  # many small files
    folder.chmod(0o755)
    try:
        yield Base(folder)
    finally:
        run_module.PART_ROWS, os.fsync = parts, fsync
        os.chdir(here)
        shutil.rmtree(folder)


def run_all(seed: int | str, number: int, each: int, failures: int) -> list[Outcome]:
    """All outcomes: `number` damages with `each` verbs, and `failures` of the system while a verb writes or reads."""
    found: list[Outcome] = []
    with prepared() as base:
        for data, file, how, verbs, key in faults(base, seed, number):
            found += try_damage(base, data, file, how, list(itertools.islice(verbs, each)), key)
        cases = [*itertools.product(base.runs, SYSTEM, WRITING), *itertools.product(base.runs, [READ_ERROR], VERBS)]
        random.Random(seed).shuffle(cases)
        for count, (data, how, verb) in enumerate(itertools.islice(itertools.cycle(cases), failures)):
            found.append(try_system(base, data, how, verb, f"{seed}.{count}"))
    return found


def report(found: list[Outcome]) -> str:
    """The outcomes counted, and those that may not be in full."""
    lines = [
        f"{outcome.what}: {outcome.verb} after {outcome.fault}\n{_indented(outcome.told)}"
        for outcome in found
        if outcome.what in BAD
    ]
    counts = Counter(outcome.what for outcome in found)
    faults = len({outcome.fault for outcome in found})
    lines.append(
        f"{faults} faults, {len(found)} commands: " + ", ".join(f"{n} {what}" for what, n in counts.most_common())
    )
    return "\n".join(lines)


def _indented(told: Told) -> str:
    text = f"{told.code}\n{told.said[-600:]}\n{told.noted[-600:]}"
    return "\n".join(f"    {line}" for line in text.splitlines())


if __name__ == "__main__":
    seed, number = (int(each) for each in (sys.argv[1:] + ["1", "600"][len(sys.argv) - 1 :]))
    outcomes = run_all(seed, number, each=3, failures=164)
    print(report(outcomes))
    sys.exit(any(outcome.what in BAD for outcome in outcomes))
