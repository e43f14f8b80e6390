"""What methods read of models, from the command to the stored columns and back."""

import json
from pathlib import Path

import numpy as np
import pytest

import selectit
from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.progress import Silent

FAKE = {"engine": "fake", "run": "run", "unit_size": 5}


def write(rows):
    Path("data.json").write_text(json.dumps(rows))
    return "data.json"


@pytest.fixture
def source(rows):
    return write(rows)


NEEDS = {
    "ifd": "losses",
    "grand": "gradients",
    "knn": "embeddings",
    "alpagasus-local": "judgements",
    "reward": "rewards",
}


@pytest.mark.parametrize("method", NEEDS)
def test_a_method_s_signal_is_collected_once_and_resumed(source, method, monkeypatch):
    from selectit.engines.fake import FakeEngine

    asked = []
    names = {
        "losses": "losses",
        "gradients": "gradients",
        "embeddings": "embed",
        "judgements": "reply",
        "rewards": "reward",
    }
    verb = names[NEEDS[method]]
    original = getattr(FakeEngine, verb)

    def count(self, *arguments):
        asked.append(len(arguments[-2]))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(FakeEngine, verb, count)
    settings = Settings(
        **FAKE, method=method, keep=3, allow_fewer=True, model=("m",), reward_model="r", judge="j", encoder="e"
    )
    with pytest.raises(KeyboardInterrupt):
        selectit.select(source, settings)
    selected = selectit.select(source, settings)
    assert asked == [5, 5, 5, 2]
    again = selectit.select(source, settings)
    assert asked == [5, 5, 5, 2]
    assert (again.selection.rows == selected.selection.rows).all()
    stored = list(Path("run", NEEDS[method]).glob("*/text-*/part-*.parquet"))
    assert len(stored) == 3
    from_run = selectit.score("run", Settings(method=method))
    assert len(from_run.score) == 12
    assert np.isfinite(from_run.score[selected.selection.rows]).all()


@pytest.mark.parametrize(("order", "read"), [("el2n,ifd", ["both"]), ("ifd,el2n", ["both"])])
def test_losses_of_a_response_alone_are_read_where_they_are_wanted(source, monkeypatch, order, read):
    from selectit.engines.fake import FakeEngine

    asked = []
    original = FakeEngine.losses

    def seen(self, text, samples, on_batch):
        asked.append("both" if text.both else "given")
        return original(self, text, samples, on_batch)

    monkeypatch.setattr(FakeEngine, "losses", seen)
    settings = {**FAKE, "unit_size": 12, "model": ("m",), "keep": 3, "allow_fewer": True}
    alone = selectit.select(source, Settings(**{**settings, "run": "other"}, method="el2n"))
    assert asked == ["given"]
    asked.clear()
    selectit.select(source, Settings(**settings, combine=order, out="both.json"))
    assert asked == read  # the ones with both hold the others
    chosen = selectit.select(source, Settings(**settings, method="el2n", out="x.json"))
    assert asked == read and set(chosen.selection.rows) == set(alone.selection.rows)


def test_stored_losses_are_what_the_engine_gave(source):
    from selectit.engines.fake import FakeEngine
    from selectit.runs.run import open_run
    from selectit.selection.collect import load_signals
    from selectit.selection.resolve import resolve

    settings = Settings(**FAKE, method="tshirt", param={"copies": 2}, keep=2, allow_fewer=True, model=("m",))
    selectit.rate(source, settings)
    run = open_run("run")
    (spec,) = resolve(settings).parts
    losses = load_signals(run, spec, None, None, Silent()).signals.losses
    own = FakeEngine("m", 4096).losses(spec.method.needs[0], run.samples(0, 12), lambda *_: None)
    for item, each in enumerate(own):
        part = slice(losses.start[item], losses.start[item + 1])
        if isinstance(each, str):
            assert losses.start[item] == losses.start[item + 1]
            continue
        np.testing.assert_array_equal(losses.given[:, part], each.given)
        np.testing.assert_array_equal(losses.alone[:, part], each.alone)
        np.testing.assert_array_equal(losses.entropy[part], each.entropy)
        assert losses.prompt_tokens[item] == each.prompt_tokens


