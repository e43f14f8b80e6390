"""`plot`: an analysis of a selection as a figure for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selectit.atomic_files import replacing
from selectit.errors import RunError, SettingsError, import_extra, nearest
from selectit.pages import analyses, load
from selectit.runs.output import check_writable_parent
from selectit.runs.selections import open_selection
from selectit.runs.stored import StoredSelection, load_selection
from selectit.selection.cascade_report import read_timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("scores", "map", "lengths", "calculations", "sweep", "agreement", "cost")
ENDINGS = (".png", ".svg", ".pdf")


def plot(selection: str | Path, what: str, out: str | Path, *, force: bool = False) -> Path:
    """Draw an analysis of a selection. From what its run has stored; loads no model.

    Args:
        selection: 'RUN:NAME', or 'RUN' of a run with one selection.
        what: 'scores', 'map', 'lengths', 'calculations', 'sweep', 'agreement' or 'cost'; docs/figures.md shows them.
        out: a file that ends in .png, .svg or .pdf.
        force: replace a file that is there and differs.

    Returns:
        The path of the file.

    Raises:
        RunError: no such run or selection, it lacks what is drawn, or another file is there.
        SettingsError: no such figure or ending, several selections, or matplotlib is not installed.
    """
    path = Path(out)
    if what not in FIGURES:
        raise SettingsError(f"there is no figure {what!r}", nearest(what, FIGURES))
    if path.suffix.lower() not in ENDINGS:
        raise SettingsError(f"--out {path} doesn't end in {', '.join(ENDINGS)}", f"Name {_list_names(path)}.")
    check_writable_parent("--out", path)
    run, name = open_selection(selection)
    import_extra("matplotlib", "report", "a figure")
    from selectit.pages import figures

    with figures.paper_style():
        drawn = figures.encode(_draw(load_selection(run, name), what), path.suffix.lower())
    if path.exists() and path.read_bytes() != drawn and not force:
        raise RunError(f"{path} is there and is another figure", "Name another with --out, or replace it with --force.")
    with replacing(path, keep_equal=True) as file:
        file.write(drawn)
    return path


def _list_names(path: Path) -> str:
    """The names that the file may have."""
    *others, last = (str(path.with_suffix(ending)) for ending in ENDINGS)
    return f"{', '.join(others)} or {last}"


def _draw(of: StoredSelection, what: str) -> Figure:
    from selectit.pages import figures

    if what == "scores":
        return figures.draw_scores(load.load_histogram(of), of.cut)
    if what == "map":
        return figures.draw_map(load.load_map(of), of.rows)
    if what == "lengths":
        return figures.draw_lengths(load.load_lengths(of))
    if what == "calculations":
        return figures.draw_calculations(load.load_calculations(of))
    if what == "sweep":
        return figures.draw_sweeps(load.load_sweeps(of))
    if what == "agreement":
        return figures.draw_agreements(load.load_agreements(of))
    costs = analyses.list_costs(read_timing(of.run))
    if not costs:
        raise RunError(f"{of.run.path} has no times: no model was asked", "Draw another figure.")
    return figures.draw_costs(costs)
