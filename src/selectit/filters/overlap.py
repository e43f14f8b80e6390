"""Rows that share a question with an evaluation, found by their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from selectit.data.records import Sample
from selectit.data.words import runs_of, split_bare_words

WORDS = 13
"""A row that shares this many consecutive words with a question is left out (Brown et al. 2020, appendix C)."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """What one evaluation asks."""

    name: str
    """A file, or a benchmark's name."""
    questions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Overlap:
    """The first question that a row shares words with."""

    name: str
    """Of the `QuestionSet`."""
    question: int
    """Its place in the set, from 0."""
    whole: bool
    """Whether the instruction is the question; else `WORDS` consecutive words are the same."""


def find_overlaps(samples: Iterable[Sample], sets: Sequence[QuestionSet]) -> dict[int, Overlap]:
    """The rows whose instruction is one of the questions, or that share `WORDS` consecutive words with one.

    Words are those of `split_bare_words`. Of each row instruction and response are read.
    """
    whole: dict[str, Overlap] = {}
    runs: dict[str, Overlap] = {}
    for each in sets:
        for place, question in enumerate(each.questions):
            words = split_bare_words(question)
            if words:
                whole.setdefault(" ".join(words), Overlap(each.name, place, whole=True))
            for run in runs_of(words, WORDS):
                runs.setdefault(run, Overlap(each.name, place, whole=False))
    found: dict[int, Overlap] = {}
    for sample in samples:
        asked, answered = split_bare_words(sample.instruction), split_bare_words(sample.response)
        shared = (runs[run] for run in (*runs_of(asked, WORDS), *runs_of(answered, WORDS)) if run in runs)
        overlap = whole.get(" ".join(asked)) or next(shared, None)
        if overlap is not None:
            found.setdefault(sample.row, overlap)
    return found
