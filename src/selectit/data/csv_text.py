"""CSV and TSV: a table of texts under a line of names. Every cell is a text and stays one.

Nothing is evaluated or guessed: 007 stays 007, and a cell that a spreadsheet would take for a formula is a text.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import IO, Any

from selectit.data.json_text import MAX_RECORD, RawValue
from selectit.errors import DataError

DELIMITERS = (",", ";", "\t")

_NOT_UTF8 = "Convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"


def find_delimiter(ending: str, start: bytes) -> str:
    """What stands between the cells of a file that starts so: a tab in .tsv; in .csv the most frequent of its names."""
    if ending == ".tsv":
        return "\t"
    names = start.decode("utf-8-sig", errors="replace").partition("\n")[0]
    return max(DELIMITERS, key=names.count)


def read_csv(file: IO[bytes], name: str, delimiter: str) -> Iterator[RawValue]:
    """The rows as objects of texts; `raw` is the same in JSON. Raises DataError where quotes or names are wrong."""
    csv.field_size_limit(MAX_RECORD)  # of this process; as it comes, it is smaller than some answers
    lines = _Lines(file)
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        names = next(rows, [])
        lines.forget()
        _check_names(name, names)
        for cells in rows:
            place = f"line {lines.first}"
            lines.forget()
            if not cells:
                continue
            if len(cells) != len(names):
                yield RawValue(place, None, problem=f"it has {len(cells)} cells, and the first line {len(names)} names")
                continue
            value = dict(zip(names, cells, strict=True))
            yield RawValue(place, json.dumps(value, ensure_ascii=False), value)
    except csv.Error as error:
        raise DataError(
            f"{name}: in the row of line {lines.first} a quote is wrong: {error}",
            'A cell with a line break or a delimiter stands in quotes, and a quote in it is doubled: "".',
        ) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{name}, line {lines.number + 1}: the byte 0x{byte:02x} is not UTF-8", _NOT_UTF8) from error


def _check_names(name: str, names: Sequence[str]) -> None:
    twice = next((each for place, each in enumerate(names) if each in names[:place]), None)
    if twice is not None:
        raise DataError(f"{name} has two columns with the name {twice!r}", "Rename one of them.")


class _Lines:
    """The lines of a file for csv.reader, which reads on while a quote is open; `first` is the first of a row."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._taken = 0
        self.number, self.first = 0, 1

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD)
        self._taken += len(line)
        if not line:
            raise StopIteration
        if self._taken >= MAX_RECORD:
            raise csv.Error(f"the row is longer than {MAX_RECORD >> 20} MB, which no record is")
        text = line.decode("utf-8" if self.number else "utf-8-sig")
        self.number += 1
        return text

    def forget(self) -> None:
        """The row has ended: the next line is the first of another."""
        self._taken, self.first = 0, self.number + 1


def write_csv(file: IO[bytes], delimiter: str, names: Sequence[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write records under a line of names: texts as they are, other values in JSON."""
    text = SimpleNamespace(write=lambda line: file.write(line.encode()))
    out = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    quoted = csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    (quoted if any("\r" in name for name in names) else out).writerow(names)
    for record in records:
        cells = [value if isinstance(value, str) else json.dumps(value) for value in map(record.get, names)]
        (quoted if any("\r" in cell for cell in cells) else out).writerow(cells)  # csv leaves a bare \r unquoted
