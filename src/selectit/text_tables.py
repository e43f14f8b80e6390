"""Text for people: tables, and foreign text that can't steer the terminal it is shown on."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

_CONTROLS = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1: they move the cursor, set titles, erase
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they make text read in another order than it stands
    "\u2028\u2029\ud800-\udfff]"  # other line ends; halves of pairs, which no stream can write
)


def printable(text: str) -> str:
    r"""The text with control characters written out (\x1b, \u202e); tabs and line feeds stay.

    For everything that comes from data, names of files and models, or a server's answers, before a person sees it.
    """
    return _CONTROLS.sub(_write_out, text)


def printable_json(text: str) -> str:
    r"""A JSON text that holds the same, with control characters as JSON's own escapes (\u009b)."""
    return _CONTROLS.sub(lambda mark: f"\\u{ord(mark[0]):04x}", text)


def _write_out(mark: re.Match[str]) -> str:
    code = ord(mark[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def write_count(number: int, one: str, several: str = "") -> str:
    """'1 row', '3,000 rows'; `several` is the plural where that is not `one` with an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def excerpt(text: str, most: int) -> str:
    """A text on one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> Iterator[str]:
    """Columns as wide as their widest cell: the first `names` of them flush left, the others flush right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        cells = [
            f"{cell:<{width}}" if place < names else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def notebook_html(lines: Iterable[str]) -> str:
    """Lines as a notebook shows them: the same text as in a terminal, escaped; no script, no link, no style sheet."""
    text = html.escape(printable("\n".join(lines)))
    return f'<pre style="white-space: pre-wrap; overflow-wrap: anywhere">{text}</pre>'
