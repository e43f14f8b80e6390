"""Rows that share a question with the evaluation: found by their words, and left out before anything is chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from selectit.data import formats, read
from selectit.errors import DataError
from selectit.evaluation import local
from selectit.evaluation.options import EvalSettings
from selectit.schema import Sample

WORDS = 13
"""A row that has so many words in a row in common with a question is left out (Brown et al. 2020, appendix C)."""
_WORD = re.compile(r"\w+")


def contaminated(samples: Iterable[Sample], questions: Iterable[str]) -> set[int]:
    """The rows whose instruction is one of the questions, or that share `WORDS` words in a row with one.

    Words are runs of letters and digits, in lower case. Of each row instruction and response are read.
    """
    whole: set[tuple[str, ...]] = set()
    grams: set[tuple[str, ...]] = set()
    for question in questions:
        words = _words(question)
        if words:
            whole.add(tuple(words))
            grams.update(_grams(words))
    found = set()
    for sample in samples:
        asked, answered = _words(sample.instruction), _words(sample.response)
        if tuple(asked) in whole or any(gram in grams for gram in (*_grams(asked), *_grams(answered))):
            found.add(sample.row)
    return found


def questions(settings: EvalSettings, benchmarks: Sequence[str]) -> tuple[list[str], list[str]]:
    """The questions of the held-out data and of benchmarks with local files, and the names of what was not to be had.

    Raises DataError where a file can't be read.
    """
    found: list[str] = []
    unknown: list[str] = []
    for path in settings.heldout:
        found += _heldout(path, settings)
    for name in benchmarks:
        known = None if settings.data_dir is None else local.questions(name, settings.data_dir)
        if known is None:
            unknown.append(name)
        else:
            found += known
    return found, unknown


def _heldout(path: str, settings: EvalSettings) -> Iterator[str]:
    layout = formats.parse_map(settings.map) if settings.map is not None else None
    layout = formats.named(settings.format) if settings.format is not None else layout
    if not Path(path).exists():
        raise DataError(f"there is no file {path}", "Name the held-out data as it lies here.")
    with read.opened(path) as source:
        for record in read.records(source, read.Checked(), layout=layout, which="last", limit=None):
            yield formats.samples(record.row, record.turns, "last")[0].instruction


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
