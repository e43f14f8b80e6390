"""Languages of rows, and of questions and their answers."""

import pytest

from selectit.data.records import Sample
from selectit.filters.language import UNKNOWN, detect_language, find_mismatches

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
    assert find_mismatches(samples) == {0: ("en", "de"), 3: ("de", "en")}
