"""The work units on the workers of a Ray cluster; the only file that imports ray.

What goes through Ray is the list of units, not the rows: a worker holds the engine, reads its samples from the run
directory, writes its shards there, and answers with a status of a few numbers. This process hands out the units, shows
progress and adds timing; it alone takes the run's locks. What decides the numbers is stored with the annotator, so that
a run begun here can be finished without Ray and the reverse, with the same bytes.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from selectit._version import __version__
from selectit.config.settings import Settings
from selectit.engines import loading
from selectit.errors import ModelError, RunError, SettingsError
from selectit.inference.shared_folder import Mark, check_shared, marked, wait_until_seen
from selectit.inference.units import (
    Done,
    Task,
    add_timing,
    begin_annotator,
    begin_groups,
    check_settings,
    do_group,
    groups,
)
from selectit.models import files, resolve
from selectit.progress import Progress
from selectit.runs.annotators import Annotator, Unit
from selectit.runs.run import Run
from selectit.signals.base import Engine

log = logging.getLogger(__name__)


LOST_LIMIT = 3
"""So many workers lost on the same units, or one after another while they load the model, stop the run."""


OBJECTS = 100 * 2**20
"""Bytes of shared memory for Ray's objects, where Ray is started here: no rows go through it."""


T = TypeVar("T")
_LOST = (RayActorError, OutOfMemoryError, NodeDiedError, WorkerCrashedError)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a worker answers when its engine is loaded."""

    settings: Mapping[str, Any]
    parameters: int


@dataclass(frozen=True, slots=True)
class Size:
    """How many workers there are, and what each has."""

    workers: int
    cpus: int
    gpus: float


class Worker:
    """Holds the engine in a process of the cluster, which Ray makes of this class."""

    def __init__(self, task: Task, mark: Mark, version: str) -> None:
        self._task, self._mark, self._version = task, mark, version
        self._engine: Engine | None = None

    def begin(self, stored: Mapping[str, Any]) -> Begun:
        """Check what this machine has, and load the engine. Raises RunError, ModelError, SettingsError."""
        _check_here(self._task.run, self._mark, self._version)
        self._engine = replace(self._task, model=_model_here(self._task)).load(stored)
        return Begun(dict(self._engine.settings), self._engine.parameters)

    def rate(self, group: Sequence[Unit]) -> Done:
        """Rate and store a group of units. Raises EngineError, ModelError."""
        assert self._engine is not None  # nothing is given to a worker that has not begun
        return do_group(self._task.run, group, self._engine, lambda rows, tokens: None)


def _check_here(run: Run, mark: Mark, version: str) -> None:
    """Raise RunError unless this worker has the same program and sees the run."""
    if version != __version__:
        raise RunError(
            f"the worker on {socket.gethostname()} has selectit {__version__}, and this is {version}",
            "Install the same version on all machines.",
        )
    check_shared(run, mark)


def do_task(task: Task, progress: Progress) -> Annotator:
    """Do what is pending of one model. Raises what `execute.do_units` does, and RunError where workers are lost."""
    annotator = task.annotator()
    if annotator is not None and not task.pending(task.units(annotator)):
        return annotator
    here = task.run.path  # workers stand in other folders; the caller's path may be a relative one
    task = replace(task, run=replace(task.run, path=here.absolute()))
    stored = dict(annotator.manifest["settings"]) if annotator is not None else {}
    with _connected(task.settings.ray_address), marked(task.run) as mark:
        size = size_workers(task.settings, _machines(), stored.get("threads", 0))
        log.info("loading %s on %d workers", task.model.name, size.workers)
        make = ray.remote(num_cpus=size.cpus, num_gpus=size.gpus, scheduling_strategy="SPREAD")(Worker)
        with _crew(lambda: make.remote(task, mark, __version__)) as crew:
            if annotator is None:
                begun = crew.first({"threads": size.cpus})
                annotator = begin_annotator(task, begun.settings, begun.parameters)
                if begun.settings != annotator.manifest["settings"]:  # another process has begun meanwhile
                    crew.dismiss()
            else:  # what was found by a relative path
                annotator = replace(annotator, path=annotator.path.absolute())
            _rate_all(task, annotator, crew, size.workers, progress)
    return replace(annotator, path=here / annotator.path.relative_to(task.run.path))


def call_for_each(function: Callable[[T], None], items: Sequence[T], settings: Settings, run: Run) -> Iterator[T]:
    """As `execute.call_for_each`."""
    with _connected(settings.ray_address), marked(run) as mark:
        # Whatever rates, the function may need weights.
        size = size_workers(replace(settings, engine=loading.DEFAULT), _machines(), 0)
        log.info("%d at a time, with %d CPUs and %g GPUs each", size.workers, size.cpus, size.gpus)
        # A process is not used twice, so that nothing of the item before is left on its GPU. Ray itself would try
        # again for ever where memory is short.
        remote = ray.remote(
            num_cpus=size.cpus, num_gpus=size.gpus, max_calls=1, max_retries=0, scheduling_strategy="SPREAD"
        )(_call)
        waiting, lost = deque(range(len(items))), Counter[int]()
        busy: dict[Any, int] = {}  # which item, by what will hold the answer
        try:
            while waiting or busy:
                while waiting and len(busy) < size.workers:
                    place = waiting.popleft()
                    busy[remote.remote(function, items[place], run, mark, __version__)] = place
                done, _ = ray.wait(list(busy))
                place = busy.pop(done[0])
                if _is_done(done[0]):
                    yield items[place]
                    continue
                lost[place] += 1
                if lost[place] == LOST_LIMIT:
                    raise RunError(
                        f"{LOST_LIMIT} workers were lost on the same task",
                        "Too little memory is a common cause: run fewer at a time, with more for each (--workers).",
                    )
                waiting.appendleft(place)
        finally:
            for unfinished in busy:
                ray.cancel(unfinished, force=True)


def _call(function: Callable[[T], None], item: T, run: Run, mark: Mark, version: str) -> None:
    _check_here(run, mark, version)
    function(item)


def _is_done(task: Any) -> bool:
    """Whether a task has ended; False = its worker is lost. Raises what went wrong in it."""
    try:
        ray.get(task)
    except RayTaskError as error:
        raise error.cause from error
    except _LOST as error:
        log.warning("a worker is lost: %s", _why(error))
        return False
    return True


def size_workers(settings: Settings, machines: Sequence[tuple[int, float]], threads: int) -> Size:
    """How many workers of what size.

    Without settings: on machines with GPUs a worker for each GPU, with one CPU; else a worker for each machine, with as
    many CPUs as the run's annotator has threads, or as the smallest machine has.

    Args:
        settings: `workers`, `worker_cpus` and `worker_gpus`.
        machines: (CPUs, GPUs) of each.
        threads: of the stored annotator; 0 = not begun, or not on a CPU.

    Raises:
        SettingsError: there is no room for them.
    """
    on_gpus = _holds_weights(settings) and any(gpus for _, gpus in machines)
    gpus = (1.0 if on_gpus else 0.0) if settings.worker_gpus is None else settings.worker_gpus
    smallest = min((cpus for cpus, _ in machines if cpus), default=1)
    cpus = settings.worker_cpus or (1 if gpus else threads or smallest)
    room = [min(have // cpus, int(gpu / gpus) if gpus else have) for have, gpu in machines]
    workers = settings.workers or (sum(room) if gpus else sum(1 for some in room if some))
    if not 0 < workers <= sum(room):
        each = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        raise SettingsError(
            f"the Ray cluster has room for {sum(room)} workers with {each} each, and {max(workers, 1)} are asked for",
            "Change --workers, --worker-cpus or --worker-gpus, or start the machines first.",
        )
    return Size(workers, cpus, gpus)


def _holds_weights(settings: Settings) -> bool:
    """Whether a worker loads a model, which it needs the folder for, and a GPU where there are any."""
    return loading.find(settings.engine or loading.DEFAULT).holds_weights


def _rate_all(task: Task, annotator: Annotator, crew: _Crew, workers: int, progress: Progress) -> None:
    """Have the crew do every group that is pending; a lost worker's group is done again by another."""
    stored = annotator.manifest["settings"]
    with begin_groups(task, annotator, progress) as pending:
        waiting = deque(pending)
        for _ in range(min(workers, len(waiting)) - len(crew.idle)):
            crew.start(stored)
        while waiting or crew.at_work():
            while waiting and crew.idle:
                crew.give(waiting.popleft())
            group, answer = crew.wait()
            if isinstance(answer, Begun):
                check_settings(annotator, answer.settings)
            elif isinstance(answer, Done):
                wait_until_seen([unit.path for unit in group])
                progress.advance(answer.rows, answer.tokens)
                add_timing(annotator, task.run, answer)
            else:
                left = task.pending(group)
                waiting.extendleft(reversed(groups(left)))
                progress.advance(sum(unit.stop - unit.start for unit in group if unit not in left), 0)
                if waiting and not crew.idle:
                    crew.start(stored)


