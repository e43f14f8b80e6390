"""Lists of rows, right and wrong."""

import json
from pathlib import Path

import pytest

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
