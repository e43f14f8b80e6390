"""Small files that unpack to very much are refused while they are read; what is long for good reasons is read."""

import gzip
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_damage import arrow_bytes, read_all, refused, save_arrow, zst

from selectit.data import blocks, json_text, layouts, read, samples, sources, tables, turns, unpacking
from selectit.data.fields import RowError
from selectit.data.records import Turn
from selectit.errors import DataError

MB = 1 << 20


def long_record(megabytes):
    yield b'{"instruction": "q", "output": "'
    yield from itertools.repeat(b"x" * MB, megabytes)
    yield b'"}\n'


def long_line_of_blanks(megabytes):
    yield b'{"instruction": "q",'
    yield from itertools.repeat(b" " * MB, megabytes)
    yield b'"output": "x"}\n'


def peak_of_reading(path, most=unpacking.MOST):
    """(message, MB) of a process of its own that reads the file and may take `most` bytes to unpack some rows."""
    code = (
        "import resource, sys\n"
        "from selectit.data import read, sources, unpacking\n"
        "from selectit.errors import DataError\n"
        "unpacking.MOST = int(sys.argv[2])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n"
        "    with sources.open_source(sys.argv[1]) as source:\n"
        "        for _ in read.read_records(source, read.ReadReport()): pass\n"
        "except DataError as error:\n"
        "    print(error.message)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}  # the others reserve more than they need
    command = [sys.executable, "-c", code, str(path), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    *message, grown = done.stdout.splitlines()
    return "\n".join(message), int(grown) / 1024


def gz(folder, name, chunks):
    with gzip.open(folder / name, "wb", compresslevel=1) as file:
        for chunk in chunks:
            file.write(chunk)
    return folder / name


MAKERS = {
    "a string in zst": lambda f: zst(f, "d.jsonl.zst", long_record(600)),
    "a string in gz": lambda f: gz(f, "d.jsonl.gz", long_record(300)),
    "a string in an array": lambda f: zst(f, "d.json.zst", [b"[", *long_record(600), b"]"]),
    "blanks on a line": lambda f: gz(f, "d.jsonl.gz", long_line_of_blanks(300)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_record_without_end_is_refused_while_it_grows(folder, name):
    message, grown = peak_of_reading(MAKERS[name](folder))
    assert "longer than 32 MB" in message
    assert grown < 200


def repeated(rows, length):
    """A column whose rows all have one long text, which stands in a dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * length]))


def test_a_dictionary_of_one_long_text_is_refused_before_it_is_unpacked(folder):
    table = pa.table({"instruction": ["q"] * 20_000, "output": repeated(20_000, 7_900_000)})
    pq.write_table(table, "d.parquet", compression="zstd", store_schema=False)
    assert pq.read_schema("d.parquet").field("output").type == pa.string()
    save_arrow(folder / "set", arrow_bytes(table))
    for path in ("d.parquet", "set"):
        message, grown = peak_of_reading(path)
        assert "1,024 rows from row 0 on take 7,714 MB" in message
        assert grown < 200


def test_one_long_text_in_a_list_is_refused_before_it_is_unpacked(folder):
    messages = pa.StructArray.from_arrays(
        [pa.array(["user", "assistant"] * 500), repeated(1000, 7_900_000)], ["role", "content"]
    )
    table = pa.table({"messages": pa.ListArray.from_arrays(pa.array([0, 1000], pa.int32()), messages)})
    pq.write_table(table, "d.parquet", compression="zstd", store_schema=False)
    message, grown = peak_of_reading("d.parquet")
    assert "unpacked" in message and grown < 200


def plain_texts():
    return pa.table({"instruction": ["q"] * 100, "output": ["x"] * 50 + ["x" * 4_000_000] * 50})


def save_packed(folder, options):
    file = pa.BufferOutputStream()
    with pa.ipc.new_stream(file, plain_texts().schema, options=pa.ipc.IpcWriteOptions(compression=options)) as out:
        out.write_table(plain_texts())
    return save_arrow(folder / "set", file.getvalue().to_pybytes())


def save_plain(folder, encoding):
    coded = {} if encoding is None else {"column_encoding": dict.fromkeys(("instruction", "output"), encoding)}
    pq.write_table(
        plain_texts(), "d.parquet", compression="zstd", use_dictionary=False, data_page_size=1 << 30, **coded
    )
    return "d.parquet"


def save_fixed(folder, use_dictionary):
    wide = pa.array([bytes(2_000_000)] * 100, pa.binary(2_000_000))
    table = pa.table({"instruction": ["q"] * 100, "output": ["a"] * 100, "wide": wide})
    pq.write_table(table, "d.parquet", compression="zstd", use_dictionary=use_dictionary)
    return "d.parquet"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process may take")
@pytest.mark.parametrize(
    ("save", "how"),
    [
        (save_packed, "zstd"), (save_packed, "lz4"), (save_plain, None), (save_plain, "DELTA_BYTE_ARRAY"),
        (save_fixed, True), (save_fixed, False),
    ],
)  # fmt: skip
def test_what_is_unpacked_whole_is_refused_while_it_is_unpacked(folder, save, how):
    message, grown = peak_of_reading(save(folder, how), 100 * MB)
    assert "takes more than 100 MB when some of its rows are unpacked" in message
    assert grown < 200


def test_the_limit_is_gone_afterwards():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(DataError, match="d.parquet takes more than"), unpacking.limited("d.parquet"):
        bytearray(2 * unpacking.MOST)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_texts_that_share_their_beginnings_are_read(folder):
    made = pa.table(
        {"instruction": [f"Question {n}?" for n in range(3000)], "output": [f"answer {n}" * 9 for n in range(3000)]}
        | {"more": [["a", f"ab{n}"] for n in range(3000)]}
    )
    encodings = dict.fromkeys(("instruction", "output", "more.list.element"), "DELTA_BYTE_ARRAY")
    pq.write_table(made, "d.parquet", use_dictionary=False, column_encoding=encodings)
    assert [record.raw.as_py() for record in read_all("d.parquet")] == made.to_pylist()


def test_views_and_runs_count_what_they_show(folder):
    text = "x" * 4_000_000
    runs = pa.RunEndEncodedArray.from_arrays([1000], [text])
    view = pa.array([text], pa.string_view()).cast(pa.string_view())
    raw = view.buffers()
    many = pa.Array.from_buffers(pa.string_view(), 1000, [None, pa.py_buffer(raw[1].to_pybytes() * 1000), *raw[2:]])
    for column in (runs, many):
        save_arrow(folder / "set", arrow_bytes(pa.table({"instruction": ["q"] * 1000, "output": column})))
        assert "1,000 rows from row 0 on take" in refused(folder / "set")


@pytest.mark.parametrize("more", [{}, {"dictionary_pagesize_limit": 60}, {"use_dictionary": ["instruction"]}])
def test_a_bulky_dictionary_that_fits_is_read_as_it_is(folder, monkeypatch, more):
    monkeypatch.setattr(tables, "_MAX_REPEATED", 10)
    monkeypatch.setattr(tables, "_MAX_UNPACKED", 100_000)
    monkeypatch.setattr(tables, "_BATCH", 4)
    made = pa.table(
        {
            "instruction": [f"Question {n}?" for n in range(41)],
            "conversations": [
                [{"from": "human", "value": f"{n} {'long ' * 9}"}, {"from": "gpt", "value": "word " * n + "."}]
                for n in range(41)
            ],
            "picture": [{"bytes": b"\xff" * n, "path": None} for n in range(41)],
        }
    )
    pq.write_table(made, "d.parquet", row_group_size=15, write_batch_size=2, **more)
    own, packed = pq.ParquetFile, []
    monkeypatch.setattr(pq, "ParquetFile", lambda *a, **b: packed.append(b.get("read_dictionary")) or own(*a, **b))
    parts = tables.read_parts("d.parquet", "parquet", pq.read_schema("d.parquet"))
    found = [item for part in parts for item in part.items()]
    assert ["conversations.list.element.value"] in packed
    assert [item.raw.as_py() for item in found] == made.to_pylist()
    assert {item.raw.type for item in found} == {pa.struct(list(pq.read_schema("d.parquet")))}


def test_many_long_rows_are_refused_before_they_fill_the_memory(folder, monkeypatch):
    monkeypatch.setattr(read, "_MAX_TOGETHER", 50_000)
    monkeypatch.setattr(read, "_TOGETHER", 8)
    row = json.dumps({"instruction": "q", "output": "x" * 6_000}) + "\n"
    (folder / "d.jsonl").write_text(row * 100)
    assert "line 5: 5 rows up to this one" in refused(folder / "d.jsonl")
    monkeypatch.setattr(read, "_MAX_TOGETHER", 8 * 2 * len(row))
    assert len(read_all(folder / "d.jsonl")) == 100


def test_a_long_line_is_left_out_and_the_next_is_read(folder, monkeypatch):
    monkeypatch.setattr(json_text, "MAX_RECORD", 200)
    monkeypatch.setattr(json_text, "CHUNK", 64)
    good = '{"instruction": "a", "output": "b"}'
    (folder / "d.jsonl").write_text("\n".join([good, f'{{"instruction": "a", "output": "{"x" * 1000}"}}', good]) + "\n")
    with sources.open_source("d.jsonl") as source:
        found = read.ReadReport()
        with open("rejected", "wb") as rejected:
            records = list(read.read_records(source, found, rejected=rejected))
    assert [record.row for record in records] == [0, 1]
    assert len(found.bad) == 1 and "line 2: it is longer than" in found.bad[0]


def test_deep_values_are_refused_by_row_and_long_numbers_are_read(folder):
    def row(inner):
        return f'{{"instruction": "a", "output": "b", "more": {inner}}}'

    for depth in (2_000, 600):
        (folder / "d.jsonl").write_text(row("[" * depth + "]" * depth))
        assert "nested too deeply" in refused(folder / "d.jsonl")
        (folder / "d.json").write_text(f"[{row('[' * depth + ']' * depth)}]")
        assert "nested too deeply" in refused(folder / "d.json")
    kept = [row("[" * 300 + "]" * 300), row("1" * 6000), row(json.dumps("[{" * 5000))]
    (folder / "d.jsonl").write_text("\n".join(kept))
    assert [record.raw for record in read_all(folder / "d.jsonl")] == kept


def test_many_keys_take_no_longer_than_their_number(folder):
    keys = ",".join(f'"k{n}":1' for n in range(100_000))
    (folder / "d.jsonl").write_text(f'{{"instruction":"q","output":"x",{keys},"k99999":2}}')
    began = time.process_time()
    assert "'k99999' stands twice" in refused(folder / "d.jsonl")
    assert time.process_time() - began < 5


def test_many_answers_are_refused_where_each_is_rated_and_read_where_one_is(folder):
    turns = [{"from": "gpt" if n % 2 else "human", "value": ""} for n in range(50_000)]
    (folder / "d.jsonl").write_text(json.dumps({"conversations": turns}))
    began = time.process_time()
    assert "25,000 answers" in refused(folder / "d.jsonl", which="each")
    assert time.process_time() - began < 5
    (record,) = read_all(folder / "d.jsonl")
    assert len(record.turns) == 50_000
    short = [Turn("user", "a"), Turn("assistant", "b")] * 1000
    samples.check_contexts(short, samples.rated_turns(short, "each"))
    long = [Turn("user", "a" * 400), Turn("assistant", "b")] * 1000
    with pytest.raises(RowError, match="--turns last"):
        samples.check_contexts(long, samples.rated_turns(long, "each"))


def test_messages_about_rows_are_short(folder):
    (folder / "d.jsonl").write_text(json.dumps({"x" * 100_000: 1}))
    assert len(refused(folder / "d.jsonl")) < 1000
    (folder / "d.jsonl").write_text(f'{{"instruction": "a", "output": "b", "{"k" * 90_000}": 1, "{"k" * 90_000}": 2}}')
    assert len(refused(folder / "d.jsonl")) < 1000


@pytest.mark.parametrize("path", ["a.²", "a.٣", "a." + "1" * 5000, "a.-1", "a.1"])
def test_a_place_that_no_list_has(folder, path):
    layout = layouts.parse_map(f"instruction={path},response=b")
    with pytest.raises(RowError, match="--map names the field"):
        turns.read_turns({"a": ["q"], "b": "x"}, layout)
    assert turns.read_turns({"a": ["q"], "b": "x"}, layouts.parse_map("instruction=a.0,response=b"))[0][0].text == "q"


def test_a_file_may_be_let_go_in_the_thread_that_reads_it(monkeypatch):
    held, readers, failed = threading.Event(), [], []

    def read(file):
        readers.append(threading.current_thread())
        if file.tell():
            held.wait()  # until the first block is out
            try:
                rows.close()
            except RuntimeError as error:
                failed.append(error)
        return file.readline()

    monkeypatch.setattr(blocks, "_read_lines", read)
    rows = blocks._line_blocks(io.BytesIO(b'{"a": 1}\n' * 3))
    next(rows)
    held.set()
    readers[0].join(10)
    assert not failed and not readers[0].is_alive()
