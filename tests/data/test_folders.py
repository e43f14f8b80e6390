"""Which files of a folder are read, and how files are read that are not one record a line."""

import datetime
import decimal
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selectit.data import read, sources
from selectit.errors import DataError, SettingsError


def rows_of(path, split=None, limit=None):
    with sources.open_source(str(path), split) as source:
        records = list(read.read_records(source, read.ReadReport(), read.ReadSpec(limit=limit)))
        return [record.turns[0].text for record in records], source


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"instruction": name, "output": "o"}) + "\n")


def test_held_out_splits_are_left_out_and_named(folder):
    names = ("train-00000-of-00001.jsonl", "more.jsonl", "test.jsonl", "validation/a.jsonl", "latest.jsonl")
    fill(folder / "d", *names)
    found, source = rows_of(folder / "d")
    assert found == ["latest.jsonl", "more.jsonl", "train-00000-of-00001.jsonl"]
    assert source.left_out == ("test.jsonl (split test)", "validation/a.jsonl (split validation)")
    assert rows_of(folder / "d", "test")[0] == ["test.jsonl"]
    assert rows_of(folder / "d", "dev")[0] == ["validation/a.jsonl"]
    with pytest.raises(DataError, match="no files of the split 'other'"):
        rows_of(folder / "d", "other")


def test_splits_with_names_of_their_own(folder):
    fill(
        folder / "d",
        "train_sft-00000-of-00001.jsonl",
        "train_gen-00000-of-00001.jsonl",
        "test_sft-00000-of-00001.jsonl",
    )
    with pytest.raises(DataError, match="has the splits test_sft, train_gen, train_sft"):
        rows_of(folder / "d")
    assert rows_of(folder / "d", "train_sft")[0] == ["train_sft-00000-of-00001.jsonl"]
    fill(folder / "only", "test-1.jsonl", "test-2.jsonl")
    assert len(rows_of(folder / "only")[0]) == 2  # one split alone is what is there


def test_a_split_without_effect_is_refused(folder):
    fill(folder, "a.jsonl")
    with pytest.raises(SettingsError, match="--split train does nothing"):
        rows_of(folder / "a.jsonl", "train")
    with pytest.raises(SettingsError, match="--subset does nothing"), sources.open_source(str(folder), None, "main"):
        pass


def test_side_files_and_empty_parts_are_no_data(folder):
    fill(folder / "d", "a.jsonl")
    (folder / "d" / "dataset_info.json").write_text('{\n "a": {}\n}')
    (folder / "d" / "part-1.jsonl").write_text("")
    (folder / "d" / "notes.md5").write_text("a,b\n")
    (folder / "d" / "README.md").write_text("about")
    found, source = rows_of(folder / "d")
    assert found == ["a.jsonl"]
    assert [each.partition(" ")[0] for each in source.left_out] == ["dataset_info.json", "notes.md5", "part-1.jsonl"]


def test_a_column_that_json_has_no_kind_for_costs_no_row(folder):
    (folder / "d").mkdir()
    zone = datetime.UTC
    columns = {
        "instruction": ["a"],
        "output": ["b"],
        "when": [datetime.datetime(2024, 1, 2, 3, tzinfo=zone)],
        "nano": pa.array([1704164645123456789], pa.timestamp("ns")),
        "cost": [decimal.Decimal("1.50")],
        "raw": [b"\x00\x01"],
    }
    pq.write_table(pa.table(columns), folder / "d" / "a.parquet")
    with sources.open_source(str(folder / "d")) as source:
        (record,) = read.read_records(source, read.ReadReport())
    held = json.loads(record.raw)
    assert (held["when"], held["cost"], held["raw"]) == ("2024-01-02T03:00:00+00:00", "1.50", "AAE=")
    assert held["nano"].endswith("05.123456789")


ONE, TWO = {"instruction": "a", "output": "x\ny"}, {"instruction": "b", "output": "z"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ONE, indent=2) + "\n" + json.dumps(TWO, indent=2),
        json.dumps(ONE) + ",\n" + json.dumps(TWO) + ",\n",
        json.dumps(ONE) + "\r" + json.dumps(TWO) + "\r",
        json.dumps(ONE) + json.dumps(TWO),
    ],
)
def test_objects_that_are_not_one_a_line(folder, text):
    (folder / "d.json").write_bytes(text.encode())
    with sources.open_source(str(folder / "d.json")) as source:
        records = list(read.read_records(source, read.ReadReport()))
    assert [json.loads(record.raw) for record in records] == [ONE, TWO]
    assert source.written == "jsonl" and not any("\n" in record.raw for record in records)


def test_a_bad_first_line_is_one_bad_row(folder):
    (folder / "d.jsonl").write_text('{"instruction": "a", "outp\n' + json.dumps(TWO) + "\n")
    with pytest.raises(DataError, match="1 row of 2 can't be used"):
        rows_of(folder / "d.jsonl")


def test_the_first_row_that_has_a_layout_decides(folder):
    (folder / "d.jsonl").write_text('{"instruction": "a"}\n' + json.dumps(TWO) + "\n")
    with pytest.raises(DataError, match="1 row of 2 can't be used\n  line 1: the field 'output' is missing"):
        rows_of(folder / "d.jsonl")
    assert formats_unknown(folder).startswith("layout is unknown: the keys are 'c'")


def formats_unknown(folder):
    (folder / "e.jsonl").write_text('{"c": "a"}\n' * 40)
    with pytest.raises(DataError) as error:
        rows_of(folder / "e.jsonl")
    return error.value.message.partition("the ")[2]


def test_a_table_of_texts_is_told_by_its_ending(folder):
    (folder / "d.txt").write_text("instruction\toutput\na\tb\n")
    with pytest.raises(DataError, match="neither an array nor an object") as error:
        rows_of(folder / "d.txt")
    assert "ends in .csv or .tsv" in error.value.hint
