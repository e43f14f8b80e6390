"""JSON text as a stream of values with their own spelling: arrays and JSON Lines, memory bounded by the largest value.

Every value keeps its text, so that what is written later is what was read: same keys, same order, same spelling of
numbers.
"""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from selectit.data.fields import RowError
from selectit.errors import DataError

CHUNK = 1 << 20
_MAX_CHUNK = 8 << 20

MAX_RECORD = 32 << 20
"""Bytes of a line, or characters of a value in an array, that are read: more is no record, and fills the memory."""

_TOO_LONG = f"it is longer than {MAX_RECORD >> 20} MB, which no record is"

_MAX_DEPTH = 512
"""Values within values. Python's own limit depends on who calls, so that what was read could not be read again."""


@dataclass(frozen=True, slots=True)
class RawValue:
    """One value of a file before it is interpreted. `problem` says why there is none."""

    place: str
    """'line 12' or 'file.jsonl, line 12'; 'record 11' where all values are on one line."""
    raw: Any
    """The value's own text, or an Arrow scalar."""
    value: Any = None
    problem: str = ""


def read_lines(file: IO[bytes], number: int = 0, place: str = "line {}") -> Iterator[RawValue]:
    """The values of JSON Lines after line `number`; a line that is not JSON is a value with a `problem`."""
    while line := file.readline(MAX_RECORD):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if len(line) >= MAX_RECORD - len(codecs.BOM_UTF8) and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(CHUNK)
            yield RawValue(place.format(number), None, problem=_TOO_LONG)
        elif line.strip():
            yield _read_line(place.format(number), line)


def rest_of_line(file: IO[bytes]) -> bytes:
    """What is left of a line up to its end; of one that is longer than a record only as much as shows that it is."""
    rest = file.readline(MAX_RECORD)
    end = rest
    while len(end) >= CHUNK and not end.endswith(b"\n"):
        end = file.readline(CHUNK)
    return rest if rest is end or not end.endswith(b"\n") else rest + b"\n"


def _read_line(place: str, line: bytes) -> RawValue:
    try:
        raw = line.decode().strip()
    except UnicodeDecodeError as error:
        return RawValue(place, None, problem=_not_utf8(error))
    try:
        value = _DECODER.decode(raw)
        _check_depth(value, raw, 0, len(raw))
    except RecursionError:
        return RawValue(place, raw, problem=_TOO_DEEP)
    except json.JSONDecodeError as error:
        return RawValue(place, raw, problem=_not_json(error))
    except RowError as error:
        return RawValue(place, raw, problem=str(error))
    return RawValue(place, raw, value)


def _not_json(error: json.JSONDecodeError) -> str:
    return f"not one whole JSON value: {error.msg.removesuffix(' at')} at column {error.colno}"


def read_indent(file: IO[bytes]) -> str:
    """What stands between the bracket of an array and its first value: line break and spaces."""
    start = file.read(4096).decode("utf-8-sig", errors="ignore").lstrip()[1:]
    return start[: len(start) - len(start.lstrip())]


def is_not_by_lines(start: bytes) -> bool:
    """Whether a text that starts with an object holds whole objects, but not one a line.

    They are over several lines, several on one, or have commas or bare carriage returns between them.
    """
    text = start.decode("utf-8-sig", errors="replace").lstrip()
    line = text.partition("\n")[0].rstrip()
    try:
        _, end = _PLAIN.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return end > len(line) or line[end:].lstrip(" \t\r,")[:1] == "{" or line[end:].strip() == ","


def has_arrays_by_lines(start: bytes) -> bool:
    """Whether a text that starts with an array holds one a line."""
    text = start.decode("utf-8-sig", errors="replace").lstrip()
    line, _, rest = text.partition("\n")
    try:
        _, end = _PLAIN.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return end <= len(line) and rest.lstrip()[:1] == "["


def read_objects(file: IO[bytes], name: str) -> Iterator[RawValue]:
    """The values that follow each other in a file, whatever lines they are on. Raises DataError where one is broken."""
    window = _Window(name, file)
    window.space()
    while window.peek():
        yield window.value()
        window.space()
        if window.peek() == ",":
            window.expect(",")
            window.space()


