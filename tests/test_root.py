"""What strangers meet first: links, install lines and make targets that exist, and the table of `make demo`."""

import json
import re
import runpy
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("benchmarks/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_install_lines_name_extras_of_the_project():
    text = "".join(page.read_text() for page in PAGES)
    named = {extra for group in re.findall(r"(?:selectit|\.)\[([a-z,]+)\]'", text) for extra in group.split(",")}
    assert {"hf", "vllm", "server", "train", "eval"} <= named <= PROJECT["optional-dependencies"].keys()


def test_the_workflow_calls_make_targets():
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    called = {"test", *re.search(r"target: \[(.*)\]", workflow)[1].split(", ")}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert called == targets - {"bench", "clean"}


def test_the_citation():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"title: {PROJECT['name']}\n" in citation
    assert f"license: {PROJECT['license']}\n" in citation
    assert f"name: {PROJECT['authors'][0]['name']}\n" in citation


def test_the_table_of_pairs(tmp_path, capsys):
    rows = [
        {"instruction": "a", "input": "", "output": "cut", "defect": "cut-short"},
        {"instruction": "a", "input": "", "output": "whole", "defect": ""},
        {"instruction": "b", "input": "", "output": "whole", "defect": ""},
        {"instruction": "b", "input": "", "output": "no", "defect": "refusal"},
    ]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    (tmp_path / "scores").mkdir()
    for name, scores in {"first": [2.0, 1.0, 4.0, 3.0], "second": [1.0, 2.0, 4.0, 4.0]}.items():
        pq.write_table(pa.table({"score": scores}), tmp_path / "scores" / f"{name}.parquet")
    main = runpy.run_path(str(ROOT / "examples" / "pairs.py"))["main"]
    main(str(tmp_path / "data.json"), str(tmp_path), "one=first", "the other=second")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["one", "the", "other"],
        ["cut-short", "0", "of", "1", "1", "of", "1"],
        ["refusal", "1", "of", "1", "0", "of", "1"],
        ["all", "1", "of", "2", "1", "of", "2"],
    ]
