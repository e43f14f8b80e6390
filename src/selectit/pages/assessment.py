"""The page of data sets side by side: what asks for action first, then what they are like, then what they share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from selectit._version import __version__
from selectit.assessing.assess import Assessed, Assessment
from selectit.assessing.findings import Finding, percent
from selectit.assessing.model_figures import Distribution
from selectit.assessing.report import list_figures, missing_lines
from selectit.assessing.texts import Lengths
from selectit.pages.charts import Span, draw_spans
from selectit.pages.document import Section, check_page, save_page, write_plain_page
from selectit.pages.entries import write_entries
from selectit.pages.markup import card, details, escape, facts, figure, matrix, paragraphs, table
from selectit.runs.run import Run, open_run
from selectit.text_tables import write_count

_LANGUAGES = 12
"""So many are named, those of the most rows."""
_OPTION = re.compile(r"--[a-z-]+")
_READING = "The line goes from 10 % to 90 % of the rows, its thick part is the middle half, the point the median."


def report_assessment(found: Assessment, out: str | Path, *, force: bool = False) -> Path:
    """Write the page of an assessment; rows are read from its runs.

    Args:
        found: what `assess` returned.
        out: the file.
        force: replace what `out` holds, where it differs.

    Returns:
        The path of the page.

    Raises:
        RunError: a run is gone or damaged, or `out` is another file.
        SettingsError: `out` can't be written.
    """
    check_page("--report", Path(out))
    return save_page("--report", Path(out), write_assessment(found), force=force)


def write_assessment(found: Assessment) -> str:
    """The page as HTML."""
    names = [each.name for each in found.data]
    sections = [
        Section("findings", "What asks for action", _findings(found)),
        Section("figures", "Side by side", table("Figures of the data sets", ["figure", *names], _figures(found.data))),
        Section("distributions", "How they are distributed", _distributions(found)),
        Section("languages", "Languages", _languages(found.data)),
        *([Section("shared", "What they share", _shared(found))] if len(names) > 1 else []),
        Section("provenance", "Provenance", _provenance(found)),
    ]
    heading = "What is this data set worth?" if len(names) == 1 else "What are these data sets worth?"
    return write_plain_page(", ".join(names), heading, f"Assessed: {', '.join(names)}.", sections)


def _findings(found: Assessment) -> str:
    """All of them, by data set, with the rows that they name."""
    count = len(found.findings)
    lead = f"{write_count(count, 'thing')} to do before you train." if count else "Nothing asks for action."
    runs = {each.name: open_run(each.run) for each in found.data}
    by_name = {name: [each for each in found.findings if each.data == name] for name in runs}
    cards = [card(name, "", [_finding(each, runs[name]) for each in some]) for name, some in by_name.items() if some]
    boxes = facts(
        (each.name, write_count(each.texts.rows, "row"), write_count(each.texts.words, "word")) for each in found.data
    )
    return f'<p class="lead">{escape(lead)}</p>{boxes}<div class="cards">{"".join(cards)}</div>'


def _finding(of: Finding, run: Run) -> str:
    text = _OPTION.sub(r"<code>\g<0></code>", escape(f"{of.text[0].upper()}{of.text[1:]}."))
    rows = "".join(f"<li>{each}</li>" for each in write_entries(run, np.array(of.rows, np.int64))) if of.rows else ""
    shown = details(f"Rows {', '.join(map(str, of.rows))}", f"<ul>{rows}</ul>") if rows else ""
    return f"<p>{text}</p>{shown}"


def _figures(data: Sequence[Assessed]) -> list[list[str]]:
    """The lines of the table in the terminal; what stands there below another line has that line's name here."""
    found: list[list[str]] = []
    for name, *cells in list_figures(data):
        above = found[-1][0].partition(":")[0] if name.startswith(" ") else ""
        found.append([f"{above}: {name.strip()}" if above else name, *cells])
    return found


def _distributions(found: Assessment) -> str:
    figures = [
        _draw("Words of a question", [(each.name, each.texts.instruction) for each in found.data]),
        _draw("Words of an answer", [(each.name, each.texts.response) for each in found.data]),
    ]
    known = dict.fromkeys((each.figure, each.model) for one in found.data for each in one.models)
    for name, model in known:
        some = [
            (one.name, each) for one in found.data for each in one.models if (each.figure, each.model) == (name, model)
        ]
        drawn = sorted({each.rows for _, each in some if each.drawn})
        sample = f"Of {' or '.join(f'{rows:,}' for rows in drawn)} rows drawn of each." if drawn else ""
        figures.append(_draw(f"{name} ({model})", some, sample))
    return f'{paragraphs([_READING], "quiet")}<div class="figures">{"".join(figures)}</div>'


def _draw(title: str, some: Sequence[tuple[str, Lengths | Distribution]], about: str = "") -> str:
    spans = [
        Span(name, of.tenth, of.median, of.ninetieth, (of.quarter, of.three_quarters))
        for name, of in some
        if not math.isnan(of.median)
    ]
    missing = [name for name, of in some if math.isnan(of.median)]
    said = "; ".join(f"{name}: median {of.median:.3g}" for name, of in some if not math.isnan(of.median))
    caption = " ".join(filter(None, [f"{said}." if said else "", about, *(f"{name} has none." for name in missing)]))
    return figure(title, draw_spans(spans, f"{title}. {caption}") if spans else "", caption)


def _languages(data: Sequence[Assessed]) -> str:
    together: Counter[str] = Counter()
    for each in data:
        together.update(each.texts.languages)
    shown = [name for name, _ in together.most_common(_LANGUAGES)]
    rows = [(name, *(percent(each.texts.languages.get(name, 0), each.texts.rows) for each in data)) for name in shown]
    more = len(together) - len(shown)
    note = paragraphs([f"{more} more of fewer rows."], "quiet") if more else ""
    return table("Languages by data set", ["language", *(each.name for each in data)], rows) + note


def _shared(found: Assessment) -> str:
    answers = [each.texts.answers for each in found.data]
    cells = {
        (each.of, each.other): (
            f"{each.exact:,} / {'-' if each.near is None else f'{each.near:,}'}",
            (each.exact if each.near is None else each.near) / max(answers[each.of], 1),
        )
        for each in found.shared
    }
    about = (
        "Answers of the data set at the left to a question that the one above asks too: exactly / nearly or exactly. "
        "The bar is the share of the data set at the left."
    )
    return paragraphs([about], "quiet") + matrix("Shared questions", [each.name for each in found.data], cells)


def _provenance(found: Assessment) -> str:
    return paragraphs([*_lines(found), *missing_lines(found)])


def _lines(found: Assessment) -> Iterator[str]:
    for each in found.data:
        run = open_run(each.run)
        yield f"{each.name}: {run.manifest['data']}, sha256 {run.manifest['identity']['sha256']}; run {each.run}."
    yield f"Models were asked about {found.sample:,} rows of each at most, drawn with the seed {found.seed}."
    yield f"Rows count from 0. Page written by selectit {__version__}."
