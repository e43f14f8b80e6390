"""Text as a terminal shows it: tables, and characters that it would obey."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of characters that move the cursor, turn the writing round, are no characters or end a line."""


_JOINERS = "\u200c\u200d"
"""Of these categories, but Persian words and many emoji are spelled with them."""


def printable(text: str) -> str:
    r"""The text with each character that a terminal would obey as its escape: ESC as `\x1b`, a line feed as `\n`."""
    if text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode()
        if unicodedata.category(each) in _OBEYED and each not in _JOINERS
        else each
        for each in text
    )


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> Iterator[str]:
    """Columns as wide as their widest cell: the first so many, names, to the left, and the rest to the right."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    for row in (header, *rows):
        cells = [
            f"{cell:<{width}}" if place < names else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
