"""Terminals, encodings and homes that are not as hoped; what is listed, and that nothing is said twice."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import commandline
from selectit.errors import ModelError
from selectit.models.files import cache_dir

WORDS = "中文 🙂 é"


@pytest.fixture
def command(capsys):
    return partial(commandline.run, capsys)


@pytest.fixture
def run(folder, command):
    row = json.dumps({"instruction": WORDS, "output": "a b c"}, ensure_ascii=False)
    Path("d.jsonl").write_text(row + "\n" + '{"instruction": "x", "output": "y"}\n')
    assert command("select", "d.jsonl", "--method", "length", "--keep", 1, "--run", "r")[0] == 0
    return "r"


def in_process(*arguments, **surroundings):
    words = [sys.executable, "-m", "selectit", *arguments]
    return subprocess.run(words, env={**os.environ, **surroundings}, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-16"])
def test_show_writes_what_an_encoding_lacks_as_escapes(run, encoding):
    for more in ([], ["--json"]):
        done = in_process("show", run, "--row", "0", *more, PYTHONIOENCODING=encoding)
        assert done.returncode == 0 and not done.stderr
    text = done.stdout.decode("utf-8" if encoding == "ascii" else encoding)  # click writes UTF-8 for ASCII
    assert json.loads(text)["turns"][0]["text"] == WORDS


def test_a_full_disk_behind_standard_output_is_a_message(run):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-m", "selectit", "show", run], stdout=full, stderr=-1, check=False)
    assert done.returncode == 2 and done.stderr.startswith(b"error: No space left on device\nMake room")


@pytest.mark.parametrize("cache", [None, "~nobody-has-this-name/x"])
def test_without_a_home_folder_it_says_what_to_set(monkeypatch, cache, command):
    def none(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SELECTIT_CACHE", raising=False)
    if cache is None:
        monkeypatch.setattr(Path, "home", none)
    else:
        monkeypatch.setenv("SELECTIT_CACHE", cache)
    code, _, err = command("models")
    assert code == 2 and err.startswith("error: there is no home folder") and "SELECTIT_CACHE" in err
    with pytest.raises(ModelError, match="no home folder"):
        cache_dir()


def test_a_folder_that_is_gone_is_a_message(run, tmp_path):
    (tmp_path / "gone").mkdir()
    words = [sys.executable, "-m", "selectit", "select", "../d.jsonl", "--method", "length"]
    script = f'cd {tmp_path / "gone"}; rmdir ../gone; exec "$@"'
    done = subprocess.run(["bash", "-c", script, "-", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "error: " in done.stderr and "Traceback" not in done.stderr


def test_what_was_read_is_said_once_where_notes_and_results_are_seen_together(folder, command, run, monkeypatch):
    _, out, err = command("select", "d.jsonl", "--method", "length", "--keep", 1, "--run", "r", "--out", "-")
    assert err.count("read instruction") == 1 and out.count("\n") == 1
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    for terminal, places in ((True, 1), (False, 2)):
        monkeypatch.setattr("sys.stdout.isatty", lambda seen=terminal: seen)
        _, out, err = command("select", "d.jsonl", "--method", "length", "--keep", 1, "--run", "r")
        assert (out + err).count("read instruction") == places
    for stream in ("stdout", "stderr"):  # as by 2>&1
        monkeypatch.setattr(f"sys.{stream}.fileno", lambda: 2)
    for more, places in ([], (0, 1)), (["--quiet"], (1, 0)):
        _, out, err = command("select", "d.jsonl", "--method", "length", "--keep", 1, "--run", "r", *more)
        assert (out.count("read instruction"), err.count("read instruction")) == places


def test_runs_of_one_file_are_told_apart_by_name_and_listed(folder, command):
    row = {"messages": [{"role": role, "content": role} for role in ("user", "assistant") * 2]}
    Path("chats.jsonl").write_text((json.dumps(row) + "\n") * 3)
    code, _, err = command("show")
    assert code == 2 and "there are no runs in selectit-runs" in err
    for more in ([], ["--turns", "each"], ["--turns", "each", "--limit", 2], ["--limit", 2]):
        assert command("select", "chats.jsonl", "--method", "length", "--keep", 1, "--out", "-", *more)[0] == 0
    names = {path.name.rpartition("-")[0] for path in Path("selectit-runs").iterdir()}
    assert names == {"chats", "chats-each", "chats-each-limit2", "chats-limit2"}
    Path("selectit-runs/zz").mkdir()
    Path("selectit-runs/zz/manifest.json").write_text("{")
    code, out, _ = command("show")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 5 and "zz" in lines[-1] and "manifest.json" in lines[-1]
    (line,) = (line for line in lines if "chats-each-limit2-" in line)
    assert "2 rows of chats.jsonl, --limit 2, --turns each, --bad-rows stop; length-words-1rows" in line
    assert len(json.loads(command("show", "--json")[1])) == 5
    code, _, err = command("show", "--row", 1)
    assert code == 2 and "name its directory" in err
