"""`--executor ray` on a stand-in for Ray: who does which unit, lost workers, what goes wrong in one. The real Ray is
in tests/real/ray."""

import importlib.util
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import selectit
import stub_ray
from fakecalls import rated_as
from rundirs import contents, finished
from selectit import inference
from selectit.config.settings import Settings
from selectit.errors import DataError, EngineError, ModelError, RunError, SettingsError
from selectit.inference import execute, shared_folder
from selectit.inference.shared_folder import marked
from selectit.inference.units import Task
from selectit.models.files import Model
from selectit.progress import Silent
from selectit.runs.run import open_run
from selectit.runs.source import create

FAKE = {"engine": "fake", "model": ("m",), "unit_size": 5, "k": 2, "run": "run"}
RAY = FAKE | {"executor": "ray", "workers": 2, "worker_cpus": 1}
UNITS = 6
"""12 rows in units of 5 under 2 prompts."""


@pytest.fixture
def cluster(monkeypatch, tmp_path_factory):
    """A machine of 4 CPUs, and selectit.inference.ray as it is where this is Ray."""
    made = stub_ray.Cluster((4, 0), folder=tmp_path_factory.mktemp("worker"))
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.find_spec("selectit.inference.ray")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(inference, "ray", module, raising=False)
    spec.loader.exec_module(module)
    return made


class Counted(Silent):
    """Progress that adds up."""

    def __init__(self):
        self.total = self.done = self.tokens = self.finished = 0

    def start(self, what, total, done):
        self.total, self.done = total, done

    def advance(self, ratings, tokens):
        self.done += ratings
        self.tokens += tokens

    def finish(self):
        self.finished += 1


def losing(error, which, *, when="before"):
    """Carries calls out, but the ones of these numbers lose their worker, before or after they have done their work."""
    count = iter(range(1000))

    def carry_out(call):
        is_lost = next(count) in which
        if is_lost and when == "before":
            raise error
        answer = call()
        if is_lost:
            raise error
        return answer

    return carry_out


def nothing_is_left(cluster):
    return not cluster.running and not cluster.living() and not list(Path("run/locks").glob("mark-*"))


@pytest.fixture
def local(data):
    """The files of the same run without Ray."""
    selectit.rate(data, Settings(**FAKE | {"run": "local"}))
    return contents("local")


@pytest.mark.parametrize("newest_first", [False, True])
def test_whoever_ends_first_the_bytes_are_the_same(cluster, data, local, newest_first):
    cluster.newest_first = newest_first
    progress = Counted()
    selectit.rate(data, Settings(**RAY), progress)
    assert contents("run") == local
    assert cluster.calls.count("rate") == UNITS and len(cluster.actors) == 2
    assert cluster.calls.count("begin") == (1 if newest_first else 2)  # nobody waits for one that has still to load
    assert progress.done == progress.total == 24 and progress.tokens > 0 and progress.finished == 1
    (here,), (there,) = (json.loads(Path(run, "timing.json").read_text()).values() for run in ("local", "run"))
    assert (there["ratings"], there["tokens"]) == (here["ratings"], here["tokens"])
    assert nothing_is_left(cluster)


def test_a_finished_run_starts_nothing(cluster, data):
    selectit.rate(data, Settings(**RAY))
    before, asked = finished("run"), len(cluster.calls)
    selectit.rate(data, Settings(**RAY))
    assert finished("run") == before and len(cluster.calls) == asked and len(cluster.begun) == 1


def test_a_run_goes_on_on_ray_and_the_reverse(cluster, data, local):
    selectit.rate(data, Settings(**FAKE, share="0/2"))
    half = finished("run")
    assert len(half) == UNITS // 2
    selectit.rate(data, Settings(**RAY))
    assert half.items() <= finished("run").items() and cluster.calls.count("rate") == UNITS // 2
    assert contents("run") == local
    Path("run").rename("first")
    selectit.rate(data, Settings(**RAY, share="1/2"))
    assert len(finished("run")) == UNITS // 2
    selectit.rate(data, Settings(**FAKE))
    assert contents("run") == local and cluster.calls.count("rate") == UNITS


