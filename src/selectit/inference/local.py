"""The work units in this process, one after another."""

from __future__ import annotations

import logging

from selectit.inference.units import Task, add_timing, begin_annotator, begin_groups, check_settings, do_group
from selectit.progress import Progress
from selectit.runs.annotators import Annotator

log = logging.getLogger(__name__)


def do_task(task: Task, progress: Progress) -> Annotator:
    """Do what is pending of one model. Raises what `execute.do_units` does."""
    annotator = task.annotator()
    if annotator is not None and not task.pending(task.units(annotator)):
        return annotator
    log.info("loading %s", task.model.name)
    engine = task.load(annotator.manifest["settings"] if annotator is not None else {})
    try:
        annotator = annotator or begin_annotator(task, engine.settings, engine.parameters)
        if dict(engine.settings) != annotator.manifest["settings"]:
            # Another process has begun meanwhile, on other threads perhaps: go on as it does.
            engine.close()
            engine = task.load(annotator.manifest["settings"])
        check_settings(annotator, engine.settings)
        with begin_groups(task, annotator, progress) as groups:
            for group in groups:
                add_timing(annotator, task.run, do_group(task.run, group, engine, progress.advance))
    finally:
        engine.close()
    return annotator
