"""The examples of the documentation run, and docs/methods.md says what the methods' docstrings say.

After a change of a docstring: `WRITE_DOCS=1 pytest tests/test_docs.py`.
"""

import json
import os
import re
import shlex
import sys
import textwrap
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import selectit
from places import ROOT
from selectit import engines
from selectit import methods as method_files
from selectit.cli.main import VERBS, cli
from selectit.config.settings import Settings
from selectit.engines.fake import FakeEngine
from selectit.methods._about import describe

DOCS = ROOT / "docs"
ENGINES = DOCS / "engines.md"
BEGIN = "<!-- From the docstrings: WRITE_DOCS=1 pytest tests/test_docs.py -->"
END = "<!-- End of what comes from the docstrings. -->"
SECTIONS = {
    "Source": "Source",
    "Needs": "Needs",
    "Direction": "Score",
    "Cost": "Cost",
    "Differs": "Differs from the published code",
    "Licence": "Licence of the original",
    "Checked": "How it is checked",
}


def test_the_method_of_ones_own(data, rows):
    code = re.search(r"```python\n(.*?)```", (DOCS / "methods.md").read_text(), re.DOTALL)
    Path("brevity.py").write_text(code[1])
    selected = selectit.select(data, Settings(method="./brevity.py:Brevity", param={"least": "3"}, keep=4))
    words = sorted(n for n in (len(row["output"].split()) for row in rows) if n >= 3)
    assert (-selected.selection.scores).tolist() == words[:4]


def test_the_engine(data, monkeypatch):
    package, module = re.findall(r"```python\n(# src/selectit/engines/scorer/.*?)```", ENGINES.read_text(), re.DOTALL)
    folder = Path("more/scorer")
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(package)
    (folder / "engine.py").write_text(module)
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(folder.parent.resolve())])
    with service() as url:
        selected = selectit.select(data, Settings(engine="scorer", model="served", base_url=url, level="token", keep=3))
    assert selected.summary.raters[0].label_shares == (0, 0, 0, 0, 1)
    for name in [name for name in sys.modules if name.startswith("selectit.engines.scorer")]:
        monkeypatch.delitem(sys.modules, name)


class Answering(BaseHTTPRequestHandler):
    """Finds the last label the likeliest."""

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps([[-3.0, -3.0, -3.0, -3.0, -0.3] for _ in question["texts"]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def service():
    """The address of a service such as the page's engine asks."""
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_signal(data, rows, monkeypatch):
    code, method = re.findall(r"```python\n(# topics.py.*?| {4}def topics.*?)```", ENGINES.read_text(), re.DOTALL)
    Path("topics.py").write_text(code)
    found = {}
    exec(textwrap.dedent(method), found)
    monkeypatch.setattr(FakeEngine, "topics", found["topics"], raising=False)
    settings = Settings(method="./topics.py:OneTopic", model="any", engine="fake", keep=3)
    law = [n for n, row in enumerate(rows) if len(row["output"]) % 2 == 0]
    assert selectit.select(data, settings).selection.rows.tolist() == law[:3]


def test_the_prompt_file(folder):
    from selectit.signals import prompts

    blocks = re.findall(r"((?:^    .*\n|^\n)+)", (DOCS / "prompts.md").read_text(), re.MULTILINE)
    toml = next(block for block in blocks if "labels =" in block)
    Path("h.toml").write_text(re.sub(r"^    ", "", toml, flags=re.MULTILINE))
    found = prompts.load("h.toml")
    assert (found.name, len(found.texts), found.labels) == ("helpfulness", 2, ("1", "2", "3", "4", "5"))


def test_the_methods():
    page = DOCS / "methods.md"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"docs/methods.md has no place for what comes from the docstrings: {BEGIN} … {END}"
    described = [described_method(name) for name in method_files.names()]
    written = f"{before}{BEGIN}\n\n{table()}\n\n" + "\n\n".join(described) + f"\n\n{END}{after}"
    if os.environ.get("WRITE_DOCS"):
        page.write_text(written)
    assert text == written or os.environ.get("WRITE_DOCS"), "docs/methods.md is behind; see the top of this file"


def table():
    """All methods in a line each."""
    lines = ["| method | what it takes | passes a row |", "|---|---|---|"]
    for name in method_files.names():
        found = describe(name)
        cost = re.sub(r"( forward)? passes a row.*", "", re.split(r"[;:.,]( |$)", found.sections["Cost"])[0])
        lines.append(f"| [`{name}`](#{name}) | {found.description[0].rstrip('.')} | {cost} |")
    return "\n".join(lines)


def described_method(name):
    """One method as a chapter."""
    found = describe(name)
    first, *more = found.description
    chapter = [f"### {name}", first, *more]
    chapter += ["\n".join(f"- **{title}**: {found.sections[section]}" for section, title in SECTIONS.items())]
    parameters = [f"| `{each.name}` | `{quoted(each.default)}` | {escaped(each.about)} |" for each in found.parameters]
    if parameters:
        chapter.append("\n".join(["| parameter | default | |", "|---|---|---|", *parameters]))
    return "\n\n".join(wrapped(each) for each in chapter)


def quoted(default):
    return default if default == "none" else f"`{default}`"


def escaped(text):
    return text.replace("|", "\\|")


def wrapped(text):
    """Lines of at most 120 characters; tables as they are."""
    if text.startswith(("|", "#")):
        return text
    lines = []
    for line in text.split("\n"):
        indent = "  " if line.startswith("- ") else ""
        lines += textwrap.wrap(line, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def test_the_readme_names_every_function_and_counts_the_methods():
    text = (DOCS.parent / "README.md").read_text()
    listed = re.search(r"Each verb of the command is a\nfunction: (.*?)\n`selectit\.scores`", text, re.DOTALL)[1]
    functions = {name for name in selectit.__all__ if name[0].islower()}
    assert {name.removeprefix("selectit.") for name in re.findall(r"`([\w.]+)`", listed)} == functions
    assert f"`selectit methods` lists all {len(selectit.list_methods())} " in text


def test_the_page_of_python(folder):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})


PAGES = [
    ROOT / "README.md",
    *(page for part in ("docs", "examples", "benchmarks") for page in (ROOT / part).glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_the_pages_parse(page):
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    for line in re.findall(r"^ {4,}(selectit .*)$", text, re.MULTILINE):
        verb, *words = shlex.split(line, comments=True)[1:]
        cli.get_command(None, verb).make_context(verb, words)
    for verb, rest in re.findall(r"`selectit ([a-z-]+)([^`]*)`", text):
        if verb in VERBS:
            known = {name for parameter in cli.get_command(None, verb).params for name in parameter.opts}
            assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest)) <= {*known, "--help"}
