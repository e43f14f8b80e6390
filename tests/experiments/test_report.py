"""The report of an experiment: sweeps, what the figures show, names that hold marks, the figures and the page."""

import builtins
import csv
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from selectit.experiments.outcomes import BenchmarkScore, Outcome
from selectit.experiments.report import panels, sections, sweeps, tables, write
from selectit.experiments.settings import Choice

ODD = "a <script>alert('x')</script> | *b* _c_ `d` [e](f) & $g$ \\ -- \"h\""


def outcome(choice, budget, seed, up=0.0, method=None, rows=10, model="m", seconds=7.0, quizzes=("quiz", "exam")):
    """Twenty items of each quiz, a held-out loss without items."""
    rng = np.random.default_rng([seed, rows, len(choice)])
    scores = {}
    for name in quizzes:
        values = (rng.random(20) < 0.4 + up).astype(float).tolist()
        scores[name] = BenchmarkScore("acc", float(np.mean(values)), 0.1, [str(n) for n in range(20)], values)
    scores["heldout"] = BenchmarkScore("nll per token", 2.5 - up + seed / 10, 0.1, [], [])
    return Outcome(
        line=(model, choice, budget), method=choice if method is None else method, seed=seed, rows=rows, steps=3,
        tokens=100, loss=1.5, train_seconds=9.0, passes=5.0, select_seconds=seconds, scores=scores, eval_seconds=4.0,
    )  # fmt: skip


AMOUNT = [
    outcome("base", "", 0, -0.2, method="", rows=0, seconds=0),
    outcome("full", "", 0, rows=100, seconds=0),
    *(outcome("random", f"{rows}%", seed, 0.0, rows=rows) for rows in (20, 5) for seed in (0, 1)),
    *(outcome(ODD, f"{rows}%", seed, 0.2, "length", rows=rows) for rows in (20, 5) for seed in (0, 1)),
    outcome("unknown", "5%", 0, 0.1, "ifd", rows=5, seconds=None),
]
CHOICES = [Choice(method="full"), Choice(method="random"), Choice(method="length", name=ODD)]


# Sweeps


def named(*methods, **more):
    return [Choice(method=method, **more) for method in methods]


def test_choices_that_differ_in_one_number_are_a_sweep():
    (found,) = sweeps.find_sweeps(
        [*named("random", "selectit:k=9", "selectit:k=5"), Choice(method="selectit:k=3", name="K3")]
    )
    assert (found.parameter, found.rest) == ("k", "selectit")
    assert found.names == ((3, "K3"), (5, "selectit:k=5"), (9, "selectit:k=9"))


@pytest.mark.parametrize(
    "choices",
    [
        named("selectit:k=3", "selectit:alpha=0.2"),  # two parameters, one value each
        named("selectit:k=3;alpha=0.2", "selectit:k=5;alpha=0.4"),  # both differ
        named("selectit:level=token", "selectit:level=sentence"),  # no numbers
        named("selectit:k=3", "calibrated:k=5"),  # two methods
        named("random:seed=1", "random:seed=2"),  # no amount
        [Choice(method="selectit:k=3"), Choice(method="selectit:k=5", rater=("other",))],
        [Choice(method="selectit:k=3"), Choice(method="selectit:k=5", settings={"prompts": "yes-no"})],
        [Choice(method="selectit:k=3"), Choice(method="selectit:k=3", name="again")],  # one value
    ],
)
def test_choices_that_are_no_sweep(choices):
    assert sweeps.find_sweeps(choices) == []


def test_a_grid_is_a_sweep_over_each_parameter():
    grid = named(*(f"selectit:k={k};alpha={alpha}" for k in (3, 5) for alpha in (0.2, 0.4)))
    assert [(each.parameter, each.rest) for each in sweeps.find_sweeps(grid)] == [
        ("k", "selectit:alpha=0.2"),
        ("alpha", "selectit:k=3"),
        ("k", "selectit:alpha=0.4"),
        ("alpha", "selectit:k=5"),
    ]


def test_the_table_of_a_sweep_has_the_papers_shape():
    choices = named("selectit:k=3", "selectit:k=5")
    outcomes = [outcome(each.name, "20%", s, model=m) for m in ("m", "n") for each in choices for s in (0, 1)][:-2]
    column = tables.headline(outcomes)
    (sweep,) = sweeps.find_sweeps(choices)
    found = {sweep.rest: sweeps.collect_sweep(outcomes, sweep)}
    header, lines = sweeps.sweep_table("k", found, column)
    assert header == ["model", "method", "budget", "k = 3", "k = 5"]
    _, results = tables.result_table(outcomes)
    assert lines == [["m", "selectit", "20%", results[0][-1], results[1][-1]]]  # n has one value alone
    *_, panel = panels.sweep_panels(outcomes, "k", found)
    assert panel.ticks == (3, 5) and [point.x for point in panel.series[0].points] == [3, 5]
    assert [point.level.text(1) for point in panel.series[0].points] == lines[0][3:]


# What the figures show


