"""The baselines: all rows, random ones, the longest, and a list that was made elsewhere."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import made_up_signals as made
import selectit
from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.errors import DataError, SettingsError
from selectit.methods.fixed import Fixed
from selectit.methods.full import Full
from selectit.methods.length import Length, repetition
from selectit.methods.random import Random
from selectit.selection.choose import Budget, select_top
from selectit.signals.arrays import Signals


def test_full_takes_all_rows_and_no_fewer(data, rows):
    selected = selectit.select(data, Settings(run="run", method="full"))
    assert json.loads(selected.out.read_text()) == rows
    with pytest.raises(SettingsError, match="takes all 12 rows, and 3 were asked"):
        selectit.select(None, Settings(run="run", method="full", keep=3))
    assert Full().select(Signals(made.rows(3)), 3).tolist() == [0, 1, 2]


# Random


def split_by_hand(sizes, budget):
    """Equal shares; what a source can't give is split again over the others (methods.md, A1)."""
    taken = dict.fromkeys(sizes, 0)
    while budget:
        open_sources = [source for source in sizes if taken[source] < sizes[source]]
        share = budget // len(open_sources)
        if not share:
            break
        for source in open_sources:
            more = min(share, sizes[source] - taken[source])
            taken[source] += more
            budget -= more
    return taken, budget


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 12), min_size=1), st.integers(1, 60), st.integers(0, 3))
def test_balanced_shares_are_those_of_the_splitting_rule(sizes, budget, seed):
    source = [name for name, size in sizes.items() for _ in range(size)]
    budget = min(budget, len(source))
    signals = Signals(made.rows(len(source)), stored_field=tuple(source))
    kept = select_top(Random(seed=seed, balance="source").score(signals), Budget(rows=budget)).rows
    shares, left = split_by_hand(sizes, budget)
    found = Counter(source[row] for row in kept)
    assert all(found[name] - shares[name] in (0, 1) for name in sizes)  # what can't be split goes by the draw
    assert sum(found.values()) == budget == sum(shares.values()) + left


def test_balanced_rows_of_one_source_are_in_the_order_of_their_draws():
    signals = Signals(made.rows(30), stored_field=("a",) * 30)
    alone = Signals(made.rows(30))
    balanced = Random(balance="source").score(signals)
    assert np.argsort(-balanced).tolist() == np.argsort(-Random().score(alone)).tolist()


def test_random_from_what_was_not_selected(data):
    first = selectit.select(data, Settings(run="run", method="length", keep=4))
    taken = first.selection.rows.tolist()
    without = Settings(run="run", method="random", param={"exclude": f"run/selections/{first.name}"})
    rest = selectit.select(None, dataclasses.replace(without, keep=8, out="r.json"))
    assert sorted(taken + rest.selection.rows.tolist()) == list(range(12))
    assert rest.name.startswith("random-seed0-without-")
    with pytest.raises(SettingsError, match="8 can be chosen"):
        selectit.select(None, dataclasses.replace(without, keep=9))


# Length


TEXTS = (Sample(0, 0, "one two", "three"), Sample(1, 0, "a", "bb cc"), Sample(1, 1, "a bb cc d", "e f g"))


@pytest.mark.parametrize(
    ("unit", "field", "expected"),
    [
        ("chars", "response", [5, 10]),
        ("words", "instruction", [2, 4]),
        ("words", "both", [3, 7]),
        ("chars", "both", [12, 14]),
    ],
)
def test_lengths_of_texts(unit, field, expected):
    signals = Signals(made.rows(3), stored_texts=TEXTS)
    method = Length(unit=unit, field=field)
    assert method.needs == ("texts",)
    assert method.score(signals) == pytest.approx([*expected, np.nan], nan_ok=True)
    shortest = Length(unit=unit, field=field, order="shortest")
    assert shortest.score(signals) == pytest.approx([-n for n in expected] + [np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"unit": "wrds"}, "'words'"),
        ({"field": "answer"}, "field"),
        ({"order": "longst"}, "'longest'"),
        ({"unit": "tokens", "field": "both"}, "tokens of the response only"),
        ({"max_repetition": 1.5}, "1 = no bound"),
        ({"max_repetition": float("nan")}, "1 = no bound"),
    ],
)
def test_lengths_that_there_are_not(parameters, says):
    with pytest.raises(SettingsError) as refused:
        Length(**parameters)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("no no no no", 0),  # one run of four words: nothing stood before it
        ("no no no no no", 1 / 2),
        ("Red, green, blue, grey. RED green blue grey!", 1 / 5),  # the fifth run is the first one again
        ("word " * 103, 99 / 100),
        ("one two three four five six seven", 0),
    ],
)
def test_repetition_by_hand(text, expected):
    assert repetition(text) == pytest.approx(expected, abs=1e-15)


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40))
def test_repetition_is_the_share_of_runs_that_stood_before(found):
    runs = [found[at : at + 4] for at in range(len(found) - 3)]
    again = sum(run in runs[:at] for at, run in enumerate(runs))
    assert repetition(" ".join(found)) == pytest.approx(again / len(runs) if runs else 0, abs=1e-12)
    assert 0 <= repetition(" ".join(found)) < 1
    if len(runs) > 0:  # of a text said twice, the runs within the second time stood before
        assert repetition(" ".join(found * 2)) >= len(runs) / (2 * len(found) - 3) - 1e-12


LOOP = "yes it is so " * 20


