"""New rows by a generator: what is asked, what is written in each layout, resuming, rows that fail, refusals."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fakecalls
import selectit
from commandline import run as command
from selectit.config.settings import Settings
from selectit.data import write
from selectit.errors import DataError, EngineError, RunError, SettingsError
from selectit.expansion import styles as expansion_styles
from selectit.expansion.expand import FailedRow
from selectit.runs.run import open_run
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_UNFINISHED
from selectit.signals.judgements import Reply
from stub_server import serving

FAKE = Settings(engine="fake", model="m", run="run")
ANSWERS = {style.answer.text: style.name for style in expansion_styles.load_styles(["reasoning"], 9)}
STYLE_OF = {style.rewrite.text: style.name for style in expansion_styles.load_styles(expansion_styles.STYLES, 9)}


def say(question, sample):
    """A rewriting says its style and what of; a response what it answers."""
    if question.text in STYLE_OF:
        return Reply(f"\n{STYLE_OF[question.text]} of {sample.instruction}\n")
    return Reply(f" To {sample.instruction}{' by steps' * (question.text in ANSWERS)} ")


@pytest.fixture
def calls(monkeypatch):
    return fakecalls.replied(monkeypatch, say)


def new_rows(rows, styles=expansion_styles.STYLES):
    """What `say` makes of Alpaca rows, those with one question and an answer, of equal ones the first."""
    return [
        {
            "instruction": f"{style} of {row['instruction']}",
            **({"input": ""} if "input" in row else {}),
            "output": f"To {style} of {row['instruction']}{' by steps' * (style == 'reasoning')}",
            "expanded_from": place,
            "expansion_style": style,
        }
        for place, row in enumerate(rows)
        if row not in rows[:place]
        for style in styles
    ]


def turns_of(path, run):
    """The turns that selectit reads from a file."""
    selectit.select(path, Settings(run=run, method="full", out=f"{run}.out"))
    return stored_turns(run)


def stored_turns(run):
    found = [turns for part in open_run(run).source(["turns"]) for turns in part["turns"].to_pylist()]
    return [[(turn["role"], turn["text"]) for turn in turns] for turns in found]


def test_the_data_as_it_was_and_the_new_rows(data, rows, calls):
    done = selectit.expand(data, FAKE)
    assert done.out == Path("data.expanded.json")
    assert done.out.read_text().startswith(data.read_text().rstrip().removesuffix("]").rstrip() + ",\n  {\n    ")
    written = json.loads(done.out.read_text())
    assert written == rows + new_rows(rows)
    assert (done.rows, done.rewritten, done.left_alone) == (12, 11, {"the same question as an earlier row": 1})
    assert (done.added, done.not_made) == (dict.fromkeys(expansion_styles.STYLES, 11), ())
    assert [question in STYLE_OF for (question, _), *_ in calls] == [True] * 3 + [False] * 3
    assert done.seconds == sum(t["seconds"] for run in _runs() for t in run.timing().values())
    again = selectit.expand(None, FAKE)  # from the run, without the data: nothing is asked again
    assert len(calls) == 6 and dataclasses.replace(again, seconds=done.seconds) == done


def _runs():
    return [
        open_run(path.parent) for path in Path("run/expansions").rglob("manifest.json") if path.parent.name == "run"
    ]


def test_another_style_asks_only_about_itself(data, rows, calls):
    selectit.expand(data, dataclasses.replace(FAKE, out="a.json"), ["depth"])
    assert len(calls) == 2
    done = selectit.expand(data, dataclasses.replace(FAKE, out="b.json"), ["breadth", "depth"])
    assert len(calls) == 4
    assert json.loads(done.out.read_text())[12:] == new_rows(rows, ["breadth", "depth"])


def test_an_interrupted_expansion_goes_on(data, calls):
    settings = dataclasses.replace(FAKE, unit_size=4)
    whole = selectit.expand(data, dataclasses.replace(settings, run="whole", out="whole.json"))
    everything, before = [text for call in calls for text in call], len(calls)
    assert before == 3 * 3 + 3 * 3  # three units a style, of rewritings and of responses
    calls.clear()
    for stop in (0, 1, 5, 10, 17):
        calls.stop_at = stop
        with pytest.raises(KeyboardInterrupt):
            selectit.expand(data, settings)
        assert len(calls) == stop and not Path("data.expanded.json").exists()
    calls.stop_at = None
    done = selectit.expand(data, settings)
    asked = [text for call in calls for text in call]
    assert sorted(asked) == sorted(everything) and len(set(asked)) == len(asked)
    assert done.out.read_bytes() == whole.out.read_bytes()


def test_the_size_of_units_is_the_stored_one(data, calls):
    in_units_of = {size: dataclasses.replace(FAKE, unit_size=size, out=f"{size}.json") for size in (None, 4, 32)}
    selectit.expand(data, in_units_of[4], ["depth"])
    assert len(calls) == 3 + 3
    selectit.expand(data, in_units_of[None], ["depth"])
    assert len(calls) == 6
    selectit.expand(data, in_units_of[32], ["depth"])  # another one is typed: asked anew
    assert len(calls) == 6 + 2
    selectit.expand(data, in_units_of[None], ["depth"])
    assert len(calls) == 8


def test_rows_that_fail_add_nothing_and_are_named(data, rows, monkeypatch):
    def faulty(question, sample):
        wrong = {
            ("depth", "Question 1?"): Reply(None, "the server answers 400: filtered"),
            ("depth", "Question 2?"): Reply(" \n"),
            ("depth", "Question 4?"): Reply("Why", flags=FLAG_UNFINISHED),
            ("depth", "Question 5?"): Reply("question  5?\n"),
            ("depth", "Question 6?"): Reply("a\0b"),
            ("breadth", "Question 7?"): Reply(None, "the question has 9 tokens", FLAG_NO_ROOM),
            ("", "breadth of Question 8?"): Reply("It is", flags=FLAG_UNFINISHED),
            ("", "breadth of Question 9?"): Reply(""),
        }
        return wrong.get((STYLE_OF.get(question.text, ""), sample.instruction)) or say(question, sample)

    calls = fakecalls.replied(monkeypatch, faulty)
    done = selectit.expand(data, FAKE, ["depth", "breadth"])
    unfinished = "the answer was not finished within --max-new-tokens"
    assert done.not_made == (
        FailedRow(1, "depth", "rewriting", "the server answers 400: filtered"),
        FailedRow(2, "depth", "rewriting", "the answer is empty"),
        FailedRow(4, "depth", "rewriting", unfinished),
        FailedRow(5, "depth", "rewriting", "the answer is the text that was asked about, unchanged"),
        FailedRow(6, "depth", "rewriting", "the answer has a null byte"),
        FailedRow(7, "breadth", "rewriting", expansion_styles.NO_ROOM),
        FailedRow(8, "breadth", "answering", unfinished),
        FailedRow(9, "breadth", "answering", "the answer is empty"),
    )
    assert done.added == {"depth": 6, "breadth": 8}
    bad = {("depth", 1), ("depth", 2), ("depth", 4), ("depth", 5), ("depth", 6)}
    bad |= {("breadth", 7), ("breadth", 8), ("breadth", 9)}
    expected = [
        row for row in new_rows(rows, ["depth", "breadth"]) if (row["expansion_style"], row["expanded_from"]) not in bad
    ]
    assert json.loads(done.out.read_text())[12:] == expected
    asked = len(calls)
    assert selectit.expand(data, FAKE, ["depth", "breadth"]).not_made == done.not_made and len(calls) == asked


def test_no_new_row_at_all_is_an_error(data, monkeypatch):
    fakecalls.replied(monkeypatch, lambda question, sample: Reply(""))
    with pytest.raises(DataError, match=r"none of 33 new rows could be made: the answer is empty \(33\)") as caught:
        selectit.expand(data, FAKE)
    assert not Path("data.expanded.json").exists() and caught.value.hint == "Try another --model."


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (lambda row: Reply(None, f"the question has {row} tokens", FLAG_NO_ROOM), "a smaller --max-new-tokens"),
        (lambda row: Reply("Why", flags=FLAG_UNFINISHED), "a larger --max-new-tokens"),
    ],
)
def test_the_remedy_is_that_of_the_reason(data, monkeypatch, said, remedy):
    fakecalls.replied(monkeypatch, lambda question, sample: said(sample.row))
    with pytest.raises(DataError, match=r"none of 33 new rows could be made: .* \(33\)") as caught:
        selectit.expand(data, FAKE)
    assert remedy in caught.value.hint


def test_a_generator_that_always_fails_stops(data, monkeypatch):
    fakecalls.replied(monkeypatch, lambda question, sample: Reply(None, "out of memory"))
    with pytest.raises(EngineError, match="all 11 rows from row 0 failed: out of memory"):
        selectit.expand(data, FAKE)


TALK = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]
SAID = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": [{"type": "text", "text": "So."}]}]
LAYOUTS = {
    "sharegpt": {"id": "x", "conversations": TALK},
    "lima": {"source": "x", "conversations": ["Why?", "So."]},
    "messages": {"messages": SAID, "source": "s"},
    "prompt-completion": {"prompt": "Why?", "completion": "So."},
    "prompt-completion of messages": {"prompt": SAID[:1], "completion": SAID[1:]},
    "seed-tasks": {"instruction": "Why?", "instances": [{"input": "", "output": "So."}]},
    "map": {"task": {"q": "Why?", "more": ""}, "answer": "So.", "n": 1},
    "map into lists": {"talk": [{"text": "Why?"}], "answers": ["So."], "n": 1},
}
MAPS = {
    "map": "instruction=task.q,input=task.more,response=answer",
    "map into lists": "instruction=talk.0.text,response=answers.0",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_new_rows_are_records_of_the_layout(layout, calls):
    record = LAYOUTS[layout]
    Path("d.jsonl").write_text(json.dumps(record) + "\n")
    reading = {"map": MAPS.get(layout)}
    done = selectit.expand("d.jsonl", dataclasses.replace(FAKE, **reading), ["depth"])
    lines = done.out.read_text().splitlines()
    assert json.loads(lines[0]) == record and len(lines) == 2
    new = json.loads(lines[1])
    assert (new.pop("expanded_from"), new.pop("expansion_style")) == (0, "depth")
    same = json.dumps({key: value for key, value in record.items() if key not in ("id", "source", "n")})
    assert new == json.loads(same.replace("Why?", "depth of Why?").replace("So.", "To depth of Why?"))
    selectit.select(done.out, Settings(run="read", method="full", out="r", **reading))
    assert stored_turns("read") == [
        [("user", "Why?"), ("assistant", "So.")],
        [("user", "depth of Why?"), ("assistant", "To depth of Why?")],
    ]


def test_rows_that_are_no_single_question_stay_as_they_are(calls):
    record = {"conversations": TALK}
    records = [
        {"system": "Be brief.", "conversations": TALK},
        {"conversations": [*TALK, *TALK]},
        record,
        {"conversations": [{"from": "human", "value": " "}, TALK[1]]},
        record,
        {"messages": []} | {"conversations": [{"from": "user", "value": "How?"}, {"from": "model", "value": "So."}]},
    ]
    Path("d.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    done = selectit.expand("d.jsonl", FAKE, ["breadth"])
    assert done.left_alone == {
        "not one question and one answer": 2,
        "an empty instruction": 1,
        "the same question as an earlier row": 1,
    }
    written = [json.loads(line) for line in done.out.read_text().splitlines()]
    assert written[:6] == records
    assert [(row["expanded_from"], row["conversations"][0]["from"]) for row in written[6:]] == [
        (2, "human"),
        (5, "user"),
    ]
    Path("two.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records[:2]))
    with pytest.raises(DataError, match="no row that can be rewritten: not one question and one answer") as caught:
        selectit.expand("two.jsonl", dataclasses.replace(FAKE, run="two"))
    assert "one question and one answer, without a system message" in caught.value.hint


def test_an_image_is_left_alone(calls):
    picture = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    talks = [[{"role": "user", "content": picture}, SAID[1]], SAID]
    Path("d.jsonl").write_text("".join(json.dumps({"messages": talk}) + "\n" for talk in talks))
    done = selectit.expand("d.jsonl", FAKE, ["depth"])
    assert (done.rewritten, done.left_alone) == (1, {"content that is not text": 1})


def asked_and_said(asked, said):
    return [{"role": "user", "content": asked, "name": None}, {"role": "assistant", "content": said, "name": "x"}]


TABLE = pa.table({"id": [5, 6], "messages": [asked_and_said("a", "b"), asked_and_said("c", "d")]})


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_tables(kind, calls):
    if kind == "parquet":
        pq.write_table(TABLE, "d.parquet")
        done = selectit.expand("d.parquet", FAKE, ["depth"])
        found = pq.read_table(done.out)
    else:
        datasets = pytest.importorskip("datasets")
        datasets.Dataset(TABLE).save_to_disk("d")
        done = selectit.expand("d", FAKE, ["depth"])
        found = datasets.load_from_disk(str(done.out)).data.table
    assert found.slice(0, 2).select(["id", "messages"]).to_pylist() == TABLE.to_pylist()
    assert found["expanded_from"].to_pylist() == [None, None, 0, 1]
    assert found["expansion_style"].to_pylist() == [None, None, "depth", "depth"]
    assert found["id"].to_pylist() == [5, 6, None, None]
    assert turns_of(done.out, "read")[2:] == [
        [("user", "depth of a"), ("assistant", "To depth of a")],
        [("user", "depth of c"), ("assistant", "To depth of c")],
    ]


def test_tables_that_have_no_room_are_refused_before_anything_is_asked(calls):
    schema = pa.schema(
        [pa.field("id", pa.int64(), nullable=False), ("prompt", pa.string()), ("completion", pa.string())]
    )
    pq.write_table(pa.table({"id": [1], "prompt": ["a"], "completion": ["b"]}, schema=schema), "d.parquet")
    with pytest.raises(DataError, match="the column 'id' may not be empty"):
        selectit.expand("d.parquet", FAKE)
    part = pa.struct([pa.field("id", pa.int64(), nullable=False), ("role", pa.string()), ("content", pa.string())])
    said = [{"id": 1, "role": "user", "content": "a"}, {"id": 2, "role": "assistant", "content": "b"}]
    pq.write_table(pa.table({"messages": pa.array([said], pa.list_(part))}), "nested.parquet")
    with pytest.raises(DataError, match="the column 'messages.id' may not be empty"):
        selectit.expand("nested.parquet", dataclasses.replace(FAKE, run="nested"))
    Path("d.jsonl").write_text(json.dumps({"talk": ["Be brief.", "Why?", "So."]}) + "\n")
    with pytest.raises(DataError, match="reads from the middle of a list"):
        settings = dataclasses.replace(FAKE, run="list", map="instruction=talk.1,response=talk.2")
        selectit.expand("d.jsonl", settings)
    Path("d.jsonl").write_text(json.dumps({"text": "Why?"}) + "\n")
    with pytest.raises(DataError, match="reads two parts from one field"):
        selectit.expand("d.jsonl", dataclasses.replace(FAKE, run="one", map="instruction=text,response=text"))
    assert not calls


def test_a_table_that_would_lose_a_part_of_a_new_row_is_refused():
    schema = pa.schema([("messages", pa.list_(pa.struct({"value": pa.string()})))])
    assert write.build_table([{"messages": [{"value": "a"}]}], schema).num_rows == 1
    with pytest.raises(DataError, match="no place for some parts of the new rows"):
        write.build_table([{"messages": [{"text": "a"}]}], schema)


def test_a_part_of_text_keeps_its_words(calls):
    def said(role, text):
        return {"role": role, "content": [{"type": "output_text", "value": text}]}

    pq.write_table(pa.table({"messages": [[said("user", "a"), said("assistant", "b")]]}), "d.parquet")
    done = selectit.expand("d.parquet", FAKE, ["depth"])
    assert pq.read_table(done.out)["messages"].to_pylist()[1] == [
        said("user", "depth of a"),
        said("assistant", "To depth of a"),
    ]


def test_rows_that_no_record_can_be_made_like_are_left_alone(calls):
    rows = [
        {"prompt": "How?", "completion": "So."},
        {"prompt": SAID, "completion": []},
        {"prompt": "When?", "completion": [{"role": "assistant", "content": []}]},
    ]
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = selectit.expand("d.jsonl", FAKE, ["depth"])
    assert (done.rewritten, done.left_alone) == (
        1,
        {"question and answer are not in separate fields": 1, "a message without content": 1},
    )


def test_a_question_with_several_answers_is_rewritten_once(calls):
    rows = [
        {"prompt": "How?", "completion": "So."},
        {"prompt": "Why?", "completion": "A."},
        {"prompt": "How?", "completion": "B."},
    ]
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = selectit.expand("d.jsonl", FAKE, ["depth"])
    assert done.left_alone == {"the same question as an earlier row": 1}
    assert [json.loads(line)["expanded_from"] for line in done.out.read_text().splitlines()[3:]] == [0, 1]


def test_what_was_expanded_is_not_expanded_again(data, calls):
    done = selectit.expand(data, FAKE)
    asked = len(calls)
    with pytest.raises(DataError, match="has a field 'expanded_from' already"):
        selectit.expand(done.out, dataclasses.replace(FAKE, run="again", out="x.json"))
    nothing = pa.array([None], pa.string())
    pq.write_table(pa.table({"prompt": ["a"], "completion": ["b"], "expansion_style": nothing}), "d.parquet")
    with pytest.raises(DataError, match="has a field 'expansion_style' already"):
        selectit.expand("d.parquet", dataclasses.replace(FAKE, run="table"))
    assert len(calls) == asked


def test_a_sample_is_drawn_with_its_seed(data, rows, calls):
    first = selectit.expand(data, dataclasses.replace(FAKE, out="a.json"), ["depth"], sample=4, seed=1)
    made = json.loads(first.out.read_text())[12:]
    places = [row["expanded_from"] for row in made]
    assert len(places) == first.rewritten == 4 and places == sorted(places)
    assert made == [row for row in new_rows(rows, ["depth"]) if row["expanded_from"] in places]
    other = selectit.expand(data, dataclasses.replace(FAKE, out="b.json"), ["depth"], sample=4, seed=2)
    assert [row["expanded_from"] for row in json.loads(other.out.read_text())[12:]] != places
    more = selectit.expand(data, dataclasses.replace(FAKE, out="c.json"), ["depth"], sample=99, seed=1)
    assert more.rewritten == 11


@pytest.mark.parametrize(
    ("changes", "arguments", "says"),
    [
        ({"model": ()}, {}, "one model writes the new rows"),
        ({"model": ("a", "b")}, {}, "one model writes the new rows"),
        ({"engine": "vllm"}, {}, "the engine vllm rates"),
        ({"engine": "server"}, {}, "needs an address"),
        ({"engine": "server", "base_url": "http://x/v1", "max_tokens": 9}, {}, "--max-tokens is the server's"),
        ({}, {"styles": ["dept"]}, "no style 'dept'"),
        ({}, {"styles": []}, "--styles is ''"),
        ({}, {"styles": ["depth", "depth"]}, "--styles is 'depth,depth'"),
        ({}, {"sample": 0}, "--sample is 0"),
        ({}, {"max_new_tokens": 0}, "--max-new-tokens is 0"),
        ({"out": "data.json"}, {}, "is the data itself"),
        ({"out": "nowhere/x.json"}, {}, "there is no folder nowhere"),
    ],
)
def test_refusals(data, calls, changes, arguments, says):
    with pytest.raises(SettingsError, match=says):
        selectit.expand(data, dataclasses.replace(FAKE, **changes), **arguments)
    assert not calls


def test_a_file_that_is_there_stays(data, calls):
    Path("data.expanded.json").write_text("mine")
    with pytest.raises(RunError, match="no row of this data has been rewritten so far"):
        selectit.expand(data, FAKE)
    assert not calls
    selectit.expand(data, dataclasses.replace(FAKE, out="other.json"))
    with pytest.raises(RunError, match="something else than this expansion"):
        selectit.expand(data, FAKE)
    assert Path("data.expanded.json").read_text() == "mine"
    selectit.expand(data, dataclasses.replace(FAKE, force=True))
    assert len(calls) == 6 and len(json.loads(Path("data.expanded.json").read_text())) == 12 + 33


def test_the_command(data, calls, capsys):
    expand = ("expand", data, "--engine", "fake", "--model", "m", "--run", "run", "--styles", "depth, reasoning")
    code, out, err = command(capsys, *expand)
    assert code == 0, err
    assert out.splitlines() == [
        "added     22 to 12 rows (11 depth, 11 reasoning)",
        "not asked 1 row: the same question as an earlier row",
        "generator 0 s",
        "run       run",
        "expanded  data.expanded.json",
    ]
    assert "asking m: 22 of 22" in err
    code, out, err = command(capsys, *expand, "--json")
    assert json.loads(out)["added"] == {"depth": 11, "reasoning": 11}
    code, out, err = command(capsys, *expand, "--quiet")
    assert (code, err) == (0, "") and out.startswith("added     22 to 12 rows")
    assert len(calls) == 4
    code, _, err = command(capsys, *expand[:-1], "dept")
    assert code == 2 and "'depth'" in err


def test_the_command_with_the_rows_on_standard_output(data, rows, calls, capfd):
    expand = ("expand", data, "--engine", "fake", "--model", "m", "--run", "run", "--out", "-")
    code, out, err = command(capfd, *expand)
    assert (code, json.loads(out)) == (0, rows + new_rows(rows))
    assert "added     33 to 12 rows (11 depth, 11 breadth, 11 reasoning)\n" in err
    quiet = command(capfd, *expand, "--quiet")
    assert quiet[1] == out and quiet[2].startswith("added     33 to 12 rows")
    asked = len(calls)
    for verb in (expand, ("select", data, "--method", "full", "--run", "other", "--out", "-")):
        code, out, err = command(capfd, *verb, "--json")
        assert (code, out) == (2, "") and "can't both go to standard output" in err
    assert len(calls) == asked and not Path("other").exists()


def test_the_command_names_rows_that_were_not_made(data, monkeypatch, capsys):
    empty = [f"Question {n}?" for n in range(7)]
    fakecalls.replied(monkeypatch, lambda q, s: Reply("") if s.instruction in empty else say(q, s))
    _, out, _ = command(capsys, "expand", data, "--engine", "fake", "--model", "m", "--styles", "depth", "--run", "r")
    assert "not made  7 of 11\n          depth, rewriting: the answer is empty: rows 0, 1, 2, 3, 4, 5, 6\n" in out
    fakecalls.replied(monkeypatch, lambda q, s: Reply("") if STYLE_OF.get(q.text) == "depth" else say(q, s))
    _, out, _ = command(capsys, "expand", data, "--engine", "fake", "--model", "other", "--run", "r", "--force")
    assert "added     22 to 12 rows (0 depth, 11 breadth, 11 reasoning)\nnot made  11 of 33\n" in out
    assert "depth, rewriting: the answer is empty: rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1 more\n" in out


def test_lift_as_a_whole(data):
    """Expanded, then chosen from by LIFT's other half, with numbers made up."""
    done = selectit.expand(data, FAKE)
    settings = Settings(run="lift", engine="fake", method="lift", param={"quality": "random", "share": "0.5"}, keep=6)
    selected = selectit.select(done.out, settings)
    pool = json.loads(done.out.read_text())
    assert json.loads(selected.out.read_text()) == [pool[row] for row in selected.selection.rows]
    assert len(set(selected.selection.rows.tolist())) == 6 and np.max(selected.selection.rows) >= 12


def test_a_served_generator(data, monkeypatch):
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving() as stub:
        stub.models, stub.completes, stub.tokenizes = ["gen"], False, False
        stub.reply = lambda text: "New: " + text.split("\n")[2] if text.startswith("Here is") else f"On {text}"
        settings = Settings(engine="server", base_url=stub.url, model="gen", run="run")
        done = selectit.expand(data, settings, ["depth"], max_new_tokens=77)
        assert {body["max_tokens"] for body in stub.asked} == {77} and len(stub.asked) == 22
    new = json.loads(done.out.read_text())[12:]
    assert [row["output"] for row in new] == [f"On {row['instruction']}" for row in new]
    assert new[0]["instruction"] == "New: Question 0?"
