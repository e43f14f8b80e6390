"""`train` on a tiny model: what it makes, resuming, refusing."""

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import commandline
import selectit
import tiny
from selectit.config.settings import Settings
from selectit.errors import DataError, ModelError, RunError, SettingsError
from selectit.models.adapters import find_checkpoints
from selectit.training.train import space_steps

with_recipe = partial(dataclasses.replace, tiny.QUICK)


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
def run(data):
    """A run of 12 rows with one selection of 6."""
    selectit.select(data, Settings(method="length", keep=6, run="run"))
    return Path("run")


def weights(folder):
    return load_file(Path(folder) / "model.safetensors")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Stops:
    """A progress that is interrupted after so many steps."""

    def __init__(self, after):
        self.after = after
        self.done = None

    def start(self, what, total, done):
        self.done = done

    def advance(self, ratings, tokens):
        self.after -= 1
        if self.after < 0:
            raise KeyboardInterrupt

    def finish(self):
        return


def test_a_selection_becomes_a_model(run, model, data):
    trained = selectit.train(run, model=model, recipe=tiny.QUICK, out="tuned")
    assert (trained.rows, trained.steps, trained.by, trained.fresh) == (6, 3, "epochs", True)
    assert not Path("tuned/work").exists()
    facts = json.loads(Path("tuned/training.json").read_text())
    assert facts["selection"] == "length-words-6rows"
    assert [entry["step"] for entry in facts["log"]] == [1, 2, 3]
    assert trained.loss == facts["log"][-1]["loss"]
    loaded = AutoModelForCausalLM.from_pretrained("tuned")
    words = AutoTokenizer.from_pretrained("tuned")
    assert words.chat_template == tiny.CHAT
    assert not equal(weights("tuned"), weights(model))
    assert loaded.generation_config.eos_token_id in (words.eos_token_id, [words.eos_token_id])
    card = Path("tuned/README.md").read_text()
    for said in (
        "6 of the 12 of data.json",
        "length-words-6rows",
        'method = "length"',
        "3 steps, by epochs",
        "Licence",
    ):
        assert said in card


def loss_of(folder, texts):
    words, loaded = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    losses = []
    for text in texts:
        ids = torch.tensor([words(text, add_special_tokens=False)["input_ids"]])
        losses.append(loaded(input_ids=ids, labels=ids).loss.item())
    return np.mean(losses)


def test_the_loss_on_its_rows_falls(run, model, rows):
    selectit.train(run, "all", model, with_recipe(epochs=8), "tuned")
    texts = [f"<|user|>\n{row['instruction']}<|end|>\n<|assistant|>\n{row['output']}<|end|>" for row in rows]
    log = json.loads(Path("tuned/training.json").read_text())["log"]
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    assert loss_of("tuned", texts) < 0.9 * loss_of(model, texts)


def test_what_is_trained_is_the_loss_on_the_answers(run, model):
    """One step of plain gradient descent by hand over the same rows gives the first step's loss."""
    selectit.train(run, [0], model, with_recipe(epochs=1, batch_size=1, micro_batch=1), "tuned")
    words, loaded = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    asked = words("<|user|>\nQuestion 0?<|end|>\n<|assistant|>\n")["input_ids"]
    answer = words("word<|end|>")["input_ids"]
    logits = loaded(input_ids=torch.tensor([asked + answer])).logits[0].log_softmax(-1)
    losses = [-logits[len(asked) - 1 + at, token].item() for at, token in enumerate(answer)]
    log = json.loads(Path("tuned/training.json").read_text())["log"]
    assert log[0]["loss"] == pytest.approx(np.mean(losses), abs=1e-4)


def test_micro_batches_change_rounding_only(run, model):
    whole = selectit.train(run, "all", model, with_recipe(micro_batch=4), "whole").path
    parts = selectit.train(run, "all", model, with_recipe(micro_batch=1), "parts").path
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(parts)[name], atol=1e-4), name


def card_of(folder):
    return Path(folder, "README.md").read_text()


def test_epochs_and_equal_steps(run, model):
    by_epochs = [selectit.train(run, which, model, tiny.QUICK, f"e{which}") for which in ("all", "length-words-6rows")]
    assert [each.steps for each in by_epochs] == [6, 3]
    fixed = with_recipe(steps=2)
    by_steps = [selectit.train(run, which, model, fixed, f"s{which}") for which in ("all", "length-words-6rows")]
    assert [(each.steps, each.by) for each in by_steps] == [(2, "steps")] * 2
    assert "2 steps, by steps: 0.6667 passes over the rows, so that 8 of them are read" in card_of("sall")
    assert "2 steps, by steps: 1.333 passes over the rows\n" in card_of("slength-words-6rows")


