"""The report of an experiment, section by section: tables, what its figures show, and both in Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from selectit.experiments.outcomes import Outcome
from selectit.experiments.report import panels, sweeps, tables
from selectit.experiments.report.panels import Forest, Panel
from selectit.experiments.settings import Choice, keeps_all

_SPECIAL = re.compile(r"[\\`*<>|~$]|&(?=[#\w])|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as its own; brackets where they would be a link, underscores where they are not inside a word."""


_NUMBER = re.compile(r"[-+]?\d|-$")
"""How cells of numbers begin; '-' stands for none."""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a table, and the figures that show it."""

    title: str
    text: str
    """Between the two; '' = nothing."""
    table: tables.Table
    panels: tuple[Panel | Forest, ...] = ()
    reading: str = ""
    """How the figures are read."""


def build_sections(outcomes: Sequence[Outcome], choices: Sequence[Choice]) -> list[Section]:
    """All of the report but its notes."""
    return [
        Section("Results", "The mean over the seeds ± its standard deviation.", tables.result_table(outcomes)),
        *_amounts(outcomes, choices),
        *_sweeps(outcomes, choices),
        *_differences(outcomes),
        Section(
            "What each choice cost",
            "",
            tables.cost_table(outcomes),
            tuple(panels.cost_panels(outcomes)),
            "What was gained against what it took; a line joins the budgets of one choice, bars are the standard "
            "deviation over seeds. Choices whose time to choose is not known are left out, and labels "
            "without room.",
        ),
    ]


def render_markdown(notes: Sequence[str], found: Sequence[Section]) -> str:
    """The report: notes, and every section with its table."""
    parts = ["\n".join(escape(note) for note in notes)]
    parts += [render_section(section) for section in found]
    return "\n\n".join(parts) + "\n"


def render_section(section: Section) -> str:
    """One section with its table."""
    header, lines = section.table
    rows = [f"| {' | '.join(escape(cell) or '-' for cell in line)} |" for line in (header, *lines)]
    texts = count_texts(section.table)
    rule = "|" + "---|" * texts + "---:|" * (len(header) - texts)
    table = "\n".join([rows[0], rule, *rows[1:]])
    return "\n\n".join(filter(None, [f"## {escape(section.title)}", escape(section.text), table]))


def count_texts(of: tables.Table) -> int:
    """How many columns of a table, the first ones, hold words; the others hold numbers."""
    header, lines = of
    columns = zip(header, zip(*lines, strict=True), strict=True)
    texts = [name == "budget" or not all(map(_NUMBER.match, cells)) for name, cells in columns]
    return max((at for at, text in enumerate(texts, start=1) if text), default=0)


def escape(text: str) -> str:
    """Text on one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))


def _amounts(outcomes: Sequence[Outcome], choices: Sequence[Choice]) -> list[Section]:
    found = sweeps.collect_amounts(outcomes)
    if not found:
        return []
    column = tables.headline(outcomes)
    whole = {choice.name for choice in choices if keeps_all(choice)}
    return [
        Section(
            f"{column.title} by budget",
            "",
            sweeps.amount_table(found, column),
            tuple(panels.amount_panels(outcomes, found, whole)),
            "Scores against the number of rows; bars are the standard deviation over seeds.",
        )
    ]


def _sweeps(outcomes: Sequence[Outcome], choices: Sequence[Choice]) -> list[Section]:
    column, every = tables.headline(outcomes), sweeps.find_sweeps(choices)
    made = []
    for parameter in dict.fromkeys(each.parameter for each in every):
        found = {each.rest: sweeps.collect_sweep(outcomes, each) for each in every if each.parameter == parameter}
        if not any(found.values()):
            continue
        made.append(
            Section(
                f"{column.title} by {parameter}",
                "",
                sweeps.sweep_table(parameter, found, column),
                tuple(panels.sweep_panels(outcomes, parameter, found)),
                f"Scores against {parameter}; bars are the standard deviation over seeds.",
            )
        )
    return made


def _differences(outcomes: Sequence[Outcome]) -> list[Section]:
    """To all rows and to random ones; figures of the second alone where there is one."""
    to_full, to_random = tables.compare_lines(outcomes, "full"), tables.compare_lines(outcomes, "random")
    made = []
    for found, to, title in (
        (to_full, "all rows", "Difference to all rows"),
        (to_random, "random rows", "Difference to random rows of the same number"),
    ):
        if not found:
            continue
        shown = panels.difference_panels(outcomes, found, to) if found is to_random or not to_random else []
        made.append(
            Section(
                title,
                "With a 95 % interval over the items, seeds averaged.",
                tables.difference_table(outcomes, found),
                tuple(shown),
                "A filled point: the interval leaves out 0. Where less is better, points to the left of 0 are better.",
            )
        )
    return made
