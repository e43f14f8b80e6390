"""Methods that tune a tiny model on the way: what they choose, what is done once, what is refused."""

import dataclasses
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import tomli_w
import torch

import commandline
import selectit
import tiny
from rundirs import contents
from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.methods._tuning import draw_share
from selectit.methods.delta_loss import DeltaLoss
from selectit.procedures.tuned import remove_weights
from selectit.runs.annotators import models_in
from selectit.runs.run import open_run
from selectit.selection.cascade_report import read_timing
from selectit.selection.summary import summary_lines
from selectit.training.recipes import load

ROWS = 24
WARM = {"less": {"warmup": 0.25, "dimensions": 16}, "gist": {"warmup": 0.25}, "tagcos": {"share": 0.25}}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two threads wait for each other longer than a tiny model computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny.build_chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture
def data(folder):
    """A data set of rows of many lengths, and beside it the recipe of a quick training."""
    words = "red blue one two river stone light".split()
    rows = [
        {
            "instruction": f"Question {n}?",
            "input": "",
            "output": " ".join(words[n % 5 : n % 5 + 1 + n % 3] * (1 + n % 4)),
        }
        for n in range(ROWS)
    ]
    for name, warmup, lora in (("quick", 0.0, 0), ("warm", 0.03, 0), ("lora", 0.1, 2)):
        recipe = dataclasses.replace(tiny.QUICK, warmup_ratio=warmup, lora=lora, template="plain")
        Path(f"{name}.toml").write_text(tomli_w.dumps(recipe.table()))
    wanted = [{"prompt": f"Add 1 and {n}.", "completion": f"They make {n + 1}."} for n in range(3)]
    Path("sums.jsonl").write_text("\n".join(map(json.dumps, wanted)))
    path = folder / "data.json"
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def settings(model):
    def build(method="diverse-evol", run="run", **param):
        given = {"epochs": 1.0, "recipe": "quick.toml"}
        if method in ("less", "gist", "tagcos"):
            given = {"epochs": 2.0, "recipe": "lora.toml"}
        elif method in ("diverse-evol", "forgetting"):
            given["rounds"] = 2
        param = {**given, **WARM.get(method, {}), **param}
        place = {"run": run, "out": "subset.json", "force": True}
        if method in ("less", "gist"):
            place["target"] = "sums.jsonl"
        return Settings(method=method, model=model, keep=12, param=param, unit_size=10, dtype="fp32", **place)

    return build


@pytest.fixture
def no_training(monkeypatch):
    """A function: from its call on, whoever tunes a model fails the test."""
    from selectit.procedures import tuned

    return lambda: monkeypatch.setattr(tuned, "train", lambda *_, **__: pytest.fail("a model was tuned"))


class Stops:
    """A progress that is interrupted after so many advances."""

    def __init__(self, after):
        self.left = after

    def start(self, what, total, done):
        return

    def advance(self, ratings, tokens):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt

    def finish(self):
        return


def stored(folder):
    """What must not differ: all but the tuned models, whose cards have dates."""
    return {name: value for name, value in contents(folder).items() if not name.startswith("tuned/")}


