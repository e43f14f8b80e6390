"""`rate`: ask models for everything that the method reads, and store it."""

from __future__ import annotations

from pathlib import Path

from selectit.config.settings import Settings
from selectit.inference.rate import prompts_of_run, rate_prompts, run_of, to_rate
from selectit.progress import Progress, Silent
from selectit.selection import cascade
from selectit.selection.cascade import stages_of
from selectit.selection.collect import collect_all
from selectit.selection.spec import check_all, method_specs, needs_ratings, required_prompts, with_dependencies


def rate(data: str | Path | None, settings: Settings = Settings(), progress: Progress | None = None) -> Path:
    """Ask the models for ratings and store them: the only stage that loads a model.

    Args:
        data: a file, a folder, a hub id or '-'; None goes on with the run that `settings.run` names.
        settings: the source, the raters and, for `k`, the method.
        progress: told what is going on.

    Returns:
        The run directory.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    old = run_of(None, settings) if data is None else None
    if settings.cascade is not None:
        stages_of(settings, prompts_of_run(settings, old), old)  # says what is wrong before anything is read
        run, settings, prompts, _ = to_rate(data, settings)
        stages = stages_of(settings, prompts, old)
        cascade.rate_stages(run, stages, progress or Silent(), rates=True, sample=cascade.SAMPLE)
        return run.path
    every = with_dependencies(method_specs(settings, old), old)
    check_all(every)
    if any(needs_ratings(part.method) for part in every):
        run, rating, prompts, first = to_rate(data, settings)
        asked = required_prompts(every, prompts, least=1 if settings.combine else len(first))
        rate_prompts(run, rating, prompts, asked, progress or Silent())
    else:
        run = old or run_of(data, settings)
    collect_all(run, every, progress or Silent())
    return run.path
