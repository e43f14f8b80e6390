"""Shared by all tests: no hub, a cache of their own, small data."""

import gc
import json
import os

import pytest
from hypothesis import settings

from places import GOLDEN

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch: as many workers as cores, so a core for each

# The same examples each time, so that a change is not failed by chance; `make test-search` looks at others.
settings.register_profile("selectit", deadline=None, derandomize=True)  # a loaded machine is no failure
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("selectit")


def pytest_collection_finish():
    """What is imported by now stays: the program's own `gc.collect` need not look at it again each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test runs in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rows():
    """12 rows of an Alpaca file, two of them equal, one with an empty response."""
    made = [
        {"instruction": f"Question {n}?", "input": "", "output": " ".join(["word"] * (1 + n * 7 % 11))}
        for n in range(10)
    ]
    return [*made, made[3], {"instruction": "Say nothing.", "output": ""}]


@pytest.fixture
def data(folder, rows):
    path = folder / "data.json"
    path.write_text(json.dumps(rows, indent=2))
    return path


@pytest.fixture
def no_model(monkeypatch):
    """A function: from its call on, whoever loads a model fails the test."""
    from selectit.inference.units import Task

    return lambda: monkeypatch.setattr(Task, "load", lambda *_: pytest.fail("a model was loaded"))


@pytest.fixture
def small_parts(monkeypatch):
    """A function of a number: from its call on, a part of a run's source has so many rows."""
    from selectit.runs import run

    return lambda rows: monkeypatch.setattr(run, "PART_ROWS", rows)


@pytest.fixture
def golden():
    return json.loads((GOLDEN / "official_scores.json").read_text())
