"""What `select` and `show` say of the signals beside ratings."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import selectit
from selectit.cli.main import main
from selectit.config.settings import Settings
from selectit.runs.run import open_run
from selectit.selection.signal_report import SignalStats, signal_line
from selectit.selection.summary import from_plain

FAKE = {"engine": "fake", "run": "run", "unit_size": 5, "keep": 2, "allow_fewer": True, "force": True}
NAMED = {"model": ("m",), "encoder": "e", "judge": "j", "reward_model": "r"}
EMPTY = 11
"""The row of the fixture with an empty response."""

FACTS = {
    "ifd": ("m", "losses", 2, 1),
    "knn": ("e", "embeddings", 1, 0),
    "kcenter": ("e", "embeddings", 1, 0),
    "alpagasus-local": ("j", "judgements", 1, 0),
    "reward": ("r", "rewards", 1, 0),
}


def select(data, method, **more):
    return selectit.select(data, Settings(**FAKE, **NAMED, method=method, **more))


@pytest.fixture
def command(capsys):
    def run(*arguments):
        code = main([str(each) for each in arguments])
        assert not code, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("method", FACTS)
def test_the_summary_has_a_line_for_each_signal(data, command, method):
    model, signal, passes, failed = FACTS[method]
    (facts,) = select(data, method).summary.others
    assert (facts.model, facts.signal, facts.passes_per_row) == (model, signal, passes)
    assert (facts.truncated_rows, facts.failed_rows) == (0, failed)
    shown = command("show", "run")
    assert f"  {model}, {signal}: {passes} " in shown
    assert f"0 rows cut to the token limit, {failed} failed" in shown


def test_rows_are_counted_once_however_many_answers_are_cut_or_failed(data):
    talk = [("human", "Hi."), ("gpt", "one two three four five " * 9)]
    rows = [{"conversations": [{"from": who, "value": text} for who, text in talk * 2]} for _ in range(6)]
    rows[2]["conversations"][1]["value"] = rows[2]["conversations"][3]["value"] = ""
    Path("talk.json").write_text(json.dumps(rows))
    (facts,) = select(
        "talk.json", "perplexity", turns="each", max_tokens=60, param={"template": "plain"}
    ).summary.others
    assert (facts.truncated_rows, facts.failed_rows) == (5, 1)


def test_rows_without_a_vector_are_counted_for_a_method_that_chooses_a_set(data, rows):
    rows[4]["instruction"] = ""
    data.write_text(json.dumps(rows))
    selected = select(data, "kcenter", param={"text": "response"})
    assert selected.summary.unscored_rows == 0
    assert selected.summary.others[0].failed_rows == 1


def test_noisy_copies_are_passes_and_shared_signals_are_told_once(data):
    (facts,) = select(data, "tshirt", param={"copies": 2}).summary.others
    assert facts.passes_per_row == 6
    both = selectit.select(data, Settings(**FAKE, **NAMED, combine="ifd,ifd,reward,selectit:k=1"))
    told = [(facts.model, facts.signal) for facts in both.summary.others]
    assert told == [("m", "losses"), ("r", "rewards")]
    assert [annotator.model for annotator in both.summary.raters] == ["m"]


def test_the_speed_is_that_of_timing(data):
    facts = SignalStats("m", "losses", "m-1", passes_per_row=2, truncated_rows=3, failed_rows=4)
    counts = "3 rows cut to the token limit, 4 failed"
    spent = {"seconds": 2.0, "ratings": 10, "tokens": 500}
    line = signal_line(facts, {"losses/m-1": spent, "rewards/m-1": {**spent, "ratings": 1}})
    assert line == f"m, losses: 2 forward passes a row, 5.00 rows/s, 250 tokens/s; {counts}"
    assert "tokens/s" not in signal_line(facts, {"losses/m-1": {**spent, "tokens": 0}})
    judge = dataclasses.replace(facts, signal="judgements", passes_per_row=1)
    assert signal_line(judge, {}) == f"m, judgements: 1 reply a row; {counts}"


def test_an_older_summary_still_reads(data):
    summary = select(data, "ifd").summary
    plain = json.loads(json.dumps(dataclasses.asdict(summary)))
    assert from_plain(plain) == summary
    del plain["others"]
    assert from_plain(plain) == dataclasses.replace(summary, others=())


def test_show_says_what_of_a_selection_is_gone_and_the_rest_all_the_same(data, command):
    name = select(data, "length").name
    Path("run/selections", name, "rows.parquet").unlink()
    out = command("show", "run")
    assert f"selection {name}" in out and "rows.parquet" in out.splitlines()[-2]


def test_show_lists_the_models_of_all_signals(data, command):
    for method in FACTS:
        select(data, method)
    signals = selectit.show("run")["signals"]
    assert [(each["signal"], each["model"]) for each in signals] == [
        ("losses", "m"),
        ("embeddings", "e"),
        ("judgements", "j"),
        ("rewards", "r"),
    ]
    next(Path("run", "rewards").glob("*/*/part-00001.parquet")).unlink()
    units = [[work["units"] for work in each["works"]] for each in selectit.show("run")["signals"]]
    assert {*units[0], *units[1], *units[2]} == {"3 of 3 units"}
    assert units[3] == ["2 of 3 units"]
    lines = command("show", "run").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("losses by m: 1,000,000 parameters, engine fake"))
    assert lines[at + 1].startswith("  3 of 3 units: template 'Below is an instruction")
    assert len(lines[at + 1]) < 240
    assert lines[next(n for n, line in enumerate(lines) if line.startswith("rewards by r")) + 1] == "  2 of 3 units"


def test_show_row_has_each_signal(data, command):
    from selectit.engines.fake import FakeEngine
    from selectit.methods import build

    for method in ("tshirt", "knn", "alpagasus-local", "reward"):
        select(data, method, param={"copies": 2} if method == "tshirt" else {})
    answers = {each["signal"]: each for each in selectit.show("run", 7)["signals"]}
    sample = open_run("run").samples(7, 8)
    (own,) = FakeEngine("m", 4096).losses(build("tshirt", {"copies": 2}).needs[0], sample, lambda *_: None)
    losses = answers["losses"]
    assert losses["given"] == pytest.approx(own.given[0].mean(), rel=1e-6)
    assert losses["alone"] == (pytest.approx(np.nanmean(own.alone[0]), rel=1e-6) if own.alone.any() else None)
    assert losses["tokens"] == own.prompt_tokens + own.given.shape[1]
    assert losses["flags"] == [] and losses["error"] is None
    assert answers["embeddings"]["vector"] is True
    (reward,) = FakeEngine("r", 4096).reward(sample, lambda *_: None)
    assert answers["rewards"]["reward"] == reward
    text = command("show", "run", "--row", 7)
    assert f"m, losses: mean loss given {losses['given']:.4g}, alone {losses['alone']:.4g}, " in text
    assert "e, embeddings: a vector\n" in text
    assert f"j, judgements: reply {answers['judgements']['reply']!r}\n" in text
    assert f"r, rewards: reward {reward:.4g}\n" in text


def test_a_row_without_a_score_says_why_and_has_no_nan(data, command):
    select(data, "ifd")
    select(data, "knn", param={"text": "response"})
    text = command("show", "run", "--row", EMPTY)
    assert "m, losses: error: the response is empty\n" in text
    assert "e, embeddings: error: no vector" in text
    assert "no score" in text and "nan" not in text
    row = selectit.show("run", EMPTY)
    assert row["signals"][0]["given"] is None and row["signals"][1]["vector"] is False
    assert all(parts["score"] is None for parts in row["scores"].values())
    json.dumps(row, allow_nan=False)


def test_a_cut_response_is_noted_and_a_mean_of_nothing_is_left_out(data, command):
    select(data, "superfiltering", max_tokens=4)
    (cut,), (one_word,) = selectit.show("run", 1)["signals"], selectit.show("run", 0)["signals"]
    assert cut["flags"] == ["response cut"] and cut["alone"] is not None
    assert "tokens  (response cut)\n" in command("show", "run", "--row", 1)
    assert one_word["alone"] is None  # nothing stands before its only token
    assert f"m, losses: mean loss given {one_word['given']:.4g}, 3 tokens\n" in command("show", "run", "--row", 0)
