"""What a result shows in a notebook: the words of a terminal, escaped; nothing in it runs or is fetched."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import selectit
from selectit.config.settings import Settings
from selectit.experiments.experiment import Finished
from selectit.text_tables import notebook_html, printable

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)></pre><!--\x1b[2J\u202e"


class Reader(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, sorted(name for name, _ in attributes)))

    def handle_comment(self, data):
        self.tags.append(("comment", [data]))

    def handle_data(self, data):
        self.text += data


def check(shown, *words):
    """The page is one <pre>, its text is printable, and it has the words."""
    read = Reader(shown)
    assert read.tags == [("pre", ["style"])]
    assert printable(read.text) == read.text and len(shown) < 20_000
    for word in words:
        assert word in read.text
    return read.text


@given(st.lists(st.text()))
def test_any_text_is_text(lines):
    text = printable("\n".join(lines))
    read = Reader(notebook_html(lines))
    assert read.tags == [("pre", ["style"])]
    assert read.text.replace("\r", "") == text.replace("\r", "")


@pytest.fixture
def hostile(rows):
    """A data set whose name, texts and fields are hostile."""
    rows[0]["instruction"] = rows[1]["output"] = rows[2][HOSTILE] = HOSTILE + "x" * 100_000
    path = Path("<img src=x onerror=alert(1)>.json")
    path.write_text(json.dumps(rows))
    return path


def test_a_selection(hostile):
    fake = Settings(engine="fake", model=HOSTILE, run="run", k=2, out="<b>.json", name="n")
    selected = selectit.select(hostile, fake)
    check(selected._repr_html_(), "kept 2 of 12 rows", "selection n", "run       run", "<b>.json", "<script>alert(1)")
    held = selectit.select([{"instruction": "q", "output": "a"}], Settings(run="m", method="full"))
    assert "subset" not in check(held._repr_html_(), "kept 1 of 1 rows"), "it was not written"


def test_a_comparison_and_a_difference(hostile):
    selectit.rate(hostile, Settings(engine="fake", model="m", run="run", k=2))
    found = selectit.compare("run", ["selectit:k=2", "length"])
    check(found._repr_html_(), "length-words", "by chance")
    for name, keep in (("a", 3), ("b", 4)):
        selectit.select(None, Settings(run="run", method="random", seed=keep, keep=keep, name=name, out=f"{name}.json"))
    check(selectit.diff("run:a", "run:b")._repr_html_(), "only in a", "<script>alert(1)</script>")


def test_a_probe():
    rows = [
        {"instruction": f"{HOSTILE} {n} + 1?", "output": f"It is {n + 1}, as far as I can tell."} for n in range(40)
    ]
    path = Path("<i>.json")
    path.write_text(json.dumps(rows))
    found = selectit.probe(path, Settings(engine="fake", model=HOSTILE, run="run", k=2), sample=20)
    check(found._repr_html_(), "20 rows of <i>.json", "<script>alert(1)</script>", "pairs won")


def test_an_assessment(hostile):
    found = selectit.assess([hostile], Settings(engine="fake"), sample=20)
    check(found._repr_html_(), "copies of an earlier row", "<img src=x onerror=alert(1)>")


def test_an_experiment():
    finished = Finished(Path("out"), None, (), f"# Results\n\n| {HOSTILE} |\n")
    check(finished._repr_html_(), "# Results", "<script>alert(1)</script>")
