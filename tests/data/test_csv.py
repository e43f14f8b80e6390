"""CSV, TSV, Arrow and Feather files come back as they were; several files are one data set."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import selectit
from selectit.config.settings import Settings
from selectit.data import csv_text, read, sources
from selectit.errors import DataError, SettingsError

ALL = {"method": "length", "keep": "100%", "order": "source", "force": True}
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def rows_of(data):
    with sources.open_source(data) as source:
        records = list(read.read_records(source, read.ReadReport()))
        return [record.turns[-1].text for record in records], source


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from(csv_text.DELIMITERS))
def test_cells_come_back_as_they_were(rows, delimiter):
    records = [{"instruction": one, "output": other} for one, other in rows]
    file = io.BytesIO()
    csv_text.write_csv(file, delimiter, ["instruction", "output"], records)
    file.seek(0)
    assert [each.value for each in csv_text.read_csv(file, "d", delimiter)] == records
    file.seek(0)
    own = csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""), delimiter=delimiter)
    assert list(own) == records


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.csv.gz"])
def test_a_csv_file_is_written_as_it_was(folder, name):
    text = 'instruction,input,output,id\n"Say, ""hi""",,"two\nlines",007\n=1+1,x,-5,08\n'
    if name == "d.tsv":
        text = "instruction\toutput\n=1+1\t007\n"
    with sources.gzip.open(name, "wt") if name.endswith(".gz") else open(name, "w") as file:
        file.write(text)
    selectit.select(name, Settings(run="run", out=f"all-{name}", **ALL))
    with sources.gzip.open(f"all-{name}", "rt") if name.endswith(".gz") else open(f"all-{name}") as file:
        assert file.read() == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"instruction,output\na\n", "line 2: it has 1 cells, and the first line 2 names"),
        (b'instruction,output\na,b\n"a" b,c\n', "line 3 a quote is wrong"),
        (b"instruction,output\n\xe9,c\n", "line 2: the byte 0xe9 is not UTF-8"),
        (b"output,output\na,b\n", "two columns with the name 'output'"),
    ],
)
def test_what_is_wrong_in_a_csv_file_is_named_with_its_line(folder, text, says):
    Path("d.csv").write_bytes(text)
    with pytest.raises(DataError) as error:
        rows_of("d.csv")
    assert says in error.value.message


def test_new_rows_and_other_data_are_not_written_as_csv(folder):
    Path("d.jsonl").write_text('{"instruction": "=1+1", "output": "b"}\n')
    with pytest.raises(SettingsError, match="no .csv"):
        selectit.select("d.jsonl", Settings(run="run", out="d.csv", **ALL))


TABLE = pa.table(
    {
        "instruction": pa.array(["a", "b", "c"], pa.large_string()),
        "output": pa.array(["x", "y", "x"]).dictionary_encode(),
        "when": pa.array([1, None, 3], pa.timestamp("ns")),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
@given(
    st.lists(st.sampled_from(["x", "y", "zz", "a b c"]), min_size=1, max_size=20), st.sampled_from(["ipc", "stream"])
)
def test_arrow_files_come_back_with_their_types_and_order(folder, answers, kind):
    table = pa.table(
        {"instruction": answers, "output": pa.array(answers).dictionary_encode(), "n": range(len(answers))}
    )
    with pa.OSFile("d.arrow", "wb") as file:
        with (pa.ipc.new_file if kind == "ipc" else pa.ipc.new_stream)(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    with sources.open_source("d.arrow") as source:
        assert source.kind == kind
    selectit.select("d.arrow", Settings(run=f"run-{abs(hash((kind, *answers)))}", out="all.arrow", **ALL))
    with pa.OSFile("all.arrow") as file:
        back = (pa.ipc.open_file if kind == "ipc" else pa.ipc.open_stream)(file).read_all()
    assert back.equals(table) and back.schema.equals(table.schema)


def test_a_feather_file_comes_back(folder):
    feather.write_feather(TABLE, "d.feather", compression="zstd")
    selectit.select("d.feather", Settings(run="run", out="all.feather", **ALL))
    assert feather.read_table("all.feather").equals(TABLE)


def test_several_files_and_patterns_are_one_data_set(folder):
    for name in "abc":
        Path(f"{name}.jsonl").write_text(f'{{"instruction": "i", "output": "{name}"}}\n')
    Path("c.csv").write_text("instruction,output\ni,d\n")
    Path("notes.md").write_text("about")
    assert rows_of(["b.jsonl", "c.csv", "a.jsonl"])[0] == ["b", "d", "a"]
    found, source = rows_of("*")
    assert found == ["a", "b", "d", "c"] and "notes.md" in source.left_out[0]
    assert source.name == "a-and-3-more"
    with pytest.raises(DataError, match="named twice"):
        rows_of(["a.jsonl", "?.jsonl"])
    with pytest.raises(DataError, match="no data file matches"):
        rows_of("z*.jsonl")
