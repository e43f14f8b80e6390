"""Reading a data set in one pass: checked row by row, memory bounded by the largest record.

Every record keeps its own JSON text, so that what is written later is what was read: same keys, same order, same
spelling of numbers.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from selectit.data.formats import RowError, detect, digest, turns
from selectit.errors import DataError
from selectit.schema import Record

_CHUNK = 1 << 20
_SHOWN = 10
_NOT_JSON = "A data set is a JSON array ([{…}, {…}]) or JSON Lines (one {…} a line)."


@dataclass(frozen=True, slots=True)
class Found:
    """One value of the file before it is understood. `problem` says why it has none."""

    line: int
    raw: str
    value: Any = None
    problem: str = ""


@dataclass(slots=True)
class Source:
    """What reading finds out about the file, complete when its records are exhausted."""

    path: Path
    container: str
    """'json' (an array) or 'jsonl'."""
    layout: str = ""
    indent: str = ""
    """What stands before the first record of an array: line break and spaces."""
    rows: int = 0
    bad: list[str] = field(default_factory=list)
    bad_rows: int = 0


def file_digest(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """sha256 of the file's bytes, hexadecimal. Raises DataError where it can't be read."""
    state = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                state.update(chunk)
                if progress is not None:
                    progress(len(chunk))
    except OSError as error:
        raise DataError(
            f"can't read {path}: {error.strerror}", "Name a JSON or JSON Lines file; look for a typing error."
        ) from error
    return state.hexdigest()


def open_source(path: Path) -> Source:
    """Look at the first characters of the file. Raises DataError where it is no JSON at all."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise DataError(f"{path} is UTF-16", f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}")
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise DataError(f"{path} is empty", _NOT_JSON)
    if text[:1] == b"[":
        return Source(path, "json")
    if text[:1] == b"{":
        return Source(path, "jsonl")
    raise DataError(f"{path} starts with {text[:20]!r}, which is neither an array nor an object", _NOT_JSON)


def records(source: Source, limit: int | None = None) -> Iterator[Record]:
    """The good records in order; fills `source` on the way and counts the bad ones.

    Args:
        source: from `open_source`.
        limit: read no more than so many rows.

    Raises:
        DataError: an array is broken, or, after the last row, any row was bad (the first ten are listed), or there
            is no row.
    """
    found = _array(source) if source.container == "json" else _lines(source)
    for item in found:
        if limit is not None and source.rows == limit:
            break
        row = source.rows
        source.rows += 1
        try:
            if item.problem:
                raise RowError(item.problem)
            if not source.layout and isinstance(item.value, dict):
                source.layout = detect(item.value)
            parts = turns(item.value, source.layout or LAYOUT_WHEN_UNKNOWN)
            record = Record(row, digest(parts), parts, item.raw)
        except RowError as error:
            source.bad_rows += 1
            if len(source.bad) < _SHOWN:
                source.bad.append(f"  row {row}, line {item.line}: {error}")
            if not source.layout and isinstance(item.value, dict):
                break  # the layout is unknown: every row would say so
            continue
        yield record
    if source.bad_rows:
        raise DataError(_bad_rows(source), "Mend or remove these rows; rows count from 0, lines from 1.")
    if not source.rows:
        raise DataError(f"{source.path} has no rows", _NOT_JSON)


LAYOUT_WHEN_UNKNOWN = "alpaca"  # only ever used to say that a row is no object


def _bad_rows(source: Source) -> str:
    more = source.bad_rows - len(source.bad)
    count = "1 row" if source.bad_rows == 1 else f"{source.bad_rows:,} rows"
    listed = "\n".join(source.bad) + (f"\n  … and {more:,} more" if more else "")
    return f"{source.path}: {count} of {source.rows:,} can't be used\n{listed}"


def _lines(source: Source) -> Iterator[Found]:
    with source.path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.strip():
                continue
            try:
                raw = line.decode().strip()
            except UnicodeDecodeError as error:
                yield Found(number, "", problem=_not_utf8(error))
                continue
            try:
                yield Found(number, raw, _DECODER.decode(raw))
            except json.JSONDecodeError as error:
                yield Found(number, raw, problem=f"not one whole JSON value: {error.msg} at column {error.colno}")
            except RowError as error:
                yield Found(number, raw, problem=str(error))


