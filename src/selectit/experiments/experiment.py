"""Running an experiment: choose, tune, evaluate, cell by cell; what is done is not done again.

OUT/clean.*            the data without the rows that the evaluation asks about (only where there are any)
OUT/run/               the run directory: every signal once, for all choices
OUT/data/              the same of every other data set that a choice names
OUT/subsets/           the chosen rows in the data's own format
OUT/models/<cell>/     while a cell is under way; kept with keep_models
OUT/evaluations/       part by part, as `selectit eval` stores them
OUT/cells/<cell>.json  what came of it: a cell with this file is finished
OUT/results.{md,csv,tex,html} and OUT/figures/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selectit.evaluation.evaluate import list_left_out
from selectit.experiments.cell import ExperimentFolder, check_cells, lock
from selectit.experiments.clean import CleanData, clean_data
from selectit.experiments.outcomes import Outcome
from selectit.experiments.report import write
from selectit.experiments.run_cells import make_cells
from selectit.experiments.search import check_search, search
from selectit.experiments.settings import Experiment, list_cells
from selectit.progress import Progress, Silent
from selectit.runs.output import check_new_folder
from selectit.text_tables import notebook_html


@dataclass(frozen=True, slots=True)
class Finished:
    """What an experiment came to."""

    out: Path
    clean: CleanData
    outcomes: tuple[Outcome, ...]
    report: str
    """The tables in Markdown, as in OUT/results.md."""

    @property
    def page(self) -> Path:
        """OUT/results.html."""
        return self.out / "results.html"

    def _repr_html_(self) -> str:
        return notebook_html(self.report.splitlines())


def experiment(experiment: Experiment, out: str | Path, progress: Progress | None = None) -> Finished:
    """Run all cells that are not finished, and write the tables, figures and page.

    Args:
        experiment: from `load.load`.
        out: the experiment's folder. Typed again, it goes on where it was; one experiment a folder.
        progress: shows what is going on.

    Raises:
        SelectitError: any of its children, with a remedy. What is finished stays.
    """
    folder = Path(out)
    check_new_folder("--out", folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_search(experiment)
    progress = progress or Silent()
    with lock(folder):
        place = ExperimentFolder(experiment, folder, clean_data(experiment, folder))
        check_cells(place)
        outcomes = make_cells(place, list_cells(experiment), progress)
        tried, best = search(experiment, lambda cell: make_cells(place, [cell], progress)[0], outcomes)
        known = [(each.line, each.seed) for each in outcomes]
        outcomes += [each for each in tried if (each.line, each.seed) not in known]
        notes = [*list_notes(place, outcomes), *(each.text for each in best)]
        text = write.write_report(folder, Path(experiment.data).name, notes, outcomes, experiment.choices)
    return Finished(folder, place.clean, tuple(outcomes), text)


def list_notes(place: ExperimentFolder, outcomes: Sequence[Outcome]) -> list[str]:
    """What stands above the tables."""
    experiment, recipe = place.experiment, place.experiment.recipe
    by = f"{recipe.steps:,} steps each" if recipe.steps is not None else f"{recipe.epochs:g} epochs each"
    data = "; ".join(
        f"{clean.rows:,} rows of {clean.name}, {clean.left_out:,} left out" for clean in place.cleans.values()
    )
    lines = [
        f"{data} since the evaluation asks about them. Recipe {recipe.name}, {by}, batch {recipe.batch_size}, "
        f"learning rate {recipe.learning_rate:g}."
    ]
    read = (recipe.steps or 0) * recipe.batch_size
    if read and any(each.rows > read for each in outcomes):
        lines.append(f"So many steps read {read:,} rows: of larger choices only so many, drawn with the seed.")
    if place.clean.unknown:
        names = ", ".join(place.clean.unknown)
        lines.append(
            f"Not compared with the data, since their questions are not in files that are known here: {names}."
        )
    refused = list_left_out(experiment.evaluation)
    if refused:
        lines.append(f"Not evaluated: {'; '.join(f'{name}, {why}' for name, why in refused.items())}.")
    return lines