@pytest.mark.parametrize("changes", [{}, {"lora": 2, "lora_dropout": 0.3}, {"dtype": "bf16"}])
def test_an_interrupted_training_goes_on_to_the_same_weights(run, model, changes):
    recipe = with_recipe(**changes)
    whole = selectit.train(run, "all", model, recipe, "whole")
    for after in (2, 1):
        with pytest.raises(KeyboardInterrupt):
            selectit.train(run, "all", model, recipe, "parts", checkpoint_seconds=0, progress=Stops(after))
    assert not Path("parts/training.json").exists()
    last = Stops(99)
    parts = selectit.train(run, "all", model, recipe, "parts", checkpoint_seconds=0, progress=last)
    assert last.done == 12  # steps 1 to 3 of 6, in batches of 4, were not made again
    assert equal(weights("whole"), weights("parts"))
    logs = [json.loads((each.path / "training.json").read_text())["log"] for each in (whole, parts)]
    assert [entry["loss"] for entry in logs[0]] == [entry["loss"] for entry in logs[1]]


def test_checkpoints_that_stay(run, model):
    """As many as were asked for, as the method `less` reads them, whether or not the training was interrupted."""
    recipe = with_recipe(lora=2)
    with pytest.raises(KeyboardInterrupt):
        selectit.train(run, "all", model, recipe, "tuned", keep_checkpoints=2, progress=Stops(4))
    trained = selectit.train(run, "all", model, recipe, "tuned", keep_checkpoints=2)
    assert trained.steps == 6
    found = find_checkpoints("tuned/checkpoints")
    assert [Path(each.path).name for each in found] == ["checkpoint-3", "checkpoint-6"]
    assert all(each.moments for each in found) and found[0].rate > found[1].rate > 0
    assert not selectit.train(run, "all", model, recipe, "tuned", keep_checkpoints=2).fresh
    with pytest.raises(RunError, match="has kept 2 checkpoints"):
        selectit.train(run, "all", model, recipe, "tuned", keep_checkpoints=3)
    with pytest.raises(SettingsError, match="of adapters alone"):
        selectit.train(run, "all", model, tiny.QUICK, "other", keep_checkpoints=2)


def test_a_training_of_few_steps_keeps_a_checkpoint_of_each(run, model):
    recipe = with_recipe(lora=2, steps=1)
    made = [selectit.train(run, "all", model, recipe, "tuned", keep_checkpoints=3) for _ in range(2)]
    assert [each.fresh for each in made] == [True, False] and len(find_checkpoints("tuned/checkpoints")) == 1


@pytest.mark.parametrize(
    ("steps", "n", "ends"), [(6, 2, [3, 6]), (7, 3, [3, 5, 7]), (2, 4, [1, 2]), (5, 1, [5]), (5, 0, [])]
)
def test_after_which_steps_checkpoints_are_kept(steps, n, ends):
    assert space_steps(steps, n) == ends


def test_a_checkpoint_that_was_cut_short_is_passed_over(run, model):
    whole = selectit.train(run, "all", model, tiny.QUICK, "whole")
    with pytest.raises(KeyboardInterrupt):
        selectit.train(run, "all", model, tiny.QUICK, "parts", checkpoint_seconds=0, progress=Stops(3))
    state = Path("parts/work/checkpoints/checkpoint-3/trainer_state.json")
    state.write_text(state.read_text()[:40])
    last = Stops(99)
    selectit.train(run, "all", model, tiny.QUICK, "parts", progress=last)
    assert last.done == 8
    assert equal(weights(whole.path), weights("parts"))


def test_the_same_again_does_nothing(run, model, monkeypatch):
    first = selectit.train(run, model=model, recipe=tiny.QUICK)
    assert first.path.parent == Path("run/train")
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    monkeypatch.setitem(sys.modules, "selectit.training.loop", None)  # whoever imports it fails
    again = selectit.train(run, model=model, recipe=tiny.QUICK)
    assert again == dataclasses.replace(first, fresh=False)
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == before


def test_equal_seeds_equal_weights_other_seeds_others(run, model):
    selectit.train(run, model=model, recipe=tiny.QUICK, out="a")
    selectit.train(run, model=model, recipe=tiny.QUICK, out="b")
    selectit.train(run, model=model, recipe=with_recipe(seed=1), out="c")
    assert equal(weights("a"), weights("b"))
    assert not equal(weights("a"), weights("c"))