def _array(source: Source) -> Iterator[Found]:
    with source.path.open("rb") as file:
        yield from _elements(_Window(source.path, file), source)


def _elements(window: _Window, source: Source) -> Iterator[Found]:
    window.space()
    window.expect("[")
    source.indent = window.space()
    if window.peek() == "]":
        return
    while True:
        yield window.value()
        window.space()
        if window.peek() == "]":
            break
        window.expect(",")
        window.space()
    window.expect("]")
    window.space()
    if window.peek():
        raise window.broken("the array has ended and something follows it")


class _Window:
    """A sliding window of decoded text over the file. `_at` is the reading place, `line` the line it is on."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._line, self._counted = 1, 0  # the line of the character at `_counted`
        self._ended = False

    @property
    def line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self) -> str:
        """The next character, '' at the end of the file."""
        while self._at >= len(self._text) and self._more(_CHUNK):
            pass
        return self._text[self._at : self._at + 1]

    def expect(self, mark: str) -> None:
        found = self.peek()
        if found != mark:
            raise self.broken(f"{mark!r} belongs here, not {found!r}" if found else f"the file ends before {mark!r}")
        self._at += 1

    def space(self) -> str:
        """Pass over white space and return it."""
        passed = ""
        while self.peek():
            match = _SPACE.match(self._text, self._at)
            assert match is not None  # it matches the empty string too
            passed += match[0]
            self._at = match.end()
            if self._at < len(self._text):
                break
        return passed

    def value(self) -> Found:
        """The next JSON value with its text."""
        if not self.peek():
            raise self.broken("the file ends where a record belongs")
        chunk = _CHUNK
        while True:
            problem = ""
            value: Any = None
            try:
                try:
                    value, end = _DECODER.raw_decode(self._text, self._at)
                except RowError as error:
                    # A fault that only this row pays for; a plain decoder finds its end.
                    problem = str(error)
                    end = _PLAIN.raw_decode(self._text, self._at)[1]
            except json.JSONDecodeError as error:
                # Cut off by the window's end, or wrong? More text tells; doubling keeps the work linear.
                unterminated = error.msg.startswith("Unterminated string")
                offset = len(self._text) - self._at if unterminated else error.pos - self._at
                if (unterminated or error.pos + _MARGIN >= len(self._text)) and self._more(chunk):
                    chunk *= 2
                    continue
                self._at += offset  # the place of the fault; reading on has moved the window
                raise self.broken(error.msg if self.peek() else "the file ends inside a record") from error
            found = Found(self.line, self._text[self._at : end], value, problem)
            self._at = end
            return found

    def broken(self, what: str) -> DataError:
        return DataError(
            f"{self.path}, line {self.line}: the JSON is broken: {what}",
            "Mend the file at this place. A file with one {…} a line must not start with '['.",
        )

    def _more(self, size: int) -> bool:
        """Read on, dropping what lies behind. False at the end of the file."""
        if self._ended:
            return False
        data = self._file.read(size)
        self._ended = not data
        self._line, kept = self.line, self._text[self._at :]
        try:
            self._text = kept + self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            line = self._line + kept.count("\n") + error.object[: error.start].count(b"\n")
            raise DataError(
                f"{self.path}, line {line}: {_not_utf8(error)}",
                f"Convert it, for example: iconv -f LATIN1 -t UTF-8 {self.path.name} > utf8-{self.path.name}",
            ) from error
        self._at = self._counted = 0
        return not self._ended


_SPACE = re.compile(r"[ \t\r\n]*")
_MARGIN = 16  # the longest literal that a window can cut: -Infinity, \ud83d\ude00


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"the byte 0x{error.object[error.start]:02x} is not UTF-8"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError(f"the key {twice!r} stands twice in one object")
    return fields


# Numbers are never read, only kept in the raw text: float spares the limit on the digits of an int.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=float)
_PLAIN = json.JSONDecoder(parse_int=float)
