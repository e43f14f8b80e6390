"""What an experiment ends with: OUT/results.{md,csv,tex,html} and OUT/figures/*.svg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from selectit.atomic_files import replacing
from selectit.experiments.outcomes import Outcome
from selectit.experiments.report import tables
from selectit.experiments.report.sections import Section, build_sections, render_markdown
from selectit.experiments.settings import Choice


def write_report(
    folder: Path, title: str, notes: Sequence[str], outcomes: Sequence[Outcome], choices: Sequence[Choice]
) -> str:
    """Write all tables, figures and the page; the report in Markdown.

    Without the extra `report` there are no figures and no page, and the report says so. That is no reason to refuse an
    experiment: nothing is lost, since the same command makes them from the finished cells once the extra is there.
    """
    missing = _missing()
    notes = [*notes, *([missing] if missing else [])]
    found = build_sections(outcomes, choices)
    report = render_markdown(notes, found)
    for name, text in (("md", report), ("csv", tables.render_csv(outcomes)), ("tex", tables.render_latex(outcomes))):
        _write(folder / f"results.{name}", text)
    for old in (folder / "results.html", *(folder / "figures").glob("*.svg")):  # of other outcomes
        old.unlink(missing_ok=True)
    if not missing:
        _draw(folder, title, notes, found)
    return report


def _missing() -> str:
    try:
        import markdown_it  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        return (
            f"No figures and no page: {error}. Install the extra report and type the command again; what is finished "
            "is not done again."
        )
    return ""


def _draw(folder: Path, title: str, notes: Sequence[str], found: Sequence[Section]) -> None:
    """The figures as files, and the page with all of them."""
    from selectit.experiments.report import figures, page

    drawings = []
    number = 0
    for section in found:
        some = [figures.draw_panel(panel) for panel in section.panels]
        for panel, svg in zip(section.panels, some, strict=True):
            number += 1
            readable = re.sub(r"[^A-Za-z0-9.]+", "-", f"{panel.title} by {panel.x}")[:80].strip("-.")
            _write(folder / "figures" / f"{number:02d}-{readable}.svg", svg)
        drawings.append(some)
    _write(folder / "results.html", page.render_page(title, notes, found, drawings))


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())