def cells(outcomes, title):
    """By line, the cells of one column of the results."""
    header, lines = tables.result_table(outcomes)
    return {tuple(line[:3]): line[header.index(title)] for line in lines}


@pytest.mark.parametrize(
    ("number", "title"), list(enumerate(["quiz (acc)", "exam (acc)", "heldout (nll per token, less is better)", "AVG"]))
)
def test_points_of_the_amount_are_the_numbers_of_the_table(number, title):
    found = sweeps.collect_amounts(AMOUNT)
    panel = panels.amount_panels(AMOUNT, found, {"full"})[number]
    shown = cells(AMOUNT, title)
    points = {
        (series.label, point.label): point.level.text(panel.digits)
        for series in panel.series
        for point in series.points
    }
    assert points == {(choice, budget): cell for (_, choice, budget), cell in shown.items() if budget}
    assert [point.x for point in panel.series[0].points] == [5, 20]  # rows, fewest first
    levels = {label: level.text(panel.digits) for label, level in panel.levels}
    assert levels == {"base (not tuned)": shown["m", "base", ""], "full (100 rows)": shown["m", "full", ""]}
    header, lines = sweeps.amount_table(found, tables.headline(AMOUNT))
    assert header == ["model", "choice", "5%", "20%"] and lines[2][3] == "-"
    assert lines[0][2:] == [cells(AMOUNT, "AVG")["m", "random", budget] for budget in ("5%", "20%")]


def test_one_budget_alone_is_no_amount():
    assert sweeps.collect_amounts([each for each in AMOUNT if each.line[2] in ("", "5%")]) == {}


def test_costs_against_scores():
    (panel,) = panels.cost_panels(AMOUNT)
    assert {series.label for series in panel.series} == {"full", "random", ODD}  # nobody knows what `unknown` cost
    assert {point.x for series in panel.series for point in series.points} == {9.0, 16.0}
    points = {(s.label, point.label): point.level.text(1) for s in panel.series for point in s.points}
    shown = cells(AMOUNT, "AVG")
    assert all(shown["m", choice, budget] == text for (choice, budget), text in points.items()) and len(points) == 5
    assert [label for label, _ in panel.levels] == ["base"]


def test_where_all_are_losses_the_first_loss_speaks():
    (panel,) = panels.cost_panels([outcome("full", "", 0, quizzes=()), outcome("random", "5%", 0, quizzes=())])
    assert panel.y == "nll per token, less is better" and panel.digits == 3


def test_differences_are_computed_once_and_shown_as_they_are(monkeypatch):
    counted = []
    paired = tables.pair_outcomes
    monkeypatch.setattr(tables, "pair_outcomes", lambda *given: counted.append(given) or paired(*given))
    found = sections.build_sections(AMOUNT, CHOICES)
    assert len(counted) == 2 * (5 + 3)  # two benchmarks with items; five lines less full, three less random
    section = next(each for each in found if "random rows" in each.title)
    header, lines = section.table
    for panel, column in zip(section.panels, ("quiz (acc)", "exam (acc)"), strict=True):
        shown = [line[header.index(column)] for line in lines]
        assert [f"{e.value:+.1f} ({e.low:+.1f} to {e.high:+.1f})" for _, e in panel.rows] == shown
        assert [label for label, _ in panel.rows] == [f"{line[1]} {line[2]}" for line in lines]
    assert not next(each for each in found if "all rows" in each.title).panels


def test_a_choice_has_one_mark_in_all_figures():
    marks = {}
    for section in sections.build_sections(AMOUNT, CHOICES):
        for panel in section.panels:
            for series in getattr(panel, "series", ()):
                marks.setdefault(series.label, set()).add(series.mark)
    assert all(len(each) == 1 for each in marks.values()) and len({*map(min, marks.values())}) == len(marks) == 4


# Names that hold marks


def test_names_stay_in_their_cells():
    text = sections.render_markdown([f"note of {ODD}"], sections.build_sections(AMOUNT, CHOICES))
    assert "<script>" not in text.replace("\\<script\\>", "")
    tables_found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables_found) == 5
    for table in tables_found:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_what_needs_no_mark_gets_none():
    plain = "heldout heldout.json (nll per token), exact_match, selectit:k=3;alpha=0.2, 37.5 ± 17.7, 20%"
    assert sections.escape(plain) == plain
    assert sections.escape("_x_ a\nb") == r"\_x\_ a b"


def test_latex_of_odd_names():
    tex = tables.render_latex([outcome("a_b {c} \\d ~ ^ <e> | f", "5%", 0, method="length")])
    assert (
        r"a\_b \{c\} \textbackslash{}d \textasciitilde{} \textasciicircum{} \textless{}e\textgreater{} \textbar{} f"
        in tex
    )


# The page


