"""Examples of a target: every layout, and questions alone."""

import json
from pathlib import Path

import pytest

from selectit.data import examples, layouts
from selectit.data.examples import Example, read_target
from selectit.errors import DataError

PAIR = ("Two and two?", "Four.")


def write(*records, name="sums.jsonl"):
    Path(name).write_text("".join(json.dumps(each) + "\n" for each in records))
    return name


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": PAIR[0], "output": PAIR[1]},
        {"prompt": PAIR[0], "completion": PAIR[1]},
        {"question": PAIR[0], "answer": PAIR[1]},
        {"messages": [{"role": "user", "content": PAIR[0]}, {"role": "assistant", "content": PAIR[1]}]},
        {"conversations": [{"from": "human", "value": PAIR[0]}, {"from": "gpt", "value": PAIR[1]}]},
    ],
)
def test_pairs(record):
    assert read_target([write(record)]) == (Example(*PAIR, "", "sums"),)


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": PAIR[0]},
        {"instruction": PAIR[0], "output": None},
        {"prompt": PAIR[0]},
        {"question": PAIR[0]},
        {"messages": [{"role": "user", "content": PAIR[0]}]},
        {"conversations": [{"from": "human", "value": PAIR[0]}]},
    ],
)
def test_questions_alone(record):
    assert read_target([write(record)]) == (Example(PAIR[0], "", "", "sums"),)


def test_an_input_stands_apart_and_at_the_end():
    (found,) = read_target([write({"instruction": "Translate.", "input": "Haus", "output": "house"})])
    assert (found.instruction, found.input, found.response) == ("Translate.\nHaus", "Haus", "house")


@pytest.mark.parametrize(
    "record",
    [
        {"instruction": "When?", "context": "Founded in 1931.", "response": "In 1931."},
        {"system_prompt": "Rhyme.", "question": "A bird?", "response": "A wren."},
        {"prompt": "How many?", "context": "Two birds."},
        {"question": "When?", "context": "Founded in 1931.", "answer": "In 1931."},
    ],
)
def test_a_part_that_no_layout_reads_is_not_dropped(record):
    with pytest.raises(DataError, match="line 1: ") as error:
        read_target([write(record)])
    assert "--map does not count here" in error.value.hint


def test_the_question_of_a_preference_stays_as_it_is():
    said, chosen = [{"from": "human", "value": "A bird?"}], {"from": "gpt", "value": "A wren."}
    record = {"conversations": said, "chosen": chosen, "rejected": {"from": "gpt", "value": "Dunno."}}
    assert read_target([write(record)]) == (Example("A bird?", "A wren.", "", "sums"),)


def test_groups_by_file_or_field():
    record = {"prompt": "a", "completion": "b", "about": {"task": "dates"}}
    files = [write(record), write(record, name="other.jsonl")]
    assert [each.group for each in read_target(files)] == ["sums", "other"]
    assert [each.group for each in read_target(files, "about.task")] == ["dates", "dates"]
    with pytest.raises(DataError, match="sums.jsonl, line 1: there is no field 'abuot'") as error:
        read_target(files, "abuot")
    assert "about" in error.value.hint


def test_what_can_t_be_read(monkeypatch):
    with pytest.raises(DataError, match=r"sums.jsonl, line 2: the layout is unknown"):
        read_target([write({"prompt": "a"}, {"text": "b"})])
    with pytest.raises(DataError, match=r"line 1: "):
        read_target([write({"prompt": 3})])
    Path("none.json").write_text("[]")
    with pytest.raises(DataError, match="no rows"):
        read_target(["none.json"])
    monkeypatch.setattr(examples, "MOST", 1)
    with pytest.raises(DataError, match="2 examples, and the limit is 1"):
        read_target([write({"prompt": "a"}, {"prompt": "b"})])


def test_a_speaker_of_ones_own_is_known_in_examples_too(folder):
    said = [{"from": "boss", "value": "Why?"}]
    rows = [{"conversations": said}, {"conversations": [*said, {"from": "laguna", "value": "So."}]}]
    (folder / "t.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="unknown role"):
        read_target(["t.json"])
    found = read_target(["t.json"], roles=layouts.parse_roles(["boss=user,laguna=assistant"]))
    assert [(each.instruction, each.response) for each in found] == [("Why?", ""), ("Why?", "So.")]
