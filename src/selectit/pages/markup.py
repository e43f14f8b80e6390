"""Pieces of HTML. Every text that comes from elsewhere passes through `escape`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selectit.text_tables import printable


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


def table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names the rows; it scrolls by itself where it is wide."""
    head = "".join(
        f'<th scope="col"{" class=number" if place else ""}>{escape(cell)}</th>' for place, cell in enumerate(header)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td class="number">{escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    box = f'<div class="box" role="region" tabindex="0" aria-label="{escape(caption)}">'
    return f"{box}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def details(title: str, inner: str) -> str:
    """Something that is opened by a click."""
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def figure(title: str, inner: str, caption: str) -> str:
    """A figure under a heading, with a sentence that says what it shows."""
    return f"<figure><h3>{escape(title)}</h3>{inner}<figcaption>{escape(caption)}</figcaption></figure>"
