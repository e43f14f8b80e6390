"""Who does the work units: this process, or the workers of a Ray cluster. Nothing else of the program knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selectit.collect import Progress, Task, refuse_twice
from selectit.config import Settings
from selectit.errors import SettingsError
from selectit.executors import local
from selectit.models import Model
from selectit.ratings import Rater
from selectit.run import Run
from selectit.works import Work


def rate(
    run: Run, models: Sequence[Model], works: Sequence[Work], settings: Settings, progress: Progress
) -> list[Rater]:
    """Do every unit of these models and works that is not finished; models are loaded one at a time.

    Raises:
        RunError: another process rates the same share.
        EngineError: a whole unit failed.
        SettingsError: two models are the same; the executor can't be had, or has no room for its workers.
    """
    refuse_twice(models)
    rate_with = _executor(settings)
    share, shares = settings.share_numbers()
    busy = f"another selectit is rating share {share}/{shares} of {run.path}"
    with run.lock(f"rate-{share}-of-{shares}", busy):
        return [rate_with(Task(run, model, tuple(works), settings), progress) for model in models]


def _executor(settings: Settings) -> Callable[[Task, Progress], Rater]:
    if settings.executor == "local":
        return local.rate_with
    try:
        from selectit.executors import ray
    except ImportError as error:
        raise SettingsError(f"Ray can't be loaded: {error}", "Install it: pip install ray") from error
    return ray.rate_with
