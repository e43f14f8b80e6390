"""Cells of an experiment on Ray's workers: the same figures as one after another, lost workers, errors."""

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="ray is not installed: make test-ray", exc_type=ImportError)
pytest.importorskip("trl", reason="the extra train is not installed")

import torch  # noqa: E402

import tiny  # noqa: E402
from selectit.config.settings import Settings  # noqa: E402
from selectit.errors import DataError, RunError  # noqa: E402
from selectit.experiments import experiment  # noqa: E402
from selectit.experiments.load import load  # noqa: E402
from selectit.inference import execute  # noqa: E402
from selectit.runs.source import create  # noqa: E402
from small_experiment import experiment_file  # noqa: E402

THREADS = torch.get_num_threads()
RAY = {"executor": "ray", "workers": 2, "worker_cpus": THREADS}
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
CHOICES = """
[[choices]]
method = "random"
seeds = [0, 1]
[[choices]]
method = "selectit:k=2"
"""


@pytest.fixture
def run(folder, data):
    made = create(data, Settings(run="run"))
    return dataclasses.replace(made, path=made.path.absolute())


def note(path):
    with path.open("a") as file:
        file.write("x")


def die_once(path):
    note(path)
    if path.name == "dies" and len(path.read_text()) == 1:
        os._exit(1)


def die(path):
    os._exit(1)


def refuse(path):
    raise DataError(f"{path.name} is refused", "Mend it.")


def test_each_item_is_done_and_a_lost_worker_s_again(cluster, run, tmp_path):
    items = [tmp_path / name for name in ("a", "dies", "b")]
    done = list(execute.call_for_each(die_once, items, Settings(**RAY), run))
    assert sorted(done) == sorted(items)
    assert [path.read_text() for path in items] == ["x", "xx", "x"]


def test_workers_that_are_always_lost_stop_it(cluster, run, tmp_path):
    with pytest.raises(RunError, match="3 workers were lost on the same task"):
        list(execute.call_for_each(die, [tmp_path / "a"], Settings(**RAY), run))


def test_what_goes_wrong_on_a_worker_is_said_here(cluster, run, tmp_path):
    with pytest.raises(DataError, match="a is refused"):
        list(execute.call_for_each(refuse, [tmp_path / "a"], Settings(**RAY), run))


def test_an_experiment_side_by_side(cluster, folder, tmp_path_factory):
    rows = [{"instruction": f"question number {n}", "output": " ".join(["word"] * (2 + n % 5))} for n in range(16)]
    Path("data.json").write_text(json.dumps(rows))
    Path("heldout.json").write_text(json.dumps([{"instruction": "say it", "output": "word word word"}] * 3))
    Path("e.toml").write_text(experiment_file(tiny.build_chat(tmp_path_factory.mktemp("chat")), CHOICES))
    one = load("e.toml", "data.json")
    several = dataclasses.replace(one, settings=dataclasses.replace(one.settings, **RAY))
    found = [experiment.experiment(each, out).outcomes for each, out in ((one, "one"), (several, "several"))]
    known = [[(o.line, o.seed, o.rows, o.steps, o.tokens, o.loss, o.scores) for o in some] for some in found]
    assert known[0] == known[1] and len(known[0]) == 4
    assert [o.outcomes for o in (experiment.experiment(one, "several"),)] == [
        found[1]
    ]  # what is done there stands here
