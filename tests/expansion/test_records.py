"""New rows in the words of others: whatever fields their messages have."""

import pytest

from selectit.errors import DataError
from selectit.expansion.records import build_record

SAID = {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("like", "made"),
    [
        ([{"role": "user", "value": "q"}, SAID], {"role": "user", "value": "X"}),
        ([{"speaker": "user", "text": "q"}, SAID], {"speaker": "user", "text": "X"}),
        ([{"role": "user", "content": ["q"]}, SAID], {"role": "user", "content": ["X"]}),
        ([{"role": "user", "content": [{"text": "q"}]}, SAID], {"role": "user", "content": [{"text": "X"}]}),
        (
            [{"role": "user", "content": {"type": "text", "text": "q"}}, SAID],
            {"role": "user", "content": {"type": "text", "text": "X"}},
        ),
    ],
)
def test_a_new_row_has_the_fields_of_the_other(like, made):
    assert build_record("messages", {"messages": like}, "X", "Y") == {"messages": [made, SAID | {"content": "Y"}]}


@pytest.mark.parametrize(
    ("layout", "like"),
    [
        ("messages", {"messages": [{"human": "q", "assistant": "a"}] * 2}),
        ("messages", {"messages": '[{"role": "user"}]'}),
        ("oasst", {"prompt": {"role": "prompter", "text": "q", "replies": []}}),
    ],
)
def test_what_has_no_place_for_a_new_row_is_refused(layout, like):
    with pytest.raises(DataError):
        build_record(layout, like, "X", "Y")