@pytest.mark.parametrize("method", ["rds", "knn-target", "target-loss", "deita:complexity=ifd;quality=expected-rating"])
def test_other_signals_and_those_of_a_target_are_the_same_too(cluster, data, method):
    Path("wanted.jsonl").write_text('{"prompt": "Add two.", "completion": "Four."}\n' * 7)
    name, _, given = method.partition(":")
    param = dict(each.split("=") for each in given.split(";") if each)
    target = () if given else ("wanted.jsonl",)
    for base in (FAKE | {"run": "local"}, RAY):
        selectit.rate(data, Settings(**base, method=name, param=param, target=target))
    assert contents("run") == contents("local")
    parts = [*Path("run").glob("*/*/*/part-*"), *Path("run").glob("targets/*/run/*/*/*/part-*")]
    assert cluster.calls.count("rate") == len(parts) >= 3
    assert nothing_is_left(cluster)


def test_no_more_workers_are_started_than_there_are_units(cluster, data):
    selectit.rate(data, Settings(**RAY | {"workers": 4, "unit_size": 12, "k": 1}))
    assert len(cluster.actors) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("error", stub_ray.LOST)
def test_a_lost_worker_s_units_are_done_again_unless_they_are_stored(cluster, data, local, caplog, error, when):
    cluster.carry_out = losing(error("the first line\nthe last line\n"), {3}, when=when)
    progress = Counted()
    selectit.rate(data, Settings(**RAY), progress)
    assert contents("run") == local
    assert cluster.calls.count("rate") == UNITS + (when == "before")
    assert progress.done == progress.total == 24
    assert "a worker that rated rows 0 to 4 is lost: the last line\n" in caplog.text
    assert nothing_is_left(cluster)


def test_units_that_lose_three_workers_stop_the_run_and_keep_the_others(cluster, data):
    def carry_out(call):
        if call.name == "rate" and call.given[0][0].start == 5:
            raise stub_ray.OutOfMemoryError("memory is short")
        return call()

    cluster.carry_out = carry_out
    with pytest.raises(RunError) as error:
        selectit.rate(data, Settings(**RAY))
    assert error.value.message == "3 workers were lost while they rated rows 5 to 9: memory is short"
    assert "use fewer workers, or a smaller --batch-tokens" in error.value.hint
    kept = finished("run")
    assert {path.name for path in kept} == {"part-00000.parquet"}
    assert nothing_is_left(cluster)
    cluster.carry_out = lambda call: call()
    selectit.rate(data, Settings(**RAY))
    assert len(finished("run")) == UNITS and kept.items() <= finished("run").items()


def test_three_workers_lost_while_they_load_stop_the_run(cluster, data):
    cluster.carry_out = losing(stub_ray.RayActorError("it died"), {0, 1, 2})
    with pytest.raises(RunError, match="3 workers were lost while they loaded the model: it died"):
        selectit.rate(data, Settings(**RAY))
    assert cluster.calls == ["begin"] * 3 and nothing_is_left(cluster)


def test_workers_lost_now_and_then_do_not_stop_it(cluster, data, local):
    # Four are lost while they load, one has loaded in between; and two with their units.
    fates = iter("lost lost loads lost lost loads".split())

    def carry_out(call):
        if call.name == "begin" and next(fates, "loads") == "lost":
            raise stub_ray.WorkerCrashedError("again")
        if call.name == "rate" and len(finished("run")) < 4 and cluster.calls.count("rate") in (2, 4):
            raise stub_ray.WorkerCrashedError("and again")
        return call()

    cluster.carry_out = carry_out
    selectit.rate(data, Settings(**RAY))
    assert contents("run") == local and cluster.calls.count("rate") == UNITS + 2


