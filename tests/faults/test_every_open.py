"""Every place where a file is opened, made, listed, renamed or removed fails once: a message, no traceback.

An audit hook of Python sees each of them. A first run of a verb lists the places in selectit's own code; then each of
them fails in a run of its own.
"""

import ast
import errno
import json
import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import commandline
import selectit

SOURCE = Path(selectit.__file__).parent
EVENTS = ("open", "os.mkdir", "os.rename", "os.scandir", "os.listdir", "os.remove", "os.rmdir")
FAKE = ("--engine", "fake", "--model", "m")
VERBS = {
    "select": ("select", "d.jsonl", *FAKE, "--keep", "2", "--run", "r", "--rest", "rest.jsonl", "--bad-rows", "skip"),
    "select-table": ("select", "d.parquet", *FAKE, "--k", "1", "--keep", "2", "--run", "r3", "--config", "c.toml"),
    "select-folder": ("select", "set", "--method", "length", "--keep", "2", "--run", "r5", "--out", "chosen"),
    "choose": ("select", "--run", "old", "--keep", "3", "--k", "3", "--alpha", "0.5"),
    "rate": ("rate", "d.jsonl", *FAKE, "--k", "2", "--prompts", "p.toml", "--run", "r2"),
    "score": ("score", "--run", "old", "--k", "3", "--alpha", "0.4"),
    "compare": ("compare", "--run", "old", "--methods", "length,random"),
    "show": ("show", "old"),
    "diff": ("diff", "old", "old"),
    "report": ("report", "old"),
    "row": ("show", "old", "--row", "0"),
    "list": ("show",),
    "verify": ("verify", "old"),
    "export": ("export", "old", "--to", "trl"),
    "plan": ("plan", "d.jsonl", *FAKE, "--run", "r4"),
    "probe": ("probe", "d.jsonl", *FAKE, "--sample", "20", "--run", "old"),
    "expand": ("expand", "d.jsonl", *FAKE, "--run", "old", "--styles", "depth"),
    "rows": ("select", "d.jsonl", "--method", "fixed", "--param", "file=rows.txt", "--run", "old", "--out", "f.jsonl"),
    "models": ("models",),
    "filter": (
        "select", "d.jsonl", "--method", "length", "--keep", "2", "--run", "r6", "--by", "instruction", "--shares",
        "shares.json", "--decontaminate", "questions.txt",
    ),
}  # fmt: skip
MAY_GO_ON = {"models/files.py", "atomic_files.py", "models/packaged.py"}
"""Where a failure may do no harm: digests that are remembered, leftovers, models that are not fetched."""


class Watch:
    """What selectit's code does with files, while it is on; the place `failing` fails."""

    on = False
    failing: tuple[str, str] | None = None

    def __init__(self) -> None:
        self.places: set[tuple[str, str]] = set()

    def __call__(self, event, arguments):
        if not Watch.on or event not in EVENTS or str(arguments[0]).startswith(str(SOURCE)):
            return  # what is installed is there
        frame = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith(str(SOURCE)):
            frame = frame.f_back if "importlib" not in frame.f_code.co_filename else None
        if frame is None:
            return
        place = f"{Path(frame.f_code.co_filename).relative_to(SOURCE)}:{frame.f_code.co_name}", event
        self.places.add(place)
        if place == Watch.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(arguments[0]))


WATCH = Watch()
sys.addaudithook(WATCH)  # it can't be taken away, and does nothing while it is off


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with data and a rated run."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = [{"instruction": f"Question {n}?", "output": " ".join(["word"] * (n % 7 + 1))} for n in range(24)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "d.parquet")
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "set").mkdir()
    with pa.OSFile(str(folder / "set" / "data-00000-of-00001.arrow"), "wb") as file:
        with pa.ipc.new_stream(file, pa.Table.from_pylist(rows).schema) as stream:
            stream.write_table(pa.Table.from_pylist(rows))
    (folder / "set" / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "set" / "dataset_info.json").write_text("{}")
    (folder / "c.toml").write_text("keep = 2\n")
    (folder / "rows.txt").write_text("1\n2\n")
    (folder / "shares.json").write_text('{"Question 1?": 1, "Question 2?": 1}')
    (folder / "questions.txt").write_text("What is the largest planet of all that go around the sun?\n")
    (folder / "p.toml").write_text(
        'name = "own"\nprompts = ["Rate it.", "Judge it."]\nlabels = ["1", "2"]\n'
        'template = "{instruction}\\n{response}\\n{prompt}\\n"\n'
    )
    old, out = str(folder / "old"), str(folder / "old.jsonl")
    selectit.select(folder / "d.jsonl", selectit.Settings(engine="fake", model="m", k=3, keep=3, run=old, out=out))
    shutil.copytree(folder / "old", folder / "selectit-runs" / "one")
    return folder


@pytest.fixture
def run_verb(prepared, folder, capsys, monkeypatch):
    """A function: (exit code, stderr) of a verb in a fresh copy of the prepared folder."""
    from selectit import atomic_files

    monkeypatch.setenv("SELECTIT_CACHE", str(folder / "cache"))
    made = []

    def run(verb, failing=None):
        here = folder / str(len(made))
        made.append(here)
        shutil.copytree(prepared, here)
        monkeypatch.chdir(here)
        atomic_files.remove_leftovers.cache_clear()
        Watch.on, Watch.failing = True, failing
        try:
            code, _, err = commandline.run(capsys, *VERBS[verb])
        finally:
            Watch.on, Watch.failing = False, None
        return code, err

    return run


@pytest.mark.parametrize("verb", VERBS)
def test_each_place_fails_with_a_message(run_verb, verb):
    WATCH.places.clear()
    code, err = run_verb(verb)
    assert code == 0, err
    for place in sorted(WATCH.places):
        code, err = run_verb(verb, place)
        harmless = place[0].partition(":")[0] in MAY_GO_ON or verb == "verify"  # which goes on, and says so
        assert (code == 2 and "error: " in err) or (harmless and code in (0, 1)), f"{place}: {code} {err}"


ELSEWHERE = {
    "evaluation": "tests/evaluation",
    "training": "tests/training",
    "exports": "tests/exports",
    "costs": "tests/costs",
    "experiments": "tests/experiments",
    "procedures": "tests/procedures",
    "models": "tests/models",
    "engines": "tests/engines",
    "errors.py": "the names near a path that is not there: tests/test_errors.py",
    "data/tables.py": "pyarrow opens them: tests/data/test_damage.py",
    "runs/manifest.py": "runs/sums.py opens it",
    "runs/files.py": "pyarrow opens them: tests/runs/test_integrity.py",
    "pages/plot.py": "tests/pages",
    "pages/document.py": "files of the package, and what --out holds: tests/pages",
    "expansion/styles.py": "a file of the package",
    "signals/prompts.py": "files of the package; those of a user errors.py opens",
    "inference/shared_folder.py": "tests/inference",
}
"""Packages and files that need more than this walk has, and who looks at them."""


def test_each_file_that_opens_others_is_walked(run_verb):
    WATCH.places.clear()
    for verb in VERBS:
        run_verb(verb)
    reached = {place.partition(":")[0] for place, _ in WATCH.places}
    opening = {str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.py") if opens_files(file.read_text())}
    assert {file for file in opening - reached if not file.startswith(tuple(ELSEWHERE))} == set()


def opens_files(code):
    calls = [node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    return bool(names & {"open", "read_text", "read_bytes", "write_text", "write_bytes", "OSFile", "iterdir"})