class _Crew:
    """The workers of one model: started, given groups, waited for."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Sequence[Unit]]] = {}  # by what will hold the answer; a worker that loads: ()
        self._lost: Counter[str] = Counter()

    def start(self, stored: Mapping[str, Any]) -> None:
        """Start a worker and have it load its engine."""
        worker = self._make()
        self._busy[worker.begin.remote(stored)] = (worker, ())

    def first(self, stored: Mapping[str, Any]) -> Begun:
        """Start one worker and wait for its engine."""
        answer = None
        while not isinstance(answer, Begun):
            self.start(stored)
            _, answer = self.wait()
        return answer

    def give(self, group: Sequence[Unit]) -> None:
        """Give a group to a worker that is idle."""
        worker = self.idle.pop()
        self._busy[worker.rate.remote(group)] = (worker, group)

    def at_work(self) -> bool:
        """Whether any worker rates: those that still load may be left behind."""
        return any(group for _, group in self._busy.values())

    def wait(self) -> tuple[Sequence[Unit], Begun | Done | None]:
        """The next answer and the group it is about; None = the worker is lost. Raises what went wrong in a worker."""
        answers, _ = ray.wait(list(self._busy))
        worker, group = self._busy.pop(answers[0])
        try:
            answer: Begun | Done = ray.get(answers[0])
        except RayTaskError as error:
            ray.kill(worker)
            raise error.cause from error
        except _LOST as error:
            ray.kill(worker)
            self._note_loss(group, error)
            return group, None
        self.idle.append(worker)
        if not group:
            self._lost[""] = 0
        return group, answer

    def _note_loss(self, group: Sequence[Unit], error: Exception) -> None:
        """Raise RunError where it is one too many."""
        doing = f"rated rows {group[0].start} to {group[0].stop - 1}" if group else "loaded the model"
        why = _why(error)
        log.warning("a worker that %s is lost: %s", doing, why)
        key = str(group[0].path) if group else ""
        self._lost[key] += 1
        if self._lost[key] >= LOST_LIMIT:
            raise RunError(
                f"{LOST_LIMIT} workers were lost while they {doing}: {why}",
                "Too little memory is a common cause: use fewer workers, or a smaller --batch-tokens.",
            )

    def dismiss(self) -> None:
        """End all workers."""
        for worker in [*self.idle, *(worker for worker, _ in self._busy.values())]:
            ray.kill(worker)
        self.idle.clear()
        self._busy.clear()


def _why(error: Exception) -> str:
    """The last line of what Ray says."""
    return str(error).strip().rpartition("\n")[2]


@contextmanager
def _crew(make: Callable[[], Any]) -> Iterator[_Crew]:
    crew = _Crew(make)
    try:
        yield crew
    finally:
        crew.dismiss()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Ray, started here and stopped at the end, or the cluster at `address`; what the caller has started is used."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here tells nobody of it
    if address is None:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECTS,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    else:
        _join(address)
    try:
        yield
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    """Connect to a cluster. Raises SettingsError."""
    try:
        host, colon, port = address.rpartition(":")
        if colon and "/" not in address and port.isdecimal():
            # Ray itself would try for a quarter of an hour where nothing listens.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, OverflowError) as error:
        raise SettingsError(
            f"can't reach a Ray cluster at {address}: {error}",
            "Start it with `ray start --head`, give its address as HOST:6379, and set its RAY_AUTH_TOKEN here too.",
        ) from error


def _machines() -> list[tuple[int, float]]:
    """(CPUs, GPUs) of each machine of the cluster."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(int(each.get("CPU", 0)), float(each.get("GPU", 0))) for each in resources]


def _model_here(task: Task) -> files.Model:
    """The model on the worker's machine: where the folder is not there, it is had by its name. Raises ModelError."""
    model = task.model
    if not _holds_weights(task.settings) or Path(model.path).exists():
        return model
    host = socket.gethostname()
    try:
        found = resolve.resolve(model.name, accept_terms=task.settings.accept_terms)
    except ModelError as error:
        raise ModelError(f"on {host}: {error.message}", error.hint) from error
    if found.digest != model.digest:
        raise ModelError(
            f"{model.name} on {host} is another model than here", "Copy the same one, or put it on a shared folder."
        )
    return found
