"""The page of a run in a real browser: what it shows is what is stored, and everything on it works."""

import json
import random
import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe

from made_runs import made_rows, select, write
from selectit.filters.quotas import share_out
from selectit.pages.load import load_map
from selectit.pages.rows import PREVIEW
from selectit.pages.sections import place_points
from selectit.runs.selections import open_selection
from selectit.runs.stored import load_selection


def stored(selection):
    """Scores, chosen rows in order, words and records of a selection, read from its files alone."""
    run, name = open_selection(selection)
    rows = pq.read_table(run.path / "selections" / name / "rows.parquet")
    scores = pq.read_table(next(run.path.glob("scores/selectit-*.parquet")))
    source = [pq.read_table(path) for path in sorted((run.path / "source").glob("part-*.parquet"))]
    records = [json.loads(raw) for part in source for raw in part["raw"].to_pylist()]
    words = np.concatenate([part["words"].to_numpy() for part in source])
    return run, scores["score"].to_numpy(), rows["row"].to_numpy(), words, records


def figures(page):
    """The table of figures by name: kept and all."""
    lines = page.locator("#figures tbody tr").all()
    return {line.locator("th").inner_text(): line.locator("td").all_inner_texts() for line in lines}


def shares(page, field):
    table = page.get_by_role("region", name=f"Shares by {field}")
    return {
        line.locator("th").inner_text(): line.locator("td").all_inner_texts()[1:]
        for line in table.locator("tbody tr").all()
    }


def in_table(page):
    """The rows in sight, in order."""
    return [int(text) for text in page.locator("tbody.there tr button").all_inner_texts()]


def four(value):
    return f"{float(f'{value:.4g}'):g}"


def check_figures(page, selection, keep):
    """The figures at a cut are those of the stored files."""
    run, scores, _, words, records = stored(selection)
    best = np.argsort(-scores, kind="stable")[:keep]
    shown = figures(page)
    assert shown["rows"] == [f"{keep:,}", f"{run.rows:,}"]
    assert shown["share of the rows"][0] == f"{100 * keep / run.rows:.1f} %"
    assert shown["lowest score kept"] == [four(scores[best].min()), four(scores.min())]
    assert shown["mean words of the answers"] == [f"{words[best].mean():.1f}", f"{words.mean():.1f}"]
    for field in ("source", "category"):
        every = [record[field] for record in records]
        for value, (of_all, of_kept) in shares(page, field).items():
            assert of_all == f"{100 * every.count(value) / run.rows:.1f} %"
            assert of_kept == f"{100 * sum(every[row] == value for row in best) / keep:.1f} %"


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_figures_follow_the_cut_and_are_those_of_the_files(request, visit, size):
    selection = request.getfixturevalue(size)
    page, (run, _, chosen, _, _) = visit(selection), stored(selection)
    check_figures(page, selection, len(chosen))
    page.fill("#keep", "37")
    page.press("#keep", "Enter")
    check_figures(page, selection, 37)
    page.focus("#cut")
    page.press("#cut", "ArrowRight")
    check_figures(page, selection, 38)
    page.press("#cut", "End")
    check_figures(page, selection, run.rows)
    page.click("text=As it was chosen")
    check_figures(page, selection, len(chosen))


def test_every_row_of_the_table_is_that_of_the_files(visit, small):
    page, (run, scores, chosen, words, records) = visit(small), stored(small)
    table = pq.read_table(next(run.path.glob("scores/selectit-*.parquet"))).to_pandas()
    heads = [head.inner_text().strip() for head in page.locator("thead th").all() if head.is_visible()]
    heads = page.locator(".scroller thead th").all_inner_texts()
    order, seen = np.argsort(-scores, kind="stable"), 0
    while seen < run.rows:
        for cells in page.locator("tbody.there tr").evaluate_all(
            "rows => rows.map(r => [...r.cells].map(c => c.innerText))"
        ):
            shown = dict(zip(heads, cells, strict=True))
            row, rank = int(shown["row"]), int(shown["rank"].replace(",", ""))
            if rank != seen + 1:
                continue  # it was in sight before
            seen = rank
            assert row == order[rank - 1]
            assert shown["score"] == four(scores[row])
            assert shown["kept"] == ("kept" if row in chosen else "not kept")
            assert shown["words"] == f"{words[row]:,}"
            assert shown["source"] == records[row]["source"]
            question, answer = shown["question and answer"].split("\n")
            assert question == records[row]["instruction"][:PREVIEW].strip()
            assert answer == records[row]["output"][:PREVIEW].strip()
            for part in ("mean", "std", "rating", "mass"):
                assert float(shown[part]) == pytest.approx(table[part][row], rel=6e-4)
        page.locator(".scroller").evaluate("box => box.scrollTop += box.clientHeight - 150")
        page.wait_for_timeout(20)


