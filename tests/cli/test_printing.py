"""What reaches the terminal: words of others are shown, and what the system says has a remedy."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commandline import run
from selectit.cli.main import _REMEDIES, main
from selectit.text_tables import printable, printable_json

EVIL = "\x1b]0;PWNED\x07\x1b[2J \x9b31m \u202egnp.exe \r\x7f"
SHOWN = r"\x1b]0;PWNED\x07\x1b[2J \x9b31m \u202egnp.exe \x0d\x7f"


def obeyed(text):
    """The characters of a text that a terminal obeys."""
    return [
        mark for mark in text if mark not in "\t\n" and (ord(mark) < 32 or 127 <= ord(mark) < 160 or mark == "\u202e")
    ]


def test_control_characters_are_written_out_and_lines_stay():
    assert printable(f"a\tb\n{EVIL}") == f"a\tb\n{SHOWN}"
    assert printable("\u2028\u2066\ud800") == r"\u2028\u2066\ud800"
    assert printable("plain, 中文 é 🙂 👩\u200d🔬") == "plain, 中文 é 🙂 👩\u200d🔬"


def test_json_says_the_same_without_control_characters():
    text = printable_json(json.dumps({EVIL: [EVIL]}, ensure_ascii=False))
    assert not obeyed(text) and json.loads(text) == {EVIL: [EVIL]}


def test_show_and_its_json_write_control_characters_out(folder, capsys):
    row = {"instruction": f"Say {EVIL}", "output": EVIL}
    Path("d.jsonl").write_text("\n".join([json.dumps(row)] * 4))
    assert run(capsys, "select", "d.jsonl", "--method", "length", "--keep", "1", "--run", "r")[0] == 0
    _, out, _ = run(capsys, "show", "r", "--row", "0")
    assert SHOWN in out and not obeyed(out)
    _, out, _ = run(capsys, "show", "r", "--row", "0", "--json")
    assert not obeyed(out) and json.loads(out)["turns"][1]["text"] == EVIL


def test_names_of_files_and_errors_are_written_out(folder, capsys):
    name = "d\x1b[2J\u202e.jsonl"
    Path(name).write_text('{"instruction": "a", "output": "b"}\n' * 4)
    code, out, err = run(capsys, "select", name, "--method", "length", "--keep", "1", "--run", "r")
    assert code == 0 and not obeyed(out + err)
    _, out, _ = run(capsys, "show", "r")
    assert r"d\x1b[2J\u202e.jsonl" in out and not obeyed(out)
    Path(name).write_text(json.dumps({"\x1b[2J": 1}))
    code, out, err = run(capsys, "select", name)
    assert code == 2 and not obeyed(err)
    code, out, err = run(capsys, "sel\x1b[2Ject")
    assert code == 2 and not obeyed(err)


def test_progress_takes_no_marks_from_names(capsys):
    from selectit.cli.progress import Bar

    bar = Bar()
    bar.start("[red]model[/red]\x1b[2J", 10, 0)
    bar.advance(5, 50)
    bar.finish()
    assert r"[red]model[/red]\x1b[2J" in capsys.readouterr().err


@pytest.mark.parametrize(
    "number", [number for numbers in _REMEDIES.values() for number in numbers], ids=errno.errorcode.get
)
def test_what_the_system_refuses_has_a_remedy(folder, capsys, monkeypatch, number):
    Path("d.jsonl").write_text('{"instruction": "a", "output": "b"}\n')

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "r/manifest.json")

    monkeypatch.setattr("selectit.runs.source.write_json", refuse)
    code, _, err = run(capsys, "select", "d.jsonl", "--run", "r", "--method", "length")
    assert (
        code == 2 and err.startswith(f"error: r/manifest.json: {os.strerror(number)}\n") and len(err.splitlines()) == 2
    )


def test_a_full_memory_has_a_remedy(folder, capsys, monkeypatch):
    Path("d.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    monkeypatch.setattr("selectit.runs.source.write_json", lambda *_: (_ for _ in ()).throw(MemoryError()))
    code, _, err = run(capsys, "select", "d.jsonl", "--run", "r", "--method", "length")
    assert code == 2 and err.startswith("error: the memory is full\n")


def test_a_bug_keeps_its_traceback(folder, monkeypatch):
    Path("d.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    monkeypatch.setattr("selectit.runs.source.write_json", lambda *_: os.lseek(0, 0, 99))
    with pytest.raises(OSError):
        main(["select", "d.jsonl", "--run", "r", "--method", "length"])


def test_who_reads_no_further_gets_no_traceback(folder, capsys):
    Path("d.jsonl").write_text(json.dumps({"instruction": "a", "output": "b " * 200_000}) + "\n")
    run(capsys, "select", "d.jsonl", "--method", "length", "--keep", "1", "--allow-fewer", "--run", "r", "--quiet")
    shown = subprocess.Popen([sys.executable, "-m", "selectit", "show", "r", "--row", "0"], stdout=-1, stderr=-1)
    shown.stdout.read(10)
    shown.stdout.close()
    assert shown.stderr.read() == b""
    shown.stderr.close()
    shown.wait()
