"""The files that a selection writes: of the kind that their ending says, and no foreign file found too late."""

import dataclasses
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import selectit
from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.runs.source import data_name

ROWS = [{"instruction": f"q{n}", "output": "r " * n} for n in range(1, 4)]


@pytest.fixture
def lines(folder):
    path = folder / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def chosen(folder, out, **more):
    return Settings(
        method="length", keep="100%", order="source", run=str(folder / "run"), out=str(folder / out), **more
    )


def test_json_is_written_as_the_ending_says(folder, lines):
    assert json.loads(selectit.select(lines, chosen(folder, "o.json")).out.read_text()) == ROWS
    packed = selectit.select(lines, chosen(folder, "o.jsonl.gz")).out
    assert gzip.decompress(packed.read_bytes()) == lines.read_bytes()
    wide = folder / "wide.json"
    wide.write_text(json.dumps(ROWS, indent=1))
    again = selectit.select(wide, Settings(method="length", keep="100%", order="source", out=str(folder / "p.ndjson")))
    assert [json.loads(line) for line in again.out.read_text().splitlines()] == ROWS


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.arrow", "o.xlsx", "o.txt", "o.txt.gz"])
def test_an_ending_that_is_not_what_is_written_is_refused(folder, lines, name):
    with pytest.raises(SettingsError, match="JSON is written") as error:
        selectit.select(lines, chosen(folder, name))
    assert "o.jsonl (or end it in .json, .ndjson)" in error.value.hint
    with pytest.raises(SettingsError, match="--rest"):
        selectit.select(lines, chosen(folder, "o.jsonl", rest=str(folder / name)))


@pytest.mark.parametrize("name", ["best", "best.20pct", "v1.2", "best.final"])
def test_a_name_that_says_no_kind_is_written_as_the_data_is(folder, lines, name):
    assert selectit.select(lines, chosen(folder, name)).out.read_bytes() == lines.read_bytes()


@pytest.mark.parametrize("name", ["o.jsonl", "o.parquet.gz", "o.json.zst"])
def test_a_table_is_not_written_as_json(folder, name):
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "t.parquet")
    with pytest.raises(SettingsError, match="Parquet|a table is not compressed"):
        selectit.select(folder / "t.parquet", chosen(folder, name))
    assert not (folder / name).exists()


def test_a_foreign_file_is_found_before_a_model_is_asked(folder, lines):
    selectit.select(lines, chosen(folder, "o.jsonl"))
    asks = Settings(engine="fake", model="x", keep="2", run=str(folder / "run"), out=str(folder / "o.jsonl"))
    with pytest.raises(RunError, match="has no selection with these settings; it has length"):
        selectit.select(lines, asks)
    assert not (folder / "run" / "ratings").exists()
    free = Settings(engine="fake", model="x", keep="2", run=str(folder / "run"), out=str(folder / "p.jsonl"))
    first = selectit.select(lines, free).out.read_bytes()
    assert selectit.select(lines, free).out.read_bytes() == first  # typed again


def test_only_known_endings_are_cut_off_a_name():
    names = ["a/OpenHermes-2.5.jsonl.gz", "OpenHermes-2.5", "v3.1.parquet", ".jsonl", "b.JSON"]
    assert [data_name(name) for name in names] == ["OpenHermes-2.5", "OpenHermes-2.5", "v3.1", ".jsonl", "b"]


@pytest.mark.parametrize("which", ["out", "rest"])
def test_what_is_in_the_way_of_a_fresh_run_is_known_before_a_model_is_asked(folder, lines, which):
    files = {"out": str(folder / "o.jsonl"), "rest": str(folder / "r.jsonl")}
    (folder / files[which]).write_text("mine")
    with pytest.raises(RunError, match=f"{files[which]} is there, and run has no .* with these settings\n") as error:
        selectit.select(lines, Settings(engine="fake", model="x", keep="2", run="run", **files))
    assert f"--{which}," in error.value.hint
    assert not Path("run/ratings").exists() and Path(files[which]).read_text() == "mine"


