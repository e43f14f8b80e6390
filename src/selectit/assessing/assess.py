"""What are these data sets worth? Each is read into its ordinary run, measured, and set beside the others.

Texts are read in full. Models are asked only where they are named, and then about a sample; what a run holds already
serves without any model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selectit.assessing.diversity import Diversity, measure_diversity
from selectit.assessing.findings import Finding, find_all
from selectit.assessing.model_figures import Distribution, measure_models
from selectit.assessing.sample import draw_rows, is_folder
from selectit.assessing.sharing import Shared, count_shared
from selectit.assessing.texts import TextFigures, measure_texts
from selectit.config.settings import Settings
from selectit.data.examples import Example, read_target
from selectit.data.layouts import parse_roles
from selectit.data.memory import Data
from selectit.engines import loading
from selectit.errors import DataError, SettingsError, is_installed
from selectit.inference.rate import find_model, open_or_create_run
from selectit.inference.tokens import count_tokens
from selectit.progress import Progress, Silent
from selectit.runs.run import Run, open_run
from selectit.runs.source import data_name
from selectit.selection.questions import read_named
from selectit.text_tables import notebook_html

SAMPLE = 500
OPTIONAL = {
    "rensa": ("near-copies", "filters"),
    "py3langid": ("languages, and answers in another language than asked", "filters"),
    "sklearn": ("entropy over clusters", "methods"),
}
"""Packages without which something is left out: what that is, and the extra that brings them."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """What is known of one data set."""

    name: str
    run: Path
    texts: TextFigures
    tokens: dict[str, int]
    """Of all responses, by each model that is named."""
    models: tuple[Distribution, ...]
    diversity: Diversity | None
    """None = no encoder is named, and none has embedded all data sets."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Data sets side by side."""

    data: tuple[Assessed, ...]
    shared: tuple[Shared, ...]
    """Each data set against each other one."""
    sample: int
    """Rows of each, at most, that models were asked about."""
    seed: int
    findings: tuple[Finding, ...]
    """What asks for action."""
    missing: tuple[str, ...] = ()
    """Of `OPTIONAL`, what would have been used and is not installed."""

    def _repr_html_(self) -> str:
        from selectit.assessing.report import assessment_lines  # which imports this module

        return notebook_html(assessment_lines(self))


def assess(
    data: Sequence[Data],
    settings: Settings = Settings(),
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Progress | None = None,
) -> Assessment:
    """Judge whole data sets side by side: size, copies, languages, damage, what they share, and what models find.

    Args:
        data: one data set or more, each as for `select`, or a run directory by its name.
        settings: `model` names what gives losses and ratings, `encoder` what gives vectors; without them nothing is
            loaded. `decontaminate` names evaluations, `target` examples of what is wanted, which need an encoder.
        sample: rows of each data set that models are asked about, 20 or more.
        seed: of that sample and the intervals.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy.
    """
    progress = progress or Silent()
    _check(data, settings, sample)
    evaluations = [read_named(name, settings.data_dir, settings.roles) for name in settings.decontaminate]
    target = _read_target(settings)
    runs = [_open(each, settings) for each in data]
    _check_runs(runs, settings)
    rows = [draw_rows(run, sample, seed) for run in runs]
    tokens = [_count_tokens(run, settings, progress) for run in runs]
    texts = [measure_texts(run, evaluations, seed, progress) for run in runs]
    shared = count_shared(runs)
    models = [measure_models(run, some, settings, seed, progress) for run, some in zip(runs, rows, strict=True)]
    diversity = measure_diversity(runs, rows, target, settings, seed, progress)
    found = tuple(
        Assessed(name, run.path, texts[place], tokens[place], models[place], diversity[place] if diversity else None)
        for place, (name, run) in enumerate(zip(_name(runs), runs, strict=True))
    )
    used = [package for package in OPTIONAL if package != "sklearn" or diversity]
    missing = tuple(package for package in used if not is_installed(package))
    return Assessment(found, shared, sample, seed, find_all(found, shared), missing)


def _check(data: Sequence[Data], settings: Settings, sample: int) -> None:
    loading.check_options(settings)
    if settings.model and settings.engine is not None:
        loading.check(settings, chat=False)
    if not data:
        raise SettingsError("no data set is named", "Name one or more: selectit assess a.json b.jsonl")
    if settings.run is not None:
        raise SettingsError("--run names one run, and each data set has its own", "Leave it out.")
    if sample < 20:
        raise SettingsError(f"--sample is {sample}", "It is a number of 20 or more: fewer rows tell nothing.")
    if settings.target and settings.encoder is None:
        raise SettingsError(
            "the distance to --target is measured with an encoder", "Name one, for example --encoder minilm."
        )


def _read_target(settings: Settings) -> tuple[Example, ...]:
    target = read_target(settings.target, roles=parse_roles(settings.roles)) if settings.target else ()
    if len(target) == 1:
        raise DataError(f"{settings.target[0]} has one example", "To measure a distance, name two or more.")
    return target


def _open(data: Data, settings: Settings) -> Run:
    """The run of the data, or the run itself."""
    if isinstance(data, str | Path) and (Path(data) / "manifest.json").is_file() and (Path(data) / "source").is_dir():
        return open_run(data)
    return open_or_create_run(data, dataclasses.replace(settings, model=(), encoder=None))


def _check_runs(runs: Sequence[Run], settings: Settings) -> None:
    """Refuse a data set that is there twice, and a name that neither a model nor a folder of each run has."""
    for place, run in enumerate(runs):
        if any(run.path == other.path for other in runs[:place]):
            raise SettingsError(f"{run.manifest['data']} is there twice, by name and content", "Name it once.")
        for name in (*settings.model, settings.encoder):
            if name is not None and not is_folder(run, name):
                loading.find(settings.engine or loading.DEFAULT).check_name(name)


def _count_tokens(run: Run, settings: Settings, progress: Progress) -> dict[str, int]:
    models = [find_model(name, settings) for name in settings.model if not is_folder(run, name)]
    return {model.name: int(count_tokens(run, model, settings, progress).sum()) for model in models}


def _name(runs: Sequence[Run]) -> list[str]:
    """The data sets' names, with the digits of the run where two have the same."""
    names = [data_name(str(run.manifest["data"])) for run in runs]
    return [
        name if names.count(name) == 1 else f"{name}-{run.path.name.rpartition('-')[2]}"
        for name, run in zip(names, runs, strict=True)
    ]
