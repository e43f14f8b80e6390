"""Damaged and hostile files end in one message that names the file, whatever library found out."""

import csv
import errno
import gzip
import inspect
import json
import logging
import os
import struct
import threading
import tomllib
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selectit.data import read, sources
from selectit.data.damage import reading
from selectit.errors import DataError

ROWS = [{"instruction": f"Question {n}?", "output": " ".join(["word"] * (1 + n % 7))} for n in range(50)]
TEXT = json.dumps(ROWS).encode()


def read_all(path, which="last"):
    with sources.open_source(str(path)) as source:
        return list(read.read_records(source, read.ReadReport(), read.ReadSpec(which=which)))


def refused(path, which="last"):
    with pytest.raises(DataError) as error:
        read_all(path, which)
    assert error.value.hint
    return error.value.message


def raised_by_the_libraries():
    """An error of every class of csv, gzip, json, tomllib, zlib and pyarrow, and of those that pyarrow's docs name."""
    own = ("pyarrow", "_csv", "gzip", "json", "tomllib", "zlib")
    found = [
        each
        for module in (pa.lib, csv, gzip, json, tomllib, zlib)
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, Exception) and each.__module__.split(".")[0] in own
    ]
    known = {pa.ArrowInvalid, pa.ArrowKeyError, pa.ArrowMemoryError, pa.ArrowNotImplementedError}
    assert known | {csv.Error, gzip.BadGzipFile, json.JSONDecodeError, tomllib.TOMLDecodeError, zlib.error} <= set(
        found
    )
    return sorted({*found, pa.ArrowIOError, EOFError, OverflowError}, key=str)


@pytest.mark.parametrize("kind", raised_by_the_libraries(), ids=lambda kind: kind.__name__)
def test_every_exception_of_the_readers_libraries_is_a_message(kind):
    with pytest.raises(DataError, match="d.json is damaged: what it said") as error, reading("d.json"):
        raise kind("what it said\nand where in C++", *(("", 0) if kind is json.JSONDecodeError else ()))
    assert "C++" not in error.value.message and error.value.hint


def test_text_that_is_not_utf8_is_a_message():
    with pytest.raises(DataError, match="d.json is damaged: 'utf-8' codec"), reading("d.json"):
        b"\xff".decode()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EACCES])
def test_what_the_system_can_not_read_is_no_damage(number):
    with pytest.raises(DataError) as error, reading("d.json"):
        raise OSError(number, os.strerror(number))
    assert error.value.message == f"can't read d.json: {os.strerror(number)}" and error.value.hint


def test_a_bug_stays_one():
    with pytest.raises(KeyError), reading("d.json"):
        raise KeyError("a")


def zst(folder, name, chunks):
    with pa.CompressedOutputStream(pa.OSFile(str(folder / name), "wb"), "zstd") as file:
        for chunk in chunks:
            file.write(chunk)
    return folder / name