def test_another_training_in_the_same_folder_is_refused(run, model):
    selectit.train(run, model=model, recipe=tiny.QUICK, out="tuned")
    with pytest.raises(RunError, match=r"tuned holds another training: another recipe \(epochs\)") as error:
        selectit.train(run, model=model, recipe=with_recipe(epochs=1), out="tuned")
    assert "--out" in error.value.hint
    with pytest.raises(RunError, match="other rows"):
        selectit.train(run, "all", model, tiny.QUICK, "tuned")
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("x")
    with pytest.raises(RunError, match="mine is not empty and holds no training"):
        selectit.train(run, model=model, recipe=tiny.QUICK, out="mine")
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


def test_an_adapter_is_merged_and_kept(run, model):
    recipe = with_recipe(lora=4, lora_dropout=0.0, learning_rate=1e-2)
    selectit.train(run, model=model, recipe=recipe, out="tuned")
    assert not equal(weights("tuned"), weights(model))
    base = AutoModelForCausalLM.from_pretrained(model)
    both = PeftModel.from_pretrained(base, "tuned/adapter").eval()
    merged = AutoModelForCausalLM.from_pretrained("tuned").eval()
    ids = torch.arange(5, 60)[None]
    with torch.no_grad():
        assert torch.allclose(merged(ids).logits, both(ids).logits, atol=1e-5)
        assert not torch.allclose(
            merged(ids).logits, AutoModelForCausalLM.from_pretrained(model)(ids).logits, atol=1e-3
        )
    with pytest.raises(ModelError, match="none of the layers query"):
        selectit.train(run, model=model, recipe=with_recipe(lora=4, lora_targets=("query",)), out="other")


def test_rows_that_are_cut_are_counted(run, model):
    # Ten questions and a copy of one are 32 tokens with what asks for the answer, "Say nothing." is more than 34.
    cut = selectit.train(run, "all", model, with_recipe(max_tokens=34, steps=1), "cut")
    assert (cut.rows, cut.truncated, cut.without_loss) == (11, 11, 1)
    assert "left out: 1 rows" in Path("cut/README.md").read_text()
    with pytest.raises(SettingsError, match="no row has an answer within 3 tokens"):
        selectit.train(run, "all", model, with_recipe(max_tokens=3), "short")
    assert not Path("short").exists()


def test_which_rows(run, model, data):
    with pytest.raises(RunError, match="no selection 'lenth-words-6rows'") as error:
        selectit.train(run, "lenth-words-6rows", model, tiny.QUICK)
    assert "length-words-6rows" in error.value.hint
    with pytest.raises(DataError, match="0 to 11"):
        selectit.train(run, [3, 12], model, tiny.QUICK)
    selectit.select(data, Settings(method="random", keep=3, run="run", out="b.json"))
    with pytest.raises(SettingsError, match="has the selections"):
        selectit.train(run, None, model, tiny.QUICK)
    selectit.select(data, Settings(method="random", keep=3, run="other", out="c.json"))
    Path("other/selections").rename("gone")
    with pytest.raises(RunError, match="no selection"):
        selectit.train("other", None, model, tiny.QUICK)


def test_without_the_extra(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.delitem(sys.modules, "selectit.training.loop", raising=False)
    with pytest.raises(SettingsError) as error:
        selectit.train(run, model=model, recipe=tiny.QUICK)
    assert "[train]" in error.value.hint
    assert not Path("run/train").exists()


def test_quantisation_needs_its_package(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SettingsError, match="bitsandbytes"):
        selectit.train(run, model=model, recipe=with_recipe(lora=4, quantize="nf4"))


def test_the_command(run, model, capsys):
    arguments = ("--model", model, "--recipe", "small", "--recipe-param", "dtype=fp32", "--recipe-param", "steps=2")
    code, out, err = commandline.run(capsys, "train", run, *arguments, "--out", "tuned", "--seed", 3)
    assert code == 0, err
    assert "2 steps (by equal steps)" in out
    assert "32 of 32" in err
    code, out, err = commandline.run(capsys, "train", run, *arguments, "--out", "tuned", "--seed", 3, "--json")
    table = json.loads(out)
    assert (table["fresh"], table["steps"], table["path"]) == (False, 2, "tuned")
    assert "nothing is done" in err
    code, out, err = commandline.run(capsys, "train", run, *arguments, "--out", "tuned", "--seed", 3, "--quiet")
    assert (code, err) == (0, "") and "2 steps (by equal steps)" in out
    code, out, err = commandline.run(capsys, "train", run, "--recipe-param", "stepps=2")
    assert (code, out) == (2, "")
    assert "a recipe has no 'stepps'" in err
    assert "'steps'" in err
