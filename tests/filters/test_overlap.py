"""Rows that share a question with an evaluation."""

from selectit.data.records import Sample
from selectit.data.words import runs_of, split_bare_words
from selectit.filters.overlap import Overlap, QuestionSet, find_overlaps


def test_what_the_evaluation_asks_is_found():
    question = "How many apples does Ann have if she buys three and eats one of them today?"
    words = question.split()
    samples = [
        Sample(0, 0, "How many APPLES does Ann have, if she buys three and eats one of them today", "2"),
        Sample(1, 0, "Solve: " + " ".join(words[:13]) + " instead", "x"),
        Sample(2, 0, "Solve: " + " ".join(words[:12]) + " instead of what", "x"),
        Sample(3, 0, "Write a question.", " ".join(words[1:14])),
        Sample(4, 0, "Name a fruit", "An apple"),
    ]
    asked = [QuestionSet("gsm8k", [question]), QuestionSet("mine.json", ["", "Name a fruit!"])]
    assert find_overlaps(samples, asked) == {
        0: Overlap("gsm8k", 0, whole=True),
        1: Overlap("gsm8k", 0, whole=False),
        3: Overlap("gsm8k", 0, whole=False),
        4: Overlap("mine.json", 1, whole=True),
    }
    assert find_overlaps(samples, []) == {}


def test_any_answer_of_a_conversation_counts_once():
    long = "one two three four five six seven eight nine ten eleven twelve thirteen"
    samples = [Sample(0, 0, "Hello", "Hi"), Sample(0, 1, f"Say: {long}", "No"), Sample(1, 0, "Hello", long)]
    assert set(find_overlaps(samples, [QuestionSet("a", [long])])) == {0, 1}


def test_words_of_scripts_without_spaces_are_characters():
    assert split_bare_words("Wie geht's, ГДЕ 3x?") == ["wie", "geht", "s", "где", "3x"]
    assert split_bare_words("你好 abc世界") == ["你", "好", "abc", "世", "界"]
    assert split_bare_words("한국어 문장") == ["한국어", "문장"]  # Korean has spaces
    assert runs_of(["a", "b", "c"], 2) == ["a b", "b c"]
    assert runs_of(["a"], 2) == []