def test_an_error_in_a_worker_is_the_one_that_is_raised_without_ray(cluster, data, monkeypatch):
    rated_as(monkeypatch, lambda batch, samples: replace(batch, errors=("no numbers",) * len(samples)))
    raised = []
    for settings in (FAKE | {"run": "local"}, RAY):
        with pytest.raises(EngineError, match="all 5 rows from row 0 failed: no numbers") as error:
            selectit.rate(data, Settings(**settings))
        raised.append((error.value.message, error.value.hint))
    assert raised[0] == raised[1]
    assert not finished("run") and nothing_is_left(cluster)


def test_interrupted_it_keeps_what_is_finished_and_leaves_nothing(cluster, data):
    cluster.carry_out = losing(KeyboardInterrupt(), {4})
    progress = Counted()
    with pytest.raises(KeyboardInterrupt):
        selectit.rate(data, Settings(**RAY), progress)
    before = finished("run")
    assert len(before) == 2 and progress.finished == 1 and nothing_is_left(cluster)
    cluster.carry_out = lambda call: call()
    selectit.rate(data, Settings(**RAY))
    assert len(finished("run")) == UNITS and before.items() <= finished("run").items()


def test_a_worker_that_does_not_see_the_run_is_refused(cluster, data):
    def elsewhere(call):
        next(Path("run/locks").glob("mark-*")).write_bytes(b"of a copy of the run")
        return call()

    cluster.carry_out = elsewhere
    with pytest.raises(RunError) as error:
        selectit.rate(data, Settings(**RAY))
    assert error.value.message == f"the worker on {socket.gethostname()} doesn't see {Path('run').absolute()}"
    assert error.value.hint == "Put the run directory on a file system that all machines share."
    assert not finished("run") and nothing_is_left(cluster)


def test_what_another_process_has_begun_meanwhile_is_gone_on_with(cluster, data):
    def slowly(call):
        answer = call()
        if len(cluster.calls) == 1:
            selectit.rate(None, Settings(run="run", engine="fake", model=("m",), k=2, share="1/2", max_tokens=77))
        return answer

    cluster.carry_out = slowly
    selectit.rate(data, Settings(**RAY | {"unit_size": None}, share="0/2"))
    (manifest,) = Path("run").glob("ratings/*/manifest.json")
    assert json.loads(manifest.read_text())["settings"]["max_tokens"] == 77
    assert len(finished("run")) == 2
    assert cluster.calls == ["begin", "begin", "rate"]  # the first has loaded the model with another limit


def test_a_worker_that_would_rate_otherwise_is_refused(cluster, data):
    selectit.rate(data, Settings(**FAKE, share="0/2"))

    def otherwise(call):
        answer = call()
        return replace(answer, settings={**answer.settings, "dtype": "bf16"}) if call.name == "begin" else answer

    cluster.carry_out = otherwise
    with pytest.raises(RunError, match="was rated with .*fp32.*, and here it would be .*bf16"):
        selectit.rate(None, Settings(**RAY))
    assert len(finished("run")) == UNITS // 2 and nothing_is_left(cluster)


def test_a_worker_s_threads_are_its_cpus_and_the_run_keeps_them(cluster, data):
    """The fake engine has no threads; this one says how many it was given."""
    given = []

    def threaded(call):
        answer = call()
        if call.name == "begin":
            given.append(call.given[0]["threads"])
            answer = replace(answer, settings={**answer.settings, "threads": given[-1]})
        return answer

    cluster.carry_out, cluster.machines = threaded, [(6, 0)]
    selectit.rate(data, Settings(**RAY | {"workers": 2, "worker_cpus": 3}, share="0/2"))
    assert given == [3, 3] and cluster.sizes == [(3, 0)] * 2
    selectit.rate(None, Settings(**FAKE, executor="ray", workers=1))
    assert given == [3, 3, 3] and cluster.sizes == [(3, 0)] * 3


