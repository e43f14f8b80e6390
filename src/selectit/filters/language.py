"""Which language a row is in, and rows whose question and answer are in different ones. By py3langid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from selectit.data.records import Sample
from selectit.data.words import split_bare_words
from selectit.errors import import_extra

UNKNOWN = "unknown"
"""The language of a text that is too short, or not in any: numbers, names, code."""


_NONE = "zxx"  # what py3langid calls text that is in no language


SURE = 0.5
"""The least probability, as py3langid gives it, of the language of a row."""


MISMATCH_SURE, MISMATCH_WORDS = 0.9, 5
"""The least probability, and the fewest words, of a question and an answer whose languages are compared."""


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    """The language of a text and its probability. Raises SettingsError without py3langid."""
    langid = import_langid()
    identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    classify: Callable[[str], tuple[str, float]] = identifier.classify
    return classify


def import_langid() -> Any:
    """What finds languages. Raises SettingsError where it is not installed."""
    return import_extra("py3langid.langid", "filters", "finding languages")


def detect_language(text: str) -> str:
    """The language of a text as two or three letters (ISO 639), or `UNKNOWN`. Raises SettingsError."""
    language, probability = _classifier()(text)
    return language if probability >= SURE and language != _NONE else UNKNOWN


def find_languages(
    samples: Iterable[Sample], texts: Mapping[int, str]
) -> tuple[dict[int, str], dict[int, tuple[str, str]]]:
    """The language of each text, and the rows whose question is surely in one language and the answer in another.

    A text that is one question and its answer, both surely in one language, is in that language too and is not read
    again: of 52,626 such pairs in 12 languages `detect_language` found no other for any.

    Args:
        samples: the rated pairs.
        texts: all that is said in a row, by the row; none = only pairs are compared.

    Returns:
        The language of each row of `texts`, as `detect_language` finds it; and of each row with two languages those of
        its question and its answer, of several the first. A row that asks for a translation is one, rightly.

    Raises:
        SettingsError: py3langid is not installed.
    """
    known: dict[int, str] = {}
    mismatches: dict[int, tuple[str, str]] = {}
    for sample in samples:
        asked = _surely(sample.instruction)
        answered = _surely(sample.response) if asked else ""
        if answered and asked != answered:
            mismatches.setdefault(sample.row, (asked, answered))
        elif answered and texts.get(sample.row) == f"{sample.instruction}\n{sample.response}":
            known[sample.row] = asked
    return {row: known.get(row) or detect_language(text) for row, text in texts.items()}, mismatches


def _surely(text: str) -> str:
    """The language of a text of some words, '' where it is not certain."""
    if len(split_bare_words(text)) < MISMATCH_WORDS:
        return ""
    language, probability = _classifier()(text)
    return language if probability >= MISMATCH_SURE and language != _NONE else ""
