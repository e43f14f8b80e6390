"""Who rates: what needs no Ray. test_ray.py has the rest."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import selectit
from selectit.config.settings import Settings
from selectit.engines import hf, loading
from selectit.engines.hf import engine as hf_engine
from selectit.errors import RunError, SettingsError
from selectit.inference import shared_folder as shared
from selectit.models.files import Model
from selectit.runs import prompt_sets
from selectit.runs.annotators import named_annotator, units
from selectit.runs.run import open_run

FAKE = {"engine": "fake", "model": ("m",), "unit_size": 5, "k": 1, "run": "run"}


@pytest.fixture
def run(data):
    selectit.rate(data, Settings(**FAKE))
    return open_run("run")


def test_the_mark_is_seen_where_the_run_is_and_goes(run):
    with shared.marked(run) as mark:
        shared.check_shared(run, mark)
        assert mark.path.exists()
    assert not list(Path("run/locks").glob("mark-*"))


def test_a_copy_of_the_run_is_not_the_run(run):
    with shared.marked(run) as mark:
        shutil.copytree("run", "copy")
        copy = open_run("copy")
        mark.path.unlink()
        with pytest.raises(RunError, match=r"doesn't see run\n"):
            shared.check_shared(run, mark)
        shared.check_shared(copy, replace(mark, path=Path("copy", *mark.path.parts[1:])))
        with pytest.raises(RunError, match=r"doesn't see copy\n"):
            shared.check_shared(copy, replace(mark, path=Path("copy", *mark.path.parts[1:]), content=b"newer"))


def test_a_folder_that_can_not_be_written_is_told(run, monkeypatch):
    with shared.marked(run) as mark:

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="can't write into run: No space left on device"):
            shared.check_shared(run, mark)


def test_what_is_never_seen_is_told(run, monkeypatch):
    prompt = prompt_sets.load_prompts(Settings(), None).first(1)
    found = units(run, named_annotator(run, "m", Settings()), prompt)
    paths = [unit.path for unit in found]
    shared.wait_until_seen(paths)
    found[1].path.unlink()
    monkeypatch.setattr(shared, "SEEN_WITHIN", 0.3)
    with pytest.raises(RunError, match=r"written .*part-00001\.parquet, and after 0 seconds it is not seen here"):
        shared.wait_until_seen(paths)


@pytest.mark.parametrize("name", ["ray_address", "workers", "worker_cpus", "worker_gpus"])
def test_options_of_ray_without_ray_are_refused(name):
    value = "a:1" if name == "ray_address" else 1
    with pytest.raises(SettingsError, match=f"--{name.replace('_', '-')} does nothing without Ray"):
        Settings(**{name: value})


def test_ray_that_is_not_installed_is_told(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "selectit.inference.ray", raising=False)
    monkeypatch.delattr("selectit.inference.ray", raising=False)
    with pytest.raises(SettingsError, match=r"--executor ray needs ray(.|\n)*pip install .*\[ray\]"):
        selectit.rate(data, Settings(**FAKE, executor="ray"))


def test_choosing_without_rating_takes_no_executor(run):
    with pytest.raises(SettingsError, match="--executor does nothing here"):
        selectit.select(None, Settings(run="run", executor="ray"))


@pytest.mark.parametrize(
    ("stored", "fused"),
    [
        ({}, None),
        ({"threads": 1}, None),
        ({"threads": 1, "dtype": "bf16"}, False),
        ({"dtype": "bf16", "fused": 1}, True),
    ],
)
def test_a_worker_that_begins_a_run_chooses_as_one_process_does(monkeypatch, stored, fused):
    asked = []
    monkeypatch.setattr(hf_engine, "load", lambda path, **options: asked.append(options["fused"]))
    monkeypatch.setattr(hf, "max_tokens", lambda *_: 1)
    loading.load_engine(Model("m", "", "0" * 64, False), Settings(engine="hf"), stored)
    assert asked == [fused]
