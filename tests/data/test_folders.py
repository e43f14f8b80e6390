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


def test_runs_in_a_folder_are_no_data(folder):
    fill(folder / "d", "a.jsonl", "runs/one/manifest.json", "runs/one/source/part.jsonl")
    found, source = rows_of(folder / "d")
    assert found == ["a.jsonl"]
    assert source.left_out == ("runs/one (a run directory)",)
    with pytest.raises(DataError, match=r"one is a run directory, and no data set\n.*--run"):
        rows_of(folder / "d/runs/one")


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


def test_a_pattern_matches_the_files_of_one_split(folder, caplog):
    names = ("train-1.jsonl", "held-out.jsonl", "x.jsonl", "testset.jsonl", "stats.json")
    fill(folder / "test" / "d", *names)
    found, source = rows_of(folder / "test" / "d" / "*")
    assert found == ["train-1.jsonl", "x.jsonl"]
    assert [each.rpartition("/")[2] for each in source.left_out] == [
        "held-out.jsonl (split test)", "stats.json (says what other files are)", "testset.jsonl (split test)",
    ]  # fmt: skip
    found, source = rows_of(folder / "test" / "d" / "t*.jsonl", "test")
    assert (found, len(source.left_out)) == (["testset.jsonl"], 1)
    assert not caplog.records
    with caplog.at_level("INFO"), sources.open_source([str(folder / "test" / "d" / name) for name in names[:2]]):
        assert "the names tell the splits test, train" in caplog.text


def test_a_file_whose_name_tells_no_split_is_named_as_that(folder):
    fill(folder / "d", "test.jsonl", "x.jsonl")
    assert rows_of(folder / "d", "test")[1].left_out == ("x.jsonl (its name tells no split)",)


def test_a_part_of_a_name_is_no_ending(folder):
    fill(folder, "v1.5-data", "v1.5.jsonl")
    assert [rows_of(folder / name)[1].suffix for name in ("v1.5-data", "v1.5.jsonl")] == [".jsonl", ".jsonl"]


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


def test_times_and_bytes_beside_the_words_of_a_message_are_kept(folder):
    said = [{"role": "user", "content": "q", "at": datetime.datetime(2024, 1, 2), "raw": b"x"}]
    said += [{"role": "assistant", "content": "a", "at": None, "raw": None}]
    table = pa.table({"conversation": [said], "made": [datetime.date(2024, 1, 2)], "raw": [b"\xff"], "n": [1]})
    pq.write_table(table, folder / "a.parquet")
    found = read.ReadReport()
    with sources.open_source(str(folder / "a.parquet")) as source:
        (record,) = read.read_records(source, found)
    assert [turn.text for turn in record.turns] == ["q", "a"]
    assert set(found.unread) == {"conversation.at", "made", "raw", "n"}
    pq.write_table(pa.table({"instruction": [b"i"], "output": ["o"]}), folder / "b.parquet")
    with pytest.raises(DataError, match="'instruction' is of type binary, and a text belongs there"):
        rows_of(folder / "b.parquet")


def test_columns_that_are_not_read_are_counted_at_once_and_one_by_one(folder):
    times = pa.array([1, None], pa.timestamp("us"))
    table = pa.table({"instruction": ["i", "j"], "output": ["o", "p"], "when": times, "raw": [b"", None]})
    for name, made in (("a", table), ("b", table.append_column("system", pa.array(["", "s"])))):
        pq.write_table(made, folder / f"{name}.parquet")
        found = read.ReadReport()
        with sources.open_source(str(folder / f"{name}.parquet")) as source:
            assert sum(len(each) for each in read.read_tables(source, found)) == 2
        assert found.unread == {"when": 1, "raw": 1}


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
