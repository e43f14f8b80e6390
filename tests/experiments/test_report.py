"""The report of an experiment: sweeps, what the figures show, names that hold marks, the figures and the page."""

import builtins
import csv
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from html_pages import check_policy
from made_outcomes import AMOUNT, CHOICES, ODD, outcome
from selectit.experiments.outcomes import group_by_line
from selectit.experiments.report import panels, sections, sweeps, tables, write
from selectit.experiments.report.verdict import verdict_lines
from selectit.experiments.settings import Choice
from selectit.pages.document import read_part

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


@pytest.fixture(scope="module")
def libraries():
    pytest.importorskip("matplotlib")


def written(folder, outcomes=AMOUNT):
    write.write_report(Path(folder), f"{ODD}.json", [f"rows of {ODD}.json"], outcomes, CHOICES)
    return {path.name: path.read_bytes() for path in sorted(Path(folder).rglob("*.*")) if path.is_file()}


def test_the_page_holds_every_line_and_every_figure(libraries):
    files = written("out")
    found = sections.build_sections(AMOUNT, CHOICES)
    page = files["results.html"].decode()
    reader = check_policy(page)
    names = [tag for tag, _ in reader.elements]
    panels_of = [panel for section in found for panel in section.panels]
    assert (
        len(panels_of) == 4 + 2 + 1 == names.count("figure") == len([name for name in files if name.endswith(".svg")])
    )
    assert names.count("h1") == 1 and names.count("h2") == 1 + len(found)
    for section in found:
        header, lines = section.table
        assert reader.tables[f"Table: {section.title}"] == [header, *([cell or "-" for cell in line] for line in lines)]
    assert f"rows of {ODD}.json" in reader.said and "<title>a &lt;script&gt;" in page
    links = {attrs["href"] for tag, attrs in reader.elements if tag == "a" and not attrs["href"].startswith("#")}
    assert links == {"results.md", "results.tex", "results.csv"}


def test_every_point_of_the_page_is_a_number_of_the_tables():
    said = check_policy(written("out")["results.html"].decode()).said
    column, grouped = tables.headline(AMOUNT), group_by_line(AMOUNT)
    for (_, choice, budget), some in grouped.items():
        level = column.level(some)
        spread = "" if level.spread is None else f" ± {level.spread:.2g}"
        label = f"{choice} {budget}" if some[0].method else choice
        cost_known = some[0].select_seconds is not None or not some[0].method
        assert (f"{label}: {level.mean:.4g}{spread}" in said) is (cost_known or bool(budget))
    for found in tables.compare_lines(AMOUNT, "random").values():
        for each in found.values():
            assert f"{each.value:.4g} ({each.low:.4g} to {each.high:.4g})" in said


def test_the_verdict_names_the_best_and_doubts_it():
    first, second, third = verdict_lines(AMOUNT)
    shown = cells(AMOUNT, "AVG")
    best = max((line for line in shown if line[1] != "base"), key=lambda line: float(shown[line].split()[0]))
    assert first.startswith(f"m: {best[1]} {best[2]} has the best AVG, {shown[best]}; ")
    assert f"all rows {shown['m', 'full', '']}" in first
    assert f"random rows of the same number {shown['m', 'random', best[2]]}" in first
    assert f"the model before tuning {shown['m', 'base', '']}" in first
    found = tables.compare_lines(AMOUNT, "random")[best]
    sure = sum(each.low > 0 for each in found.values())
    assert f"on {sure} of 2 benchmarks" in second and "best of 6" in third
    assert list(verdict_lines(AMOUNT[:1])) == []


def test_where_less_is_better_the_lowest_is_best():
    some = [outcome(name, "5%", 0, up, name, quizzes=()) for name, up in (("random", 0.0), ("length", 0.3))]
    first, *_ = verdict_lines(some)
    assert first.startswith("m: length 5% has the best heldout (nll per token, less is better), 2.200; random rows")


def test_the_page_can_be_read_aloud():
    reader = check_policy(written("out")["results.html"].decode())
    labels = [attrs["aria-label"] for tag, attrs in reader.elements if tag == "svg" and attrs.get("role") == "img"]
    assert labels[0].startswith("acc against rows. random: ") and f"{ODD}: " in labels[0]
    assert all("aria-hidden" in attrs or "aria-label" in attrs for tag, attrs in reader.elements if tag == "svg")


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
    from selectit.experiments.report import figures

    style = read_part("page.css")
    pages = dict(zip(("light", "dark"), re.findall(r"--page: (#\w+)", style), strict=False))
    light, dark = (re.findall(r"--s\d: (#\w{6})", line) for line in re.findall(r"\{ --s0.*\}", style))
    assert tuple(light) == figures.COLOURS and len(dark) == len(light) and pages["dark"] == "#17171b"
    for colour in (figures.INK, figures.QUIET, *light):
        assert contrast(colour, "#ffffff") >= 4.5
    assert all(contrast(colour, pages["dark"]) >= 4.5 for colour in dark)


def test_without_the_extra_the_report_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *given, **named):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *given, **named)

    Path("out/figures").mkdir(parents=True)
    Path("out/figures/01-old.svg").write_text("of other outcomes")
    monkeypatch.setattr(builtins, "__import__", without)
    files = written("out")
    assert sorted(files) == ["results.csv", "results.html", "results.md", "results.tex"]
    assert files["results.html"].count(b"<figure>") == 7
    assert b"the extra report" in files["results.md"]


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