@pytest.mark.parametrize("change", [{"model": "y"}, {"alpha": 0.5}, {"k": 2}, {"order": "source"}, {"keep": "3"}])
def test_the_file_of_a_selection_with_other_settings_is_in_the_way(folder, lines, change):
    settings = Settings(engine="fake", model="x", keep="2", run="run", out="o.jsonl")
    selectit.select(lines, settings)
    assert selectit.select(lines, settings).out.exists()  # typed again
    with pytest.raises(RunError, match="no selection with these settings; it has selectit-sentence") as error:
        selectit.select(lines, dataclasses.replace(settings, **change))
    assert "No row was rated or chosen." in error.value.hint


def test_the_file_of_another_selection_is_found_before_rows_are_chosen_without_a_model(folder, lines):
    settings = Settings(method="length", keep="1", run="run")
    first = selectit.select(lines, settings)
    assert selectit.select(lines, settings).name == first.name  # typed again
    with pytest.raises(RunError, match="no selection with these settings; it has length") as error:
        selectit.select(lines, Settings(method="random", keep="1", run="run"))
    assert "Name another with --out," in error.value.hint
    assert [path.name for path in Path("run/selections").iterdir()] == [first.name]


@pytest.mark.parametrize("which", ["out", "rest"])
def test_a_file_that_differs_is_named_with_its_option(folder, lines, which):
    files = {"out": "o.jsonl", "rest": "r.jsonl"}
    settings = Settings(method="length", keep="1", run="run", **files)
    selectit.select(lines, settings)
    Path(files[which]).write_text("mine")
    with pytest.raises(RunError, match=f"{files[which]} is there and holds something else") as error:
        selectit.select(lines, settings)
    assert f"Name another with --{which}," in error.value.hint


def test_a_name_that_is_taken_is_known_before_a_model_is_asked(folder, lines):
    settings = Settings(method="length", keep="2", run="run", name="mine")
    selectit.select(lines, settings)
    with pytest.raises(SettingsError, match="has a selection 'mine' with other settings"):
        selectit.select(lines, Settings(engine="fake", model="x", keep="2", run="run", name="mine", out="p.jsonl"))
    assert not Path("run/ratings").exists()


@pytest.mark.parametrize(
    ("out", "says"),
    [("run/o.jsonl", "lies in the run directory"), ("o.yaml", "JSON is written"), ("no/o.jsonl", "there is no folder")],
)
def test_places_that_are_none(folder, lines, out, says):
    with pytest.raises(SettingsError, match=says):
        selectit.select(lines, Settings(method="length", keep="2", run="run", out=out))


def test_one_file_by_two_names_is_one_file(folder, lines):
    Path("there").symlink_to(folder)
    with pytest.raises(SettingsError, match="--out and --rest are both"):
        selectit.select(lines, Settings(method="length", keep="2", run="run", out="o.jsonl", rest="there/o.jsonl"))


def test_a_closed_standard_output_is_no_place(folder, lines, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SettingsError, match="standard output is closed"):
        selectit.select(lines, Settings(method="length", keep="2", run="run", out="-"))


def test_other_verbs_look_at_the_ending_too(folder, lines):
    run = selectit.select(lines, chosen(folder, "o.jsonl")).run
    with pytest.raises(SettingsError, match="--out tuned.gguf: a folder is written"):
        selectit.train(run, model="no-model-is-looked-for", recipe="small", out="tuned.gguf")
    with pytest.raises(SettingsError, match=r"--out best.jsonl: a folder is written, and no .jsonl file"):
        selectit.export(run, "trl", "best.jsonl")
    with pytest.raises(SettingsError, match=r"--out results.csv: JSON is written"):
        selectit.evaluate("no-model-is-looked-for", selectit.EvalSettings(out="results.csv"))
    for name in ("prompts.json", "prompts.yaml"):
        with pytest.raises(SettingsError, match=f"--out {name}: TOML is written"):
            selectit.tune_prompts(lines, name)
    with pytest.raises(SettingsError, match=r"--out page.txt: HTML is written"):
        selectit.report(run, "page.txt")
