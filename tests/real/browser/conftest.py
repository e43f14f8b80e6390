"""A real browser, Debian's Chromium, and pages of runs that the made-up engine rated."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import selectit
from made_runs import made_rows, select, write

FIRST_VIEW = """addEventListener('DOMContentLoaded', () => {
  window.times = {};
  window.shift = 0;
  const note = () => (window.times[document.body.dataset.ready] = performance.now());
  new MutationObserver(note).observe(document.body, { attributes: true });
  new PerformanceObserver((list) => list.getEntries().forEach((each) => (window.shift += each.value)))
    .observe({ type: 'layout-shift', buffered: true });
})"""
"""When the page says that something is there, and how far what was there moved."""


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def small(place):
    """1,000 rows with embeddings, and a second score; chosen by SelectIT's."""
    data = write(place / "small.json", made_rows(1000))
    select(data, place / "small", method="kcenter", encoder="e", keep=100)
    select(None, place / "small", method="length")
    return select(data, place / "small", k=3)


@pytest.fixture(scope="session")
def mapped(small):
    """A set that a method chose one after another, of the same run."""
    folder = Path(small.rpartition(":")[0])
    return select(None, folder, method="kcenter", encoder="e", keep=100)


@pytest.fixture(scope="session")
def quotas(place, small):
    """Of the same run, of each category its share."""
    shares = write(place / "shares.json", {"maths": 0.35, "code": 1, "chat": 7, "writing": 0})
    return select(None, place / "small", k=3, by="category", shares=str(shares), keep=300)


@pytest.fixture(scope="session")
def large(place):
    data = write(place / "large.json", made_rows(50_000))
    return select(data, place / "large", k=5)


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("google-chrome")
    assert path, "there is no chromium: apt-get install chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium):
    """A function that opens a page; in the end it fails where a page complained or asked for more."""
    complaints, contexts = [], []

    def open_page(path, before=FIRST_VIEW, **more):
        path = path.resolve()
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **more})
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(before)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on("request", lambda asked: asked.url == path.as_uri() or complaints.append(f"asked for {asked.url}"))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def visit(browse):
    """A function that opens the page of a selection, and waits until all of it is there."""

    def open_page(selection, ready="all", **more):
        page = browse(selectit.report(selection), **more)
        page.wait_for_selector(f"body[data-ready={ready}]")
        return page

    return open_page


@pytest.fixture
def pictures():
    """Where screenshots are put to be looked at; they are no part of the project."""
    folder = Path(__file__).parents[3] / "selectit-runs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
