"""The examples of the documentation run."""

import re
from pathlib import Path

import selectit
from selectit import Settings

DOCS = Path(__file__).parent.parent / "docs"


def test_the_method_of_ones_own(data, rows):
    code = re.search(r"```python\n(.*?)```", (DOCS / "methods.md").read_text(), re.DOTALL)
    Path("brevity.py").write_text(code[1])
    selected = selectit.select(data, Settings(method="./brevity.py:Brevity", param={"least": "3"}, keep=4))
    words = sorted(n for n in (len(row["output"].split()) for row in rows) if n >= 3)
    assert (-selected.selection.scores).tolist() == words[:4]


def test_the_prompt_file(folder):
    from selectit import prompts

    blocks = re.findall(r"((?:^    .*\n|^\n)+)", (DOCS / "prompts.md").read_text(), re.MULTILINE)
    toml = next(block for block in blocks if "labels =" in block)
    Path("h.toml").write_text(re.sub(r"^    ", "", toml, flags=re.MULTILINE))
    found = prompts.load("h.toml")
    assert (found.name, len(found.texts), found.labels) == ("helpfulness", 2, ("1", "2", "3", "4", "5"))
