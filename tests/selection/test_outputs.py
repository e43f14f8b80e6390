"""The files that a selection writes: of the kind that their ending says, and no foreign file found too late."""

import gzip
import json

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


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.arrow", "o.xlsx"])
def test_an_ending_that_is_not_what_is_written_is_refused(folder, lines, name):
    with pytest.raises(SettingsError, match="JSON is written") as error:
        selectit.select(lines, chosen(folder, name))
    assert "o.jsonl" in error.value.hint
    with pytest.raises(SettingsError, match="--rest"):
        selectit.select(lines, chosen(folder, "o.jsonl", rest=str(folder / name)))


@pytest.mark.parametrize("name", ["o.jsonl", "o.parquet.gz", "o.json.zst"])
def test_a_table_is_not_written_as_json(folder, name):
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "t.parquet")
    with pytest.raises(SettingsError, match="Parquet"):
        selectit.select(folder / "t.parquet", chosen(folder, name))
    assert not (folder / name).exists()


def test_a_foreign_file_is_found_before_a_model_is_asked(folder, lines):
    selectit.select(lines, chosen(folder, "o.jsonl"))
    asks = Settings(engine="fake", model="x", keep="2", run=str(folder / "run"), out=str(folder / "o.jsonl"))
    with pytest.raises(RunError, match="holds something else than this selection"):
        selectit.select(lines, asks)
    assert not (folder / "run" / "ratings").exists()
    free = Settings(engine="fake", model="x", keep="2", run=str(folder / "run"), out=str(folder / "p.jsonl"))
    first = selectit.select(lines, free).out.read_bytes()
    assert selectit.select(lines, free).out.read_bytes() == first  # typed again


def test_only_known_endings_are_cut_off_a_name():
    names = ["a/OpenHermes-2.5.jsonl.gz", "OpenHermes-2.5", "v3.1.parquet", ".jsonl", "b.JSON"]
    assert [data_name(name) for name in names] == ["OpenHermes-2.5", "OpenHermes-2.5", "v3.1", ".jsonl", "b"]