def test_what_a_worker_has_written_and_is_not_seen_here_stops_the_run(cluster, data, monkeypatch):
    def unseen(call):
        answer = call()
        for path in finished("run"):
            path.unlink()
        return answer

    monkeypatch.setattr(shared_folder, "SEEN_WITHIN", 0.2)
    cluster.carry_out = unseen
    with pytest.raises(
        RunError, match=r"a worker has written .*part-00000\.parquet, and after 0 seconds it is not seen"
    ):
        selectit.rate(data, Settings(**RAY))
    assert cluster.calls.count("rate") == 1 and nothing_is_left(cluster)


def worker(mark, version):
    """A worker for a model that is not on this machine under the path that it has on the one that asks."""
    task = Task(open_run("run"), Model("here", "/gone/there", "0" * 64, False), (), Settings(engine="hf"))
    return inference.ray.Worker(task, mark, version)


@pytest.fixture
def mark(cluster, data):
    with marked(create(data, Settings(run="run"))) as made:
        yield made


def test_a_worker_of_another_version_is_refused(mark):
    with pytest.raises(RunError) as error:
        worker(mark, "0.0.0").begin({})
    told = f"the worker on {socket.gethostname()} has selectit {selectit.__version__}, and this is 0.0.0"
    assert error.value.message == told


def test_a_model_that_a_worker_does_not_have_is_told_with_its_machine(mark):
    with pytest.raises(ModelError, match=f"^on {socket.gethostname()}: unknown model 'here'"):
        worker(mark, selectit.__version__).begin({})


def test_another_model_of_the_same_name_is_refused(mark):
    Path("here").mkdir()
    for name in ("config.json", "model.safetensors"):
        Path("here", name).write_text("{}")
    with pytest.raises(ModelError, match=f"here on {socket.gethostname()} is another model than here"):
        worker(mark, selectit.__version__).begin({})


def test_ray_is_started_for_this_alone_and_stopped(cluster, data):
    selectit.rate(data, Settings(**RAY))
    assert [how["address"] for how in cluster.begun] == ["local"] and not cluster.running


def test_a_ray_that_the_caller_has_started_is_used_and_left(cluster, data):
    cluster.running = True
    selectit.rate(data, Settings(**RAY))
    assert not cluster.begun and cluster.running and cluster.calls.count("rate") == UNITS


def test_a_cluster_is_joined_by_its_address(cluster, data):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        selectit.rate(data, Settings(**RAY, ray_address=address))
    assert [how["address"] for how in cluster.begun] == [address] and nothing_is_left(cluster)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nowhere"])
def test_a_cluster_that_is_not_there(cluster, data, address):
    with pytest.raises(SettingsError) as error:
        selectit.rate(data, Settings(**RAY, ray_address=address))
    assert error.value.message.startswith(f"can't reach a Ray cluster at {address}: ")
    assert "ray start --head" in error.value.hint
    assert not cluster.calls and not list(Path("run/locks").glob("mark-*"))


@pytest.mark.parametrize(
    ("settings", "machines", "threads", "size"),
    [
        ({}, [(2, 0)], 0, (1, 2, 0)),  # a machine without GPUs: one worker with all of it
        ({}, [(8, 0), (16, 0), (0, 0)], 0, (2, 8, 0)),
        ({}, [(8, 0), (16, 0)], 4, (2, 4, 0)),  # begun with 4 threads
        ({"workers": 6}, [(8, 0), (16, 0)], 4, (6, 4, 0)),
        ({}, [(64, 8)], 0, (8, 1, 1)),
        ({}, [(64, 8), (4, 8)], 0, (12, 1, 1)),  # GPUs without a CPU are no room
        ({"worker_gpus": 2}, [(64, 8), (64, 1)], 0, (4, 1, 2)),
        ({"worker_gpus": 0.5, "worker_cpus": 2}, [(64, 2)], 0, (4, 2, 0.5)),
        ({"engine": "fake"}, [(64, 8)], 0, (1, 64, 0)),
        ({"worker_gpus": 0}, [(64, 8)], 0, (1, 64, 0)),
    ],
)
def test_the_number_and_size_of_workers(cluster, settings, machines, threads, size):
    found = inference.ray.size_workers(Settings(**{"engine": "hf", "executor": "ray"} | settings), machines, threads)
    assert (found.workers, found.cpus, found.gpus) == size


