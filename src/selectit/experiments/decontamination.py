"""Rows that share a question with the evaluation: found by their words, and left out before anything is chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from selectit.data.records import Sample
from selectit.evaluation import alpacaeval, humaneval, local_files, translation
from selectit.evaluation.heldout import read_last_answers
from selectit.evaluation.settings import EvalSettings

WORDS = 13
"""A row that shares this many consecutive words with a question is left out (Brown et al. 2020, appendix C)."""


_WORD = re.compile(r"\w+")


def find_contaminated(samples: Iterable[Sample], questions: Iterable[str]) -> set[int]:
    """The rows whose instruction is one of the questions, or that share `WORDS` consecutive words with one.

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


def read_questions(settings: EvalSettings, benchmarks: Sequence[str]) -> tuple[list[str], list[str]]:
    """The questions of the held-out data and of benchmarks whose files are here, and the names of those that are not.

    Raises DataError where a file can't be read, SettingsError where HumanEval is asked and not installed.
    """
    found: list[str] = []
    unknown: list[str] = []
    for path in settings.heldout:
        found += [sample.instruction for sample in read_last_answers(path, settings)]
    for name in benchmarks:
        known = _read_benchmark(name, settings.data_dir)
        if known is None:
            unknown.append(name)
        else:
            found += known
    return found, unknown


def _read_benchmark(benchmark: str, data_dir: str | None) -> list[str] | None:
    """What a benchmark asks, of all its files; None where there are none, or it is not known how they are read."""
    if benchmark == "humaneval":
        return [problem["prompt"] for problem in humaneval.load_problems().values()]  # the package brings them along
    if data_dir is None:
        return None
    if benchmark == "alpacaeval":
        return [record["instruction"] for record in alpacaeval.read_instructions(data_dir)[1]]
    if benchmark.partition("_")[0] == "wmt22":
        files = (
            path
            for pair in translation.find_pairs(benchmark, data_dir)
            for path in translation.pair_files(data_dir, pair)
        )
        return [line for path in files for line in translation.read_lines(path)]
    return local_files.read_questions(benchmark, data_dir)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
