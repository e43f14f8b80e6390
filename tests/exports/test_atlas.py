"""`export --to atlas`: a map of all rows for Embedding Atlas."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import selectit
from commandline import run as command
from selectit.config.settings import Settings
from selectit.errors import DataError, RunError, SettingsError
from selectit.numerics.projection import project
from selectit.numerics.vectors import row_vectors
from selectit.runs.run import open_run
from selectit.runs.stored import find_embeddings

HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e ![x](http://x/y.png)"


@pytest.fixture
def mapped(folder, small_parts):
    """A run of 20 rows with embeddings, the longest six of which are chosen."""
    rows = [{"id": n, "instruction": f"Q{n}", "output": " ".join(["w"] * (n + 1))} for n in range(20)]
    rows[3]["instruction"] = HOSTILE
    Path("d.json").write_text(json.dumps(rows))
    small_parts(8)
    selectit.rate("d.json", Settings(run="run", engine="fake", method="kcenter", encoder="e"))
    selectit.select(None, Settings(run="run", method="length", keep=6, out="o.json"))


def test_what_a_map_holds(mapped, no_model):
    no_model()
    done = selectit.export("run", "atlas")
    assert (done.rows, done.files, done.left_behind) == (20, ("atlas.parquet", "README.md"), ("id",))
    table = pq.read_table("d.atlas/atlas.parquet")
    rows = table.to_pylist()
    assert table.schema.field("neighbors").type == pa.struct(
        [("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))]
    )
    assert [row["row"] for row in rows] == list(range(20))
    assert [row["rank"] for row in rows if row["chosen"]] == [6, 5, 4, 3, 2, 1]
    assert [row["score"] for row in rows] == [row["words"] for row in rows] == list(range(1, 21))
    assert rows[3]["text"] == f"{HOSTILE}\n\nw w w w"
    vectors = row_vectors(find_embeddings(open_run("run"))[1], 20)
    expected = project(vectors, np.arange(20)).points
    assert np.array([[row["projection_x"], row["projection_y"]] for row in rows]) == pytest.approx(expected, abs=1e-5)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = 1 - units @ units.T
    for at, row in enumerate(rows):
        ids, distances = row["neighbors"]["ids"], row["neighbors"]["distances"]
        assert ids[0] == at and len(ids) == 15 and distances == sorted(distances)
        assert distances == pytest.approx(np.sort(apart[at])[:15].clip(0), abs=1e-5)
        assert distances == pytest.approx(apart[at][ids], abs=1e-5)


def test_every_row_without_a_selection(mapped):
    selectit.export("run", "atlas", selection="all")
    rows = pq.read_table("d.atlas/atlas.parquet").to_pylist()
    assert not any(row["chosen"] for row in rows) and {row["score"] for row in rows} == {None}


def test_rows_without_a_vector_are_refused_or_left_out(folder):
    rows = [{"instruction": "q", "output": f"a{n}"} for n in range(9)] + [{"instruction": " ", "output": " "}]
    Path("d.json").write_text(json.dumps(rows))
    selectit.select("d.json", Settings(run="run", engine="fake", method="kcenter", encoder="e", keep=3))
    with pytest.raises(DataError, match="1 of 10 rows can't be written for atlas"):
        selectit.export("run", "atlas")
    done = selectit.export("run", "atlas", bad_rows="skip")
    assert (done.rows, done.skipped_rows) == (9, 1)
    rows = pq.read_table("d.atlas/atlas.parquet").to_pylist()
    assert max(max(row["neighbors"]["ids"]) for row in rows) == 8, "places in the file, not rows of the source"
    assert sum(row["chosen"] for row in rows) == 3 and {row["score"] for row in rows} == {None}


def test_a_run_without_embeddings(data):
    selectit.select(data, Settings(run="run", method="length"))
    with pytest.raises(RunError, match="no embeddings of all rows"):
        selectit.export("run", "atlas")
    with pytest.raises(SettingsError, match="ranks and scores anyway"):
        selectit.export("run", "atlas", scores=True)


def test_the_command_and_the_card(mapped, capsys):
    out = command(capsys, "export", "run", "--to", "atlas", "--out", "m")[1]
    assert "20 rows; those of the selection length-words-6rows are marked" in out
    card = Path("m/README.md").read_text()
    assert "- rows here: 20, in the order of the source" in card and "path: atlas.parquet" in card
    assert "- chosen: 6 rows, the selection length-words-6rows" in card


def test_datasets_loads_a_map(mapped):
    datasets = pytest.importorskip("datasets")
    selectit.export("run", "atlas", "m")
    assert len(datasets.load_dataset("m", split="train", cache_dir="cache")) == 20