@pytest.mark.parametrize(
    ("settings", "machines"),
    [({"workers": 3}, [(2, 0)]), ({"worker_cpus": 4}, [(2, 0)]), ({"worker_gpus": 1}, [(2, 0)]), ({}, [])],
)
def test_more_workers_than_there_is_room_for_are_refused(cluster, settings, machines):
    with pytest.raises(SettingsError, match="has room for"):
        inference.ray.size_workers(Settings(engine="hf", executor="ray", **settings), machines, 0)


def test_the_machines_that_are_alive_make_the_room(cluster, data):
    cluster.machines = [(4, 0), (3, 0), (1, 1)]
    selectit.rate(data, Settings(**RAY | {"workers": 3, "worker_cpus": 2}))
    assert cluster.sizes == [(2, 0)] * 3
    with pytest.raises(SettingsError, match="has room for 3 workers with 2 CPUs each, and 4 are asked for"):
        selectit.rate(data, Settings(**RAY | {"workers": 4, "worker_cpus": 2, "run": "other"}))


EACH = {"executor": "ray", "engine": "fake", "workers": 2, "worker_cpus": 1}
"""Settings of `each`."""


def note(path):
    with path.open("a") as file:
        file.write("x")


def refuse(path):
    raise DataError(f"{path.name} is refused", "Mend it.")


@pytest.fixture
def run(cluster, data):
    made = create(data, Settings(run="run"))
    return replace(made, path=made.path.absolute())


@pytest.fixture
def items(run, tmp_path):
    return [tmp_path / name for name in "abcd"]


def test_each_item_is_done_once_and_as_many_at_a_time_as_have_room(cluster, run, items):
    cluster.newest_first = True
    assert [path.name for path in execute.call_for_each(note, items, Settings(**EACH), run)] == ["b", "c", "d", "a"]
    assert [path.read_text() for path in items] == ["x"] * 4
    assert nothing_is_left(cluster) and not cluster.cancelled


def test_each_leaves_room_for_weights_whatever_rates(cluster, run, items):
    cluster.machines = [(4, 2)]
    list(execute.call_for_each(note, items, Settings(executor="ray", engine="fake"), run))
    assert cluster.sizes == [(1, 1)] * 4


def test_an_item_whose_worker_is_lost_is_done_again(cluster, run, items, caplog):
    cluster.carry_out = losing(stub_ray.WorkerCrashedError("it crashed"), {0, 1})
    assert sorted(execute.call_for_each(note, items, Settings(**EACH), run)) == items
    assert [path.read_text() for path in items] == ["x"] * 4 and len(cluster.calls) == 6
    assert caplog.text.count("a worker is lost: it crashed") == 2


def test_an_item_that_loses_three_workers_stops_it(cluster, run, items):
    cluster.carry_out = losing(stub_ray.OutOfMemoryError("memory is short"), range(10))
    with pytest.raises(RunError, match="3 workers were lost on the same task\n.*run fewer at a time"):
        list(execute.call_for_each(note, items[:1], Settings(**EACH), run))
    assert len(cluster.calls) == 3 and nothing_is_left(cluster)


def test_an_error_with_an_item_stops_the_others(cluster, run, items):
    with pytest.raises(DataError, match="a is refused\nMend it."):
        list(execute.call_for_each(refuse, items, Settings(**EACH), run))
    assert len(cluster.calls) == 1 and cluster.cancelled == 1 and nothing_is_left(cluster)


def test_an_item_on_a_worker_that_does_not_see_the_run_is_not_begun(cluster, run, items):
    Path("run").rename("elsewhere")
    Path("run/locks").mkdir(parents=True)
    with pytest.raises(RunError, match="doesn't see .*run\n"):
        list(execute.call_for_each(note, items, Settings(**EACH), run))
    assert not any(path.exists() for path in items)
