"""What an experiment ends with: OUT/results.{md,csv,tex,html} and OUT/figures/*.svg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from selectit.atomic_files import replacing
from selectit.errors import install_extra
from selectit.experiments.outcomes import Outcome
from selectit.experiments.report import tables
from selectit.experiments.report.page import render_page
from selectit.experiments.report.sections import Section, build_sections, render_markdown
from selectit.experiments.report.verdict import verdict_lines
from selectit.experiments.settings import Choice


def write_report(
    folder: Path, title: str, notes: Sequence[str], outcomes: Sequence[Outcome], choices: Sequence[Choice]
) -> str:
    """Write all tables, the page and the figures as files; the report in Markdown.

    Without the extra `report` there are no such files, and the report says so. That is no reason to refuse an
    experiment: nothing is lost, since the same command makes them from the finished cells once the extra is there.
    """
    missing = _missing()
    notes = [*notes, *([missing] if missing else [])]
    verdict, found = list(verdict_lines(outcomes)), build_sections(outcomes, choices)
    report = render_markdown([*verdict, *notes], found)
    for name, text in (("md", report), ("csv", tables.render_csv(outcomes)), ("tex", tables.render_latex(outcomes))):
        _write(folder / f"results.{name}", text)
    _write(folder / "results.html", render_page(title, verdict, notes, found, not missing))
    for old in (folder / "figures").glob("*.svg"):  # of other outcomes
        old.unlink()
    if not missing:
        _draw(folder, found)
    return report


def _missing() -> str:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        return (
            f"The figures are on the page alone, and no files: {error}. Install what draws them with "
            f"{install_extra('report')} and type the command again; what is finished is not done again."
        )
    return ""


def _draw(folder: Path, found: Sequence[Section]) -> None:
    from selectit.experiments.report import figures

    for number, panel in enumerate((panel for section in found for panel in section.panels), start=1):
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", f"{panel.title} by {panel.x}")[:80].strip("-.")
        _write(folder / "figures" / f"{number:02d}-{readable}.svg", figures.draw_panel(panel))


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
