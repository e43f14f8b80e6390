"""Instruction Mining's own rule: from a finished experiment with a tiny model to a selection by the rule."""

import dataclasses as dc
import json
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

import selectit
from commandline import run
from own_methods import HALF
from selectit.config.settings import Settings
from selectit.errors import DataError, RunError, SettingsError
from selectit.experiments import experiment as experiments_experiment
from selectit.experiments import settings
from selectit.experiments.fit_rule import fit_rule
from selectit.experiments.load import load
from selectit.runs.files import numbers, read_part
from small_experiment import experiment_file

pytest.importorskip("trl")
pytest.importorskip("scipy")

INDICATORS = ["length", "length:unit=chars;field=instruction"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with a finished experiment of six random subsets."""
    import tiny

    folder = tmp_path_factory.mktemp("experiment")
    model = tiny.build_chat(tmp_path_factory.mktemp("chat"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        rows = [
            {"instruction": f"question {'x' * (n % 7)} {n}", "output": " ".join(["word"] * (n * n % 11))}
            for n in range(24)
        ]
        Path("data.json").write_text(json.dumps(rows))
        Path("heldout.json").write_text(json.dumps([{"instruction": "another one", "output": "word word word"}] * 3))
        top = "seeds = [0, 1, 2, 3, 4, 5]\nbase = false"
        text = experiment_file(model, "[[choices]]\nmethod = 'random'", top, recipe="learning_rate = 0.01")
        Path("e.toml").write_text(text)
        experiments_experiment.experiment(load("e.toml", "data.json"), "out")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def finished(folder, done):
    """A copy of it in this test's folder, as it was read from its file."""
    shutil.copytree(done, folder, dirs_exist_ok=True)
    return load("e.toml", "data.json")


def cell_files():
    return sorted(Path("out/cells").iterdir())


def change_losses(loss_of, metric=None):
    """Write other held-out losses into the finished cells."""
    for path in cell_files():
        cell = json.loads(path.read_text())
        (score,) = cell["scores"].values()
        score["values"] = [loss_of(path.stem)] * len(score["values"])
        score["metric"] = metric or score["metric"]
        path.write_text(json.dumps(cell))


def means(cell, length):
    """Mean words and characters of the rows that a cell was tuned on, from the files alone."""
    rows = json.loads(next(Path("out/subsets").glob(f"{cell}*")).read_text())
    return np.mean([[len(row["output"].split()), len(row["instruction"])] for row in rows], axis=0)[length]


def test_the_rule_that_made_the_losses_comes_back_and_selects(finished, capfd):
    change_losses(lambda cell: np.exp(0.5 - 0.1 * means(cell, 0) + 0.03 * means(cell, 1)))
    words = "length:unit=words;field=response"
    found = fit_rule(finished, "out", [words, INDICATORS[1]])
    assert found.regression.dropped == () and found.regression.better
    assert [term.value for term in found.regression.kept.terms] == pytest.approx([0.5, -0.1, 0.03], abs=1e-6)
    assert (found.rows, found.subset_rows, found.missing) == (24, 6, {words: 0, INDICATORS[1]: 0})
    table = tomllib.loads(Path("out/rule.toml").read_text())
    assert table["param"]["indicators"] == [words, INDICATORS[1]] and table["model"] == list(finished.models)
    code, out, err = run(
        capfd, "select", "data.json", "--config", "out/rule.toml", "--run", "fresh", "--engine", "fake",
        "--keep", "6", "--out", "best.json",
    )  # fmt: skip
    assert code == 0, err
    scores = numbers(read_part(next(Path("fresh/scores").glob("instruction-mining-own*.parquet")), ["score"])["score"])
    rows = json.loads(Path("data.json").read_text())
    expected = [-0.5 + 0.1 * len(row["output"].split()) - 0.03 * len(row["instruction"]) for row in rows]
    assert scores == pytest.approx(expected, abs=1e-6)
    best = json.loads(Path("best.json").read_text())
    assert sorted(map(json.dumps, best)) == sorted(json.dumps(rows[at]) for at in np.argsort(expected)[-6:])


def test_the_whole_way_in_one_command(finished, capfd):
    """What is not finished is made, nothing else is made again, and rows are chosen by the rule that was fitted."""
    change_losses(lambda cell: np.exp(0.5 - 0.1 * means(cell, 0)))
    lost, *there = cell_files()
    lost.unlink()
    before = [path.read_bytes() for path in there]
    given = ("fit-rule", "e.toml", "--data", "data.json", "--out", "out", "--indicators", "length", "--drop", "1")
    code, out, err = run(capfd, *given, "--keep", "6")
    assert code == 0, err
    assert lost.stem in err and [path.read_bytes() for path in there] == before and lost.is_file()
    assert "chosen    out/selected.json" in out and "selectit select" not in out
    slope = tomllib.loads(Path("out/rule.toml").read_text())["param"]["coefficients"][1]
    lengths = sorted(
        (len(row["output"].split()) for row in json.loads(Path("data.json").read_text())), reverse=slope < 0
    )
    kept = [len(row["output"].split()) for row in json.loads(Path("out/selected.json").read_text())]
    assert sorted(kept, reverse=slope < 0) == lengths[:6]


def test_a_rule_does_not_replace_a_file_of_something_else(folder):
    Path("own.toml").write_text("k = 3\n")
    with pytest.raises(RunError, match=r"own.toml is there and is no rule(.|\n)*--rule"):
        fit_rule(None, "out", INDICATORS, rule="own.toml")  # known before the experiment is looked at
    assert Path("own.toml").read_text() == "k = 3\n" and not Path("out").exists()


def test_the_command_says_what_the_rule_is_worth(finished, capfd):
    given = ("fit-rule", "e.toml", "--data", "data.json", "--out", "out")
    code, out, err = run(capfd, *given, "--indicators", "reward,length", "--reward-model", "rm", "--drop", "1",
                         "--rule", "own.toml")  # fmt: skip
    assert code == 0, err
    assert "6 subsets of 6 rows (choice random, budget 25%) of data.json, 24 rows" in out
    assert "indicator" in out and "standard error" in out and "R² " in out and "left out in turn" in out
    text = Path("own.toml").read_text()
    assert "# base model " in text and "sha256 of the data" in text and "R² " in text
    table = tomllib.loads(text)
    assert table["reward_model"] == "rm" and len(table["param"]["coefficients"]) == 3
    assert Path("out/run/rewards").is_dir()  # collected, since the experiment had no use for it
    code, out, err = run(capfd, *given, "--indicators", "reward", "--reward-model", "rm", "--json", "--quiet")
    found = json.loads(out)
    assert found["regression"]["points"] == 6 and found["data"] == "data.json"
    assert len(found["losses"]) == 6 and found["regression"]["error"] > 0
    code, _, err = run(capfd, *given, "--indicators", "length,knn", "--metric", "mmlu")
    assert code == 2 and "no line 'mmlu'" in err and "heldout" in err


def test_what_tells_nothing_is_said_to_tell_nothing(finished, capfd):
    given = ("fit-rule", "e.toml", "--data", "data.json", "--out", "out")
    change_losses(lambda cell: 1 + hash_share(cell))
    code, out, _ = run(capfd, *given, "--indicators", "length", "--drop", "0.000001")
    assert code == 0 and "No indicator is left, so no rule was written." in out
    assert "dropped, the largest p-value first: length" in out and not Path("out/rule.toml").exists()
    assert "no better than the mean" in out
    found = selectit.fit_rule(finished, "out", ["length"], drop=1)
    assert found.out == Path("out/rule.toml")
    assert ("no better than the mean" in found.out.read_text()) is not found.regression.better


def hash_share(cell):
    """A number from 0 to 1 that has to do with the cell's name alone."""
    return int.from_bytes(cell.encode(), "little") % 1009 / 1009


def test_an_indicator_of_a_model_is_that_of_select(finished):
    """The scores that were regressed are those that the rule's method reads when it selects."""
    found = fit_rule(finished, "out", ["selectit:k=2", "length"], drop=1)
    coefficients = [term.value for term in found.regression.every.terms]
    chosen = Settings(
        engine="fake", run="out/run", model=finished.models, method="instruction-mining",
        param={"rule": "own", "indicators": ["selectit:k=2", "length"], "coefficients": coefficients},
    )  # fmt: skip
    parts = selectit.score("out/run", chosen).parts
    design = []
    for path in cell_files():
        rows = numbers(read_part(Path("out/run/selections") / path.stem / "rows.parquet", ["row"])["row"])
        design.append([1, parts["selectit:k=2"][rows].mean(), parts["length"][rows].mean()])
    order = [json.loads(path.read_text())["seed"] for path in cell_files()]
    losses = np.array(found.losses)[order]
    assert np.linalg.lstsq(np.array(design), np.log(losses))[0] == pytest.approx(coefficients)


def test_rows_without_a_score_are_left_out_of_the_means_and_counted(finished, capfd):
    Path("half.py").write_text(HALF)
    holed, empty = "./half.py:Half:rows=23", "./half.py:Half:rows=0"
    found = fit_rule(finished, "out", [holed])
    assert found.missing == {holed: 1}
    code, out, _ = run(capfd, "fit-rule", "e.toml", "--data", "data.json", "--out", "out", "--indicators", holed)
    assert code == 0 and f"1 of 24 rows have no {holed}; means are over the others" in out
    with pytest.raises(DataError, match="no row of .* has a score of the indicator './half.py:Half:rows=0'"):
        fit_rule(finished, "out", [empty])


def refused(experiment, message, kind=SettingsError, indicators=("length",), **given):
    with pytest.raises(kind) as error:
        fit_rule(experiment, "out", list(indicators), **given)
    assert message in error.value.message and error.value.hint


def test_what_is_refused(finished):
    refused(finished, "there are no indicators", indicators=())
    refused(finished, "is named twice", indicators=("length", "length"))
    refused(finished, "belongs to one run", indicators=("stored:length",))
    refused(finished, "chooses a set and scores no rows", indicators=("kcenter",))
    refused(finished, "needs a reward model", indicators=("reward",))
    refused(finished, "--drop is 0", drop=0)
    many = ("reward", "length", "lexical", "knn")
    refused(finished, "6 subsets are too few for 5 coefficients", indicators=many)
    refused(
        finished, "field=response' follows from", indicators=("length:unit=chars", "length:unit=chars;field=response")
    )
    refused(dc.replace(finished, choices=(settings.Choice(method="full"),)), "has no random subsets")
    two = settings.Choice(method="random", name="again")
    refused(dc.replace(finished, choices=(*finished.choices, two)), "several choices: random, again")
    refused(dc.replace(finished, budgets=("25%", "50%")), "several budgets: 25%, 50%")
    refused(dc.replace(finished, models=(*finished.models, "other")), "several models: ")
    refused(finished, "have no model 'other'", model="other")
    refused(finished, "--keep", keep="0%")
    other = dc.replace(finished, recipe=dc.replace(finished.recipe, steps=3))
    refused(other, "with other settings", RunError)
    refused(finished, "the evaluation has no line 'mmlu'", metric="mmlu")
    change_losses(lambda cell: 0.0)
    refused(finished, "which has no logarithm")
    change_losses(lambda cell: 0.4)
    refused(finished, "the loss is the same after all 6 subsets")
    change_losses(lambda cell: 0.5, "acc")
    refused(finished, "the evaluation has 0 losses")
    refused(finished, "is no loss: more of it is better", metric="heldout heldout.json")
    Path("data.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    refused(finished, "is the run of another source", RunError)


def test_one_of_several_may_be_named(finished):
    two = dc.replace(finished, budgets=("25%", "50%"), models=(*finished.models, "other"))
    found = fit_rule(two, "out", ["length"], budget="25%", model=finished.models[0], choice="random", drop=1)
    assert found.line == (finished.models[0], "random", "25%")
