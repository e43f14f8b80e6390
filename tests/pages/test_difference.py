"""The page of two selections: its numbers are those of the stored files, no row can be markup."""

import json
from pathlib import Path

import numpy as np
import pytest

import selectit
from commandline import run
from html_pages import Reader, check_policy
from selectit.config.settings import Settings
from selectit.pages.difference import report_difference
from selectit.selection.diff import diff

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m \u202e [x](javascript:alert(3))"


def choose(data, folder="run", **more):
    given = {"run": folder, "keep": 4, "out": f"{folder}-{more['name']}.json"}
    return selectit.select(data, Settings(**{**given, **more}))


def page(a, b):
    return check_policy(report_difference(a, b, "page.html", force=True).read_text())


@pytest.fixture
def two(data):
    """One run: four rows by SelectIT's score, five by length."""
    return choose(data, engine="fake", k=2, name="a"), choose(None, method="length", keep=5, name="b")


def test_the_numbers_are_those_of_the_files(two, rows):
    a, b = ({*each.selection.rows.tolist()} for each in two)
    words = np.array([len(each["output"].split()) for each in rows])
    scores = [selectit.score("run", Settings(**more)).score for more in ({"k": 2}, {"method": "length"})]
    found = page("run:a", "run:b")
    assert (found.facts["kept by A"], found.facts["kept by B"]) == ("4", "5")
    assert (found.facts["only in A"], found.facts["only in B"]) == (str(len(a - b)), str(len(b - a)))
    for name, one, score in (("A", a, scores[0]), ("B", b, scores[1])):
        assert found.facts[f"cut of {name}"] == f"{score[list(one)].min():.4g}"
    groups = {"in both": a & b, "only in A": a - b, "only in B": b - a, "all rows": range(len(rows))}
    for title, *cells in found.tables["Means of the rows"][1:]:
        some = sorted(groups[title])
        means = [f"{np.nanmean(each[some]):.4g}" if some else "–" for each in (words, *scores)]
        assert cells == [str(len(some)), *means]
    assert f"{len(a & b)} rows are in both: {len(a & b) / 4:.1%} of what A kept" in found.said
    for name, only in (("A", diff("run:a", "run:b").a.only), ("B", diff("run:a", "run:b").b.only)):
        assert f"Only in {name}: {len(only)} rows, in its order{', '.join(map(str, only))}" in found.said
    for other, cut, rival, score in (("B", "A", b, scores[0]), ("A", "B", a, scores[1])):
        below = int((score[list(rival)] < score[list(a if cut == "A" else b)].min()).sum())
        assert f"{below} of {len(rival)} rows that {other} kept are below it" in found.said


def test_settings_that_differ_stand_side_by_side(two):
    _, *lines = page("run:a", "run:b").tables["Settings that differ"]
    assert ["method", "selectit", "length"] in lines and ["unit", "–", "words"] in lines
    assert "settings of both are the same" in page("run:a", "run:a").said


def test_two_cuts_through_one_ranking(two):
    choose(None, k=2, keep=7, name="more")
    score = selectit.score("run", Settings(k=2)).score
    cuts = [score[each].min() for each in (two[0].selection.rows, np.argsort(-score, kind="stable")[:7])]
    found = page("run:a", "run:more")
    between = ((score >= cuts[1]) & (score < cuts[0])).sum()
    assert f"The cut is at {cuts[0]:.4g} in A and at {cuts[1]:.4g} in B; {between} rows score between" in found.said


def test_each_row_has_its_places_and_its_texts(two, rows):
    found, said = diff("run:a", "run:b"), page("run:a", "run:b").said
    for each in found.moved:
        kept = ["kept" if chosen else "not kept" for chosen in (each.chosen_a, each.chosen_b)]
        places = f"A {each.place_a}, {kept[0]} B {each.place_b}, {kept[1]}"
        text = rows[each.row_a]
        assert (
            f"Row {each.row_a} {places}{text['instruction']}user{text['instruction']}assistant{text['output']}" in said
        )


def test_runs_of_different_data_are_each_in_their_numbers(folder):
    for name, counts in (("d", [1, 2, 3, 4, 5]), ("e", [9, 5, 4, 1])):
        made = [{"instruction": f"Q{n}", "output": " ".join(["w"] * n)} for n in counts]
        Path(f"{name}.json").write_text(json.dumps(made))
        choose(f"{name}.json", name, method="length", keep=2, name="n")
    found = page("d", "e")
    assert "The data differ: 3 rows are in both data sets" in found.said
    assert "Row 0 B, kept not in the data of AQ9" in found.said
    assert "Row 3 A 2, kept B 2, not keptQ4" in found.said
    table = {title: cells for title, *cells in found.tables["Means of the rows"]}
    assert table["only in B"] == ["1", "9", "–", "9"] and table["only in A"] == ["1", "4", "4", "4"]


def test_a_set_has_no_cut(two):
    choose(None, method="full", keep=None, name="set")
    found = page("run:set", "run:b")
    assert "A has no scores" in found.said and "cut of A" not in found.facts
    assert "Neither has scores." in page("run:set", "run:set").said


def test_no_row_can_be_markup(folder):
    made = [{"instruction": HOSTILE, "output": HOSTILE + "x" * n} for n in range(8)]
    made.append({"instruction": "long", "output": "<b>x</b> " * 120_000})
    Path("<i>.json").write_text(json.dumps(made))
    choose("<i>.json", "<u>run", method="length", name="a")
    choose(None, "<u>run", method="length", name="b", param={"order": "shortest"})
    text = report_difference("<u>run:a", "<u>run:b", "page.html").read_text()
    found = check_policy(text)
    assert "\x1b" not in text and "\u202e" not in text and len(text) < 500_000
    assert r"<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m \u202e" in found.said
    assert "A is <u>run:a, B is <u>run:b." in found.said and "more characters" in found.said


def test_the_command_writes_and_names_the_page(two, capsys):
    code, out, _ = run(capsys, "diff", "run:a", "run:b", "--report", "p.html")
    assert code == 0 and out.splitlines()[-1] == "report    p.html"
    assert Reader(Path("p.html").read_text()).facts
    code, out, err = run(capsys, "diff", "run:a", "run:b", "--report", "p.html", "--json")
    assert json.loads(out)["a"]["kept"] == 4 and err == "report    p.html\n"
    Path("p.html").write_text("mine")
    code, out, err = run(capsys, "diff", "run:a", "run:b", "--report", "p.html")
    assert code == 2 and "Name another with --report," in err and not out and Path("p.html").read_text() == "mine"
    assert run(capsys, "diff", "run:a", "run:b", "--report", "no/p.html")[0] == 2
    assert "Name p.html." in run(capsys, "diff", "run:a", "run:b", "--report", "p.pdf")[2]
    assert run(capsys, "diff", "run:a", "run:b", "--report", "p.html", "--force")[0] == 0
