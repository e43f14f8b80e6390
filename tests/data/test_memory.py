"""Data sets in memory: what is chosen comes back in the type, with the columns, order and values that it had."""

import dataclasses
import datetime
import itertools
import json
from pathlib import Path
from types import MappingProxyType

import datasets
import pandas
import polars
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import selectit
from selectit.data import memory
from selectit.errors import DataError, SettingsError

ROWS = [
    {"id": 7, "instruction": "one", "output": "a b c"},
    {"id": 8, "instruction": "two", "output": "a"},
    {"id": 9, "instruction": "three", "output": "a b"},
]
KINDS = {
    "Dataset": datasets.Dataset.from_list,
    "pyarrow": pa.Table.from_pylist,
    "pandas": pandas.DataFrame,
    "polars": polars.DataFrame,
    "list": list,
}

NUMBERS = itertools.count()


def choose(data, **more):
    return selectit.select(data, selectit.Settings(method="length", **{"keep": "2", "run": "r", **more}))


def records(data):
    """A data set of any of these types as a list of dicts."""
    if isinstance(data, pandas.DataFrame):
        return data.to_dict("records")
    return data.to_dicts() if isinstance(data, polars.DataFrame) else getattr(data, "to_pylist", lambda: list(data))()


@pytest.mark.parametrize("kind", KINDS)
def test_the_chosen_rows_come_back_in_their_own_type(folder, kind):
    data = KINDS[kind](ROWS)
    chosen = choose(data)
    assert type(chosen.data) is type(data) and chosen.out is None
    assert records(chosen.data) == [ROWS[0], ROWS[2]]
    assert not [each for each in Path().iterdir() if each.name != "r"]
    again = choose(data, keep="1", order="source")
    assert again.run == chosen.run and records(again.data) == [ROWS[0]]
    with pytest.raises(selectit.SelectitError, match="is the run of another source"):
        choose(KINDS[kind](ROWS[:2]))


def test_a_file_is_written_where_one_is_named(folder):
    choose(ROWS, out="o.jsonl", rest="rest.jsonl")
    assert [json.loads(line)["id"] for line in Path("o.jsonl").read_text().splitlines()] == [7, 9]
    assert json.loads(Path("rest.jsonl").read_text())["id"] == 8
    choose(pa.Table.from_pylist(ROWS), run="t", out="o.parquet")
    with pytest.raises(SettingsError, match="Parquet is written"):
        choose(pa.Table.from_pylist(ROWS), run="t", out="p.jsonl")


def test_other_verbs_take_it_too(folder):
    data = datasets.Dataset.from_list(ROWS)
    settings = selectit.Settings(model=("a",), engine="fake", run="r")
    assert selectit.rate(data, settings) == Path("r")
    assert selectit.plan(data, settings).rows == 3
    chosen = selectit.select(data, dataclasses.replace(settings, keep="1"))
    assert len(chosen.data) == 1


def test_an_iterator_is_read_once(folder):
    chosen = choose(row for row in ROWS)
    assert chosen.data == [ROWS[0], ROWS[2]] and chosen.data[0] is ROWS[0]


