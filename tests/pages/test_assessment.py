"""The page of data sets side by side: its numbers are those of the assessment and of the files, no row is markup."""

import json
from pathlib import Path

import numpy as np
import pytest

from commandline import run
from html_pages import check_policy
from selectit.assessing.assess import assess
from selectit.assessing.report import list_figures
from selectit.config.settings import Settings
from selectit.pages.assessment import report_assessment

for needed, extra in (("rensa", "filters"), ("py3langid", "filters"), ("sklearn", "methods")):
    pytest.importorskip(needed, reason=f"the extra '{extra}' is not installed")

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m \u202e"


def topic(n):
    return {"prompt": f"Please describe animal {n} of the zoo and its keeper.", "completion": f"It has {n} legs." * n}


@pytest.fixture
def two(folder):
    first = [*map(topic, range(1, 25)), topic(3), {"prompt": "Say nothing.", "completion": " "}]
    for name, rows in (("first", first), ("<i>", [*map(topic, range(20, 45))])):
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return first


def page(found):
    return check_policy(report_assessment(found, "page.html", force=True).read_text())


def test_the_numbers_are_those_of_the_assessment(two):
    found = assess(["first.jsonl", "<i>.jsonl"], Settings(engine="fake", model=("m",), encoder="e"), sample=20)
    said = page(found)
    assert said.facts == {"first": "26 rows", "<i>": "25 rows"}
    table = said.tables["Figures of the data sets"]
    assert table[0] == ["figure", "first", "<i>"]
    assert [line[1:] for line in table[1:]] == [cells for _, *cells in list_figures(found.data)]
    ifd = [each for each in table if each[0] == "IFD (m): 10 % to 90 %"]
    assert ifd == [[ifd[0][0], *(f"{one.models[0].tenth:.3g} to {one.models[0].ninetieth:.3g}" for one in found.data)]]
    there, back = found.shared
    cells = [each[1:] for each in said.tables["Shared questions"][1:]]
    assert cells == [["–", f"{there.exact} / {there.near}"], [f"{back.exact} / {back.near}", "–"]]
    widths = [attrs["width"] for tag, attrs in said.elements if tag == "rect" and attrs.get("class") == "kept"]
    assert widths == [f"{100 * there.near / 26:.1f}", f"{100 * back.near / 25:.1f}"] and there.near >= 5
    assert "20 rows drawn of each" in said.said


def test_the_spans_are_the_quantiles_of_the_texts(two):
    (one,) = (found := assess(["first.jsonl"], Settings())).data
    words = [len(each["completion"].split()) for each in two]
    of = one.texts.response
    assert (of.tenth, of.quarter, of.median, of.three_quarters, of.ninetieth) == tuple(
        np.quantile(words, (0.1, 0.25, 0.5, 0.75, 0.9))
    )
    said = page(found)
    title = f"first: {of.median:.4g} ({of.tenth:.4g} to {of.ninetieth:.4g})"
    assert title in said.said and "Shared questions" not in said.tables


def test_every_finding_is_there_with_its_rows(two):
    found = assess(["first.jsonl", "<i>.jsonl"], Settings())
    said = page(found)
    assert f"{len(found.findings)} things to do before you train." in said.said
    for each in found.findings:
        assert each.text[1:] in said.said
    assert "Row 24 Please describe animal 3 of" in said.said and "Row 25 Say nothing." in said.said
    assert "Nothing asks for action." in page(assess(["<i>.jsonl"], Settings())).said


def test_no_row_can_be_markup(folder):
    rows = [{"prompt": f"{HOSTILE} {n % 3}", "completion": HOSTILE} for n in range(30)]
    Path("<b>.jsonl").write_text("\n".join(map(json.dumps, rows)))
    text = report_assessment(assess(["<b>.jsonl"], Settings()), "page.html").read_text()
    said = check_policy(text).said
    assert "\x1b" not in text and "\u202e" not in text
    assert r"<script>alert(1)</script><img src=x onerror=alert(2)> \x1b[31m \u202e" in said


def test_the_command_writes_and_names_the_page(two, capsys):
    code, out, _ = run(capsys, "assess", "first.jsonl", "--report", "p.html")
    assert code == 0 and out.splitlines()[-1] == "report    p.html"
    code, out, err = run(capsys, "assess", "first.jsonl", "--report", "p.html", "--force", "--json", "--quiet")
    assert code == 0 and json.loads(out)["data"][0]["name"] == "first" and err == "report    p.html\n"
    Path("p.html").write_text("mine")
    code, out, err = run(capsys, "assess", "first.jsonl", "--report", "p.html")
    assert code == 2 and "Name another with --report," in err and not out and Path("p.html").read_text() == "mine"
    assert run(capsys, "assess", "first.jsonl", "--report", "no/p.html")[:2] == (2, "")
