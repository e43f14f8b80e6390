"""Each mistake a user can make with data or options: the whole command, its message, exit code 2, no model loaded.

The messages are the table of docs/mistakes.md. After a change: `WRITE_DOCS=1 pytest tests/cli/test_mistakes.py`.
"""

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from places import ROOT
from selectit.cli.main import main

PAGE = ROOT / "docs" / "mistakes.md"
GOOD = '{"instruction": "a", "output": "b"}'
TURN = '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}'


def conversation(*turns):
    return json.dumps({"conversations": [{"from": who, "value": what} for who, what in turns]})


# name -> (file or None, its content, arguments after the file, what the message must name)
MISTAKES = {
    "an empty file": ("d.json", "", [], ["d.json is empty"]),
    "an array without rows": ("d.json", "[]", [], ["d.json has no rows"]),
    "a wrong path": (None, "", ["nowhere.json"], ["nowhere.json", "No such file"]),
    "a half-written JSON array": ("d.json", f"[\n{GOOD},\n{GOOD[:15]}", [], ["d.json, line 3", "ends inside a record"]),
    "a missing comma": ("d.json", f"[\n{GOOD}\n{GOOD}]", [], ["d.json, line 3", "','"]),
    "a bad line in JSON Lines": ("d.jsonl", f"{GOOD}\n{{broken\n{GOOD}", [], ["line 2", "column 2"]),
    "UTF-16": ("d.json", f"[{GOOD}]".encode("utf-16"), [], ["d.json is UTF-16", "iconv"]),
    "Latin-1": ("d.jsonl", '{"instruction": "caf\u00e9", "output": "b"}'.encode("latin1"), [], ["line 1", "0xe9"]),
    "Latin-1 in an array": ("d.json", '[{"instruction": "caf\u00e9"}]'.encode("latin1"), [], ["line 1", "iconv"]),
    "duplicate keys": ("d.jsonl", GOOD[:-1] + ', "output": "c"}', [], ["line 1", "'output' stands twice"]),
    "a number where a text belongs": (
        "d.jsonl",
        '{"instruction": 3, "output": "b"}',
        [],
        ["'instruction' is a number"],
    ),
    "null where a text belongs": ("d.jsonl", '{"instruction": "a", "output": null}', [], ["'output' is null"]),
    "a list where a text belongs": (
        "d.jsonl",
        '{"instruction": ["a"], "output": "b"}',
        [],
        ["'instruction' is a list"],
    ),
    "a missing field": ("d.jsonl", f'{GOOD}\n{{"instruction": "a"}}', [], ["line 2", "'output' is missing"]),
    "a row that is no object": ("d.jsonl", f"{GOOD}\n[1, 2]", [], ["line 2", "it is a list"]),
    "a conversation without an answer": ("d.jsonl", conversation(("human", "a")), [], ["line 1", "has no answer"]),
    "a conversation that starts with an answer": (
        "d.jsonl",
        conversation(("gpt", "b"), ("human", "a")),
        [],
        ["line 1", "starts with an answer"],
    ),
    "a conversation without turns": ("d.jsonl", '{"conversations": []}', [], ["line 1", "no turns"]),
    "an unknown role": (
        "d.jsonl",
        conversation(("human", "a"), ("robot", "b")),
        [],
        ["line 1", "conversations[1]", "'robot'"],
    ),
    "a lone surrogate": ("d.jsonl", '{"instruction": "a\\ud83d", "output": "b"}', [], ["line 1", "character 1"]),
    "a null byte": (
        "d.jsonl",
        '{"instruction": "a", "output": "b\\u0000"}',
        [],
        ["line 1", "null byte at character 1"],
    ),
    "a row of 10 MB": (
        "d.jsonl",
        f'{GOOD}\n{{"instruction": "a", "output": "{"x" * 10_000_000}"}}',
        [],
        ["line 2", "8 million characters"],
    ),
    "gzip data that is called .json": ("d.json", gzip.compress(b"[]", mtime=0), [], ["ends in .json", "gz data"]),
    "JSON that is called .gz": ("d.json.gz", f"[{GOOD}]", [], ["ends in .gz", "something else"]),
    "JSON that is called .parquet": ("d.parquet", f"[{GOOD}]", [], ["ends in .parquet"]),
    "a cut-off Parquet file": ("d.parquet", b"PAR1" + b"\0" * 50, [], ["d.parquet is damaged"]),
    "a cut-off gzip file": ("d.jsonl.gz", gzip.compress(GOOD.encode() * 9, mtime=0)[:-12], [], ["is damaged"]),
    "text that is no JSON": ("d.txt", "hello", [], ["neither an array nor an object"]),
    "an unknown layout": (
        "d.jsonl",
        '{"question": "a", "answer": "b", "id": 1}',
        [],
        ["'question', 'answer', 'id'", "--map instruction=question,response=answer"],
    ),
    "a map to a field that is not there": (
        "d.jsonl",
        '{"q": "a", "a": "b"}',
        ["--map", "instruction=q,response=ans"],
        ["'ans'", "the keys are 'q', 'a'"],
    ),
    "a map without a response": ("d.jsonl", GOOD, ["--map", "instruction=q"], ["both instruction and response"]),
    "an unknown format": ("d.jsonl", GOOD, ["--format", "alpacca"], ["'alpacca'", "'alpaca'"]),
    "--keep out of range": ("d.jsonl", GOOD, ["--keep", "1.5"], ["--keep is 1.5"]),
    "--keep that keeps nothing": ("d.jsonl", GOOD, ["--keep", "10%"], ["10% of 1 row is no row at all"]),
    "--alpha out of range": ("d.jsonl", GOOD, ["--alpha", "-1"], ["alpha is -1"]),
    "--k out of range": ("d.jsonl", GOOD, ["--k", "0"], ["--k is 0"]),
    "more prompts than there are": ("d.jsonl", GOOD, ["--k", "10"], ["9 prompts"]),
    "--limit out of range": ("d.jsonl", GOOD, ["--limit", "0"], ["--limit is 0"]),
    "an unknown method": ("d.jsonl", GOOD, ["--method", "selectt"], ["'selectit'"]),
    "an unknown level": ("d.jsonl", GOOD, ["--level", "tokens"], ["'token'"]),
    "an unknown model": ("d.jsonl", GOOD, ["--model", "smollm", "--keep", "1"], ["'smollm2'"]),
    "a model folder that is not there": ("d.jsonl", GOOD, ["--model", "./models/x", "--keep", "1"], ["./models/x"]),
    "a prompt file that is not there": (
        "d.jsonl",
        GOOD,
        ["--prompts", "no.txt"],
        ["can't read the prompt file no.txt"],
    ),
    "a blank prompt file": ("d.jsonl", GOOD, ["--prompts", "blank.txt"], ["blank.txt has no prompts"]),
    "fewer prompts than K": ("d.jsonl", GOOD, ["--prompts", "two.txt"], ["k is 5", "has 2 prompts"]),
    "a label twice": ("d.jsonl", GOOD, ["--labels", "1,1"], ["labels must be two or more different"]),
    "an output that would overwrite the input": (
        "d.jsonl",
        GOOD,
        ["--out", "d.jsonl", "--keep", "1"],
        ["--out d.jsonl is the data"],
    ),
    "an output folder that is not there": ("d.jsonl", GOOD, ["--out", "no/x.jsonl", "--keep", "1"], ["no folder no"]),
    "a configuration with an unknown key": ("d.jsonl", GOOD, ["--config", "c.toml"], ["'kep'", "'keep'"]),
    "a run directory that is something else": ("d.jsonl", GOOD, ["--run", "other"], ["other is not empty"]),
    "a run directory that is a file": ("d.jsonl", GOOD, ["--run", "two.txt"], ["two.txt is a file"]),
}


