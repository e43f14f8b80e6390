"""Making one cell: its rows are chosen, a model is tuned on them and evaluated. What is stored is not made again."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selectit import methods as method_files
from selectit.config import options
from selectit.config.groups import TargetOptions
from selectit.config.settings import GROUPS, Settings
from selectit.data import sources
from selectit.errors import RunError, SelectitError, SettingsError
from selectit.evaluation.evaluate import evaluate
from selectit.evaluation.settings import EvalSettings
from selectit.experiments.clean import CleanData
from selectit.experiments.outcomes import BenchmarkScore, Outcome
from selectit.experiments.settings import Cell, Experiment, build_method, build_settings, largest_trials, list_cells
from selectit.inference.rate import find_model
from selectit.jsonable import digest_of
from selectit.models import resolve as model_files
from selectit.procedures.tuned import remove_weights
from selectit.progress import Progress
from selectit.runs import row_lists
from selectit.runs.files import read_json, write_json
from selectit.runs.run import Run
from selectit.selection.resolve import resolve
from selectit.selection.select import select
from selectit.signals import prompts
from selectit.training.train import train


@dataclass(frozen=True, slots=True)
class ExperimentFolder:
    """An experiment and where it is made."""

    experiment: Experiment
    folder: Path
    cleans: Mapping[str, CleanData]
    """From `clean.clean_data`: the data sets by `Choice.source`."""

    @property
    def clean(self) -> CleanData:
        """The experiment's own data."""
        return self.cleans[""]

    def clean_of(self, cell: Cell) -> CleanData:
        """The data that the rows of a cell are from."""
        return self.cleans[cell.source]

    def build_settings(self, cell: Cell) -> Settings:
        """The settings of the choice of a cell, in the run of its data."""
        return build_settings(self.experiment, cell, str(self.clean_of(cell).run.path))

    def outcome_file(self, cell: Cell) -> Path:
        """What came of a cell; it is there when the cell is finished."""
        return self.folder / "cells" / f"{cell.name}.json"

    def model_folder(self, cell: Cell) -> Path:
        """Where a cell's model is tuned."""
        return self.folder / "models" / cell.name


