"""Lists of rows, right and wrong."""

import json
from pathlib import Path

import pytest

import selectit
from selectit.config.settings import Settings
from selectit.errors import DataError
from selectit.runs import row_lists


@pytest.mark.parametrize("text", ["[3, 0, 2]", "3\n0\n\n2\n", " [ 3,0 ,2 ]"])
def test_numbers_in_their_order(folder, text):
    Path("rows").write_text(text)
    assert row_lists.by_number("rows") and row_lists.count("rows") == 3
    assert row_lists.digest("rows") == row_lists.digest("rows")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"1\n2\xff\n", "rows is damaged: 'utf-8' codec"),
        (b"[1, 2\xff]", "rows is damaged: 'utf-8' codec"),
        (b"1\n" + b"2" * 5000, "line 2: '222"),
        (b"[1, " + b"2" * 5000 + b"]", "too many digits"),
        (b"[1," + b"[" * 5000, "nested too deeply"),
        (b"[1, 2.5]", "entry 1: 2.5 is not a row number"),
        (b"[1, " + json.dumps("x" * 5000).encode() + b"]", "entry 1: 'xxx"),
        (b"1\nx", "line 2: 'x' is not a row number"),
        (b"[]", "names no rows"),
    ],
)
def test_what_is_no_list_of_rows(folder, content, says):
    Path("rows").write_bytes(content)
    with pytest.raises(DataError) as error:
        row_lists.count("rows")
    assert says in error.value.message and error.value.hint and len(error.value.message) < 300


TURNS = [[{"role": "user", "content": f"q{n}"}, {"role": "robot", "content": f"a{n}"}] for n in range(4)]
KINDS = {
    "a map": ([{"q": f"q{n}", "a": f"a{n}"} for n in range(4)], {"map": "instruction=q,response=a"}),
    "roles": ([{"messages": turns} for turns in TURNS], {"roles": ("robot=assistant",)}),
    "neither": ([{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(4)], {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_read_as_the_data_is_or_as_they_show(folder, kind):
    rows, how = KINDS[kind]
    Path("d.json").write_text(json.dumps(rows))
    Path("same.json").write_text(json.dumps([rows[2], rows[0]]))
    Path("other.json").write_text(json.dumps([{"instruction": "q3", "input": "", "output": "a3"}]))
    for file, found in (("same.json", [2, 0]), ("other.json", [3])):
        chosen = selectit.select("d.json", Settings(method="fixed", param={"file": file}, run="run", force=True, **how))
        assert chosen.selection.rows.tolist() == found


def test_records_that_can_be_read_in_neither_way(folder):
    Path("d.json").write_text(json.dumps(KINDS["neither"][0]))
    Path("list.json").write_text('[{"prompt": "q1"}]')
    with pytest.raises(
        DataError, match="list.json: 1 row of 1 can't be used\n  record 0: the field 'completion' is missing"
    ):
        selectit.select("d.json", Settings(method="fixed", param={"file": "list.json"}))
    Path("list.json").write_text("[]")
    with pytest.raises(DataError, match="list.json (names|has) no rows"):
        selectit.select("d.json", Settings(method="fixed", param={"file": "list.json"}))
