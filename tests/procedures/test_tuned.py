"""Models tuned inside a run: which they are, and their checkpoints, before and after their weights are gone."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import selectit
from selectit.config.settings import Settings
from selectit.errors import ModelError
from selectit.methods._tuning import TunedOn
from selectit.models.files import Model
from selectit.procedures.tuned import has_weights, locate_tuned, remove_weights
from selectit.runs.run import Run, open_run

BASE = Model("base", "/models/base", "0" * 64, packaged=False)


@pytest.fixture
def run(data):
    selectit.select(data, Settings(method="random", run="run", keep=3))
    return open_run("run")


def locate(run, located=None, **changes):
    wanted = TunedOn(**{"rows": np.arange(4), "recipe": "brief-lora", "epochs": 2.0, "seed": 0, **changes})
    return locate_tuned(run, wanted, np.arange(run.rows), BASE, {} if located is None else located)


def finish(tuned, rates):
    """As after a training of so many steps."""
    tuned.path.mkdir(parents=True)
    log = [{"step": step, "learning_rate": rate} for step, rate in enumerate(rates, start=1)]
    (tuned.path / "training.json").write_text(json.dumps({"steps": len(rates), "log": log}))


def test_checkpoints_have_the_mean_rates_of_their_epochs_with_and_without_their_files(run):
    tuned = locate(run, checkpoints=3)
    finish(tuned, [0.0, 0.0, 4.0, 2.0, 1.0, 0.5])
    found = tuned.list_checkpoints()
    assert [(Path(each.path).name, each.rate) for each in found] == [("checkpoint-4", 3.0), ("checkpoint-6", 0.75)]
    assert found[0].digest != found[1].digest
    assert not has_weights(tuned)
    for each in found:
        Path(each.path).mkdir(parents=True)
        for name in ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt"):
            (Path(each.path) / name).touch()
    assert has_weights(tuned)
    remove_weights(run, [tuned.path.name])
    assert tuned.is_finished and not has_weights(tuned) and tuned.list_checkpoints() == found


def test_weights_in_several_files_are_whole_with_all_of_them(run):
    tuned = locate(run)
    finish(tuned, [1.0])
    parts = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {"a": parts[0], "b": parts[1], "c": parts[1]}}
    (tuned.path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tuned.path / parts[0]).touch()
    assert not has_weights(tuned)
    (tuned.path / parts[1]).touch()
    assert has_weights(tuned)


def test_weights_that_were_tuned_since_stay(run):
    """Another cell of an experiment may be asking a model that it tuned again, or be in its training."""
    tuned = locate(run, checkpoints=2)
    finish(tuned, [1.0])
    for name in ("checkpoints/checkpoint-1", "work/checkpoints/checkpoint-1"):
        (tuned.path / name).mkdir(parents=True)
        (tuned.path / name / "adapter_model.safetensors").touch()
    end = tuned.path / "training.json"
    remove_weights(run, [tuned.path.name], before=end.stat().st_mtime_ns - 1)
    assert len(list(tuned.path.rglob("*.safetensors"))) == 2
    ended = end.stat().st_mtime_ns
    end.rename(end.with_name("kept.json"))
    remove_weights(run, [tuned.path.name])
    assert len(list(tuned.path.rglob("*.safetensors"))) == 2
    end.with_name("kept.json").rename(end)
    remove_weights(run, [tuned.path.name], before=ended)
    assert not list(tuned.path.rglob("*.safetensors"))


def test_a_training_that_learns_nothing_has_no_checkpoints(run):
    tuned = locate(run, checkpoints=2)
    finish(tuned, [0.0])
    with pytest.raises(ModelError, match="every learning rate was zero"):
        tuned.list_checkpoints()


def test_what_a_model_is_depends_on_the_checkpoints_that_it_keeps(run):
    plain, kept = locate(run), locate(run, checkpoints=2)
    assert plain.path != kept.path and locate(run, checkpoints=2).path == kept.path
    assert plain.asked.path == str(plain.path) and kept.asked.path == BASE.path
    assert kept.asked.digest == kept.model.digest


def test_a_model_is_located_once(run, monkeypatch):
    """Each round of several is the next one's start."""
    read, original = [], Run.basic_rows
    monkeypatch.setattr(Run, "basic_rows", lambda self: read.append(1) or original(self))
    first = TunedOn(np.arange(2), "brief", 1.0, 0)
    second = dataclasses.replace(first, start=first)
    located = {}
    for model in (first, second):
        locate_tuned(run, model, np.arange(run.rows), BASE, located)
    assert len(read) == 2 and located[second].start is located[first]
