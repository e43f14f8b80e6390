"""`diff`: what differs between two selections, of one run and of two."""

import dataclasses
import json
from pathlib import Path

import pytest

import selectit
from commandline import run
from selectit.config.settings import Settings
from selectit.numerics.ranking import jaccard, spearman
from selectit.runs.run import open_run
from selectit.runs.stored import find_scores
from selectit.selection.diff import diff, difference_lines


def words(counts):
    return [{"instruction": f"Q{n}", "input": "", "output": " ".join(["w"] * n)} for n in counts]


def choose(data, folder="run", **more):
    given = {"run": folder, "method": "length", "keep": 2, "out": f"{folder}-{more.get('name')}.json"}
    return selectit.select(data, Settings(**{**given, **more}))


@pytest.fixture
def one_run(folder):
    """A run of five rows: the two longest, the two shortest, the three longest."""
    Path("d.json").write_text(json.dumps(words([1, 2, 3, 4, 5])))
    choose("d.json", name="long")
    choose(None, name="short", param={"order": "shortest"})
    choose(None, name="three", keep=3)


def test_a_selection_and_itself(one_run):
    found = diff("run:long", "run:long")
    assert (found.both, found.jaccard, found.spearman, found.moved) == (2, 1, pytest.approx(1), ())
    assert found.a == found.b and found.a.only == () and found.same_data


def test_two_selections_of_a_run_by_hand(one_run):
    found = diff("run:long", "run:three")
    assert (found.a.kept, found.b.kept, found.both, found.jaccard) == (2, 3, 2, pytest.approx(2 / 3))
    assert (found.a.only, found.b.only, found.a.cut, found.b.cut) == ((), (2,), 4, 3)
    assert found.chance == pytest.approx(1.2 / 3.8)
    found = diff("run:long", "run:short")
    assert (found.both, found.jaccard, found.spearman, found.ranked) == (0, 0, pytest.approx(-1), 5)
    assert [(each.row_a, each.place_a, each.place_b) for each in found.moved] == [
        (0, 5, 1), (4, 1, 5), (1, 4, 2), (3, 2, 4),
    ]  # fmt: skip
    assert [(each.chosen_a, each.chosen_b) for each in found.moved[:2]] == [(False, True), (True, False)]
    assert found.moved[0].text == "Q1"


def test_one_row_is_one_row_and_nothing_is_minus_zero(one_run):
    found = diff("run:long", "run:three")
    said = list(difference_lines(dataclasses.replace(found, both=1, spearman=-0.001)))
    assert "only in b: 1 row" in said and "in both: 1 row; Jaccard 0.67 (0.32 by chance)" in said
    assert "rank correlation of the scores (Spearman): +0.00" in said


def test_runs_of_different_data_are_matched_by_their_rows(one_run):
    Path("e.json").write_text(json.dumps(words([9, 5, 4, 4, 1])))
    choose("e.json", "other", name="long")  # 9 and 5 words
    found = diff("run:long", "other:long")
    assert (found.same_data, found.matched, found.ranked) == (False, 3, 3)  # 1, 4 and 5 words
    assert (found.both, found.jaccard, found.chance) == (1, pytest.approx(1 / 3), None)
    assert (found.a.only, found.b.only) == ((3,), (0,)), "each in the numbers of its own run"
    assert (found.a.unmatched, found.b.unmatched) == (0, 1)
    text = "\n".join(difference_lines(found))
    assert "the data differ: 3 rows are in both" in text and "1 of them not in the other's data" in text


def test_equal_rows_are_matched_one_by_one(folder):
    Path("d.json").write_text(json.dumps(words([2, 2, 2, 1])))
    Path("e.json").write_text(json.dumps(words([3, 2, 2])))
    choose("d.json", name="n", keep=3)
    choose("e.json", "other", name="n", keep=3)
    found = diff("run", "other")
    assert (found.matched, found.both, found.a.unmatched, found.b.unmatched) == (2, 2, 1, 1)
    assert found.jaccard == 2 / 4


