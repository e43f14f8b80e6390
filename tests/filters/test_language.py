"""Languages of rows, and of questions and their answers."""

import pytest

from selectit.data.records import Sample
from selectit.filters import language
from selectit.filters.language import UNKNOWN, detect_language, find_languages

pytest.importorskip("py3langid", reason="the extra 'filters' is not installed")
ENGLISH = "Tell me how the weather in the north of the country was last week."
GERMAN = "Das Wetter war im Norden des Landes in der letzten Woche sehr schlecht."


def test_languages():
    assert detect_language(ENGLISH) == "en"
    assert detect_language(GERMAN) == "de"
    assert detect_language("请告诉我上周北方的天气怎么样，我想知道。") == "zh"
    assert detect_language("123 + 4") == detect_language("") == UNKNOWN


def test_an_answer_in_another_language_is_found():
    samples = [
        Sample(0, 0, ENGLISH, GERMAN),
        Sample(1, 0, ENGLISH, ENGLISH),
        Sample(2, 0, ENGLISH, "Ja, gut."),  # too short to tell
        Sample(3, 0, ENGLISH, ENGLISH),
        Sample(3, 1, GERMAN, ENGLISH),
    ]
    assert find_languages(samples, {}) == ({}, {0: ("en", "de"), 3: ("de", "en")})


def test_the_language_of_a_row_is_that_of_its_text():
    pairs = [(ENGLISH, ENGLISH), (ENGLISH, GERMAN), (GERMAN, GERMAN), ("12", "7"), ("Ja?", GERMAN), (ENGLISH, "")]
    samples = [Sample(row, 0, *pair) for row, pair in enumerate(pairs)]
    texts = {row: "\n".join(pair) for row, pair in enumerate(pairs)}
    texts[0] = f"{GERMAN}\n{GERMAN}\n{GERMAN}\n{texts[0]}"  # earlier turns, which are no part of the pair
    found, _ = find_languages(samples, texts)
    assert found == {row: detect_language(text) for row, text in texts.items()}
    assert (found[0], found[2], found[3]) == ("de", "de", UNKNOWN)


def test_an_ordinary_pair_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr(language, "_classifier", lambda: lambda text: read.append(text) or ("en", 0.99))
    find_languages([Sample(0, 0, ENGLISH, ENGLISH)], {0: f"{ENGLISH}\n{ENGLISH}"})
    assert read == [ENGLISH, ENGLISH]
