"""The work units in this process, one after another."""

from __future__ import annotations

import logging

from selectit.inference.units import Task, add_timing, begin, check_settings, do_group, rating
from selectit.progress import Progress
from selectit.runs.annotators import Rater

log = logging.getLogger(__name__)


def rate_with(task: Task, progress: Progress) -> Rater:
    """Do what is pending of one model. Raises what `executors.rate` does."""
    rater = task.rater()
    if rater is not None and not task.pending(task.units(rater)):
        return rater
    log.info("loading %s", task.model.name)
    engine = task.load(rater.manifest["settings"] if rater is not None else {})
    try:
        rater = rater or begin(task, engine.settings, engine.parameters)
        if dict(engine.settings) != rater.manifest["settings"]:
            # Another process has begun meanwhile, on other threads perhaps: go on as it does.
            engine.close()
            engine = task.load(rater.manifest["settings"])
        check_settings(rater, engine.settings)
        with rating(task, rater, progress) as groups:
            for group in groups:
                add_timing(rater, task.run, do_group(task.run, group, engine, progress.advance))
    finally:
        engine.close()
    return rater
