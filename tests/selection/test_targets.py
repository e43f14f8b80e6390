"""`--target` through the whole program, with made-up numbers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from selectit.config.settings import Settings
from selectit.engines.fake import FakeEngine
from selectit.errors import RunError, SettingsError
from selectit.models.adapters import FILES
from selectit.runs.verify import verify
from selectit.selection.compare import compare
from selectit.selection.describe import show
from selectit.selection.rate import rate
from selectit.selection.score import score
from selectit.selection.select import select
from selectit.selection.summary import TargetStats, summary_lines

METHODS = ("rds", "knn-target", "dsir", "target-loss", "less", "gist")


def examples(name, count):
    lines = [json.dumps({"prompt": f"{name} {n}?", "completion": "word " * (n + 2)}) for n in range(count)]
    Path(f"{name}.jsonl").write_text("\n".join(lines))
    return f"{name}.jsonl"


@pytest.fixture
def target(folder):
    return (examples("sums", 3), examples("tools", 2))


FRESH = {name: {"warmup": 0.0} for name in ("less", "gist")}
"""A warm-up needs a model that can be tuned."""


def settings(method, **changes):
    usual = {"engine": "fake", "model": "m", "run": "run", "keep": 4, "force": True, "param": FRESH.get(method, {})}
    return Settings(method=method, **{**usual, **changes})


@pytest.mark.parametrize("method", METHODS)
def test_a_choice_is_made_again_without_a_model(data, target, no_model, method):
    first = select(data, settings(method, target=target, out="one.json"))
    no_model()
    again = select(data, settings(method, target=target, out="two.json"))
    own = {"method": method, "param": FRESH.get(method, {}), "target": target}
    stored = select(None, Settings(run="run", **own, keep=4, out="three.json"))
    assert len(first.selection.rows) == 4
    assert Path("one.json").read_text() == Path("two.json").read_text() == Path("three.json").read_text()
    assert first.name == again.name == stored.name


def test_the_summary_says_for_what_rows_were_chosen(data, target):
    chosen = select(data, settings("rds", target=target))
    assert {each.name: each.kept for each in chosen.summary.target} == {"sums": 2, "tools": 2}
    assert chosen.selection.why[1].startswith("choice 2 of 4, for example 3 of the target (tools)")
    known = show("run")["selections"][chosen.name]
    assert known["target"] == [{"name": "sums", "kept": 2}, {"name": "tools", "kept": 2}]
    row = show("run", int(chosen.selection.rows[0]))
    assert "example 0 of the target (sums)" in row["selections"][chosen.name]


def test_a_group_for_which_nothing_was_chosen_is_named(data, target):
    chosen = select(data, settings("rds", target=target)).summary
    assert not [line for line in summary_lines(chosen, {}) if "nothing was chosen" in line]
    uneven = dataclasses.replace(chosen, target=(TargetStats("sums", 4), TargetStats("tools", 0)))
    (warning,) = [line for line in summary_lines(uneven, {}) if "nothing was chosen" in line]
    assert warning.startswith("warning: nothing was chosen for tools;") and "chooser=group-round-robin" in warning


def test_examples_that_are_rows_are_counted_and_left_out(data, rows, folder):
    Path("own.json").write_text(json.dumps([rows[2], rows[5], {"instruction": "Else?", "input": "", "output": "Yes."}]))
    chosen = select(data, settings(method="dsir", target=("own.json",), keep="100%"))
    assert chosen.name == "dsir-both-mean100-to-own-100pct"
    assert (chosen.summary.target_rows, chosen.summary.target_kept) == (2, 2)
    lines = list(summary_lines(chosen.summary, {}))
    assert "towards own.json" in lines
    assert (
        "of the target's examples 2 are rows of the data, and 2 of the chosen rows are such: "
        "--decontaminate own.json leaves them out"
    ) in lines
    clean = select(data, settings(method="dsir", target=("own.json",), decontaminate=("own.json",), keep="100%"))
    assert (clean.summary.target_rows, clean.summary.target_kept) == (2, 0)
    assert any("none of them was chosen" in line for line in summary_lines(clean.summary, {}))


def test_another_target_asks_about_its_examples_alone(data, target, monkeypatch):
    asked = []
    embed = FakeEngine.embed
    monkeypatch.setattr(FakeEngine, "embed", lambda *given: asked.append(len(given[2])) or embed(*given))
    one = select(data, settings("rds", target=target[0]))
    other = select(data, settings("rds", target=target[1]))
    assert asked == [12, 3, 2]
    assert one.name != other.name  # two choices, side by side
    select(data, settings("rds", target=target[1], target_by="prompt"))
    assert asked == [12, 3, 2]  # other groups of the same examples


def test_less_at_checkpoints_asks_for_the_rows_steps_and_the_examples_gradients(data, target, monkeypatch):
    for step in (2, 4):
        folder = Path(f"tuned/checkpoint-{step}")
        folder.mkdir(parents=True)
        for name in FILES:
            (folder / name).write_text(str(step))
        log = [{"step": each, "learning_rate": 0.1 * each} for each in range(1, step + 1)]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    asked = []
    gradients = FakeEngine.gradients
    monkeypatch.setattr(FakeEngine, "gradients", lambda *given: asked.append(given[1:3]) or gradients(*given))
    at_them = settings("less", target=target[0], param={"checkpoints": "tuned"}, unit_size=5)
    first = select(data, at_them)
    assert [(what.adam, len(samples)) for what, samples in asked] == [(True, 5), (True, 5), (True, 2), (False, 3)]
    assert [each.rate for each in asked[0][0].checkpoints] == pytest.approx([0.15, 0.35])
    assert first.summary.others[0].passes_per_row == 2
    select(data, dataclasses.replace(at_them, target=target[1:]))
    assert [len(samples) for _, samples in asked[4:]] == [2]  # the rows' projections serve another target too
    (Path("tuned/checkpoint-4") / FILES[1]).write_text("trained on")
    other = select(data, at_them)
    assert len(asked) == 9 and other.name != first.name


def test_interrupted_between_rows_and_examples(data, target, monkeypatch):
    embed = FakeEngine.embed

    def stop(engine, what, samples, on_batch):
        if len(samples) == 5:
            raise KeyboardInterrupt
        return embed(engine, what, samples, on_batch)

    monkeypatch.setattr(FakeEngine, "embed", stop)
    with pytest.raises(KeyboardInterrupt):
        select(data, settings("rds", target=target, out="one.json"))
    monkeypatch.setattr(FakeEngine, "embed", embed)
    with pytest.raises(RunError, match="no states of the target's examples by m"):
        select(None, Settings(run="run", method="rds", target=target, keep=4, out="one.json"))
    select(data, settings("rds", target=target, out="one.json"))
    select(data, settings("rds", target=target, out="two.json", run="whole"))
    assert Path("one.json").read_text() == Path("two.json").read_text()


def test_rate_then_score_and_compare(data, target):
    rate(data, settings("target-loss", target=target, param={"examples": "3"}, keep=None, force=False))
    again = Settings(run="run", method="target-loss", target=target, param={"examples": "3"})
    assert np.isfinite(score("run", again).score[:-1]).all()
    with pytest.raises(SettingsError, match="rds chooses a set"):
        score("run", Settings(method="rds", target=target))
    both = compare("run", ["dsir", "length", "target-loss:examples=3"], Settings(target=target))
    assert [each.name for each in both.methods] == ["dsir-both-mean100", "length-words", "target-loss-alpaca-n3-seed0"]


def test_the_run_of_the_examples_is_verified_too(data, target):
    select(data, settings("rds", target=target))
    (part,) = Path("run").glob("targets/*/run/states/*/*/part-00000.parquet")
    assert not verify("run").findings
    part.write_bytes(part.read_bytes()[:-20])
    assert len(verify("run").findings) == 1


@pytest.mark.parametrize("method", METHODS)
def test_without_a_target(data, method):
    with pytest.raises(SettingsError, match="towards examples") as error:
        select(data, settings(method))
    assert "--target FILE" in error.value.hint
    assert not Path("run").exists()


def test_a_target_that_nothing_reads(data, target):
    with pytest.raises(SettingsError, match="--target does nothing: length reads no target"):
        select(data, settings("length", target=target))
    with pytest.raises(SettingsError, match="--target-by"):
        Settings(target_by="task")
    chosen = select(data, settings("selectit", combine="dsir,length", target=target, param={}))
    assert len(chosen.selection.rows) == 4


def test_no_model_is_to_be_probed_where_none_was_asked(data):
    chosen = select(data, settings("dsir", target=(str(data),)))
    lines = list(summary_lines(chosen.summary, {}))
    assert any(line.startswith("warning: every row has the same score") for line in lines)
    assert not any("selectit probe" in line for line in lines)