class Reader(HTMLParser):
    """Checks that every element is closed, in order, and collects the text, the ids and the elements."""

    EMPTY = ("meta", "br", "hr", "link", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id"]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def libraries():
    pytest.importorskip("matplotlib")
    pytest.importorskip("markdown_it")


def written(folder, outcomes=AMOUNT):
    write.write_report(Path(folder), f"{ODD}.json", [f"rows of {ODD}.json"], outcomes, CHOICES)
    return {path.name: path.read_bytes() for path in sorted(Path(folder).rglob("*.*")) if path.is_file()}


def test_the_page_holds_every_line_and_every_figure(libraries):
    files = written("out")
    found = sections.build_sections(AMOUNT, CHOICES)
    reader = Reader()
    reader.feed(files["results.html"].decode())
    reader.close()
    assert reader.open == []
    names = [tag for tag, _ in reader.elements]
    figures = [panel for section in found for panel in section.panels]
    assert len(figures) == 4 + 2 + 1
    assert names.count("svg") == len(figures) == len([name for name in files if name.endswith(".svg")])
    assert names.count("h1") == 1 and names.count("h2") == len(found) == names.count("table")
    assert names.count("tr") == sum(1 + len(section.table[1]) for section in found)
    text = "".join(reader.text)
    for section in found:
        for cell in (cell for line in section.table[1] for cell in line if cell):
            assert cell in text
    assert (
        "script" not in names
        and f"rows of {ODD}.json" in text
        and "<title>a &lt;script&gt;" in files["results.html"].decode()
    )
    assert len(reader.ids) == len(set(reader.ids))


def test_the_page_needs_nothing_else_and_can_be_read_aloud(libraries):
    page = written("out")["results.html"].decode()
    links = set(re.findall(r'(?:src|href)="([^"]*)"', page))
    assert {link for link in links if not link.startswith("#")} == {"results.md", "results.tex", "results.csv"}
    assert "url(http" not in page and "@import" not in page and "default-src 'none'" in page
    reader = Reader()
    reader.feed(page)
    labels = [attrs["aria-label"] for tag, attrs in reader.elements if tag == "svg"]
    assert labels[0].startswith("acc against rows. random: ") and f"{ODD}: " in labels[0]
    used = {found for found in re.findall(r"(?:fill|stroke): ([^;\"]+)", page)}
    assert all(each == "none" or re.fullmatch(r"var\(--[0-9a-f]{6}\)", each) for each in used)
    assert all(f"{variable[4:-1]}: #" in page for variable in used if variable != "none")


def test_figures_are_well_formed_and_keep_names(libraries):
    for name, content in written("out").items():
        if name.endswith(".svg"):
            root = ElementTree.fromstring(content)
            assert root.tag.endswith("}svg") and root.find("{http://www.w3.org/2000/svg}title").text
            assert not root.findall(".//{http://www.w3.org/2000/svg}script")
            assert "$g$" in " ".join(root.itertext())


def test_the_same_results_give_the_same_bytes(libraries, monkeypatch):
    first = written("one")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert written("two") == first and len(first) == 11


def test_figures_of_other_outcomes_go(libraries):
    written("out")
    files = written("out", AMOUNT[:2])
    assert [name for name in files if name.endswith(".svg")] == ["01-m-AVG-by-seconds-to-choose-and-to-train.svg"]


def luminance(colour):
    parts = (int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_are_seen_on_both_grounds(libraries):
    from selectit.experiments.report import figures, page

    for colour in (figures.INK, figures.QUIET, *figures.COLOURS):
        assert contrast(colour, "#ffffff") >= 4.5
        assert contrast(page.DARK[colour], page.DARK["#ffffff"]) >= 4.5


def test_without_the_extra_the_report_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *given, **named):
        if name.partition(".")[0] in ("matplotlib", "markdown_it"):
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *given, **named)

    Path("out").mkdir()
    Path("out/results.html").write_text("of other outcomes")
    monkeypatch.setattr(builtins, "__import__", without)
    files = written("out")
    assert sorted(files) == ["results.csv", "results.md", "results.tex"]
    assert b"pip install 'selectit[report]'" in files["results.md"]


def test_no_cell_of_the_csv_is_a_formula():
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "plain"]
    text = tables.render_csv([outcome(name, "5%", 0, up=-0.1, quizzes=("=quiz",)) for name in names])
    cells = [cell for line in csv.reader(text.splitlines()) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]
    assert {"'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "plain", "'=quiz"} <= set(cells)


def test_choosing_beside_training():
    """Seconds of choosing over those of training on the choice, and on all rows where `full` was trained on."""
    header, lines = tables.cost_table([outcome("full", "", 0, seconds=0), outcome("less", "20%", 0, seconds=18.0)])
    at = header.index("choosing / training")
    assert [line[at : at + 2] for line in lines] == [["0.00", "0.00"], ["2.00", "2.00"]]
    (line,) = tables.cost_table([outcome("less", "20%", 0, seconds=None)])[1]
    assert line[at : at + 2] == ["-", "-"]
    header, (base, less) = tables.cost_table([outcome("base", "", 0, method="", seconds=0), outcome("less", "20%", 0)])
    assert base[at : at + 2] == ["-", "-"] and less[at : at + 2] == ["0.78", "-"]