def trainings(folder):
    """Finished trainings, and when each ended."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).glob("tuned/*/training.json")}


def test_a_set_is_chosen_in_rounds(data, settings):
    selected = selectit.select(data, settings())
    assert len(set(selected.selection.rows.tolist())) == 12
    assert [each.rows for each in selected.summary.tunings] == [4, 8]
    assert [each.steps for each in selected.summary.tunings] == [1, 2]
    assert selected.passes == 2
    assert selected.seconds > 0
    config = tomllib.loads(Path(f"run/selections/{selected.name}/config.toml").read_text())
    assert len(config["tuned"]) == 2
    run = open_run("run")
    assert models_in(run, "states") == []  # nobody named them
    lines = "\n".join(summary_lines(selected.summary, run.timing()))
    assert "tuned 2 models on the way, on 4, 8 rows: 3 steps" in lines
    assert "choosing took" in lines and "an estimate" in lines


@pytest.mark.parametrize("method", ["diverse-evol", "delta-loss", "forgetting", "tagcos", "less"])
def test_what_is_done_is_not_done_again(data, settings, method, no_training, no_model):
    first = selectit.select(data, settings(method))
    before = stored("run")
    remove_weights(open_run("run"), [each.folder for each in first.summary.tunings])  # what they answered is enough
    assert not list(Path("run").glob("tuned/**/*.safetensors"))
    no_training()
    no_model()
    again = selectit.select(data, settings(method))
    assert again.selection.rows.tolist() == first.selection.rows.tolist()
    assert stored("run") == before
    asked = settings(method)
    named = {"method": method, "model": asked.model, "param": asked.param, "target": asked.target}
    stored_only = Settings(**named, keep=12, run="run", force=True)
    assert selectit.select(None, stored_only).selection.rows.tolist() == first.selection.rows.tolist()


@pytest.mark.parametrize(("method", "signal", "every"), [("diverse-evol", "states", 1), ("less", "gradients", 2)])
def test_it_goes_on_after_any_interruption(data, settings, method, signal, every):
    whole = selectit.select(data, settings(method, run="whole"))
    after, ended = 0, False
    while not ended:
        done, units = (
            trainings("run"),
            {path: path.stat().st_mtime_ns for path in Path("run").glob(f"**/{signal}/*/*/part-*")},
        )
        try:
            found = selectit.select(data, settings(method), Stops(after))
            ended = True
        except KeyboardInterrupt:
            after += every
        assert done.items() <= trainings("run").items()
        assert all(path.stat().st_mtime_ns == time for path, time in units.items())
    assert after >= 3
    assert found.selection.rows.tolist() == whole.selection.rows.tolist()
    assert stored("run") == stored("whole")


def test_methods_that_ask_for_the_same_model_share_it(data, settings):
    selectit.select(data, settings("delta-loss"))
    selectit.select(data, settings("delta-loss", order="least"))
    assert len(trainings("run")) == 1
    selectit.select(data, settings("delta-loss", share=0.2))
    assert len(trainings("run")) == 2


@pytest.fixture(scope="session")
def reward_model(model, tmp_path_factory):
    return tiny.build_reward(tmp_path_factory.mktemp("reward"), model)


def test_answers_are_rewarded(data, settings, reward_model, no_training, no_model):
    """MoDS: what is asked about some rows is asked once, and told of."""
    asked = settings("mods", quality=-9.0, necessity=9.0, tokens=4)
    asked = Settings(**{**vars(asked), "reward_model": reward_model})
    first = selectit.select(data, asked)
    assert len(set(first.selection.rows.tolist())) == 12
    assert [each.rows for each in first.summary.tunings] == [6]
    assert [(each.signal, each.rows) for each in first.summary.others][2:] == [("judgements", ROWS), ("rewards", ROWS)]
    lines = "\n".join(summary_lines(first.summary, read_timing(open_run("run"))))
    assert f"1 reply a row, of {ROWS} rows" in lines and "choosing took" in lines
    assert selectit.verify("run").findings == ()
    no_training()
    no_model()
    assert selectit.select(data, asked).selection.rows.tolist() == first.selection.rows.tolist()


def test_weights_that_are_gone_are_made_again_where_they_are_needed(data, settings):
    selectit.select(data, settings("delta-loss"))
    (before,) = trainings("run").values()
    for file in Path("run").glob("tuned/*/*.safetensors"):
        file.unlink()
    selectit.select(data, settings("delta-loss", template="plain"))
    (after,) = trainings("run").values()
    assert after > before


def test_rounds_of_forgetting_go_on_from_the_last(data, settings):
    selected = selectit.select(data, settings("forgetting"))
    first, second = selected.summary.tunings
    facts = [json.loads(Path(f"run/tuned/{each.folder}/training.json").read_text()) for each in (first, second)]
    assert facts[1]["base"]["name"].endswith(first.folder)
    assert facts[0]["base"]["digest"] != facts[1]["base"]["digest"]


def test_scores_are_those_of_the_tuned_model(data, settings):
    """IFD under the model that ifd-pre tuned is what `ifd` gives with that model named."""
    pre = settings("ifd-pre", clusters=2, each=3)
    selectit.select(data, pre)
    (tuned,) = Path("run").glob("tuned/*/")
    selectit.rate(data, Settings(method="ifd", model=str(tuned), param={"template": "chat"}, run="other", dtype="fp32"))
    plain = selectit.score("other", Settings(method="ifd", model=str(tuned), param={"template": "chat"}))
    ours = selectit.score("run", Settings(method="ifd-pre", model=pre.model, param=pre.param))
    assert ours.score == pytest.approx(plain.score, rel=1e-5, nan_ok=True)
    assert np.isfinite(ours.score).any()


def test_only_rows_that_no_filter_leaves_out_are_tuned_on(data, settings):
    rows = json.loads(data.read_text())
    data.write_text(json.dumps(rows + rows[:8]))
    selected = selectit.select(data, Settings(**{**vars(settings()), "dedup": "exact"}))
    assert set(selected.selection.rows.tolist()) <= set(range(ROWS))


def test_groups_are_chosen_from_one_by_one(data, settings):
    rows = json.loads(data.read_text())
    data.write_text(json.dumps([{**row, "part": "ab"[n % 2]} for n, row in enumerate(rows)]))
    selected = selectit.select(data, Settings(**{**vars(settings()), "by": "part", "shares": "equal"}))
    assert np.bincount(selected.selection.rows % 2).tolist() == [6, 6]
    assert [each.rows for each in selected.summary.tunings] == [2, 4, 2, 4]


def test_what_was_not_tuned_is_missing_where_nothing_is_asked(data, settings):
    selectit.select(data, settings())
    plain = settings(rounds=3)
    with pytest.raises(RunError, match="has no states by") as caught:
        selectit.select(None, Settings(method=plain.method, model=plain.model, keep=12, run="run", param=plain.param))
    assert "selectit select" in caught.value.hint


def test_compare_reads_what_is_stored(data, settings):
    selectit.select(data, settings("delta-loss"))
    plain = settings()
    compared = selectit.compare(
        "run", ["delta-loss:epochs=1;recipe=quick.toml", "random"], Settings(model=plain.model, keep=12)
    )
    assert [each.passes_per_row for each in compared.methods] == [2, 0]
    assert compared.methods[0].seconds > 0


def test_a_scoring_method_is_followed_once(data, settings, monkeypatch, no_training):
    """`select` scores in the same breath; after `rate`, which does not, `score` finds all there."""
    begun = []
    steps = DeltaLoss.steps
    monkeypatch.setattr(DeltaLoss, "steps", lambda *given: begun.append(1) or steps(*given))
    asked = settings("delta-loss")
    selectit.select(data, asked)
    assert begun == [1]
    selectit.rate(data, dataclasses.replace(asked, run="rated"))
    no_training()
    scored = selectit.score("rated", Settings(method="delta-loss", model=asked.model, param=asked.param))
    assert np.isfinite(scored.score).all()


def test_its_scores_may_be_read_by_another_method(data, settings):
    plain = settings()
    quality = {"quality": "delta-loss:epochs=1;recipe=quick.toml"}
    selected = selectit.select(data, Settings(**{**vars(plain), "method": "similarity", "param": quality}))
    assert [each.rows for each in selected.summary.tunings] == [2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": ()}, "none is named"),
        ({"model": ("a", "b")}, "there are 2: a, b"),
        ({"engine": "fake"}, "fake loads no tuned model"),
        ({"param": {"recipe": "papr"}}, "there is no recipe 'papr'"),
        ({"param": {"epochs": 0.0}}, "epochs is 0"),
        ({"param": {"recipe": "warm.toml", "rounds": 5, "epochs": 1.0}}, "nothing would be learnt"),
    ],
)
def test_what_is_refused(data, settings, changes, said):
    with pytest.raises(SettingsError, match=said):
        selectit.select(data, Settings(**{**vars(settings()), **changes}))
    assert not list(Path().glob("run/states/*/*/part-*"))


@pytest.mark.parametrize("verb", [selectit.select, selectit.rate])
@pytest.mark.parametrize("method", ["delta-loss", "diverse-evol"])
def test_a_training_of_one_step_is_refused_before_a_model_is_loaded(data, settings, no_model, verb, method):
    no_model()
    with pytest.raises(SettingsError, match="nothing would be learnt"):
        verb(data, settings(method, recipe="warm.toml", epochs=0.5))


def test_no_share_of_it_is_done_alone(data, settings):
    with pytest.raises(SettingsError, match="--share can't be used"):
        selectit.rate(data, Settings(**{**vars(settings("delta-loss")), "share": "0/2"}))


def test_the_command(data, settings, model, capsys):
    asked = ["--method", "delta-loss", "--model", model, "--param", "recipe=quick.toml"]
    code, told, _ = commandline.run(capsys, "select", data, *asked, "--quiet")
    assert (code, "tuned 1 model on the way, on 2 rows" in told) == (0, True)


def test_a_warm_up_of_ones_own_is_one_made_by_hand(data, settings):
    """`less` in one command chooses what it chooses at the checkpoints of the same training."""
    ours = settings("less")
    first = selectit.select(data, ours)
    assert [(each.rows, each.steps) for each in first.summary.tunings] == [(6, 3)]
    assert [(each.passes_per_row, each.rows) for each in first.summary.others] == [(2, None), (2, 3)]
    assert "choosing took" in "\n".join(summary_lines(first.summary, read_timing(open_run("run"))))
    assert not list(Path("run").glob("tuned/*/*.safetensors"))  # the checkpoints are enough
    drawn = draw_share(open_run("run").basic_rows(), 0.25, 0)
    recipe = dataclasses.replace(load("lora.toml"), epochs=2.0)
    selectit.train("run", drawn, *ours.model, recipe, "warm", keep_checkpoints=2)
    named = dataclasses.replace(ours, param={"checkpoints": "warm/checkpoints", "dimensions": 16}, run="run")
    second = selectit.select(data, named)
    assert second.summary.tunings == () and second.name != first.name
    assert second.selection.rows.tolist() == first.selection.rows.tolist()
    assert selectit.verify("run").findings == ()


def test_one_warm_up_serves_methods_targets_and_groups(data, settings, no_training):
    rows = json.loads(data.read_text())
    data.write_text(json.dumps([{**row, "part": "ab"[n % 2]} for n, row in enumerate(rows)]))
    selectit.select(data, settings("gist"))
    no_training()
    selectit.select(data, settings("less"))
    assert len(selectit.select(data, settings("tagcos", clusters=2)).summary.tunings) == 1
    Path("words.jsonl").write_text(json.dumps({"prompt": "Say red.", "completion": "red"}))
    parts = dataclasses.replace(settings("less"), target="words.jsonl", by="part", shares="equal")
    selected = selectit.select(data, parts)
    assert np.bincount(selected.selection.rows % 2).tolist() == [6, 6]


def test_a_recipe_without_an_adapter_has_no_checkpoints_to_read(data, settings):
    with pytest.raises(SettingsError, match=r"adapter, and quick.toml tunes none(.|\n)*brief-lora"):
        selectit.select(data, settings("less", recipe="quick.toml"))


def test_nothing_is_tuned_where_that_is_said(data, settings, no_training):
    no_training()
    selected = selectit.select(data, settings("less", warmup=0.0))
    assert selected.summary.tunings == () and selected.summary.others[0].passes_per_row == 1
