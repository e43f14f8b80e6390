"""`--executor ray`: the same bytes as without it, lost workers, what goes wrong in a worker. Slow: Ray starts twice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

ray = pytest.importorskip("ray", reason="ray is not installed: make test-ray", exc_type=ImportError)
psutil = pytest.importorskip("psutil", reason="psutil is not installed: make test-ray")

import torch  # noqa: E402

import selectit  # noqa: E402
import tiny  # noqa: E402
from rundirs import contents, finished  # noqa: E402
from selectit.config.settings import Settings  # noqa: E402
from selectit.errors import EngineError, RunError, SettingsError  # noqa: E402
from selectit.inference import ray as executor  # noqa: E402
from selectit.inference.shared_folder import Mark  # noqa: E402
from selectit.progress import Silent  # noqa: E402

THREADS = torch.get_num_threads()
FAKE = {"engine": "fake", "model": ("m",), "unit_size": 5, "k": 2}
RAY = {"executor": "ray", "workers": 2, "worker_cpus": 1}
# A class of this file goes to the workers as it is: they can't import a test.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def long(folder):
    """360 rows of several lengths."""
    rows = [{"instruction": f"Question {n}?", "output": "word " * (1 + n * 7 % 11)} for n in range(360)]
    (folder / "long.json").write_text(json.dumps(rows))
    return folder / "long.json"


def test_the_fake_engine_gives_the_same_bytes(cluster, data):
    selectit.select(data, Settings(**FAKE, run="local", out="a.json"))
    selectit.select(data, Settings(**FAKE, **RAY, run="ray", out="b.json"))
    assert contents("local") == contents("ray")
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    timing = [json.loads(Path(run, "timing.json").read_text()) for run in ("local", "ray")]
    counts = [{key: (each["ratings"], each["tokens"]) for key, each in one.items()} for one in timing]
    assert counts[0] == counts[1]
    before = finished("ray")
    selectit.select(data, Settings(**FAKE, **RAY, run="ray", out="b.json"))
    assert finished("ray") == before
    assert not list(Path("ray/locks").glob("mark-*"))


def test_a_run_goes_on_on_ray_and_the_reverse(cluster, long, model):
    settings = {"model": (model,), "unit_size": 60, "k": 2}
    selectit.rate(long, Settings(**settings, run="local"))
    selectit.rate(long, Settings(**settings, run="to-ray", share="0/2"))
    half = finished("to-ray")
    assert len(half) == 6
    selectit.rate(long, Settings(**settings, run="to-ray", executor="ray", workers=2))
    assert {path: finished("to-ray")[path] for path in half} == half
    on_ray = {"executor": "ray", "workers": 2, "worker_cpus": THREADS}
    selectit.rate(long, Settings(**settings, run="from-ray", share="1/2", **on_ray))
    selectit.rate(long, Settings(**settings, run="from-ray"))
    assert contents("local") == contents("to-ray") == contents("from-ray")


def test_states_embeddings_and_losses_of_rows_and_a_target_are_those_without_ray(cluster, long, model):
    Path("wanted.jsonl").write_text('{"prompt": "Add two.", "completion": "Four."}\n' * 7)
    settings = {"model": (model,), "encoder": model, "unit_size": 120}
    on_ray = {"executor": "ray", "workers": 2, "worker_cpus": THREADS}
    for method, target in (("rds", ("wanted.jsonl",)), ("knn-target", ("wanted.jsonl",)), ("ifd", ())):
        own = {**settings, "method": method, "target": target}
        selectit.rate(long, Settings(**own, run="local"))
        selectit.rate(long, Settings(**own, run="ray", **on_ray))
    assert contents("ray") == contents("local")
    parts = [str(path.relative_to("ray")) for path in Path("ray").rglob("part-*") if "source" not in path.parts]
    assert sorted(part.split("/")[0] for part in parts) == [
        "embeddings", "embeddings", "embeddings", "losses", "losses", "losses", "states", "states", "states",
        "targets", "targets",
    ]  # fmt: skip


class Killer(Silent):
    """Kills every worker when the first unit is done, and counts rows."""

    def __init__(self, run):
        self.run, self.rows, self.finished = run, 0, None

    def advance(self, ratings, tokens):
        self.rows += ratings
        if self.finished is None:
            workers = [each for each in psutil.Process().children(recursive=True) if "ray::Worker" in each.name()]
            assert len(workers) >= 1
            for each in workers:
                os.kill(each.pid, signal.SIGKILL)
            psutil.wait_procs(workers, timeout=20)
            self.finished = finished(self.run)


def test_killed_workers_lose_nothing_and_nothing_is_done_twice(cluster, long, model, caplog):
    settings = {"model": (model,), "unit_size": 120, "k": 2, "batch_tokens": 512}
    killer = Killer("ray")
    on_ray = {"executor": "ray", "workers": 2, "worker_cpus": THREADS}
    selectit.rate(long, Settings(**settings, **on_ray, run="ray"), killer)
    assert "is lost" in caplog.text
    assert killer.rows == 720
    assert 0 < len(killer.finished) < 6
    assert {path: finished("ray")[path] for path in killer.finished} == killer.finished
    selectit.rate(long, Settings(**settings, run="local"))
    assert contents("ray") == contents("local")


class Dying(executor.Worker):
    """A worker that dies while it loads."""

    def begin(self, stored):
        os._exit(1)


def test_workers_that_die_again_and_again_stop_the_run(cluster, data, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(executor, "Worker", Dying)
        with pytest.raises(RunError, match="3 workers were lost while they loaded the model"):
            selectit.rate(data, Settings(**FAKE, **RAY, run="run"))
    selectit.rate(data, Settings(**FAKE, **RAY, run="run"))


def test_an_error_of_the_engine_is_the_same_as_without_ray(cluster, long, model, tmp_path_factory):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    broken = str(tmp_path_factory.mktemp("models") / "broken")
    made = AutoModelForCausalLM.from_pretrained(model)
    made.model.norm.weight.data.fill_(float("nan"))
    made.save_pretrained(broken)
    AutoTokenizer.from_pretrained(model).save_pretrained(broken)
    told = []
    for run, how in (("local", {}), ("ray", RAY)):
        with pytest.raises(EngineError) as error:
            selectit.rate(long, Settings(model=(broken,), unit_size=60, k=1, run=run, **how))
        told.append((error.value.message, error.value.hint))
        assert not finished(run)
    assert told[0] == told[1]
    assert "non-finite" in told[0][0]


@contextmanager
def _elsewhere(run):
    """A mark that the workers see with another content, as in a copy of the run."""
    path = run.path / "locks" / "mark-copy"
    path.write_bytes(b"old")
    yield Mark(path, b"new")


def test_a_worker_that_sees_another_folder_is_refused(cluster, data, monkeypatch):
    monkeypatch.setattr(executor, "marked", _elsewhere)
    with pytest.raises(RunError, match=r"the worker on .* doesn't see .*run\n.*all machines share"):
        selectit.rate(data, Settings(**FAKE, **RAY, run="run"))
    assert not finished("run")


def test_no_room_for_the_workers(cluster, data):
    with pytest.raises(SettingsError, match="has room for 0 workers with 9999 CPUs each, and 2 are asked for"):
        selectit.rate(data, Settings(**FAKE, executor="ray", workers=2, worker_cpus=9999))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_a_cluster_that_is_not_there(data, address):
    if ray.is_initialized():
        ray.shutdown()  # the last tests: they need none
    with pytest.raises(SettingsError, match=f"can't reach a Ray cluster at {re.escape(address)}"):
        selectit.rate(data, Settings(**FAKE, executor="ray", ray_address=address))


def as_typed():
    """A shell starts what runs in its background with interrupts ignored, and so would these tests be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_it_keeps_what_is_finished_and_leaves_no_process(long, model):
    command = [sys.executable, "-m", "selectit", "rate", str(long), "--model", model, "--run", "run", "--k", "9"]
    command += ["--unit-size", "20", "--executor", "ray", "--workers", "2", "--worker-cpus", "1"]
    with Path("log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, preexec_fn=as_typed)
    until, started = time.monotonic() + 120, set()
    while not finished("run") and process.poll() is None and time.monotonic() < until:
        started |= set(psutil.Process(process.pid).children(recursive=True))
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    assert started
    assert process.wait(60) == 130, Path("log").read_text()
    assert "Interrupted. What is finished is kept" in Path("log").read_text()
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive
    before = finished("run")
    assert 0 < len(before) < 162
    selectit.rate(None, Settings(run="run", model=(model,), k=9))
    after = finished("run")
    assert len(after) == 162
    assert {path: after[path] for path in before} == before
