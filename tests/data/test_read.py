"""Reading: what is read is what is written, and every fault names its place."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selectit.data import json_text, layouts, read, sources, write
from selectit.errors import DataError


def read_all(path, limit=None, layout=None, which="last"):
    with sources.open_source(str(path)) as source:
        found = read.ReadReport()
        return source, list(read.read_records(source, found, read.ReadSpec(layout=layout, which=which, limit=limit)))


def write_all(source, records, path):
    with path.open("wb") as file:
        write.write_texts(file, source.written, source.indent, source.compression, (record.raw for record in records))


def write_file(folder, text, name="data.json"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder, text, name="data.json"):
    with pytest.raises(DataError) as error:
        read_all(write_file(folder, text, name))
    return str(error.value)


GOOD = '{"instruction": "a", "input": "b", "output": "c"}'


def test_the_input_is_joined_with_a_newline(folder):
    _, records = read_all(write_file(folder, f"[{GOOD}]"))
    assert [(turn.role, turn.text) for turn in records[0].turns] == [("user", "a\nb"), ("assistant", "c")]


def test_a_missing_or_empty_input_is_left_out(folder):
    text = '{"instruction": "a", "output": "c"}\n{"instruction": "a", "input": "", "output": "c"}'
    _, records = read_all(write_file(folder, text))
    assert records[0].turns == records[1].turns
    assert records[0].digest == records[1].digest


def test_raw_text_survives_to_the_last_digit(folder):
    raw = (
        '{"output": "c", "instruction": "a", "n": 1.50e+2, "big": 12345678901234567890.10, "x": {"b": [1,  2], "a": 0}}'
    )
    for name, text in (("a.json", f"[\n  {raw},\n  {raw}\n]"), ("a.jsonl", f"{raw}\n{raw}\n")):
        source, records = read_all(write_file(folder, text, name))
        assert [record.raw for record in records] == [raw, raw]
        write_all(source, records, folder / "out")
        assert (folder / "out").read_text().strip() == text.strip()


def test_integers_of_any_length(folder):
    _, records = read_all(write_file(folder, '[{"instruction": "a", "output": "c", "n": ' + "7" * 5000 + "}]"))
    assert "7" * 5000 in records[0].raw


def test_byte_order_mark_blank_lines_and_limit(folder):
    path = write_file(folder, b"\xef\xbb\xbf\n" + GOOD.encode() + b"\n\n  \n" + GOOD.encode() + b"\n", "a.jsonl")
    source, records = read_all(path)
    assert [record.row for record in records] == [0, 1]
    assert len(read_all(path, limit=1)[1]) == 1
    array = write_file(folder, b"\xef\xbb\xbf[" + GOOD.encode() + b"]")
    assert len(read_all(array)[1]) == 1


def test_what_stands_behind_the_limit_may_be_broken(folder):
    path = write_file(folder, f"[{GOOD}, {GOOD}, oops]")
    assert len(read_all(path, limit=2)[1]) == 2
    with pytest.raises(DataError, match="oops|Expecting"):
        read_all(path)


def test_windows_of_any_size_read_the_same(folder, monkeypatch):
    rows = [{"instruction": "ä€😀\\u0041" * n, "output": '"]},{[\\' * n, "n": [1.5, None, True]} for n in range(1, 30)]
    path = write_file(folder, json.dumps(rows, ensure_ascii=False, indent=1))
    expected = [record.raw for record in read_all(path)[1]]
    assert [json.loads(raw) for raw in expected] == rows
    for size in (1, 2, 3, 7, 100):
        monkeypatch.setattr(json_text, "CHUNK", size)
        assert [record.raw for record in read_all(path)[1]] == expected


FAULTS = [
    ("", "is empty"),
    ("  \n", "is empty"),
    ("hello", "starts with 'hello', which is neither an array nor an object"),
    (b"PK\3\4" + bytes(30), "is a ZIP archive"),
    ("[]", "has no rows"),
    ("\xff\xfe[".encode("latin1"), "UTF-16"),
    (f"[{GOOD}, {GOOD}", "record 2: the JSON is broken: the file ends before ','"),
    (f"[{GOOD}, {GOOD}, {GOOD[:20]}", "record 2: the JSON is broken: the file ends inside a record"),
    (f"[{GOOD}, {GOOD}, {{broken}}]", "record 2: the JSON is broken: Expecting property name"),
    (f"[{GOOD} {GOOD}]", "record 1: the JSON is broken: ',' belongs here"),
    (f"[\n{GOOD},\n{GOOD[:20]}", "line 3"),
    (f"[\n{GOOD}\n{GOOD}\n]", "line 3: the JSON is broken: ',' belongs here"),
    (f"[{GOOD}] x", "something follows"),
    (f"[\n{GOOD},\n\n]", "line 4: the JSON is broken: Expecting value"),
    (b'[\n{"instruction": "caf\xe9", "output": "c"}]', "line 2: the byte 0xe9 is not UTF-8"),
    (b'{"instruction": "a", "output": "c"}\n{"instruction": "caf\xe9", "output": "c"}', "line 2: the byte 0xe9"),
    (f"{GOOD}\n{{broken\n{GOOD}", "line 2: not one whole JSON value"),
    (f"{GOOD}\n[1]\n", "line 2: it is a list"),
    (f"[{GOOD},\n 7]", "line 2: it is a number"),
    (f'[{GOOD}, {{"instruction": "a"}}]\n', "record 1: the field 'output' is missing"),
    (f'{GOOD} {{"instruction": "a"}}', "record 1: the field 'output' is missing"),
    (f'[{GOOD},\n {{"instruction": "a"}}]', "line 2: the field 'output' is missing"),
    ('[{"instruction": null, "output": "c"}]', "'instruction' is null"),
    ('[{"instruction": 3, "output": "c"}]', "'instruction' is a number"),
    ('[{"instruction": "a", "output": ["c"]}]', "'output' is a list"),
    ('[{"instruction": "a", "instruction": "b", "output": "c"}]', "'instruction' stands twice"),
    ('{"instruction": "a", "output": "c", "x": {"y": 1, "y": 2}}', "'y' stands twice"),
    ('[{"instruction": "\\ud83d", "output": "c"}]', "half of a surrogate pair"),
    ('[{"text": "a", "label": 1}]', "the layout is unknown: the keys are 'text', 'label'"),
]


@pytest.mark.parametrize(("text", "says"), FAULTS)
def test_faults_name_their_place(folder, text, says):
    message = refused(folder, text)
    assert says in message
    assert "data.json" in message


def test_all_bad_rows_are_counted_and_ten_listed(folder):
    message = refused(folder, "\n".join([GOOD] + ['{"instruction": "a"}'] * 25))
    assert "25 rows of 26 can't be used" in message
    assert message.count("'output' is missing") == 10
    assert "and 15 more" in message


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
READ = {*layouts.read_as(layouts.Layout("alpaca")), "kto_tag", "conversations", "messages", "selectit"}
"""What would make other rows of them: Hypothesis draws words of the source too."""
alpaca = st.builds(
    lambda extra, instruction, output: {**extra, "instruction": instruction, "output": output},
    st.dictionaries(text.filter(lambda key: key not in READ), values, max_size=3),
    text,
    text,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(alpaca, min_size=1, max_size=4), st.sampled_from([None, 2]), st.booleans())
def test_writing_everything_gives_back_the_data(folder, rows, indent, ascii_only):
    array = write_file(folder, json.dumps(rows, indent=indent, ensure_ascii=ascii_only))
    lines = write_file(folder, "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows), "data.jsonl")
    for path in (array, lines):
        source, records = read_all(path)
        write_all(source, records, folder / "out")
        again = (folder / "out").read_text()
        parsed = json.loads(again) if path is array else [json.loads(line) for line in again.split("\n") if line]
        assert parsed == rows
        assert [list(row) for row in parsed] == [list(row) for row in rows]
        for record in records:
            with_field = json.loads(write.add_field(record.raw, {"row": 1}))
            assert with_field == {**json.loads(record.raw), "selectit": {"row": 1}}
