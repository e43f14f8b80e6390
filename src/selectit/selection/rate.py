"""`rate`: ask models for everything that the method reads, and store it."""

from __future__ import annotations

from pathlib import Path

from selectit.config.settings import Settings
from selectit.data.memory import Data
from selectit.inference.rate import open_or_create_run
from selectit.progress import Progress, Silent
from selectit.selection import cascade
from selectit.selection.collect import collect_all, collect_tuned
from selectit.selection.resolve import resolve, resolve_cascade


def rate(data: Data | None, settings: Settings = Settings(), progress: Progress | None = None) -> Path:
    """Ask the models for ratings and store them: the only stage that loads a model.

    Args:
        data: a file, a folder, a hub id or '-'; None goes on with the run that `settings.run` names.
        settings: the source, the models that rate, and the method, which says what is asked.
        progress: shows what is going on.

    Returns:
        The run directory.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    progress = progress or Silent()
    old = open_or_create_run(None, settings) if data is None else None
    plan = resolve(settings, old, scores=False)
    stages = resolve_cascade(plan, old)
    run = old or open_or_create_run(data, settings)
    if stages is not None:
        cascade.rate_stages(run, stages, progress, rates=True, sample=cascade.SAMPLE)
    else:
        collect_all(run, plan, progress)
        for spec in plan.all_specs:
            collect_tuned(run, spec, progress)
    return run.path
