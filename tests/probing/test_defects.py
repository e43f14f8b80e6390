"""Planted defects differ from their originals, are what they are called, and are the same again with the same seed."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.data.records import Sample
from selectit.probing import defects
from selectit.probing.defects import KINDS, MEANINGS, ORIGINAL, REFUSAL, keep_last, main_script, plant

LONG = "The first answer has quite a number of words, so that every kind of defect fits into it: 12 and 30."
SAMPLES = [
    Sample(3, 0, "Add 10 and 20. What is the sum?", LONG),
    Sample(8, 0, "Name a colour.", "Blue."),
    Sample(9, 0, "Say hello in Japanese.", "こんにちは、お元気ですか"),
]


def planted(samples=SAMPLES, kinds=tuple(KINDS), seed=0):
    found = {}
    for row in plant(samples, kinds, seed):
        found[row.of, row.kind] = row.response
    return found


def test_each_kind_of_a_long_response():
    found = planted()
    words = LONG.split()
    assert found[3, "swapped"] == "Blue."
    assert LONG.startswith(found[3, "cut"]) and len(found[3, "cut"].split()) == len(words) // 3
    shuffled = found[3, "shuffled"].split()
    assert sorted(shuffled) == sorted(words) and shuffled != words
    assert set(found[3, "repeated"].split()) == set(words[:3]) and len(found[3, "repeated"].split()) == len(words)
    assert re.fullmatch(re.escape(LONG[:-3]) + r"\d\d\.", found[3, "wrong-number"])
    assert found[3, "wrong-number"] != LONG
    assert found[3, "refusal"] == REFUSAL and found[3, "empty"] == ""
    assert found[3, "other-language"] == SAMPLES[2].response
    assert found[3, "echo"] == SAMPLES[0].instruction


def test_what_does_not_fit_is_left_out():
    kinds = {kind for of, kind in planted() if of == 8}
    assert kinds == {ORIGINAL, "swapped", "refusal", "empty", "other-language", "echo"}
    assert (3, "other-language") not in planted(SAMPLES[:2])
    assert (3, "swapped") not in planted(SAMPLES[:1])
    same = [Sample(0, 0, "Q", REFUSAL), Sample(1, 0, "R", REFUSAL)]
    assert not {"swapped", "refusal"} & {kind for _, kind in planted(same)}


def test_a_number_is_wrong_only_where_something_is_calculated():
    dated = [Sample(0, 0, "When was Ada born?", "In 1815."), Sample(1, 0, "Add 3 and 4", "It is seven.")]
    assert not any(kind == "wrong-number" for _, kind in planted(dated))


@pytest.mark.parametrize(
    ("instruction", "response"),
    [
        ("Add 10 and 20.", "30"),
        ("What is 3 * 4?", "The result is 12."),
        ("What is 17 - 4?", "It is 13 apples."),
        ("How many days are 2 weeks and 3 days?", "- 17"),
        ("Solve 2x + 3 = 4", "x = -0.5"),
        ("How much is 40 times 100?", "4,000"),
        ("Calculate the area of 5 by 4 cm.", "Area: 20 cm2; Perimeter: 18 cm"),
    ],
)
def test_a_result_is_changed(instruction, response):
    wrong = planted([Sample(0, 0, instruction, response)])[0, "wrong-number"]
    assert re.sub(r"\d", "0", wrong) == re.sub(r"\d", "0", response) and wrong != response


@pytest.mark.parametrize(
    ("instruction", "response"),
    [
        ("Which computers of 1999 and 2001 were best?", "The one of 1998."),
        ("Name multiple parks in the Bay Area, 2 or 3.", "There are 7."),
        ("Who was in office from 1999-2021?", "There were 4."),
        ("Write 3-5 sentences on 2 cats.", "There were 7."),
        ("Calculate the area of 5 by 4 cm.", "20 cm2"),
        ("Add 3 and 4, in steps", "Add them up.\n4. Seven"),
        ("Add 3 and 4", "The sum of both is 3 + 4"),
        ("Add 3 and 4", "It lies in 6-7"),
        ("Add 3 and 4", "The 7 is what one gets"),
        ("Add 3 and 4 in C", "{ return 7; }"),
        ("Add 3 and 4", "word " * 61 + "7"),
    ],
)
def test_what_is_no_result_is_left_alone(instruction, response):
    assert (0, "wrong-number") not in planted([Sample(0, 0, instruction, response)])


def test_scripts_are_read_once_for_each_row(monkeypatch):
    read = []
    monkeypatch.setattr(defects, "main_script", lambda text: read.append(text) or "LATIN")
    planted([Sample(n, 0, "q", f"answer {n}") for n in range(30)])
    assert len(read) == 30


def test_the_same_seed_gives_the_same_whatever_else_is_planted():
    assert planted(seed=4) == planted(seed=4)
    assert planted(seed=4)[3, "shuffled"] != planted(seed=5)[3, "shuffled"]
    assert planted(kinds=("shuffled",), seed=4)[3, "shuffled"] == planted(seed=4)[3, "shuffled"]


TEXTS = st.text(st.sampled_from("ab 12+\n"), min_size=1, max_size=60).filter(lambda text: text.split())


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.integers(0, 9))
def test_a_planted_response_is_never_the_original(pairs, seed):
    samples = [Sample(row, 0, *pair) for row, pair in enumerate(pairs)]
    rows = plant(samples, tuple(KINDS), seed)
    assert [row.of for row in rows if row.kind == ORIGINAL] == list(range(len(samples)))
    for row in rows:
        if row.kind != ORIGINAL:
            assert row.response.split() != samples[row.of].response.split()
            assert row.instruction == samples[row.of].instruction
    assert len({(row.of, row.kind) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hello", "LATIN"),
        ("Привет, Bob", "CYRILLIC"),
        ("数学", "CJK"),
        ("これはペンです、東京タワー", "CJK"),
        ("12 + 3", ""),
        ("", ""),
    ],
)
def test_scripts(text, name):
    assert main_script(text) == name


def test_every_kind_is_explained():
    assert set(MEANINGS) == set(KINDS)


def test_of_several_answers_the_last_is_probed():
    samples = [Sample(0, 0, "a", "x"), Sample(0, 1, "b", "y"), Sample(1, 0, "c", "z")]
    assert keep_last(samples) == [Sample(0, 0, "b", "y"), Sample(1, 0, "c", "z")]


def test_a_random_sample_of_words_does_not_stay_in_order():
    """`shuffled` may by chance give the words back in order: then it is left out, not kept as a defect."""
    sample = Sample(0, 0, "q", "a b c d")
    words = "a b c d".split()
    seeds = [seed for seed in range(400) if random.Random(f"{seed}/shuffled/0").sample(words, 4) == words]
    assert seeds
    assert all((0, "shuffled") not in planted([sample], seed=s) for s in seeds)