def test_conversations_without_a_name(folder):
    talks = [
        [{"role": "user", "content": "one"}, {"role": "assistant", "content": text}] for text in ("a", "a b c", "a b")
    ]
    assert choose(talks).data == [talks[1], talks[2]]
    Path("t.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    choose("t.jsonl", run="t", out="t.out.jsonl")
    choose(talks, out="r.out.jsonl")
    assert Path("r.out.jsonl").read_bytes() == Path("t.out.jsonl").read_bytes()


def test_records_become_json_once(folder, monkeypatch):
    written, as_line = [], memory._as_line
    monkeypatch.setattr(memory, "_as_line", lambda row, record: written.append(row) or as_line(row, record))
    choose(ROWS)
    assert written == [0, 1, 2]


def test_what_json_lacks_passes_through(folder):
    picture, when = object(), datetime.datetime(2026, 1, 2)
    data = [row | {"image": picture, "when": when, "set": {1}} for row in ROWS]
    chosen = choose(data)
    assert chosen.data == [data[0], data[2]]
    raw = [json.loads(text) for text in next(selectit.runs.run.open_run("r").source(["raw"]))["raw"].to_pylist()]
    assert raw[0]["image"] == "<builtins.object>" and raw[0]["when"] == "2026-01-02T00:00:00"


def test_splits(folder):
    train, test = datasets.Dataset.from_list(ROWS), datasets.Dataset.from_list(ROWS[:1])
    assert len(choose(datasets.DatasetDict(train=train, test=test)).data) == 2
    assert len(choose(datasets.DatasetDict(train=train, test=test), split="test", keep="1", run="s").data) == 1
    with pytest.raises(DataError, match="the data has the splits a, b"):
        choose(datasets.DatasetDict(a=train, b=test))
    with pytest.raises(DataError, match="no split 'dev'"):
        choose(datasets.DatasetDict(train=train), split="dev")
    with pytest.raises(DataError, match="no dictionary of splits"):
        choose(train, split="train")


def test_a_dataset_that_was_filtered_and_shuffled(folder):
    data = datasets.Dataset.from_list(ROWS * 3).shuffle(seed=1).filter(lambda row: row["id"] != 8)
    assert set(choose(data, keep="3").data["id"]) == {7}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ROWS[0], "the data is a dict, which is no data set"),
        (7, "the data is a int"),
        ([7], "record 0 is a int, and a dict belongs there"),
        ([[7]], "record 0 is a list, and a dict belongs there"),
        ([ROWS[0], {"instruction": "x"}], "record 1: the field 'output' is missing"),
        ([ROWS[0], {("a",): 1}], "record 1 can't be read"),
        ([], "data has no rows"),
        (polars.LazyFrame(ROWS), "holds no rows yet"),
    ],
    ids=str,
)
def test_what_is_no_data_set(folder, data, message):
    with pytest.raises(DataError, match=message):
        choose(data, keep="1")


def test_nothing_is_read_from_standard_input_that_is_data(folder):
    with pytest.raises(SettingsError, match="goes to a file"):
        selectit.expand(ROWS, settings=selectit.Settings(model=("a",), engine="fake"))


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
row = st.fixed_dictionaries({"instruction": text, "output": text})


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(made=st.data())
def test_all_rows_in_source_order_are_the_data(folder, kind, made):
    name = made.draw(st.sampled_from(["x", "source", "system_id"]))
    column = made.draw(st.sampled_from([st.integers(0, 9), text, st.floats(allow_nan=False)]))
    rows = made.draw(st.lists(st.builds(lambda row, x: row | {name: x}, row, column), min_size=1, max_size=4))
    data = KINDS[kind](rows)
    whole = choose(data, keep="100%", order="source", run=str(folder / str(next(NUMBERS))))
    if kind == "pandas":
        pandas.testing.assert_frame_equal(whole.data, data)
    else:
        assert records(whole.data) == records(data) == rows
        assert type(whole.data) is type(data)


def test_a_frame_of_objects_of_several_kinds(folder):
    """Its NaN are missing fields, as in a frame of one kind a column."""
    frame = pandas.DataFrame([{**ROWS[0], "input": float("nan"), "x": 1}, {**ROWS[1], "input": "i", "x": "a"}])
    assert choose(frame, keep="100%", order="source").data.equals(frame)


def test_columns_of_one_name_are_refused(folder):
    frame = pandas.concat([pandas.DataFrame(ROWS), pandas.DataFrame(ROWS)[["id"]]], axis=1)
    with pytest.raises(DataError, match="the data has two columns with the name 'id'"):
        choose(frame)


def test_records_that_are_no_dicts_but_mappings(folder):
    made = [MappingProxyType(row) for row in ROWS]
    assert choose(made, keep="100%", order="source").data == made
