"""Rows that are read many at once are the rows that are read one by one, whatever is in them."""

import io
import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selectit.data import blocks, read, sources
from selectit.data.layouts import find_layout, parse_map
from selectit.data.plain_rows import plain_schema, read_plain
from selectit.errors import DataError

text = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z", "C", "S")), max_size=12)
value = st.one_of(
    text,
    st.sampled_from(["", " a\u3000b\x1fc ", "2024-01-01", "x\0y", "\U0001f600 é"]),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.lists(text | st.integers(), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.none() | text, max_size=2),
)
others = st.dictionaries(
    st.sampled_from(["id", "source", "system", "history", "images", "label", "kto_tag", "reasoning"]), value, max_size=2
)
usually = st.sampled_from(["human", "gpt", "user", "assistant", "system", "Human", "tool"])
message = st.one_of(
    st.fixed_dictionaries({"from": usually, "value": text}),
    st.fixed_dictionaries({"role": usually, "content": text}),
    st.fixed_dictionaries({"from": usually, "value": text}, optional={"weight": value, "role": value}),
)
talk = st.lists(message, max_size=4)
LAYOUTS = {
    "alpaca": st.fixed_dictionaries({"instruction": text, "output": text}, optional={"input": text}),
    "prompt-completion": st.fixed_dictionaries({"prompt": text, "completion": text}),
    "sharegpt": st.fixed_dictionaries({"conversations": talk}, optional={"messages": talk}),
    "messages": st.fixed_dictionaries({"messages": talk}),
    "instruction=a,input=b,response=c": st.fixed_dictionaries({"a": text, "c": text}, optional={"b": text}),
}


@st.composite
def rows(draw):
    name = draw(st.sampled_from(list(LAYOUTS)))
    odd = draw(st.booleans())
    row = st.builds(lambda base, more: base | more, LAYOUTS[name], others if odd else st.just({}))
    if odd and draw(st.booleans()):
        row = st.one_of(row, st.builds(lambda base, key, other: base | {key: other}, row, st.sampled_from("ac"), value))
    return name, draw(st.lists(row, min_size=1, max_size=5))


def read_both(path, layout, which="last"):
    """What both ways say: the records or the error, and what was found."""
    said = []
    for one_by_one in (True, False):
        found, rejected = read.ReadReport(), io.BytesIO()
        way = read.read_records if one_by_one else read.read_tables
        try:
            with sources.open_source(str(path)) as source:
                made = list(way(source, found, read.ReadSpec(layout=layout, which=which), rejected=rejected))
        except DataError as error:
            said.append(error.message)
            continue
        if one_by_one:
            raw = [each.raw if isinstance(each.raw, str) else each.raw.as_py() for each in made]
            turns = [[(turn.role, turn.text) for turn in each.turns] for each in made]
            records = [(each.row, each.digest, each.words, list(each.left_out)) for each in made]
        else:
            table = pa.concat_tables(made)
            raw = table["raw"].to_pylist()
            turns = [[(turn["role"], turn["text"]) for turn in each] for each in table["turns"].to_pylist()]
            names = ("row", "digest", "words", "left_out")
            records = list(zip(*(table[name].to_pylist() for name in names), strict=True))
        report = (found.rows, found.bad, found.read, +found.unread, found.parts, rejected.getvalue())
        said.append((records, turns, raw, report))
    return said


def as_layout(name):
    return parse_map(name) if "=" in name else find_layout(name)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows(), st.sampled_from(["last", "each", "first"]), st.booleans())
def test_the_rows_are_those_that_are_read_one_by_one(folder, made, which, escaped):
    name, records = made
    lines = [json.dumps(each, ensure_ascii=escaped) for each in records]
    (folder / "d.jsonl").write_bytes("\n".join(lines).encode(errors="surrogatepass") + b"\n")
    one_by_one, at_once = read_both(folder / "d.jsonl", as_layout(name), which)
    assert one_by_one == at_once


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows())
def test_the_rows_of_tables_are_those_that_are_read_one_by_one(folder, made):
    name, records = made
    try:
        table = pa.Table.from_pylist(records)
        pq.write_table(table, folder / "d.parquet")
    except (pa.ArrowException, ValueError, OverflowError):
        return  # not every record is a row of a table
    one_by_one, at_once = read_both(folder / "d.parquet", as_layout(name))
    assert one_by_one == at_once