def read_array(file: IO[bytes], name: str) -> Iterator[RawValue]:
    """The values of one JSON array. Raises DataError where the array itself is broken."""
    window = _Window(name, file)
    window.space()
    window.expect("[")
    window.space()
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

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._line, self._counted = 1, 0  # the line of the character at `_counted`
        self._ended = False
        self._values, self._on_one_line = 0, False

    @property
    def line(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def peek(self) -> str:
        """The next character, '' at the end of the file."""
        while self._at >= len(self._text) and self._more(CHUNK):
            pass
        return self._text[self._at : self._at + 1]

    def expect(self, mark: str) -> None:
        found = self.peek()
        if found != mark:
            raise self.broken(f"{mark!r} belongs here, not {found!r}" if found else f"the file ends before {mark!r}")
        self._at += 1

    def space(self) -> None:
        """Pass over white space."""
        while self.peek():
            match = _SPACE.match(self._text, self._at)
            assert match is not None  # it matches the empty string too
            self._at = match.end()
            if self._at < len(self._text):
                return

    def value(self) -> RawValue:
        """The next JSON value with its text."""
        if not self.peek():
            raise self.broken("the file ends where a record belongs")
        if not self._values:
            self._on_one_line = "\n" not in self._text.strip()  # as far as it is read: what is long enough to matter
        chunk = CHUNK
        while True:
            problem = ""
            value: Any = None
            try:
                try:
                    value, end = _DECODER.raw_decode(self._text, self._at)
                    _check_depth(value, self._text, self._at, end)
                except RowError as error:
                    # A fault that only this row pays for; a plain decoder finds its end.
                    problem = str(error)
                    end = _PLAIN.raw_decode(self._text, self._at)[1]
            except RecursionError as error:
                raise self.broken("a record is nested too deeply") from error
            except json.JSONDecodeError as error:
                # Cut off by the window's end, or wrong? More text tells; doubling keeps the work linear.
                unterminated = error.msg.startswith("Unterminated string")
                offset = len(self._text) - self._at if unterminated else error.pos - self._at
                if unterminated or error.pos + _MARGIN >= len(self._text):
                    if len(self._text) - self._at > MAX_RECORD:
                        raise self.broken(f"a record does not end: {_TOO_LONG}") from error
                    if self._more(chunk):
                        chunk = min(2 * chunk, _MAX_CHUNK)
                        continue
                self._at += offset  # the place of the fault; reading on has moved the window
                raise self.broken(error.msg if self.peek() else "the file ends inside a record") from error
            found = RawValue(self._place(), self._text[self._at : end], value, problem)
            self._at = end
            self._values += 1
            return found

    def _place(self) -> str:
        """Where the reading is, as a person finds it."""
        return f"record {self._values}" if self._on_one_line else f"line {self.line}"

    def broken(self, what: str) -> DataError:
        return DataError(
            f"{self.name}, {self._place()}: the JSON is broken: {what}",
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
                f"{self.name}, line {line}: {_not_utf8(error)}",
                "Convert it, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
            ) from error
        self._at = self._counted = 0
        return not self._ended


_SPACE = re.compile(r"[ \t\r\n]*")
_MARGIN = 16  # the longest literal that a window can cut: -Infinity, \ud83d\ude00


_TOO_DEEP = "it is nested too deeply"


def _check_depth(value: Any, text: str, start: int, end: int) -> None:
    """Raise RowError where the value, read from `text`, is nested deeper than is kept."""
    if end - start <= 2 * _MAX_DEPTH or text.count("[", start, end) + text.count("{", start, end) <= _MAX_DEPTH:
        return
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for each in level for inner in _inner_values(each)]
        if not level:
            return
    raise RowError(_TOO_DEEP)


def _inner_values(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"the byte 0x{error.object[error.start]:02x} is not UTF-8"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise RowError(f"the key {twice!r} stands twice in one object")
    return fields


# Numbers are never read, only kept in the raw text: float spares the limit on the digits of an int.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=float)
_PLAIN = json.JSONDecoder(parse_int=float)
