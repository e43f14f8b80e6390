"""Tables: Parquet files and folders of `datasets` come back with their schema, types and order."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import selectit
from selectit.config.settings import Settings
from selectit.data import write
from selectit.errors import DataError
from selectit.runs.run import open_run

ALL = {"method": "length", "keep": "100%", "order": "source", "force": True}

TABLE = pa.table(
    {
        "instruction": pa.array(["one", "two", "three"]),
        "input": pa.array(["x", None, ""]),
        "output": pa.array(["1", "2 2", "3 3 3"], pa.large_string()),
        "when": pa.array([1, 2, None], pa.timestamp("ns", tz="UTC")),
        "score": pa.array([1.5, None, 2.5], pa.float32()),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "nested": pa.array([{"n": 1, "l": [1, 2]}, None, {"n": 2, "l": []}]),
        "raw": pa.array([b"\x00\xff", b"", None]),
    }
).replace_schema_metadata({"from": "somewhere"})


def test_parquet_keeps_its_schema_and_types(folder):
    pq.write_table(TABLE, "data.parquet")
    selectit.select("data.parquet", Settings(run="run", out="all.parquet", **ALL))
    back = pq.read_table("all.parquet")
    assert back.equals(pq.read_table("data.parquet"))
    assert back.schema.metadata[b"from"] == b"somewhere"
    assert back.schema.equals(pq.read_table("data.parquet").schema, check_metadata=True)
    selectit.select(None, Settings(run="run", method="length", keep=2, out="two.parquet", with_scores=True))
    two = pq.read_table("two.parquet")
    assert two["instruction"].to_pylist() == ["three", "two"]
    assert two["selectit"].to_pylist() == [{"row": 2, "rank": 1, "score": 3.0}, {"row": 1, "rank": 2, "score": 2.0}]
    assert two.schema.field("when").type == pa.timestamp("ns", tz="UTC")
    assert open_run("run").samples(0, 3)[1].instruction == "two"  # a null input is none


def test_columns_without_a_type_stay_so(folder):
    made = pa.table(
        {
            "instruction": ["a", "b"],
            "output": ["one", "one two"],
            "input": pa.nulls(2),
            "meta": pa.array([{"left": None, "n": 1}, {"left": None, "n": 2}]),
            "tags": pa.array([[], [None]]),
        }
    )
    assert str(made.schema.field("tags").type) == "list<item: null>"
    pq.write_table(made, "data.parquet")
    selectit.select("data.parquet", Settings(run="run", method="length", keep=1, out="out.parquet"))
    found = pq.read_table("out.parquet")
    assert found.schema.equals(made.schema) and found.to_pylist() == made.slice(1).to_pylist()


@pytest.mark.parametrize("beside", [{}, {"nothing": pa.nulls(2)}])
def test_null_maps_and_null_lists_of_fixed_size_stay_null(folder, beside):
    words = {"instruction": ["a", "b"], "output": ["one", "one two"]}
    for name, column in {
        "map": pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string())),
        "fixed": pa.array([[1, 2], None], pa.list_(pa.float32(), 2)),
        "within": pa.array([{"m": [("a", "b")]}, {"m": None}], pa.struct({"m": pa.map_(pa.string(), pa.string())})),
    }.items():
        table = pa.table({**words, name: column, **beside})
        save_arrow(folder / name, table)
        selectit.select(folder / name, Settings(run=f"run-{name}", out=f"out-{name}", **ALL))
        stream = (folder / f"out-{name}" / write.ARROW_FILE).read_bytes()
        assert pa.ipc.open_stream(stream).read_all().equals(table)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_table_of_many_parts_and_groups_keeps_every_row_in_its_place(folder, monkeypatch, kind, small_parts):
    small_parts(4)
    monkeypatch.setattr(write, "GROUP_ROWS", 3)
    monkeypatch.setattr(write, "MOST_GROUPS", 5)
    table = pa.concat_tables([TABLE] * 7).append_column("n", pa.array(range(21)))
    kinds = pa.array([f"k{n % 8}" for n in range(21)]).dictionary_encode()  # each part has a dictionary of its own
    table = table.set_column(table.schema.get_field_index("kind"), "kind", kinds)
    table = table.append_column("inner", pa.StructArray.from_arrays([kinds], ["kind"]))
    if kind == "parquet":
        pq.write_table(table, "data")
    else:
        save_arrow(folder / "data", table)

    def chosen(name):
        path = folder / name / "data-00000-of-00001.arrow" if kind == "arrow" else folder / name
        return pa.ipc.open_stream(path.read_bytes()).read_all() if kind == "arrow" else pq.read_table(path)

    for keep in (4, 16, 21):
        settings = Settings(run="run", method="random", keep=keep, out="out", rest="rest", force=True)
        rows = selectit.select("data", settings).selection.rows
        out, rest = chosen("out"), chosen("rest")
        assert out.to_pylist() == table.take(pa.array(rows)).to_pylist()
        assert out.schema.equals(chosen("data").schema, check_metadata=True)
        left = [n for n in range(21) if n not in rows]
        assert rest.drop_columns("selectit").to_pylist() == table.take(pa.array(left, pa.int64())).to_pylist()
        assert [value["row"] for value in rest["selectit"].to_pylist()] == left
    selectit.select("data", Settings(run="run", method="random", keep=16, out="out", with_scores=True, force=True))
    assert [value["rank"] for value in chosen("out")["selectit"].to_pylist()] == list(range(1, 17))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_table_is_never_whole_in_memory(folder, kind):
    schema = pa.schema([("output", pa.string())])
    parts, length, text = 50, 4096, 200

    def source():
        for part in range(parts):
            texts = [f"{part * length + n:0{text}}" for n in range(length)]
            yield pa.table({"raw": pa.array([{"output": each} for each in texts], pa.struct(list(schema)))})

    rows = np.random.default_rng(0).permutation(parts * length)
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        with open("out", "wb") as file:
            write.write_table(file, kind, rows, source(), schema, None)
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < parts * length * text / 4
    back = pq.read_table("out") if kind == "parquet" else pa.ipc.open_stream(Path("out").read_bytes()).read_all()
    assert [int(each) for each in back["output"].to_pylist()] == rows.tolist()


def save_arrow(folder, table):
    """What `datasets` writes with save_to_disk."""
    folder.mkdir(parents=True)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text("{}")


def test_an_arrow_folder_comes_back_as_one(folder):
    save_arrow(folder / "saved", TABLE)
    selectit.select("saved", Settings(run="run", out="again", **ALL))
    with pa.memory_map("again/data-00000-of-00001.arrow") as file:
        assert pa.ipc.open_stream(file).read_all().equals(TABLE)
    selectit.select("again", Settings(run="run2", out="third", **ALL))
    with pytest.raises(Exception, match="holds something else"):
        selectit.select(None, Settings(run="run", method="length", keep=1, out="again"))


def test_a_folder_with_splits_asks_for_one(folder):
    for split in ("train", "test"):
        save_arrow(folder / "both" / split, TABLE)
    (folder / "both" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match="train, test"):
        selectit.select("both", Settings(**ALL))
    with pytest.raises(DataError, match="no split 'tst'"):
        selectit.select("both", Settings(split="tst", **ALL))
    assert selectit.select("both", Settings(split="test", **ALL)).summary.kept == 3


def test_datasets_loads_what_is_written(folder):
    import datasets

    made = datasets.Dataset.from_list(
        [{"instruction": "a", "output": "b c", "n": 1}, {"instruction": "d", "output": "e", "n": 2}]
    )
    made.save_to_disk("saved")
    selectit.select("saved", Settings(run="run", out="out", method="length", keep=2))
    assert datasets.load_from_disk("out").to_list() == made.to_list()
    selectit.select(None, Settings(run="run", out="scored", method="length", keep=1, with_scores=True))
    assert datasets.load_from_disk("scored").to_list()[0]["selectit"] == {"rank": 1, "row": 0, "score": 2.0}


UUIDS = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, None, b"1" * 16], pa.binary(16)))
UNUSUAL = {
    "text views": pa.array(["a", None, "a text too long to stand within its view"], pa.string_view()),
    "views of bytes": pa.array([b"a", None, b"\xff" * 20], pa.binary_view()),
    "views in lists": pa.array([["a"], None, []], pa.list_(pa.string_view())),
    "list views": pa.array([["a"], None, []], pa.list_view(pa.string())),
    "uuid": UUIDS,
    "uuid in a struct": pa.StructArray.from_arrays([UUIDS], ["x"]),
    "bool8": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8())),
    "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", None, "{}"])),
    "tensors": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2))
    ),
    "seconds beyond milliseconds": pa.array([10**17, None, -(10**17)], pa.timestamp("s")),
    "the same with a zone": pa.array([10**17, None, 5], pa.timestamp("s", "Europe/Berlin")),
    "date64": pa.array([0, None, 86_400_000], pa.date64()),
    "seconds of a day": pa.array([0, None, 86_399], pa.time32("s")),
    "intervals": pa.array([(1, 2, 3), None, (-4, 5, 6)], pa.month_day_nano_interval()),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int16()), ["a", None]),
    "dictionaries of numbers": pa.array([7, None, 7]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.int64())),
    "half floats": pa.array([1, None, 2], pa.float16()),
    "wide decimals": pa.array([1, None, 2], pa.decimal256(60, 2)),
}


@pytest.mark.parametrize("name", UNUSUAL)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns_of_every_type_come_back(folder, name, kind):
    table = pa.table({"instruction": ["a", "b", "c"], "output": ["one", "1 2", "1 2 3"], "more": UNUSUAL[name]})
    if kind == "arrow":
        save_arrow(folder / "data", table)
    else:
        try:
            pq.write_table(table, "data")
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            pytest.skip("no Parquet file holds it")
        table = pq.read_table("data")
    selectit.select("data", Settings(run="run", out="all", **ALL))
    selectit.select(None, Settings(run="run", method="length", keep=2, out="two", with_scores=True))

    def saved(path):
        return (
            pq.read_table(path)
            if kind == "parquet"
            else pa.ipc.open_stream((folder / path / write.ARROW_FILE).read_bytes()).read_all()
        )

    assert saved("all").equals(table) and saved("all").schema.equals(table.schema, check_metadata=True)
    assert saved("two")["more"].type == table["more"].type
    (more,) = table["more"].chunks
    assert saved("two")["more"].equals(pa.chunked_array([more.slice(2, 1), more.slice(1, 1)]))


TWICE = pa.StructArray.from_arrays([pa.array([1, 2, 3])] * 2, ["a", "a"])


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.UnionArray.from_sparse(pa.array([0, 0, 0], pa.int8()), [pa.array(["a", "b", "c"])]), "sparse_union"),
        (pa.array([{}, None, {}], pa.struct([])), "struct<>"),
        (TWICE, "struct<a: int64, a: int64>"),
    ],
)
def test_columns_that_can_not_be_kept_are_refused_by_name_before_anything_is_read(folder, column, says):
    table = pa.table({"instruction": ["a", "b", "c"], "output": ["1", "2", "3"], "n": [1, 2, 3], "more": column})
    save_arrow(folder / "data", table)
    with pytest.raises(DataError, match="the column 'more' can't be kept as it is, since its type is") as error:
        selectit.select("data", Settings(run="run", **ALL))
    assert says in error.value.message and not (folder / "run").exists()


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_two_columns_of_one_name_are_refused_by_name(folder, kind):
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], ["instruction", "output", "output"]
    )
    save_arrow(folder / "data", table) if kind == "arrow" else pq.write_table(table, "data")
    with pytest.raises(DataError, match="two columns with the name 'output'"):
        selectit.select("data", Settings(run="run", **ALL))


def test_a_column_that_the_kind_of_export_has_no_place_for_is_refused_by_name(folder):
    save_arrow(folder / "data", pa.table({"instruction": ["a"] * 3, "output": ["b"] * 3, "when": UNUSUAL["intervals"]}))
    selectit.select("data", Settings(run="run", method="length", keep=1, out="out"))
    with pytest.raises(DataError, match="the column 'when' can't be kept"):
        selectit.export("run", to="parquet", out="x.parquet")


def test_times_that_python_does_not_hold_may_stand_in_bad_rows(folder):
    far = pa.array([2**62, 2**62], pa.timestamp("us"))
    save_arrow(folder / "data", pa.table({"instruction": ["a", "b"], "output": ["x", None], "when": far}))
    done = selectit.select("data", Settings(run="run", bad_rows="skip", out="out", **ALL))
    assert done.summary.kept == 1