@pytest.mark.parametrize(
    "line",
    [
        b'{"instruction": "a", "output": "b", "x": Inf}',
        b'{"instruction": "a", "output": "b", "x": -Infinity}',
        b'{"instruction": "a", "output": "b", "x": 1e999}',
        b'{"instruction": "a", "output": "b", "output": "c"}',
        b'{"instruction": "a", "output": "b", "x": {"y": 1, "y": null}}',
        b'{"instruction": "a", "output": "\xff"}',
        b'{"instruction": "a", "output": "b", "x": "\xed\xa0\x80"}',
        b'{"instruction": "a", "output": "\\ud800"}',
        b'{"instruction": "a", "output": "\\u0000"}',
        b'{"instruction": "a", "output": "tab\there"}',
        b'{"instruction": "a", "output": "b"} {"instruction": "a", "output": "b"}',
        b'{"instruction": "a", "output": "b", "x": ' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"instruction": "a", "output": "b"},',
        b'[{"instruction": "a", "output": "b"}]',
        b'{"instruction": 7, "output": "b"}',
        b'{"output": "b"}',
        b"null",
        b'\t {"instruction": "a", "output": "b"} \r',
        b"",
    ],
    ids=lambda line: line[:60].decode(errors="replace"),
)
def test_odd_lines_are_what_they_are_one_by_one(folder, line):
    good = b'{"instruction": "a", "input": "i", "output": "b"}'
    (folder / "d.jsonl").write_bytes(b"\n".join([good, line, good]) + b"\n")
    one_by_one, at_once = read_both(folder / "d.jsonl", find_layout("alpaca"))
    assert one_by_one == at_once


def test_a_line_longer_than_a_block_and_one_longer_than_a_record(folder, monkeypatch):
    monkeypatch.setattr("selectit.data.json_text.CHUNK", 64)
    monkeypatch.setattr("selectit.data.json_text.MAX_RECORD", 256)
    monkeypatch.setattr("selectit.data.blocks._MAX_LINE", 128)
    made = [{"instruction": "q", "output": "x" * size} for size in (1, 100, 20, 600, 3, 240, 5)]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, made)))
    one_by_one, at_once = read_both(folder / "d.jsonl", find_layout("alpaca"))
    assert one_by_one == at_once
    assert len(at_once[0]) == 5 and "line 4" in at_once[-1][1][0] and "line 6" in at_once[-1][1][1]


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_plain_rows_are_read_at_once(folder, name):
    records = {
        "alpaca": {"instruction": "i", "input": "", "output": "a b", "id": 3, "system": ""},
        "prompt-completion": {"prompt": "p", "completion": "a b", "source": "s"},
        "sharegpt": {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a b"}]},
        "messages": {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a b"}]},
    }.get(name, {"a": "q", "b": "x", "c": "a b"})
    layout = as_layout(name)
    (folder / "d.jsonl").write_text((json.dumps(records) + "\n") * 3)
    with sources.open_source("d.jsonl") as source:
        (block,) = blocks.read_blocks(source)
        columns = block.columns(plain_schema(layout))
    plain = read_plain(columns[0], layout, "last")
    assert plain.words.to_pylist() == [2, 2, 2]
    assert Counter(plain.unread) == Counter({key: 3 for key in ("id", "source") if key in records})


def test_rows_of_tables_with_more_text_than_is_read(folder, monkeypatch):
    monkeypatch.setattr("selectit.data.turns.MAX_CHARACTERS", 50)
    monkeypatch.setattr("selectit.data.plain_rows.MAX_CHARACTERS", 50)
    pq.write_table(pa.table({"instruction": ["a", "b", "c"], "output": ["é" * 26, "x" * 60, "d"]}), "d.parquet")
    one_by_one, at_once = read_both(folder / "d.parquet", find_layout("alpaca"))
    assert one_by_one == at_once
    assert one_by_one[-1][0] == 2 and len(one_by_one[-1][1]) == 1


def test_answers_that_repeat_more_text_than_is_read(folder, monkeypatch):
    monkeypatch.setattr("selectit.data.samples.MAX_CONTEXTS", 1000)
    monkeypatch.setattr("selectit.data.plain_rows.MAX_CONTEXTS", 1000)
    rows = [[{"from": "human", "value": "q"}, {"from": "gpt", "value": "x" * 20}] * times for times in (2, 20)]
    (folder / "d.jsonl").write_text("\n".join(json.dumps({"conversations": each}) for each in rows))
    for which, bad in (("each", 1), ("last", 0)):
        one_by_one, at_once = read_both(folder / "d.jsonl", find_layout("sharegpt"), which)
        assert one_by_one == at_once
        assert len(one_by_one[-1][1]) == bad


def test_a_column_without_a_name_is_no_input(folder):
    (folder / "d.csv").write_text(",prompt,completion\n0,What?,That.\n1,Who?,He.\n")
    one_by_one, at_once = read_both(folder / "d.csv", find_layout("prompt-completion"))
    assert one_by_one == at_once
    assert one_by_one[1][0] == [("user", "What?"), ("assistant", "That.")]


def test_an_empty_text_in_a_dictionary_is_nothing(folder):
    columns = {"instruction": ["a", "b"], "output": ["c", "d"], "tag": pa.array(["", "x"]).dictionary_encode()}
    pq.write_table(pa.table(columns), "d.parquet")
    one_by_one, at_once = read_both(folder / "d.parquet", find_layout("alpaca"))
    assert one_by_one == at_once
    assert one_by_one[-1][3] == {"tag": 1}


def test_seed_tasks_in_a_csv_file(folder):
    instances = json.dumps([{"input": "1 1", "output": "2"}]).replace('"', '""')
    (folder / "d.csv").write_text(f'instruction,instances\nAdd.,"{instances}"\n')
    one_by_one, at_once = read_both(folder / "d.csv", None)
    assert one_by_one == at_once
    assert one_by_one[1] == [[("user", "Add.\n1 1"), ("assistant", "2")]]