def test_runs_that_have_no_row_in_common(one_run, capsys):
    Path("e.json").write_text(json.dumps(words([7, 8])))
    choose("e.json", "other", name="n", keep=1)
    code, _, err = run(capsys, "diff", "run:long", "other")
    assert code == 2 and "different data" in err


def test_a_set_has_no_ranking(one_run):
    choose(None, name="all", method="full", keep=None)
    found = diff("run:all", "run:long")
    assert (found.spearman, found.moved, found.a.cut, found.ranked) == (None, (), None, 0)
    assert found.jaccard == 2 / 5


def test_against_the_numbers_themselves(data):
    a = selectit.select(data, Settings(engine="fake", model="m", run="run", k=5, keep=5, name="a", out="a.json"))
    b = selectit.select(None, Settings(run="run", k=3, keep=4, name="b", out="b.json"))
    found = diff("run:a", "run:b")
    scores = [selectit.score("run", Settings(k=k)).score for k in (5, 3)]
    assert found.spearman == pytest.approx(spearman(*scores))
    assert found.jaccard == jaccard(a.selection.rows, b.selection.rows)
    assert set(found.a.only) == set(a.selection.rows.tolist()) - set(b.selection.rows.tolist())


def test_the_command(one_run, capsys):
    code, out, _ = run(capsys, "diff", "run:long", "run:short")
    assert code == 0 and "only in a: 2 rows" in out and "Jaccard 0.00 (0.25 by chance)" in out
    assert out.splitlines()[-1].split() == ["3", "Q4", "2*", "4"]
    found = json.loads(run(capsys, "diff", "run:long", "run:short", "--json")[1])
    assert found["a"]["only"] == [4, 3] and found["moved"][0]["row_b"] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "run:long"), "Name one: run:NAME"),
        (("run:lon", "run:long"), "Did you mean 'long'?"),
        (("nothing", "run:long"), "not a run directory"),
    ],
)
def test_selections_that_there_are_not(one_run, capsys, arguments, says):
    code, _, err = run(capsys, "diff", *arguments)
    assert code == 2 and says in err


def test_hostile_instructions_are_shown_and_not_sent(folder, capsys):
    rows = words([1, 2])
    rows[0]["instruction"] = "\x1b[2J\u202e<script>alert(1)</script>" + "x" * 1_000_000
    Path("d.json").write_text(json.dumps(rows))
    choose("d.json", name="long", keep=1)
    choose(None, name="short", keep=1, param={"order": "shortest"})
    out = run(capsys, "diff", "run:long", "run:short")[1]
    assert "\x1b" not in out and "\u202e" not in out and len(out) < 1000
    assert "<script>" not in diff("run:long", "run:short")._repr_html_()


# The scores of a selection


def test_a_selection_finds_its_scores(one_run):
    opened = open_run("run")
    configs = {name: opened.read_toml(opened.path / f"selections/{name}/config.toml") for name in ("long", "short")}
    assert find_scores(opened, configs["long"]) == "length-words"
    assert find_scores(opened, configs["short"]) == "length-words-shortest"
    assert configs["short"]["order"] == "shortest", "the method's own parameter, not the order of the file"
    older = {**configs["long"], "order": "score"}
    assert find_scores(opened, older) is None, "it may be by either"
    assert find_scores(opened, {**configs["long"], "unit": "chars"}) is None
    assert find_scores(opened, {"method": "random", "seed": 0, "budget": "20pct"}) is None


def test_an_older_selection_by_length_finds_its_scores(folder):
    Path("d.json").write_text(json.dumps(words([1, 2, 3])))
    choose("d.json", name="long")
    opened = open_run("run")
    config = opened.read_toml(opened.path / "selections/long/config.toml")
    assert find_scores(opened, {**config, "order": "score"}) == "length-words"