def test_compressed_files_that_are_cut_or_changed(folder):
    packed = gzip.compress(TEXT)
    whole = zst(folder, "whole.json.zst", [TEXT]).read_bytes()
    for name, content in {
        "changed.json.gz": packed[:60] + b"\xff\xff\xff" + packed[63:],
        "cut.json.gz": packed[:-40],
        "sum.json.gz": packed[:-8] + bytes(4) + packed[-4:],
        "cut.json.zst": whole[: len(whole) // 2],
        "changed.json.zst": whole[:20] + bytes([whole[20] ^ 255]) + whole[21:],
    }.items():
        (folder / name).write_bytes(content)
        assert f"{name} is damaged" in refused(folder / name)


def test_parquet_with_every_byte_changed_is_read_or_refused(folder):
    pq.write_table(pa.Table.from_pylist(ROWS[:3]), "d.parquet")
    content = (folder / "d.parquet").read_bytes()
    damaged = 0
    for place in range(4, len(content), 7):
        (folder / "d.parquet").write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            read_all("d.parquet")
        except DataError as error:
            damaged += "d.parquet" in error.message
    assert damaged > 50


def save_arrow(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "data.arrow").write_bytes(content)
    (folder / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    return folder


def arrow_bytes(table):
    file = pa.BufferOutputStream()
    with pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return file.getvalue().to_pybytes()


@pytest.mark.parametrize("offset", [2_000_000_000, 600, -5])
def test_a_wrong_offset_is_refused_before_memory_is_read_by_it(folder, offset):
    table = pa.table({"instruction": ["a", "b", "c"], "output": ["one", "one two", "three three three"]})
    content, right = arrow_bytes(table), struct.pack("<4i", 0, 3, 10, 27)
    assert content.count(right) == 1
    wrong = struct.pack("<4i", 0, 3, 10, offset)
    assert "is damaged" in refused(save_arrow(folder / "set", content.replace(right, wrong)))


def test_arrow_with_every_byte_changed_is_read_or_refused(folder):
    content = arrow_bytes(pa.Table.from_pylist(ROWS[:3]))
    refusals = 0
    for place in range(0, len(content), 3):
        path = save_arrow(folder / "set", content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        try:
            read_all(path)
        except DataError:
            refusals += 1
    assert refusals > 50


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("state.json", "[1, 2]", "it is not an object"),
        ("state.json", '{"_data_files": 3}', "not a list of files"),
        ("state.json", '{"_data_files": [3]}', "not a list of files"),
        ("state.json", '{"_data_files": [{}]}', "where names belong"),
        ("state.json", '{"_data_files": [{"filename": "../data.arrow"}]}', "not in this folder"),
        ("state.json", '{"_data_files": [{"filename": "/etc/passwd"}]}', "not in this folder"),
        ("state.json", "[" * 5000, "nested too deeply"),
        ("state.json", f'{{"a": {"1" * 5000}}}', "too many digits"),
        ("state.json", b"\xff", "is damaged"),
        ("dataset_dict.json", '{"splits": 3}', "where names belong"),
        ("dataset_dict.json", '{"splits": ["..", "a"]}', "not in this folder"),
        ("dataset_dict.json", "null", "it is not an object"),
    ],
)
def test_what_describes_a_folder_may_be_anything(folder, name, content, says):
    save_arrow(folder / "set", arrow_bytes(pa.Table.from_pylist(ROWS)))
    (folder / "set" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(folder / "set")
    assert name in message and says in message


def test_files_of_one_folder_have_the_same_columns(folder):
    save_arrow(folder / "set", arrow_bytes(pa.Table.from_pylist(ROWS)))
    (folder / "set" / "more.arrow").write_bytes(arrow_bytes(pa.table({"instruction": ["a"], "output": [1]})))
    (folder / "set" / "state.json").write_text(
        '{"_data_files": [{"filename": "data.arrow"}, {"filename": "more.arrow"}]}'
    )
    assert "more.arrow has other columns" in refused(folder / "set")


def test_a_pipe_is_read_once_and_kept(folder):
    os.mkfifo("pipe.csv")
    writer = threading.Thread(target=Path("pipe.csv").write_text, args=("instruction,output\na,b\n",))
    writer.start()
    assert [record.turns[1].text for record in read_all("pipe.csv")] == ["b"]
    writer.join()


def test_a_pipe_that_nobody_writes_is_waited_for_with_a_note(folder, monkeypatch, caplog):
    os.mkfifo("pipe.csv")
    monkeypatch.setattr(sources, "_PATIENCE", 0.0)

    class Writer(logging.Handler):
        def emit(self, record):
            Path("pipe.csv").write_text("instruction,output\na,b\n")

    logger, writer = logging.getLogger("selectit.data.sources"), Writer()
    logger.addHandler(writer)
    try:
        with caplog.at_level("INFO"):
            assert len(read_all("pipe.csv")) == 1  # it is written when the note is
    finally:
        logger.removeHandler(writer)
    assert "waiting for pipe.csv, a pipe, to be written" in caplog.text


def test_a_git_lfs_pointer_is_named(folder):
    Path("d.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match="is a git-lfs pointer"):
        read_all("d.parquet")


def test_a_name_that_is_not_utf8_is_read(folder):
    path = os.fsencode(folder) + b"/caf\xe9.jsonl"
    with open(path, "wb") as file:
        file.write(b'{"instruction": "a", "output": "b"}\n')
    with sources.open_source(os.fsdecode(path)) as source:
        assert source.name.endswith("caf\ufffd.jsonl")
        (record,) = read.read_records(source, read.ReadReport())
    assert record.turns[1].text == "b"
