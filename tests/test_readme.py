"""README's commands work in the order in which they stand; those that tune or evaluate are known at least."""

import json
import re
import shlex
from functools import partial
from pathlib import Path

import pytest

import commandline
from places import ROOT
from selectit.cli.main import VERBS, cli

README = (ROOT / "README.md").read_text()
ASK = ("select", "probe", "plan")
"""Verbs that ask a model: here the engine that needs none."""


def commands():
    """Each command of README, in order, without its remark."""
    found = re.findall(r"^    (selectit .*)$|`(selectit [^`]*)`", README, re.MULTILINE)
    return [shlex.split(block or inline, comments=True)[1:] for block, inline in found]


@pytest.fixture
def command(capsys):
    return partial(commandline.run, capsys)


def test_the_commands_work_in_the_order_in_which_they_stand(folder, command):
    rows = [{"instruction": f"Question {n}?", "output": "word " * (1 + n * 7 % 23)} for n in range(60)]
    Path("alpaca.json").write_text(json.dumps(rows))
    ran = []
    for verb, *arguments in commands():
        if verb in ("train", "eval", "experiment") or not arguments and verb not in ("methods", "models"):
            assert verb in VERBS
            continue
        code, _, err = command(verb, *filled(verb, arguments))
        assert code == 0, f"selectit {verb} {' '.join(arguments)}: {err}"
        ran.append(verb)
    assert ran == ["select", "select", "show", "probe", "plan", "export", "select", "methods", "compare"]


def filled(verb, arguments):
    """The arguments with what stands for a name of the reader's own."""
    own = {"RUN": _run, "DIR": _run, "selectit-runs/alpaca-1f3a…": _run, "NAME": _selection}
    words = [own[word]() if word in own else word for word in arguments]
    if "--model" in words:
        words[words.index("--model") + 1] = "m"
        words += ["--engine", "fake"]
    return words


def _run():
    return next(Path("selectit-runs").iterdir())


def _selection():
    return next((_run() / "selections").iterdir()).name


def test_every_option_that_readme_names_is_one():
    known = {name for verb in VERBS for each in cli.get_command(None, verb).params for name in each.opts}
    prose = re.sub(r"^    (make|pip) .*$", "", README, flags=re.MULTILINE)
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", prose)) <= {*known, "--help"}
