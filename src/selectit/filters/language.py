"""Which language a row is in, and rows whose question and answer are in different ones. By py3langid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from selectit.data.records import Sample
from selectit.errors import SettingsError, install_extra
from selectit.filters.words import split_words

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
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise SettingsError(
            "no record has a field 'language', and finding the languages needs py3langid",
            f"Install it: {install_extra('filters')}",
        ) from error
    classify: Callable[[str], tuple[str, float]] = LanguageIdentifier.from_model_file(
        MODEL_FILE, norm_probs=True
    ).classify
    return classify


def detect_language(text: str) -> str:
    """The language of a text as two or three letters (ISO 639), or `UNKNOWN`. Raises SettingsError."""
    language, probability = _classifier()(text)
    return language if probability >= SURE and language != _NONE else UNKNOWN


def find_mismatches(samples: Iterable[Sample]) -> dict[int, tuple[str, str]]:
    """The rows whose question is surely in one language and the answer in another, with both; of each row the first.

    A row that asks for a translation is one, rightly. Raises SettingsError.
    """
    found: dict[int, tuple[str, str]] = {}
    for sample in samples:
        asked, answered = (_surely(text) for text in (sample.instruction, sample.response))
        if asked and answered and asked != answered:
            found.setdefault(sample.row, (asked, answered))
    return found


def _surely(text: str) -> str:
    """The language of a text of some words, '' where it is not certain."""
    if len(split_words(text)) < MISMATCH_WORDS:
        return ""
    language, probability = _classifier()(text)
    return language if probability >= MISMATCH_SURE and language != _NONE else ""