def lock(folder: Path) -> AbstractContextManager[None]:
    """Hold the experiment's folder. Raises RunError where another process does."""
    return Run(folder, {}).lock("experiment", f"another selectit runs the experiment in {folder}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What it took to choose the rows of a cell."""

    passes: float = 0
    seconds: float | None = 0


def check_cells(place: ExperimentFolder) -> None:
    """Raise what choosing would refuse once the number of rows is known, before anything is done: for every cell.

    Raises:
        SettingsError: a budget of more rows than there are; rows that are named by their numbers, where rows were
            left out, so that the numbers are of others.
        DataError: a list that names what is not among the rows.
    """
    experiment = place.experiment
    basic = {source: clean.run.basic_rows() for source, clean in place.cleans.items()}
    for cell in (*list_cells(experiment), *largest_trials(experiment)):
        if cell.choice is None:
            continue
        settings, clean = place.build_settings(cell), place.clean_of(cell)
        count_rows(place, cell)
        for value in settings.param.values():
            if not isinstance(value, str) or not Path(value).exists():
                continue
            if clean.left_out and row_lists.by_number(value):
                raise SettingsError(
                    f"{cell.choice.name}: {value} names rows by number, and {clean.left_out:,} rows that the "
                    "evaluation asks about were left out, so that the numbers are of other rows",
                    "Name a data set of the rows themselves, or write decontaminate = false.",
                )
        build_method(cell.choice).check_rows(basic[cell.source])


def count_rows(place: ExperimentFolder, cell: Cell) -> int:
    """How many rows a cell is tuned on at most; 0 for the model as it was. Raises SettingsError."""
    if cell.choice is None:
        return 0
    settings, rows = place.build_settings(cell), place.clean_of(cell).rows
    try:
        return min(resolve(settings).budget.count(rows), rows)
    except SelectitError as error:
        raise SettingsError(
            f"{cell.choice.name}, budget {cell.budget}: {error.message}",
            "Name smaller budgets, or give the choice settings = { allow_fewer = true }.",
        ) from error


def read_outcome(place: ExperimentFolder, cell: Cell) -> Outcome | None:
    """What came of a finished cell, else None. Raises RunError where it was made with other settings."""
    path = place.outcome_file(cell)
    if not path.is_file():
        return None
    facts = read_json(path)
    if facts.pop("fingerprint") != _current_fingerprint(place, cell):
        raise RunError(
            f"{path} holds the same cell with other settings", "Name another folder with --out, or remove it."
        )
    _remove_weights(place, cell)  # where it was killed between the two
    scores = {name: BenchmarkScore(**each) for name, each in facts["scores"].items()}
    return Outcome(**{**facts, "line": cell.line, "scores": scores})


def choose_rows(place: ExperimentFolder, cell: Cell, progress: Progress) -> Chosen:
    """Choose the rows: a selection of the run, and a file of them in the data's own format."""
    if cell.choice is None:
        return Chosen()
    clean = place.clean_of(cell)
    subset = place.folder / "subsets" / f"{cell.name}{clean.suffix}"
    subset.parent.mkdir(exist_ok=True)
    settings = dataclasses.replace(place.build_settings(cell), out=str(subset), name=cell.name, force=True)
    selected = select(clean.path, settings, progress)
    return Chosen(selected.passes, selected.seconds)


def make_cell(place: ExperimentFolder, cell: Cell, chosen: Chosen, progress: Progress) -> Outcome:
    """Tune on the chosen rows, evaluate, and store what came of it."""
    tuned = _tune(place, cell, progress)
    experiment = place.experiment
    out = str(place.folder / "evaluations" / f"{cell.name}.json")
    accepted = experiment.settings.accept_terms or experiment.evaluation.accept_terms
    (results,) = evaluate(
        [str(tuned.pop("path"))], dataclasses.replace(experiment.evaluation, out=out, accept_terms=accepted)
    )
    scores = {
        score.benchmark: BenchmarkScore(
            metric=score.metric,
            value=score.value,
            stderr=score.stderr,
            items=[f"{p.name}/{n}" for p in results.parts if p.benchmark == score.benchmark for n in p.items],
            values=[v for p in results.parts if p.benchmark == score.benchmark for v in p.values],
        )
        for score in results.scores
    }
    outcome = Outcome(
        line=cell.line,
        method="" if cell.choice is None else method_files.parse_spec(cell.choice.method)[0],
        data="" if cell.choice is None else cell.choice.data,
        seed=cell.seed,
        passes=chosen.passes,
        select_seconds=chosen.seconds,
        scores=scores,
        eval_seconds=sum(score.seconds for score in results.scores),
        **tuned,
    )
    write_json(
        place.outcome_file(cell), {"fingerprint": _current_fingerprint(place, cell), **dataclasses.asdict(outcome)}
    )
    _remove_weights(place, cell)
    return outcome


def _tune(place: ExperimentFolder, cell: Cell, progress: Progress) -> dict[str, Any]:
    """The model's folder, and what its tuning took."""
    if cell.choice is None:
        return {"path": cell.model, "rows": 0, "steps": 0, "tokens": 0, "loss": None, "train_seconds": 0}
    settings = place.experiment.settings
    tuned = train(
        place.clean_of(cell).run.path,
        cell.name,
        cell.model,
        dataclasses.replace(place.experiment.recipe, seed=cell.seed),
        place.model_folder(cell),
        accept_terms=settings.accept_terms,
        trust_remote_code=settings.trust_remote_code,
        progress=progress,
    )
    return {
        "path": tuned.path,
        "rows": tuned.rows,
        "steps": tuned.steps,
        "tokens": tuned.tokens,
        "loss": tuned.loss,
        "train_seconds": tuned.seconds,
    }


def _current_fingerprint(place: ExperimentFolder, cell: Cell) -> str:
    clean = place.clean_of(cell)
    return fingerprint_cell(place.experiment, cell, clean.source, clean.rows)


def _remove_weights(place: ExperimentFolder, cell: Cell) -> None:
    """Remove a finished cell's weights, and those of models that its method tuned on the way, unless they are kept.

    Others in the same run stay, and a shared one that was tuned again since: another cell is, or will be, asking it.
    """
    if place.experiment.keep_models or cell.choice is None:
        return
    shutil.rmtree(place.model_folder(cell), ignore_errors=True)
    run = place.clean_of(cell).run
    summary = run.read_json(run.path / "selections" / cell.name / "summary.json")
    remove_weights(
        run, [each["folder"] for each in summary.get("tunings", ())], place.outcome_file(cell).stat().st_mtime_ns
    )


def fingerprint_cell(experiment: Experiment, cell: Cell, source: str, rows: int) -> str:
    """16 hexadecimal digits.

    Args:
        experiment: all of it.
        cell: one of its cells.
        source: the digest of the data before anything was left out.
        rows: how many were not.

    Raises:
        SelectitError: a model, a prompt file or data for the evaluation can't be had.
    """
    settings = experiment.settings
    base = model_files.resolve(cell.model, accept_terms=settings.accept_terms).digest
    identity: dict[str, Any] = {"data": [source, rows], "base": base, "seed": cell.seed}
    identity["evaluation"] = _evaluation_identity(experiment.evaluation)
    if cell.choice is not None:
        identity["choice"] = _choice_identity(build_settings(experiment, cell, ""))
        identity["recipe"] = experiment.recipe.identity()
    return digest_of(identity)[:16]


def _choice_identity(settings: Settings) -> dict[str, Any]:
    plain = options.values(settings, *(group for group in GROUPS if group.decides))
    plain["model"] = [find_model(name, settings).digest for name in settings.model]
    plain["prompts"] = prompts.load(settings.prompts).fingerprint
    if settings.target:
        plain["target"] = [_data_identity(path) for path in settings.target]
    else:  # as experiments without targets have always been named
        plain = {name: value for name, value in plain.items() if name not in options.names(TargetOptions)}
    plain["param"] = {name: _content_identity(value) for name, value in settings.param.items()}
    return plain


def _evaluation_identity(settings: EvalSettings) -> dict[str, Any]:
    plain = options.deciding(settings)
    if not settings.roles:
        del plain["roles"]  # as before there were any
    plain["heldout"] = [_data_identity(path) for path in settings.heldout]
    folder = None if settings.data_dir is None else Path(settings.data_dir)
    files = [] if folder is None else sorted(path for path in folder.rglob("*") if path.is_file())
    plain["data_dir"] = [
        [str(path.relative_to(folder)), _content_identity(str(path))] for path in files if folder is not None
    ]
    return plain


def _data_identity(path: str) -> str:
    with sources.open_source(path) as source:
        return sources.fingerprint(source)


def _content_identity(value: Any) -> Any:
    """The digest of a file, or of the rows of a selection, that a value names; else the value."""
    if isinstance(value, str):
        for path in (Path(value), Path(value) / "rows.parquet"):
            if path.is_file():
                return hashlib.sha256(path.read_bytes()).hexdigest()
    return value
