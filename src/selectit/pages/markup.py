"""Pieces of HTML. Every text that comes from elsewhere passes through `escape`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selectit.text_tables import printable

ROLES = {"unrated": "assistant, not to be learned and not rated", "call": "call of a tool"}


def escape(text: object) -> str:
    """Text as it stands in HTML, in an element or an attribute, with control characters written out."""
    return html.escape(printable(str(text)))


def write_out(value: Any) -> Any:
    """A plain value whose texts have their control characters written out."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {key: write_out(each) for key, each in value.items()}
    return [write_out(each) for each in value] if isinstance(value, list | tuple) else value


def paragraphs(lines: Iterable[str], kind: str = "") -> str:
    """A paragraph for each line, of a class of the style sheet."""
    return "\n".join(f'<p class="{kind}">{escape(line)}</p>' if kind else f"<p>{escape(line)}</p>" for line in lines)


def facts(entries: Iterable[tuple[str, str, str]]) -> str:
    """Boxes, each with what is said, its value and a note on it."""
    boxes = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{f'<small>{escape(note)}</small>' if note else ''}</dd></div>"
        for name, value, note in entries
    )
    return f'<dl class="facts">{"".join(boxes)}</dl>'


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A table whose first column names the rows; it scrolls by itself where it is wide.

    Args:
        caption: read aloud.
        header: of the columns.
        rows: cells.
        texts: so many columns, the first ones, hold words; the others are numbers and stand at the right.
    """
    kinds = ["" if place < texts else ' class="number"' for place in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, header, strict=True))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds[1:], row[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return _box("box", caption, head, body)


def matrix(caption: str, names: Sequence[str], cells: Mapping[tuple[int, int], tuple[str, float]]) -> str:
    """A table of each against each other, with a bar in each cell.

    Args:
        caption: read aloud.
        names: of both the rows and the columns.
        cells: by row and column, what it says and the share from 0 to 1 that its bar shows.
    """
    head = "".join(f'<th scope="col" class="number">{escape(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(_bar(cells.get((a, b))) for b in range(len(names)))}</tr>'
        for a, name in enumerate(names)
    )
    return _box("box matrix", caption, f"<td></td>{head}", body)


def _box(kind: str, caption: str, head: str, body: str) -> str:
    box = f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(caption)}">'
    return f"{box}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _bar(cell: tuple[str, float] | None) -> str:
    if cell is None:
        return '<td class="number">–</td>'
    text, share = cell
    rects = f'<rect class="all" width="100" height="10"/><rect class="kept" width="{100 * share:.1f}" height="10"/>'
    drawn = f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{rects}</svg>'
    return f'<td class="number">{escape(text)}{drawn}</td>'


def key(*names: str) -> str:
    """What the colours of a drawing stand for: all rows, the chosen ones, a target."""
    kinds = ("", ' class="of-kept"', ' class="of-target"')
    entries = "".join(f"<span{kind}>{escape(name)}</span>" for kind, name in zip(kinds, names, strict=False))
    return f'<p class="key">{entries}</p>'


def card(title: str, about: str, entries: Sequence[str]) -> str:
    """A list under a heading, and a sentence on it or ''; entries are HTML."""
    said = paragraphs([about], "quiet") if about else ""
    items = "".join(f"<li>{each}</li>" for each in entries)
    return f'<section class="card"><h3>{escape(title)}</h3>{said}<ul>{items}</ul></section>'


def conversation(turns: Iterable[tuple[str, str]], left_out: Sequence[str] = ()) -> str:
    """Roles and texts, as they stand in the page of a selection too."""
    found = "".join(
        f'<div class="turn{" assistant" if role == "assistant" else ""}"><h4>{escape(ROLES.get(role, role))}</h4>'
        f'<div dir="auto">{escape(text)}</div></div>'
        for role, text in turns
    )
    return found + (paragraphs([f"Left out, since it is not text: {', '.join(left_out)}"], "quiet") if left_out else "")


def details(title: str, inner: str) -> str:
    """Something that is opened by a click."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def figure(title: str, inner: str, caption: str) -> str:
    """A figure under a heading, with a sentence that says what it shows; '' = the text before it does."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure><h3>{escape(title)}</h3>{inner}{said}</figure>"