@pytest.fixture(scope="module")
def messages():
    found = {}
    yield found
    if set(found) == set(MISTAKES):  # not when only some were asked for
        lines = ["# Mistakes and what the program says", "", "Exit code 2, before any model is loaded.", ""]
        lines += ["| mistake | message |", "|---|---|"]
        lines += [f"| {name} | {'<br>'.join(text.splitlines())} |" for name, text in sorted(found.items())]
        page = "\n".join(lines).replace("\\", "&#92;") + "\n"
        if os.environ.get("WRITE_DOCS"):
            PAGE.write_text(page)
        assert PAGE.read_text() == page, "docs/mistakes.md is not what the program says; see the top of this file"


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name, messages, folder, capsys, no_model):
    file, content, arguments, says = MISTAKES[name]
    no_model()
    Path("blank.txt").write_text("\n")
    Path("two.txt").write_text("one\ntwo\n")
    Path("c.toml").write_text("kep = 1\n")
    Path("other").mkdir()
    Path("other/file").write_text("x")
    if file is not None:
        Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
        arguments = [file, *arguments]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as end:
        main(["select", "--quiet", *arguments])
    message = capsys.readouterr().err
    assert end.value.code == 2
    assert message.startswith("error: ")
    assert "Traceback" not in message
    for part in says:
        assert part in message
    assert len(message.strip().splitlines()) > 1, "there is no remedy"
    assert {path: path.read_bytes() for path in before} == before
    messages[name] = message.strip().removeprefix("error: ").replace("|", "\\|")


def test_a_byte_order_mark_is_accepted(folder):
    for name, text in (("d.json", f"[{GOOD}]"), ("d.jsonl", GOOD)):
        Path(name).write_text("\ufeff" + text)
        main(["select", name, "--method", "length", "--keep", "1", "--quiet"])
    assert Path("d.selected.json").exists() and Path("d.selected.jsonl").exists()


def test_a_folder_that_cant_be_written(folder, capsys, monkeypatch):
    Path("d.jsonl").write_text(GOOD)
    Path("locked").mkdir()

    def refuse(**_):  # root may write everywhere, so the answer is made up
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("selectit.runs.output.tempfile.TemporaryFile", refuse)
    with pytest.raises(SystemExit) as end:
        main(["select", "d.jsonl", "--out", "locked/x.jsonl", "--method", "length", "--keep", "1"])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert re.search("nothing can be written into .*locked: Permission denied\n", err)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
def test_a_folder_that_takes_no_files_whoever_writes(folder, capsys):
    Path("d.jsonl").write_text(GOOD)
    with pytest.raises(SystemExit) as end:
        main(["select", "d.jsonl", "--out", "/proc/x.jsonl", "--method", "length", "--keep", "1"])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert "--out: nothing can be written into /proc: " in err and ".tmp" not in err


def test_a_run_directory_that_cant_be_made(folder, capsys, monkeypatch):
    Path("d.jsonl").write_text(GOOD)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "selectit-runs")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SystemExit) as end:
        main(["select", "d.jsonl", "--method", "length", "--keep", "1"])
    assert end.value.code == 2
    assert "selectit-runs: Permission denied" in capsys.readouterr().err
