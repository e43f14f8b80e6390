"""Lexical indices against the specification, by hand, and against second implementations written plainly."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectit.numerics.lexical import distinct, flesch, hdd, mtld, syllables, ttr, words

CAT = "the cat sat on the mat and the dog sat on the rug near the cat"
texts = st.lists(st.sampled_from("a b c d e f g h".split()), min_size=1, max_size=80)


def test_words():
    assert words("Don't stop — well-known, No. 5_a!") == ["don't", "stop", "well-known", "no", "5", "a"]
    assert words("…") == []


def test_mtld_of_the_specification():
    tokens = words(CAT)
    assert len(tokens) == 16
    assert mtld(tokens) == pytest.approx(13.014925, abs=1e-6)
    assert mtld(tokens) == pytest.approx((10.029851 + 16) / 2, abs=1e-6)


def test_mtld_is_not_defined_where_no_word_comes_twice():
    assert math.isnan(mtld(words("one two three")))
    assert math.isnan(mtld([]))


def plain_mtld(tokens, threshold=0.72):
    """As the definition says it: cut off the shortest run whose ratio is low, again and again."""

    def one_way(rest):
        total, factors = len(rest), 0.0
        while rest:
            cut = next((n for n in range(1, len(rest) + 1) if len(set(rest[:n])) / n <= threshold), None)
            if cut is None:
                factors += (1 - len(set(rest)) / len(rest)) / (1 - threshold)
                break
            factors, rest = factors + 1, rest[cut:]
        return total / factors if factors else math.nan

    return (one_way(tokens) + one_way(tokens[::-1])) / 2


@given(texts)
def test_mtld_against_the_plain_form(tokens):
    assert mtld(tokens) == pytest.approx(plain_mtld(tokens), nan_ok=True)


def test_ttr_and_distinct_by_hand():
    tokens = words("a b a b c")
    assert ttr(tokens) == 3 / 5
    assert distinct(tokens, 1) == 3 / 5
    assert distinct(tokens, 2) == 3 / 4  # ab ba ab bc
    assert distinct(tokens, 3) == 1
    assert math.isnan(ttr([])) and math.isnan(distinct(["a"], 2))


def test_hdd_is_the_mean_ratio_of_all_draws():
    tokens = "a a a b b c d".split()
    every = [len(set(drawn)) / 3 for drawn in itertools.combinations(tokens, 3)]
    assert hdd(tokens, 3) == pytest.approx(np.mean(every))
    assert math.isnan(hdd(tokens))


def test_hdd_of_long_texts():
    rng = np.random.default_rng(0)
    tokens = rng.integers(60, size=500).tolist()
    drawn = [len(set(rng.choice(tokens, 42, replace=False).tolist())) / 42 for _ in range(4000)]
    assert hdd(tokens) == pytest.approx(np.mean(drawn), abs=0.003)


def test_flesch_by_hand():
    # 6 words, 2 sentences, 7 syllables
    assert flesch("The water ran. I saw it!") == pytest.approx(206.835 - 1.015 * 3 - 84.6 * 7 / 6)
    assert flesch("Yes") == pytest.approx(206.835 - 1.015 - 84.6)
    assert flesch("Pay 3.5 now") == pytest.approx(206.835 - 1.015 * 4 - 84.6)  # that point ends no sentence
    assert math.isnan(flesch("...")) and math.isnan(flesch(""))
    hard = "Institutional considerations necessitate comprehensive organizational transformation."
    assert flesch(hard) < 0 < flesch("The cat sat on the mat.")


@pytest.mark.parametrize(
    ("word", "count"),
    [("cat", 1), ("water", 2), ("make", 1), ("makes", 1), ("boxes", 2), ("wanted", 2), ("walked", 1), ("table", 2)]
    + [("transformation", 4), ("3", 1), ("hm", 1), ("the", 1), ("beautiful", 3)],
)
def test_syllables(word, count):
    assert syllables(word) == count