def test_the_probabilities_of_a_row_are_those_of_the_files(visit, small):
    page, (run, *_) = visit(small), stored(small)
    row = in_table(page)[2]
    page.click(f"[aria-label='Open row {row}']")
    lines = page.locator("dialog table tbody tr").all()
    folders = list(run.path.glob("ratings/*/prompt-*"))
    parts = {json.loads((folder / "manifest.json").read_text())["prompt"]: folder for folder in folders}
    assert len(lines) == len(parts) == 3
    for line in lines:
        table = pq.read_table(sorted(parts[line.locator("th").get_attribute("title")].glob("part-*"))[row // 512])
        chances = np.exp(table["logprob"][row % 512].as_py())
        shown = [float(text.rstrip(" %")) for text in line.locator("td").all_inner_texts()]
        assert shown == pytest.approx([*(100 * chances), 100 * chances.sum()], abs=0.08)


def test_a_row_opens_whole_by_mouse_and_by_keyboard(visit, small):
    page, (*_, records) = visit(small), stored(small)
    first, second, third = in_table(page)[:3]
    page.click(f"tbody.there tr:has([aria-label='Open row {first}']) td.text")
    assert page.locator("dialog .turn div").all_inner_texts() == [
        records[first]["instruction"],
        records[first]["output"],
    ]
    page.click("dialog >> text=→")
    assert page.locator("#row-title").inner_text().startswith(f"Row {second}")
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.focus(f"[aria-label='Open row {first}']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#row-title").inner_text().startswith(f"Row {third}")
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == str(in_table(page)[-1])


def test_search_sort_and_filters(visit, large):
    page, (_, _, chosen, words, records) = visit(large), stored(large)
    page.fill("#search", "49999?")
    assert in_table(page) == [row for row, each in enumerate(records) if "49999?" in each["instruction"]]
    page.fill("#search", "no such words")
    assert in_table(page) == []
    page.fill("#search", "")
    page.get_by_label("source", exact=True).select_option(label="books")
    page.get_by_label("Kept", exact=True).select_option(label="kept")
    fitting = [row for row in chosen if records[row]["source"] == "books"]
    assert in_table(page) == fitting[: len(in_table(page))]
    assert page.locator("#rows [role=status]").inner_text() == f"{len(fitting):,} rows of 50,000"
    page.click(".scroller thead >> text=words")
    longest = sorted(fitting, key=lambda row: (-words[row], row))
    assert in_table(page) == longest[: len(in_table(page))]
    page.click(".scroller thead >> text=words")
    assert page.locator("th[aria-sort=ascending]").inner_text() == "words"
    assert in_table(page) == sorted(fitting, key=lambda row: (words[row], row))[: len(in_table(page))]


def test_a_list_leads_to_its_rows_in_the_table(visit, small):
    page, (_, scores, *_) = visit(small), stored(small)
    page.click("section.card:has(h3:text-is('Worst')) >> text=All 20")
    assert in_table(page) == np.argsort(scores, kind="stable")[:20].tolist()
    page.click("#only")
    assert len(in_table(page)) > 20 or page.locator("#rows [role=status]").inner_text() == "1,000 rows"


def table_status(page):
    return page.locator("#rows [role=status]").inner_text()


def points(selection):
    """Where the rows lie on the map, both from 0 to 1."""
    run, name = open_selection(selection)
    placed, _ = place_points(load_map(load_selection(run, name)))
    return placed["x"] / 65535, placed["y"] / 65535


def test_a_line_on_the_map_leads_to_its_rows(visit, small):
    page, (x, y), (_, scores, *_) = visit(small), points(small), stored(small)
    page.locator("#map-canvas").scroll_into_view_if_needed()
    box = page.locator("#map-canvas").bounding_box()
    triangle = [(0.05, 0.05), (0.95, 0.5), (0.05, 0.95)]
    for step, (right, down) in enumerate(triangle):
        page.mouse.move(box["x"] + right * box["width"], box["y"] + down * box["height"], steps=5)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    inside = np.flatnonzero((x > 0.05) & (np.abs(y - 0.5) < (0.95 - x) / 2))
    said = int(page.locator("#map-controls [role=status]").inner_text().split()[0])
    assert 0 < said < 1000 and abs(said - len(inside)) <= 3  # a pixel more or less
    assert table_status(page) == f"{said} rows of 1,000"
    best = sorted(inside, key=lambda row: -scores[row])
    assert len(set(in_table(page)[:10]) - set(best[:12])) == 0
    far = int(np.abs(y - 0.5).argmax())
    page.mouse.click(box["x"] + x[far] * box["width"], box["y"] + y[far] * box["height"])
    assert page.locator("#row-title").inner_text().startswith(f"Row {far}")
    page.keyboard.press("Escape")
    assert table_status(page) == f"{said} rows of 1,000"  # a click forgets no line
    page.click("text=Go to them in the table")
    assert page.evaluate("document.activeElement.id") == "table"
    page.click("#only")
    assert table_status(page) == "1,000 rows"
    assert page.locator("#map-controls [role=status]").inner_text() == ""


def test_the_map_is_used_by_keyboard(visit, mapped):
    page, (x, y) = visit(mapped), points(mapped)
    page.focus("#map-canvas")
    for key in "+", "+", "ArrowRight":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    middle = 0.5 + 0.64 / 5
    seen = (np.abs(x - middle) <= 0.32) & (np.abs(y - 0.5) <= 0.32)
    assert table_status(page) == f"{seen.sum()} rows of 1,000"
    page.keyboard.press("Escape")
    assert table_status(page) == "1,000 rows"


def test_a_point_of_the_map_opens_its_row(visit, small):
    page, (x, y) = visit(small), points(small)
    row = int(x.argmax())
    page.locator("#map-canvas").scroll_into_view_if_needed()
    box = page.locator("#map-canvas").bounding_box()
    page.mouse.click(box["x"] + x[row] * box["width"], box["y"] + y[row] * box["height"])
    assert page.locator("#row-title").inner_text().startswith(f"Row {row}")


LATER = """{
  const read = Response.prototype.arrayBuffer;
  const later = new Promise((goOn) => (window.goOn = goOn));
  let reads = 0;
  Response.prototype.arrayBuffer = async function () {
    if (reads++ > 0) await later;
    return read.call(this);
  };
}"""
"""Of what a page unpacks all but the numbers waits."""


def test_what_is_done_before_the_texts_are_there_is_done_to_them(visit, small):
    page, (*_, words, records) = visit(small, ready="numbers", before=LATER), stored(small)
    page.fill("#search", "planet")
    page.get_by_label("source", exact=True).select_option(label="books")
    page.click(".scroller thead >> text=words")
    page.fill("#keep", "500")
    page.press("#keep", "Enter")
    page.evaluate("window.goOn()")
    page.wait_for_selector("body[data-ready=all]")

    def has(row, text):
        each = records[row]
        return any(text in " ".join(each[name].split())[:PREVIEW].lower() for name in ("instruction", "output"))

    fitting = [row for row in range(1000) if has(row, "planet") and records[row]["source"] == "books"]
    assert table_status(page) == f"{len(fitting)} rows of 1,000"
    assert in_table(page) == sorted(fitting, key=lambda row: (-words[row], row))[: len(in_table(page))]
    check_figures(page, small, 500)


def test_a_row_that_is_opened_before_the_texts_are_there_gets_them(visit, small):
    page, (*_, records) = visit(small, ready="numbers", before=LATER), stored(small)
    row = in_table(page)[0]
    page.click(f"[aria-label='Open row {row}']")
    page.wait_for_selector("dialog .facts")
    assert page.locator("dialog .turn").count() == 0
    page.evaluate("window.goOn()")
    page.wait_for_selector("dialog .turn")
    assert page.locator("dialog .turn div").first.inner_text() == records[row]["instruction"]
    assert page.locator("dialog p").first.inner_text() == "rank 1 of 1,000"


def run_copied(page, folder):
    """The rows that the page's command chooses, and the file that it writes."""
    page.click("#copy")
    command = page.evaluate("navigator.clipboard.readText()")
    script = f"{shlex.quote(sys.executable)} -m {command}"
    subprocess.run(["bash", "-c", script], cwd=folder, check=True, capture_output=True)
    words = shlex.split(command)
    newest = max(
        (folder / words[words.index("--run") + 1]).glob("selections/*/rows.parquet"),
        key=lambda path: path.stat().st_mtime,
    )
    return pq.read_table(newest)["row"].to_pylist(), json.loads((folder / words[words.index("--out") + 1]).read_text())


@pytest.mark.parametrize("kind", ["small", "quotas", "mapped"])
def test_the_copied_command_chooses_the_same_rows(request, visit, tmp_path, kind):
    page = visit(request.getfixturevalue(kind), permissions=["clipboard-read", "clipboard-write"])
    page.fill("#keep", "87")
    page.press("#keep", "Enter")
    page.get_by_label("Kept", exact=True).select_option(label="kept")
    assert table_status(page) == "87 rows of 1,000"
    shown = in_table(page)
    rows, written = run_copied(page, tmp_path)
    assert shown == rows[: len(shown)] and len(rows) == len(written) == 87


def test_the_page_shares_out_as_the_program_does(visit, quotas):
    page, draw = visit(quotas), random.Random(0)
    for _ in range(200):
        groups = draw.randint(1, 8)
        sizes = [draw.randint(0, draw.choice([3, 1000])) for _ in range(groups)]
        weights = [draw.choice([0, 1, 1, draw.randint(0, 9), draw.randint(0, 10**25)]) for _ in range(groups)]
        wanted = draw.randint(1, sum(sizes) + 2)
        given = page.evaluate(
            "([quotas, n]) => shareOut(quotas, n)", [{"sizes": sizes, "weights": [*map(str, weights)]}, wanted]
        )
        assert given == share_out(sizes, [Fraction(weight) for weight in weights], wanted).tolist()


def test_a_newcomer_gets_the_rows_that_the_page_shows(visit, tmp_path, monkeypatch):
    """In an empty folder, on a ShareGPT file: select, open the page, drag the slider, copy the command, run it."""
    monkeypatch.chdir(tmp_path)
    chats = [
        {"conversations": [{"from": "human", "value": each["instruction"]}, {"from": "gpt", "value": each["output"]}]}
        for each in made_rows(200)
    ]
    write(tmp_path / "chats.json", chats)
    command = [sys.executable, "-m", "selectit", "select", "chats.json", "--engine", "fake"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path = Path(said.splitlines()[-1].removeprefix("report").strip())
    page = visit(f"{path.parents[2]}:{path.parent.name}", permissions=["clipboard-read", "clipboard-write"])
    assert page.url == path.resolve().as_uri()
    page.locator("#cut").scroll_into_view_if_needed()
    box = page.locator("#cut").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    keep = int(page.input_value("#keep"))
    assert 60 < keep < 80
    page.get_by_label("Kept", exact=True).select_option(label="kept")
    shown = in_table(page)
    rows, written = run_copied(page, tmp_path)
    assert shown == rows[: len(shown)] and len(rows) == keep
    assert written == [chats[row] for row in rows]


HOSTILE = [
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 1</script>",
    "</textarea></title></style><svg onload='window.hit = 1'>",
    "<img src=x onerror='window.hit = 1'> <img src='http://127.0.0.1:9/x.png'>",
    "[click](javascript:window.hit=1) ![picture](http://127.0.0.1:9/markdown.png)",
    "<a href='javascript:window.hit=1'>click</a> <iframe src='http://127.0.0.1:9/'></iframe>",
    "<!-- <script> --> <!--<script>",
    "\x1b[31mred\x1b[0m \x07 bell",
    "right \u202eto left\u202c \u2067isolated\u2069",
    "\u2028line\u2029paragraph ${hit} {{hit}} @ROWS@ $style",
    "<style>body { display: none }</style>",
]


@pytest.fixture
def hostile(place):
    rows = [
        {"instruction": text, "output": text, "source": ["a\0b", "<i>"][number % 2], "<b>field</b>": text[:55]}
        for number, text in enumerate(HOSTILE * 3)
    ]
    rows.append({"instruction": "long", "output": "<b>x</b> " * 120_000})
    data = write(place / "hostile<img src=x>.json", rows)
    return select(data, place / "hostile run", k=2, keep=15)


def test_hostile_rows_are_text(visit, hostile):
    page = visit(hostile)
    assert page.evaluate("window.hit") is None
    assert page.locator("main script, main img, main iframe, main style, dialog img").count() == 0
    for place in range(len(HOSTILE) * 3 + 1):
        page.evaluate("place => openRow(shown[place], place)", place)
        page.wait_for_selector("dialog .turn")
    page.keyboard.press("Escape")
    page.fill("#search", "<script>")
    assert page.locator("tbody.there tr").count() > 0
    shown = page.locator("tbody.there").inner_text()
    assert "<script>window.hit = 1</script>" in shown
    page.fill("#search", r"\x1b[31m")
    assert r"\x1b[31mred\x1b[0m \x07 bell" in page.locator("tbody.there").inner_text()
    page.fill("#search", "right")
    assert r"right \u202eto left\u202c" in page.locator("tbody.there").inner_text()
    assert r"a\x00b" in page.locator("tbody.there").inner_text()  # a null byte, in the field `source`
    assert page.evaluate("window.hit") is None


def test_only_its_own_script_and_style_may_run(visit, small):
    text = Path(visit(small).url.removeprefix("file://")).read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert len(re.findall("<script>", text)) == len(re.findall("<style>", text)) == 1


@pytest.mark.parametrize("look", ["light", "dark", "phone", "row"])
def test_nothing_serious_keeps_people_from_using_it(visit, small, look):
    shape = {"viewport": {"width": 390, "height": 800}} if look == "phone" else {}
    page = visit(small, color_scheme="dark" if look == "dark" else "light", **shape)
    if look == "row":
        page.click("tbody.there button >> nth=0")
        page.wait_for_selector("dialog .turn")
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in serious] == []


def test_dark_is_dark_and_a_phone_needs_no_scrolling_aside(visit, small, pictures):
    page = visit(small, color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 23, 27)"
    page.screenshot(path=pictures / "dark.png", full_page=True)
    page = visit(small, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=pictures / "phone.png", full_page=True)


def test_a_long_run_is_seen_at_once_and_stays_where_it_is(visit, large, pictures):
    """How long it takes is printed, since that says as much of the machine; the best of three tries counts."""
    tries = []
    for _ in range(3):
        page = visit(large)
        tries.append(page.evaluate("window.times.numbers"))
        assert page.evaluate("window.shift") < 0.1
    page.screenshot(path=pictures / "large.png", full_page=True)
    moved = page.evaluate("""() => { const start = performance.now();
        for (let step = 0; step < 20; step++) { const range = document.getElementById('cut');
          range.value = 1000 + 2000 * step; range.dispatchEvent(new Event('input')); }
        return (performance.now() - start) / 20; }""")
    searched = page.evaluate("""() => { const start = performance.now();
        const field = document.getElementById('search');
        field.value = 'planet'; field.dispatchEvent(new Event('input')); return performance.now() - start; }""")
    size = Path(page.url.removeprefix("file://")).stat().st_size
    print(f"\nfirst view {min(tries):.0f} ms, a move {moved:.0f} ms, a search {searched:.0f} ms; {size / 1e6:.1f} MB")
    assert size < 25_000_000