@pytest.mark.parametrize(
    ("parameters", "needs", "expected"),
    [
        ({}, ("texts",), [3, 80, 4]),
        ({"unit": "chars"}, ("texts",), [13, len(LOOP), 7]),
        ({"unit": "tokens"}, ("tokens", "texts"), [5, 99, 6]),
        ({"order": "shortest"}, ("texts",), [-3, -80, -4]),
    ],
)
def test_the_guard_takes_the_score_of_rows_that_repeat_themselves(parameters, needs, expected):
    """Row 2 has two responses, and neither repeats itself; that both do it together does not count."""
    texts = (
        Sample(0, 0, "i", "one two three"),
        Sample(1, 0, "i", LOOP),
        Sample(2, 0, "i", "a b"),
        Sample(2, 1, "i", "a b "),
    )
    words = dataclasses.replace(made.rows(3), response_words=np.array([3, 80, 4]))
    signals = Signals(words, stored_texts=texts, stored_tokens=np.array([5, 99, 6]))
    on, off = Length(**parameters, max_repetition=0.5), Length(**parameters)
    assert on.needs == needs and on.label == off.label + "-r0.5"
    assert off.score(signals).tolist() == expected
    expected[1] = np.nan
    assert on.score(signals) == pytest.approx(expected, nan_ok=True)
    assert Length(**parameters, max_repetition=1).label == off.label  # 1 is no bound
    assert Length(**parameters, max_repetition=1).needs == off.needs


def test_one_response_that_repeats_itself_is_enough():
    texts = (Sample(0, 0, "i", "fine"), Sample(0, 1, "i", LOOP), Sample(1, 0, "i", "fine"))
    signals = Signals(made.rows(2), stored_texts=texts)
    assert np.isnan(Length(max_repetition=0.9).score(signals)).tolist() == [True, False]


def test_the_guard_in_the_whole_job(data, rows):
    """Most rows of the data say one word some times: those with five words or more have a repetition of 1/2 or more."""
    short = [place for place, row in enumerate(rows) if len(row["output"].split()) < 5]
    chosen = Settings(run="run", method="length", param={"max_repetition": "0.2"}, keep=len(short))
    selected = selectit.select(data, chosen)
    assert sorted(selected.selection.rows.tolist()) == short
    assert selected.name == f"length-words-r0.2-{len(short)}rows"
    with pytest.raises(SettingsError, match=f"{len(short)} can be chosen"):
        selectit.select(data, dataclasses.replace(chosen, keep=len(short) + 1, out="more.json"))


# A list that was made elsewhere


@pytest.mark.parametrize("text", ["[7, 0, 3]", "7\n0\n3\n", " 7\r\n\n0\n3", "[\n 7,\n 0,\n 3\n]"])
def test_a_list_of_row_numbers(data, rows, text):
    Path("ids").write_text(text)
    selected = selectit.select(data, Settings(run="run", method="fixed", param={"file": "ids"}))
    assert selected.selection.rows.tolist() == [7, 0, 3]
    assert json.loads(selected.out.read_text()) == [rows[7], rows[0], rows[3]]
    assert selected.name.startswith("fixed-ids-")
    fewer = selectit.select(None, Settings(run="run", method="fixed", param={"file": "ids"}, keep=2, out="two.json"))
    assert fewer.selection.rows.tolist() == [7, 0]
    with pytest.raises(SettingsError, match="chose 3"):
        selectit.select(None, Settings(run="run", method="fixed", param={"file": "ids"}, keep=4))


def test_a_selection_is_a_list_too(data):
    first = selectit.select(data, Settings(run="run", method="length", keep=4))
    folder = f"run/selections/{first.name}"
    again = selectit.select(None, Settings(run="run", method="fixed", param={"file": folder}, out="again.json"))
    assert again.selection.rows.tolist() == first.selection.rows.tolist()
    assert pq.read_table(f"run/selections/{again.name}/rows.parquet")["why"][0].as_py() == "choice 1 of 4"


def test_a_data_set_of_the_rows(data, rows):
    """Row 10 equals row 3: the first of such records is the first such row, the second the second."""
    lines = [rows[8], rows[3], rows[11], rows[10]]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    selected = selectit.select(data, Settings(run="run", method="fixed", param={"file": "mine.jsonl"}))
    assert selected.selection.rows.tolist() == [8, 3, 11, 10]


def test_another_list_of_the_same_name_is_another_selection(data):
    names = set()
    settings = Settings(run="run", method="fixed", param={"file": "ids.json"}, force=True)
    for text in ("[1]", "[2]"):
        Path("ids.json").write_text(text)
        names.add(selectit.select(data, settings).name)
    assert len(names) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[0, 12, -1]", "ids names 12, -1: of its 3 numbers 2 are not rows\nThe rows of this data go from 0 to 11."),
        ("[3, 1, 3]", "names 3 more than once"),
        ("3\n1\nx\n", "line 3: 'x' is not a row number"),
        ("[1, 2.5]", "entry 1: 2.5 is not a row number"),
        ("[1, true]", "entry 1: True is not a row number"),
        ("[1, 2", "not a JSON list"),
        ("[]", "names no rows"),
        ("hello", "neither an array nor an object"),
        ('{"instruction": "not", "output": "there"}', "1 of its 1 records are not among the rows: record 0"),
    ],
)
def test_lists_that_are_wrong(data, text, says):
    Path("ids").write_text(text)
    with pytest.raises(DataError) as refused:
        selectit.select(data, Settings(run="run", method="fixed", param={"file": "ids"}))
    assert says in str(refused.value)


def test_a_record_that_stands_twice_needs_two_rows(data, rows):
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, [rows[3], rows[3], rows[3]])))
    with pytest.raises(DataError, match="1 of its 3 records are not among the rows: record 2"):
        selectit.select(data, Settings(run="run", method="fixed", param={"file": "mine.jsonl"}))


def test_no_list(data):
    with pytest.raises(SettingsError, match="has no list"):
        Fixed()
    with pytest.raises(DataError, match=r"can't read no\.json"):
        selectit.select(data, Settings(run="run", method="fixed", param={"file": "no.json"}))
