"""The pages without a script, of two selections, of data sets and of an experiment, in a real browser."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from made_outcomes import AMOUNT, CHOICES
from made_runs import made_rows, select, write
from selectit.assessing.assess import assess
from selectit.config.settings import Settings
from selectit.experiments.report.write import write_report
from selectit.pages.assessment import report_assessment
from selectit.pages.difference import report_difference

HOSTILE = [
    "<script>window.hit = 1</script>",
    "</title></style></details><svg onload='window.hit = 1'><script>window.hit = 1</script>",
    "<img src='http://127.0.0.1:9/x.png' onerror='window.hit = 1'>",
    "<a href='javascript:window.hit=1'>click</a> <iframe src='http://127.0.0.1:9/'></iframe>",
    "![picture](http://127.0.0.1:9/markdown.png) <style>body { display: none }</style>",
    "\x1b[31mred \u202eto left\u202c",
]


@pytest.fixture(scope="session")
def difference(place, small):
    """Of SelectIT's choice and one by length, of 1,000 rows."""
    run = small.rpartition(":")[0]
    return report_difference(small, select(None, Path(run), method="length"), place / "difference.html", force=True)


@pytest.fixture(scope="session")
def assessment(place):
    for name, rows in (("one", made_rows(400)), ("two", made_rows(700)[300:])):
        write(place / f"{name}.json", [*rows, {"instruction": "Say nothing.", "output": ""}])
    settings = Settings(engine="fake", model=("m",), encoder="e", data_dir=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        found = assess(["one.json", "two.json"], settings, sample=50)
        return report_assessment(found, place / "assessment.html", force=True)


@pytest.fixture(scope="session")
def experiment(place):
    write_report(place / "experiment", "data <b>.json", ["Each of these was tuned for 3 steps."], AMOUNT, CHOICES)
    return place / "experiment" / "results.html"


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
@pytest.mark.parametrize("name", ["difference", "assessment", "experiment"])
def test_it_can_be_read_by_everybody(request, browse, pictures, name, look):
    shape = {"viewport": {"width": 390, "height": 800}} if look == "phone" else {}
    page = browse(request.getfixturevalue(name), color_scheme="dark" if look == "dark" else "light", **shape)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(23, 23, 27)" if look == "dark" else "rgb(255, 255, 255)")  # the style was heeded
    found = Axe().run(page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in serious] == []
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    page.screenshot(path=pictures / f"{name}-{look}.png", full_page=True)


def test_a_row_opens_by_mouse_and_by_keyboard(browse, difference):
    page = browse(difference)
    first, second = page.locator("details.entry >> nth=0"), page.locator("details.entry >> nth=1")
    assert not first.locator(".turn >> nth=1").is_visible()
    first.locator("summary").click()
    assert first.locator(".turn >> nth=1").is_visible()
    second.locator("summary").focus()
    page.keyboard.press("Enter")
    assert second.locator(".turn >> nth=1").is_visible()


def test_drawings_are_drawn(browse, experiment, assessment):
    page = browse(experiment)
    colours = page.locator(".chart .marker").evaluate_all("all => all.map(each => getComputedStyle(each).fill)")
    assert len(colours) > 20 and "rgb(0, 0, 0)" not in colours and len(set(colours)) >= 3
    boxes = [each.bounding_box() for each in browse(assessment).locator(".chart .thick").all()]
    assert len(boxes) == 2 * 6 and all(box["width"] > 0 for box in boxes)


def test_hostile_rows_are_text(browse, place):
    rows = [{"instruction": text, "output": text + "x" * at} for at, text in enumerate(HOSTILE * 4)]
    rows.append({"instruction": "long", "output": "<b>x</b> " * 120_000})
    data = write(place / "pool<img src=x>.json", rows)
    run = place / "hostile <b>run"
    a, b = select(data, run, k=2, keep=9), select(None, run, method="length", keep=9)
    page = browse(report_difference(a, b, place / "hostile.html", force=True))
    for entry in page.locator("details").all():
        entry.evaluate("each => (each.open = true)")
    assert page.evaluate("window.hit") is None
    assert page.locator("main script, main img, main iframe, main style, main a").count() == 0
    shown = page.locator("main").inner_text()
    assert "<script>window.hit = 1</script>" in shown and r"\x1b[31mred \u202eto left" in shown
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        found = assess([data.name], Settings())
        page = browse(report_assessment(found, place / "hostile assessment.html", force=True))
    assert page.evaluate("window.hit") is None and page.locator("main img, main script").count() == 0
    assert found.findings and page.locator("details.entry").count() > 0
