"""The report of an experiment as one HTML file, without scripts or network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from selectit._version import __version__
from selectit.experiments.report.panels import Forest, Panel, describe_panel
from selectit.experiments.report.sections import Section, count_texts
from selectit.pages import charts, document
from selectit.pages.markup import escape, figure, paragraphs, table

_FILES = {
    "results.md": "the same tables",
    "results.tex": "for a paper",
    "results.csv": "every cell by itself",
}


def render_page(
    title: str, verdict: Sequence[str], notes: Sequence[str], sections: Sequence[Section], drawn: bool
) -> str:
    """The whole file.

    Args:
        title: of the data; the page's own heading is the question that an experiment answers.
        verdict: what was found, in sentences.
        notes: what is to be known about it.
        sections: of the report.
        drawn: whether the figures are files too.
    """
    first, *others = verdict or ["Nothing was tuned."]
    said = f'<p class="lead">{escape(first)}</p>{paragraphs(others)}{paragraphs(notes, "quiet")}'
    parts = [document.Section("verdict", "Verdict", said)]
    parts += [document.Section(f"part{at}", each.title, _render(each)) for at, each in enumerate(sections, start=1)]
    about = f"An experiment on {title}."
    return document.write_plain_page(title, "Which choice was worth it?", about, parts, _foot(drawn))


def _render(section: Section) -> str:
    header, lines = section.table
    cells = [[cell or "-" for cell in line] for line in lines]
    text = paragraphs([section.text]) if section.text else ""
    return text + table(f"Table: {section.title}", header, cells, count_texts(section.table)) + _figures(section)


def _figures(section: Section) -> str:
    if not section.panels:
        return ""
    drawings = "".join(figure(panel.title, _draw(panel), "") for panel in section.panels)
    return f'{paragraphs([section.reading], "quiet")}<div class="figures">{drawings}</div>'


def _draw(panel: Panel | Forest) -> str:
    label = describe_panel(panel)
    if isinstance(panel, Forest):
        spans = [charts.Span(name, found.low, found.value, found.high) for name, found in panel.rows]
        return paragraphs([panel.x], "quiet") + charts.draw_spans(spans, label, zero=True)
    series = [
        charts.Series(
            each.label,
            each.mark,
            tuple(charts.Point(one.x, one.level.mean, one.level.spread, one.label) for one in each.points),
        )
        for each in panel.series
    ]
    levels = [(name, level.mean) for name, level in panel.levels]
    return charts.draw_series(series, levels, (panel.x, panel.y), label, panel.ticks, panel.labelled)


def _foot(drawn: bool) -> str:
    return f"<p>{'; '.join(_links(drawn))}.</p>{paragraphs([f'Page written by selectit {__version__}.'], 'quiet')}"


def _links(drawn: bool) -> Iterator[str]:
    for name, about in _FILES.items():
        yield f'<a href="{name}">{name}</a>: {about}'
    if drawn:
        yield "figures/: the figures as files"
