"""An assessment as lines of text: a table, what the data sets share, and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from selectit.assessing.assess import OPTIONAL, Assessed, Assessment
from selectit.assessing.diversity import Diversity
from selectit.assessing.findings import percent
from selectit.assessing.model_figures import Distribution
from selectit.assessing.texts import Found, Lengths
from selectit.errors import install_extra
from selectit.text_tables import table_lines

_LANGUAGES = 2  # of each data set that the table names


def assessment_lines(found: Assessment) -> list[str]:
    """The assessment as lines of text."""
    names = [each.name for each in found.data]
    lines = [*table_lines(["", *names], list(list_figures(found.data)))]
    if len(names) > 1:
        lines += ["", "rows that ask what another data set asks, exactly / nearly or exactly"]
        lines += table_lines(["", *(f"in {name}" for name in names)], list(_shares(found)))
    if found.findings:
        lines += ["", "What asks for action:"]
        lines += [f"{each.data}: {each.text}{_rows(each.rows)}" for each in found.findings]
    missing = list(missing_lines(found))
    return [*lines, *([""] if missing else []), *missing]


def missing_lines(found: Assessment) -> Iterator[str]:
    """What was left out, and how to have it."""
    for package in found.missing:
        yield f"left out, since {package} is not installed: {OPTIONAL[package][0]}"
    extras = dict.fromkeys(OPTIONAL[package][1] for package in found.missing)
    if extras:
        yield f"Install what they need: {install_extra(','.join(extras))}"


def _rows(rows: Sequence[int]) -> str:
    return (
        f" (rows {', '.join(map(str, rows))}, …)"
        if len(rows) > 2
        else f" ({', '.join(map(str, rows))})"
        if rows
        else ""
    )


def list_figures(data: Sequence[Assessed]) -> Iterator[list[str]]:
    """The lines of the table: a figure and its value for each data set."""

    def line(name: str, value: Callable[[Assessed], str]) -> list[str]:
        return [name, *map(value, data)]

    yield line("rows", lambda one: f"{one.texts.rows:,}")
    if any(one.texts.answers != one.texts.rows for one in data):
        yield line("answers", lambda one: f"{one.texts.answers:,}")
    yield line("words", lambda one: f"{one.texts.words:,}")
    for model in dict.fromkeys(model for one in data for model in one.tokens):
        cells = [f"{one.tokens[model]:,}" if model in one.tokens else "-" for one in data]
        yield [f"tokens of the answers ({model})", *cells]
    yield line("words of a question: median, 90 %", lambda one: _lengths(one.texts.instruction))
    yield line("words of an answer: median, 90 %", lambda one: _lengths(one.texts.response))
    yield line("copies of an earlier row", lambda one: _count(one.texts.exact, one))
    yield line("copies and near-copies", lambda one: _count(one.texts.near, one))
    yield line("questions asked before", lambda one: _count(one.texts.repeated, one))
    yield line("languages", _languages)
    yield line("empty answers", lambda one: _count(one.texts.empty, one))
    yield line("answered in another language", lambda one: _count(one.texts.mismatched, one))
    yield line("answers that seem cut", lambda one: _count(one.texts.broken, one))
    for name in data[0].texts.asked:
        yield line(f"questions of {name}", lambda one, name=name: _count(one.texts.asked[name], one))  # type: ignore[misc]
    for n in (1, 2):
        least = min(one.texts.distinct_words for one in data)
        fewer = "" if all(one.texts.distinct_words == least for one in data) else " or fewer"
        most = max(one.texts.distinct_words for one in data)
        yield line(f"distinct-{n} of {most:,} words{fewer}", lambda one, n=n: _distinct(one.texts.distinct[n]))  # type: ignore[misc]
    yield from _model_figures(data)
    yield from _diversity(data)


def _model_figures(data: Sequence[Assessed]) -> Iterator[list[str]]:
    known = dict.fromkeys((each.figure, each.model) for one in data for each in one.models)
    for figure, model in known:
        cells = [[each for each in one.models if (each.figure, each.model) == (figure, model)] for one in data]
        yield [f"{figure} ({model}): median", *(_median(cell[0]) if cell else "-" for cell in cells)]
        yield [
            "  10 % to 90 %",
            *(f"{cell[0].tenth:.3g} to {cell[0].ninetieth:.3g}" if cell else "-" for cell in cells),
        ]


def _diversity(data: Sequence[Assessed]) -> Iterator[list[str]]:
    found = [one.diversity for one in data if one.diversity]
    if not found:
        return
    of = f"({found[0].encoder}, {found[0].rows:,} rows each)"
    yield [f"Vendi score {of}", *(f"{each.vendi:.1f}" for each in found)]
    yield ["NovelSum", *(f"{each.novelsum:.3f}" for each in found)]
    yield ["entropy over clusters, 0 to 1", *("-" if each.entropy is None else f"{each.entropy:.3f}" for each in found)]
    if found[0].target is not None:
        yield ["squared MMD to the target", *map(_distance, found)]


def _shares(found: Assessment) -> Iterator[list[str]]:
    for place, one in enumerate(found.data):
        own = [each for each in found.shared if each.of == place]
        cells = {each.other: f"{each.exact:,} / {_or_dash(each.near)}" for each in own}
        yield [f"of {one.name}", *(cells.get(other, "-") for other in range(len(found.data)))]


def _median(of: Distribution) -> str:
    interval = "" if of.interval is None else f" [{of.interval[0]:.3g}, {of.interval[1]:.3g}]"
    return f"{of.median:.3g}{interval}"


def _distance(of: Diversity) -> str:
    assert of.target is not None  # of one data set as of all
    return f"{of.target.value:z.4f} [{of.target.low:z.4f}, {of.target.high:z.4f}]"


def _lengths(of: Lengths) -> str:
    return f"{of.median:,.0f}, {of.ninetieth:,.0f}"


def _distinct(share: float) -> str:
    """'-' where there is no such run of words."""
    return "-" if math.isnan(share) else f"{share:.3f}"


def _or_dash(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _count(of: Found | None, one: Assessed) -> str:
    return "-" if of is None else f"{of.count:,} ({percent(of.count, one.texts.rows)})"


def _languages(one: Assessed) -> str:
    shown = list(one.texts.languages.items())[:_LANGUAGES]
    return ", ".join(f"{name} {percent(count, one.texts.rows)}" for name, count in shown) or "-"
