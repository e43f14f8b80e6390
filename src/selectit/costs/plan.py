"""What a rating, and all else that a method asks of models, will cost.

Of the run directory only the source and a target's examples are written, as `rate` would write them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selectit.config.groups import MethodOptions, ParameterOptions, TargetOptions
from selectit.config.options import given
from selectit.config.settings import Settings
from selectit.costs.passes import SignalCost, check_sample, estimate_signals
from selectit.costs.ratings import ModelCost, RatingJob, estimate_rating
from selectit.costs.token_counts import extrapolate, space_evenly
from selectit.data.memory import Data
from selectit.engines import loading
from selectit.errors import SettingsError
from selectit.inference.rate import find_engine, find_model, open_or_create_run
from selectit.inference.units import refuse_twice
from selectit.models.files import Model
from selectit.progress import Progress, Silent
from selectit.runs.run import Run
from selectit.selection.resolve import resolve, resolve_rating
from selectit.selection.spec import Plan
from selectit.signals.ratings import LAYOUTS, RatingPrompt

COUNTED_ROWS = 20_000
"""Tokens are counted on so many rows at most, evenly spaced; each stands for its neighbours."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rating will cost."""

    run: Path
    data: str
    rows: int
    answers: int
    """Rated answers: one a row, or several with --turns each. Estimated where not all rows were counted."""
    counted_rows: int
    prompts: int
    layout: str
    """'prompt-first', 'sample-first', or 'own' for a prompt file's own template."""
    passes: int
    """Ratings, of all models."""
    seconds: float
    """Of rating by all models, loading too."""
    source_bytes: int
    """Of the copy of the source in the run directory, which is there now."""
    models: tuple[ModelCost, ...]
    """Those that rate; none where the method reads no ratings."""
    proxy: ModelCost | None
    signals: tuple[SignalCost, ...] = ()
    """What else the method, where one is named, asks of models."""


def plan(
    data: Data | None,
    settings: Settings = Settings(),
    sample: int = 64,
    proxy: str | None = None,
    progress: Progress | None = None,
) -> Cost:
    """What `rate` with the same settings will cost: tokens, time, memory and disk, and what would cost less.

    Writes only the run's copies of the source and of a target's examples, which `rate` and `select` use. Loads the
    models that rate, which rate a few answers that are thrown away. Where a method or a target is named, only what the
    method reads is rated; what else it asks of models is counted in passes, and measured in the same way where these
    are loaded here.

    Args:
        data: as for `rate`.
        settings: as for `rate`.
        sample: answers to ask about for the measurement, drawn evenly by length; 2 or more.
        proxy: a smaller model to measure beside; None = none.
        progress: shows what is going on.

    Raises:
        SelectitError: whatever would stop the rating.
    """
    check_sample(sample)
    old = open_or_create_run(None, settings) if data is None else None
    asked = resolve(settings, old) if given(settings, MethodOptions, TargetOptions, ParameterOptions) else None
    rates = asked is None or bool(asked.rating_prompts)
    settings, first = resolve_rating(asked.settings if asked else settings, old)
    first = asked.rating_prompts if asked and rates else first
    if proxy is not None and not rates:
        raise SettingsError(f"--proxy does nothing: {settings.method} reads no ratings", "Leave it out.")
    if proxy is not None:
        loading.find(settings.engine or loading.DEFAULT).check_name(proxy)
    run = old or open_or_create_run(data, settings)
    settings = dataclasses.replace(settings, engine=settings.engine or find_engine(run, settings.model))
    models = [find_model(name, settings) for name in settings.model if rates]
    small = None if proxy is None else find_model(proxy, settings)
    return _estimate(run, models, small, first, settings, sample, progress or Silent(), asked)


def _estimate(
    run: Run,
    models: Sequence[Model],
    proxy: Model | None,
    prompts: Sequence[RatingPrompt],
    settings: Settings,
    sample: int,
    progress: Progress,
    asked: Plan | None,
) -> Cost:
    """Count, measure and add up; what the run holds of it costs nothing. `asked` = whose other signals, too."""
    refuse_twice([*models, *([] if proxy is None else [proxy])])
    rows = space_evenly(run.rows, COUNTED_ROWS)
    samples = run.samples_at(rows)
    each = np.bincount(np.searchsorted(rows, [one.row for one in samples]), minlength=len(rows))
    row, stands = extrapolate(each, run.rows)
    job = RatingJob(run, prompts, settings, sample, progress, samples, row, stands)
    costs = tuple(estimate_rating(job, model) for model in models)
    return Cost(
        run=run.path,
        data=str(run.manifest["data"]),
        rows=run.rows,
        answers=len(row),
        counted_rows=len(rows),
        prompts=len(prompts),
        layout={template: name for name, template in LAYOUTS.items()}.get(prompts[0].template, "own"),
        passes=sum(cost.passes for cost in costs),
        seconds=sum(cost.seconds + (cost.measured.load_seconds if cost.measured else 0.0) for cost in costs),
        source_bytes=sum(file.stat().st_size for file in (run.path / "source").iterdir()),
        models=costs,
        proxy=None if proxy is None else estimate_rating(job, proxy),
        signals=() if asked is None else estimate_signals(run, asked, row, samples, sample, progress),
    )
