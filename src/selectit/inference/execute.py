"""Who does the work units: this process, or the workers of a Ray cluster. Nothing else of the program knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType
from typing import TypeVar

from selectit.config.settings import Settings
from selectit.engines.loading import DEFAULT, find
from selectit.errors import import_extra
from selectit.inference import local
from selectit.inference.units import Task, refuse_twice
from selectit.models.files import Model
from selectit.progress import Progress
from selectit.runs.annotators import Annotator
from selectit.runs.run import Run
from selectit.signals.requests import Request

T = TypeVar("T")


def do_units(
    run: Run, models: Sequence[Model], requests: Sequence[Request], settings: Settings, progress: Progress
) -> list[Annotator]:
    """Do every unit of these models and requests that is not finished; models are loaded one at a time.

    Raises:
        RunError: another process rates the same share.
        EngineError: a whole unit failed.
        SettingsError: two models are the same; the executor can't be had, or has no room for its workers.
    """
    refuse_twice(models)
    do_task = _executor(settings)
    share, shares = settings.share_numbers()
    busy = f"another selectit is rating share {share}/{shares} of {run.path}"
    with run.lock(f"rate-{share}-of-{shares}", busy):
        return [do_task(Task(run, model, tuple(requests), settings), progress) for model in models]


def check_models(tasks: Iterable[Task]) -> None:
    """Look at the models that are to be loaded here one after another before the first is: hours may lie between.

    Raises ModelError where one is not complete, or can't give what is asked of it.
    """
    due = [task for task in tasks if task.settings.executor == "local" and task.is_due()]
    for task in due if len(due) > 1 else ():
        find(task.settings.engine or DEFAULT).check_model(task.model, task.settings, task.signal)


def call_for_each(function: Callable[[T], None], items: Sequence[T], settings: Settings, run: Run) -> Iterator[T]:
    """Call a function for each item on Ray's workers, each in a process of its own, as many at a time as have room.

    Args:
        function: of an importable module; may be called again for the same item where its worker was lost.
        items: are sent to the workers.
        settings: `ray_address`, `workers`, `worker_cpus` and `worker_gpus`.
        run: a folder that the workers must see.

    Yields:
        Items as they are done. Where one fails, what is under way is stopped and the error raised here.

    Raises:
        SettingsError: Ray is not installed or can't be reached, or has no room.
        RunError: a worker doesn't see the run, or workers are lost.
    """
    yield from _ray().call_for_each(function, items, settings, run)


def _executor(settings: Settings) -> Callable[[Task, Progress], Annotator]:
    do_task: Callable[[Task, Progress], Annotator] = (local if settings.executor == "local" else _ray()).do_task
    return do_task


def _ray() -> ModuleType:
    """The module that imports ray. Raises SettingsError where it is not installed."""
    found: ModuleType = import_extra("selectit.inference.ray", "ray", "--executor ray")
    return found
