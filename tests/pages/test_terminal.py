"""Histograms in plain text."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selectit
from commandline import run
from selectit.config.settings import Settings
from selectit.pages.analyses import build_histogram
from selectit.pages.terminal import histogram_lines


def test_a_histogram_in_plain_text():
    values = np.array([0.0, 1, 1, 1, 1, 2, 2, 3, 4, np.nan])
    lines = list(histogram_lines(build_histogram(values, np.array([7, 8, 6]), bins=4), 30))
    assert lines == [
        "score  rows (# chosen, - not)",
        "  3.0  ########## 2",
        "  2.0  #####----- 2",
        "  1.0  --------------------- 4",
        "  0.0  ----- 1",
        "1 row has no score",
    ]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(1, 200))
def test_lines_fit_and_show_every_chosen_row(values, width):
    values = np.array(values)
    chosen = np.argsort(-values)[: len(values) // 3]
    found = build_histogram(values, chosen, 6)
    lines = list(histogram_lines(found, width))
    assert max(map(len, lines)) <= max(width, 30) + 14 * (width < 45), "long numbers need their place"
    shown = [("#" in line) for line in lines[1:]]
    assert shown == [bool(count) for count in reversed(found.chosen.tolist())]


def test_show_draws_the_scores(data, capsys, monkeypatch):
    selectit.select(data, Settings(run="run", method="length", keep=3, name="long"))
    selectit.select(None, Settings(run="run", method="random", keep=4, name="drawn", out="d.json"))
    selectit.select(None, Settings(run="run", method="full", name="whole", out="w.json"))
    monkeypatch.setenv("COLUMNS", "40")
    code, out, _ = run(capsys, "show", "run")
    assert code == 0 and out.count("rows (# chosen, - not)") == 2, "a set has no scores"
    assert "\x1b" not in out
    assert max(len(line) for line in out.splitlines() if line.lstrip()[:1].isdigit() and "#" in line) <= 40
    out = run(capsys, "show", "run:long")[1]
    assert out.count("rows (# chosen") == 1 and "selection drawn" not in out
    assert list(json.loads(run(capsys, "show", "run:long", "--json")[1])["selections"]) == ["long"]
    assert list(json.loads(run(capsys, "show", "run", "--json")[1])["selections"]) == ["drawn", "long", "whole"]
    assert "selection drawn" not in run(capsys, "show", "run:long", "--row", 2)[1]


@pytest.mark.parametrize("name", ["lon", ""])
def test_a_selection_that_there_is_not(data, capsys, name):
    selectit.select(data, Settings(run="run", method="length", keep=3, name="long"))
    code, _, err = run(capsys, "show", f"run:{name}")
    assert code == 2 and "long" in err