def test_rows_without_a_signal_have_no_score_and_a_reason(source):
    settings = Settings(**FAKE, method="ifd", keep=2, allow_fewer=True, model=("m",), rest="rest.json")
    selectit.select(source, settings)
    rest = json.loads(Path("rest.json").read_text())
    empty = next(row["selectit"] for row in rest if row["instruction"] == "Say nothing.")
    assert empty["score"] is None and "the response is empty" in empty["why"]


def test_a_signal_that_is_not_there_says_how_to_collect_it(source):
    selectit.select(source, Settings(run="run", method="random", keep=2))
    with pytest.raises(RunError, match="no losses") as missing:
        selectit.score("run", Settings(method="ifd"))
    assert "selectit rate --run run" in missing.value.hint
    selectit.rate(None, Settings(**FAKE, method="ifd", model=("m",)))
    assert np.isfinite(selectit.score("run", Settings(method="ifd")).score).any()


def test_what_is_needed_must_be_named(source):
    for method, flag in (("ifd", "--model"), ("reward", "--reward-model"), ("alpagasus-local", "--judge")):
        with pytest.raises(SettingsError) as refused:
            selectit.select(source, Settings(**FAKE, method=method, keep=2))
        assert flag in refused.value.hint


def test_rows_of_several_answers(folder):
    turns = [("human", "Hi."), ("gpt", "Hello there."), ("human", "And?"), ("gpt", "Well then, go on.")]
    talk = [{"conversations": [{"from": who, "value": text} for who, text in turns]} for _ in range(6)]
    settings = Settings(**FAKE, method="perplexity", turns="each", keep=2, allow_fewer=True, model=("m",))
    selectit.select(write(talk), settings)
    assert len(selectit.score("run", Settings(method="perplexity")).score) == 6


def test_what_is_wrong_with_a_method_is_said_before_anything_is_rated(source, no_model):
    no_model()
    wrong = (
        {"combine": "selectit,reward"},
        {"combine": "selectit,alpagasus", "judge": "x"},
        {"combine": "selectit,length:unit=tokens", "model": ("a", "b")},
        {"combine": "selectit,ifd", "engine": "vllm"},
        {"method": "ifd"},
        {"method": "knn", "param": {"text": "respnse"}},
    )
    for settings in wrong:
        with pytest.raises(SettingsError):
            selectit.select(source, Settings(**{**FAKE, "model": ("m",), "keep": 2, **settings} | _bare(settings)))
    assert not Path("run").exists()


def _bare(settings):
    return {"model": ()} if settings.get("method") == "ifd" else {}


def test_a_run_made_up_by_fake_goes_on_with_it(source):
    selectit.rate(source, Settings(**FAKE, method="ifd", model=("m",)))
    selectit.rate(None, Settings(run="run", method="perplexity", param={"span": "whole"}, model=("m",)))
    assert len(list(Path("run/losses").glob("*/text-*"))) == 2


def test_the_reason_of_rows_that_a_method_does_not_want(source):
    selectit.select(source, Settings(**FAKE, method="ifd", keep=1, allow_fewer=True, model=("m",), rest="rest.json"))
    reasons = {row["selectit"]["why"] for row in json.loads(Path("rest.json").read_text())}
    assert not any("not scored" in reason for reason in reasons)


def test_a_number_of_neighbours_can_be_given(source):
    settings = Settings(**FAKE, method="knn", param={"k": "2"}, keep=2, encoder="e")
    assert "k2" in selectit.select(source, settings).name


def test_comparing_methods_with_budgets_of_their_own(source):
    for method in ("alpagasus-local", "full"):
        selectit.rate(source, Settings(**FAKE, method=method, model=("m",), judge="j"))
    compared = selectit.compare("run", ["full", "alpagasus-local", "random"], Settings())
    assert compared.methods[0].kept == 12 and compared.methods[2].kept == 2
