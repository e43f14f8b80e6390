"""What belongs to a conversation is read, as context or as answer, wherever a layout has it; no guess is silent."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import selectit
from selectit.config.settings import Settings
from selectit.data import detect, fields, layouts, read, samples, sources, turns
from selectit.data.fields import RowError
from selectit.data.layouts import parse_map
from selectit.data.records import Turn
from selectit.errors import DataError, RunError, SettingsError
from selectit.runs.manifest import reading_lines
from selectit.runs.run import open_run

ASK, TELL = {"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}


TABLE = '[{"from": "Rome", "value": 5}]'
SAID = "system s user q assistant r"


def turns_of(record, fields=None):
    layout = detect.detect(record) if fields is None else parse_map(fields)
    return [(turn.role, turn.text) for turn in turns.read_turns(record, layout)[0]]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"instruction": "i", "input": None, "output": "o", "system": "s", "history": [["a", "b"], ["c", "d"]]},
            "system s user a assistant b user c assistant d user i assistant o",
        ),
        ({"instruction": "i", "output": "o", "history": [ASK, TELL]}, "user q assistant r user i assistant o"),
        ({"system_prompt": "s", "messages": [ASK, TELL]}, "system s user q assistant r"),
        ({"system": "s", "messages": [{"role": "system", "content": "s"}, ASK, TELL]}, "system s user q assistant r"),
        ({"system": "s", "prompt": "p", "completion": "c"}, "system s user p assistant c"),
        ({"prompt": "p", "chosen": "c", "rejected": "x"}, "user p assistant c"),
        ({"prompt": [ASK], "chosen": [TELL], "rejected": [TELL]}, "user q assistant r"),
        ({"prompt": "q", "chosen": [ASK, TELL], "rejected": [ASK, TELL]}, "user q assistant r"),
        ({"conversations": [ASK], "chosen": TELL, "rejected": TELL}, "user q assistant r"),
        ({"instruction": "i", "input": "j", "chosen": "c", "rejected": "x"}, "user i\nj assistant c"),
        ({"conversations": None, "messages": [ASK, TELL]}, "user q assistant r"),
        ({"messages": [{"from": None, "value": None, **ASK}, TELL]}, "user q assistant r"),
        ({"messages": [ASK, {"role": "Assistant", "value": "r"}]}, "user q assistant r"),
        ({"messages": [ASK, TELL], "system_message": "s"}, "system s user q assistant r"),
        ({"system": "s", "prompt": [{"role": "system", "content": "s"}, ASK], "completion": "r"}, SAID),
        ({"system": "s", "prompt": json.dumps([ASK]), "completion": json.dumps([TELL])}, SAID),
        (
            {"prompt": "q", "completion": '[{"from": "Rome", "value": 5}]'},
            'user q assistant [{"from": "Rome", "value": 5}]',
        ),
        (
            {"prompt": "q", "completion": '[{"from": null, "value": 5}]'},
            'user q assistant [{"from": null, "value": 5}]',
        ),
        ({"prompt": "x", "chosen": json.dumps([ASK, TELL]), "rejected": "y"}, "user q assistant r"),
        ({"instruction": [ASK, TELL, ASK], "input": "j", "output": [TELL]}, "user q assistant r user q\nj assistant r"),
        ({"instruction": "i", "output": "o", "history": ["a", "b"]}, "user a assistant b user i assistant o"),
        ({"chosen": "\n\nHuman: q\n\nAssistant: r\n\nAssistant: s", "rejected": "x"}, "user q assistant r assistant s"),
        ({"dialog": [{"speaker": "user", "text": "q"}, {"role": "gpt", "text": "r"}]}, "user q assistant r"),
        ({"messages": [{"role": "user", "content": [{"text": "q"}]}, TELL]}, "user q assistant r"),
    ],
)
def test_context_and_answers_are_turns(record, expected):
    assert " ".join(word for turn in turns_of(record) for word in turn) == expected


@pytest.mark.parametrize(
    "mark",
    [{"weight": 0}, {"weight": 0.0}, {"loss_weight": 0}, {"train": False}, {"loss": False}, {"mask": True}]
    + [{"weight": "0"}, {"train": "False"}, {"loss_mask": 0}, {"mask": "true"}],
)
def test_an_answer_that_is_not_to_be_learned_is_context(mark):
    bad = {"role": "assistant", "content": "wrong", **mark}
    said = [Turn(*turn) for turn in turns_of({"messages": [ASK, bad, ASK, TELL]})]
    assert [turn.role for turn in said] == ["user", "unrated", "user", "assistant"]
    (sample,) = samples.build_samples(0, said, "each")
    assert (sample.response, "Assistant: wrong" in sample.instruction) == ("r", True)
    with pytest.raises(RowError, match="marked as not to be learned"):
        turns_of({"messages": [ASK, bad]})
    assert turns_of({"messages": [ASK, TELL | {"weight": 1, "mask": False}]})[1] == ("assistant", "r")


def test_reasoning_is_part_of_the_answer():
    thought = "<think>\nt\n</think>\n\n"
    for field in ("reasoning_content", "thinking", "reasoning"):
        assert turns_of({"messages": [ASK, TELL | {field: "t"}]})[1] == ("assistant", thought + "r")
        assert (
            turns_of({"messages": [ASK, {"role": "assistant", field: "t", "content": None}, ASK, TELL]})[1][1]
            == thought
        )
        assert turns_of({"instruction": "i", "output": "r", field: "t"})[1] == ("assistant", thought + "r")
    assert turns_of({"messages": [ASK, TELL | {"thinking": ["t", "u"]}]})[1][1] == "<think>\nt\nu\n</think>\n\nr"
    with pytest.raises(RowError, match="'thinking' is a number"):
        turns_of({"instruction": "i", "output": "r", "thinking": 3})
    assert turns_of({"prompt": "q", "completion": [TELL], "thinking": "t"})[1] == ("assistant", thought + "r")
    parts = [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "r"}]
    assert turns_of({"messages": [ASK, {"role": "assistant", "content": parts}]})[1] == ("assistant", thought + "r")
    assert turns_of({"a": "q", "b": "r", "c": "t"}, "instruction=a,response=b,reasoning=c")[1][1] == thought + "r"


def test_images_beside_the_text_are_content_that_is_not_text():
    record = {"messages": [ASK, TELL], "images": ["1.jpg"], "videos": [], "audios": None}
    assert turns.read_turns(record, detect.detect(record))[1] == ("images",)
    assert layouts.unread_fields(detect.detect(record), record) == set()


def test_images_in_a_column_that_holds_no_text_are_seen(folder):
    images = pa.array([[{"bytes": b"\x89"}], []], pa.list_(pa.struct([("bytes", pa.binary())])))
    pq.write_table(pa.table({"prompt": ["a", "b"], "completion": ["c", "d"], "images": images}), folder / "a.parquet")
    with sources.open_source(str(folder / "a.parquet")) as source:
        records = list(read.read_records(source, read.ReadReport()))
    assert [record.left_out for record in records] == [("images",), ()]


def test_a_rejected_answer_is_refused_by_name():
    for record in ({"prompt": "p", "completion": "c", "label": False}, {"messages": [ASK, TELL], "kto_tag": False}):
        with pytest.raises(RowError, match="preference data"):
            turns_of(record)
    with pytest.raises(RowError, match="without a question"):
        turns_of({"chosen": "a", "rejected": "b"})
    assert turns_of({"prompt": "p", "completion": "c", "label": True})[1] == ("assistant", "c")


def test_a_conversation_that_the_model_opens():
    greeting = {"role": "assistant", "content": "hello"}
    said = [Turn(*turn) for turn in turns_of({"messages": [greeting, ASK, TELL]})]
    assert [len(samples.rated_turns(said, which)) for which in ("first", "last", "each")] == [1, 1, 1]
    assert samples.build_samples(0, said, "first")[0].instruction == "Assistant: hello\nUser: q"
    with pytest.raises(RowError, match="starts with an answer"):
        turns_of({"messages": [greeting, ASK]})


@pytest.mark.parametrize(
    ("record", "suggested"),
    [
        (
            {"instruction": "i", "context": "c", "response": "r"},
            "instruction=instruction,input=context,response=response",
        ),
        (
            {"id": "1", "system_prompt": "s", "question": "q", "answer": "a"},
            "system=system_prompt,instruction=question,response=answer",
        ),
        (
            {"query": "q", "response": "r", "history": [["a", "b"]]},
            "history=history,instruction=query,response=response",
        ),
        ({"input": [ASK], "output": "r", "system_prompt": "s"}, "messages=input,system=system_prompt,response=output"),
        ({"messages": [ASK, TELL, ASK], "response": "r"}, "messages=messages,response=response"),
        ({"Question": "q", "Context": "", "Answer": "a"}, "instruction=Question,input=Context,response=Answer"),
        ({"problem": "q", "generations": ["x", "y"], "answer": "a"}, "instruction=problem,response=answer"),
        ({"row_idx": 0, "row": {"instruction": "q", "output": "a"}}, "instruction=row.instruction,response=row.output"),
        ({"user": "q", "assistant": "a"}, "instruction=user,response=assistant"),
    ],
)  # fmt: skip
def test_a_suggested_map_reads_the_whole_conversation(record, suggested):
    with pytest.raises(fields.LayoutError, match="Try --map") as error:
        detect.detect(record)
    assert str(error.value).endswith(f"Try --map {suggested}")
    texts = {text for _, text in turns_of(record, suggested)}
    assert {"q", "r", "a"} & texts and ("s" in texts) == ("system_prompt" in record)


def test_no_map_is_suggested_that_would_be_refused():
    choices = {"question": "Which one?", "choices": ["a", "b"], "answer": 1}
    columns = {"human": ["q", "r"], "gpt": ["a", "b"]}
    for record in ({"instruction": 3, "response": "r"}, {"a,b": [ASK, TELL]}, {"question": "q"}, choices, columns):
        with pytest.raises(fields.LayoutError, match="Name the fields with --map instruction=FIELD"):
            detect.detect(record)
    with pytest.raises(fields.LayoutError, match="in the list 'data'"):
        detect.detect({"version": "1", "data": [{"instruction": "i", "output": "o"}]})


def test_maps_take_keys_with_dots_and_refuse_what_does_not_fit():
    assert turns_of({"a.b": "q", "a": {"b": "no"}, "c": {"d.e": "r"}}, "instruction=a.b,response=c.d.e") == [
        ("user", "q"),
        ("assistant", "r"),
    ]
    for written in ("messages=a,instruction=b", "instruction=a,system=b", "messages=a,reasoning=b", "turns=a"):
        with pytest.raises(SettingsError, match="--map"):
            parse_map(written)


def test_an_optional_part_that_no_row_has_is_a_typing_error(folder):
    path = folder / "d.jsonl"
    path.write_text('{"a": "q", "c": "r"}\n{"a": "q", "b": "x", "c": "r"}\n')
    layout = parse_map("instruction=a,input=b,response=c")
    with sources.open_source(str(path)) as source:
        records = list(read.read_records(source, read.ReadReport(), read.ReadSpec(layout=layout)))
        assert [record.turns[0].text for record in records] == ["q", "q\nx"]
        layout = parse_map("instruction=a,input=d,response=c")
        with pytest.raises(DataError, match="'d', which no row"):
            list(read.read_records(source, read.ReadReport(), read.ReadSpec(layout=layout)))


def test_a_list_of_messages_as_json_text_is_read_by_a_map_too():
    record = {"a": json.dumps([{"role": "system", "content": "s"}, ASK]), "b": [ASK, TELL], "c": "r"}
    assert turns_of(record, "instruction=a,response=c") == [("system", "s"), ("user", "q"), ("assistant", "r")]
    assert turns_of({**record, "a": "q"}, "instruction=a,response=b") == [("user", "q"), ("assistant", "r")]


def test_of_a_tree_the_best_ranked_replies_are_read():
    def node(role, text, *replies, **more):
        return {"role": role, "text": text, "replies": list(replies), **more}

    last = node("prompter", "q2", node("assistant", "r2", rank=None), node("assistant", "r3", rank=1))
    record = {"prompt": node("prompter", "q", node("assistant", "x", rank=1), node("assistant", "r", last, rank=0))}
    assert turns_of(record) == [("user", "q"), ("assistant", "r"), ("user", "q2"), ("assistant", "r3")]
    with pytest.raises(RowError, match=r"prompt\.replies\[0\] is a text"):
        turns_of({"prompt": node("prompter", "q", "r")})


def test_a_path_that_a_map_names_is_read_and_the_rest_of_its_object_is_not_told():
    record = {"a.b": {"c": "q", "d": 1}, "a": {"b": 2}, "e": ["r", "s"]}
    layout = parse_map("instruction=a.b.c,response=e.0")
    assert layouts.read_as(layout) == {"a.b.c": "question", "e.0": "answer"}
    assert layouts.unread_fields(layout, record) == {"a"}


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
answers = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": words}, optional={"weight": st.just(1), "reasoning_content": words}
)
TOLD = {"role": "assistant", "rank": 0, "replies": None}
rows = st.one_of(
    st.fixed_dictionaries(
        {"instruction": words, "output": words},
        optional={"system": words, "history": st.lists(st.lists(words, min_size=2, max_size=2), max_size=2)},
    ),
    st.fixed_dictionaries({"prompt": words, "chosen": words, "rejected": words}, optional={"id": st.integers()}),
    st.builds(lambda answer, system: {"system": system, "messages": [ASK, answer]}, answers, words),
    st.builds(lambda *said: {"id": 1, "dialog": [dict(zip(("human", "assistant"), said, strict=True))]}, words, words),
    st.builds(lambda *said: {"dialog": list(said), "tags": ["a"]}, words, words),
    st.builds(lambda answer: [ASK, answer], answers),
    st.builds(lambda answer: {"prompt": json.dumps([ASK]), "completion": json.dumps([answer]), "label": True}, answers),
    st.builds(lambda answer, more: {"conversation": json.dumps([ASK, answer]), "n": more}, answers, st.floats(0, 1)),
    st.builds(lambda good, bad: {"chosen": f"\n\nHuman: q\n\nAssistant: {good}", "rejected": bad}, words, words),
    st.builds(lambda text: {"prompt": {"role": "prompter", "text": "q", "replies": [TOLD | {"text": text}]}}, words),
)


@given(kind=rows, count=st.integers(1, 3), wide=st.booleans())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_choosing_everything_gives_the_data_back(folder, kind, count, wide):
    path = folder / "all.json"
    path.write_text(json.dumps([kind] * count, indent=2 if wide else None, ensure_ascii=False))
    chosen = Settings(method="length", keep="100%", order="source", force=True, out=str(folder / "out.json"))
    again_to = dataclasses.replace(chosen, out=str(folder / "again.json"))
    done = selectit.select(path, chosen)
    written = {"messages": kind} if isinstance(kind, list) else kind
    assert [_ordered(row) for row in json.loads(done.out.read_text())] == [_ordered(written)] * count
    again = [part["turns"].to_pylist() for part in open_run(selectit.select(done.out, again_to).run).source(["turns"])]
    assert again == [part["turns"].to_pylist() for part in open_run(done.run).source(["turns"])]


def _ordered(value):
    """A value whose objects are their entries, so that their order counts."""
    if isinstance(value, dict):
        return [(key, _ordered(each)) for key, each in value.items()]
    return [_ordered(each) for each in value] if isinstance(value, list) else (type(value), value)


def test_the_summary_says_what_was_read_as_what(folder):
    path = folder / "d.jsonl"
    path.write_text(json.dumps({"instruction": "i", "output": "o", "system": "s", "id": 1, "source": "x"}) + "\n")
    done = selectit.select(path, Settings(method="length", keep="1", out=str(folder / "o.jsonl")))
    assert list(reading_lines(done.summary.reading)) == [
        "read system → system; instruction → question; output → answer; 2 kept and not read: id (1 row), source (1 row)"
    ]
    assert selectit.show(done.run)["reading"] == done.summary.reading


def test_a_run_of_another_reading_is_opened_where_it_holds_the_same(folder, monkeypatch):
    path = folder / "d.jsonl"
    path.write_text('{"instruction": "i", "output": "o"}\n')
    chosen = Settings(method="length", keep="1", run=str(folder / "run"), out=str(folder / "o.jsonl"))
    monkeypatch.setattr(turns, "READING", 1)
    selectit.select(path, chosen)
    monkeypatch.setattr(turns, "READING", 2)
    selectit.select(path, chosen)
    monkeypatch.setattr(read, "digest_turns", lambda turns: bytes(16))
    with pytest.raises(RunError, match="read other turns"):
        selectit.select(path, chosen)


@pytest.mark.parametrize(
    "record",
    [
        {"conversation": [{"input": "q", "output": "a"}]},
        {"conversation": [{"human": "q", "assistant": "a"}], "category": "c"},
        {"dialog": [{"from": "Human", "value": "q"}, {"role": "GPT", "content": "a"}], "lang": "en"},
        {"messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'},
        {"messages": [{"role": "user", "content": {"type": "text", "text": "q"}}, {"role": "model", "content": ["a"]}]},
    ],
)
def test_conversations_in_other_words_are_read_without_being_named(record):
    found, _ = turns.read_turns(record, detect.detect(record))
    assert [(turn.role, turn.text) for turn in found] == [("user", "q"), ("assistant", "a")]


def test_a_legacy_function_call_is_a_tool_call():
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    record = {"messages": [ASK, call, {"role": "function", "content": "1"}, TELL]}
    assert [turn.role for turn in turns.read_turns(record, detect.detect(record))[0]] == [
        "user", "call", "tool", "assistant",
    ]  # fmt: skip


def test_a_role_of_ones_own_is_what_the_settings_say():
    record = {"messages": [{"role": "boss", "content": "q"}, {"role": "Laguna_S", "content": "a"}]}
    with pytest.raises(fields.RowError, match="--roles boss=user"):
        turns.read_turns(record, detect.detect(record))
    roles = layouts.parse_roles(["laguna_s=gpt,BOSS=human"])
    found, _ = turns.read_turns(record, detect.detect(record, roles))
    assert [turn.role for turn in found] == ["user", "assistant"]
    for wrong in ("boss", "boss=chief", "=user", "a=user,a=tool"):
        with pytest.raises(SettingsError, match="--roles"):
            layouts.parse_roles([wrong])


def test_a_map_reads_lists_of_messages_in_two_columns():
    layout = layouts.parse_map("instruction=q,response=a")
    found, _ = turns.read_turns({"q": [{"role": "system", "content": "s"}, ASK], "a": [TELL]}, layout)
    assert [turn.role for turn in found] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"id": {"0": "a"}, "conversations": {"0": [ASK, TELL]}}, "column by column"),
        ({"data": [{"instruction": "i", "output": "o"}]}, "The records seem to be in the list 'data'"),
        ({"segments": [{"label": True, "text": "a b"}]}, "pieces of a finished prompt"),
        ({"text": "<|im_start|>user\nHi there"}, "seem to be one text"),
        ({"0": {"instruction": "i"}, "1": {"instruction": "j"}}, "seem to be its values"),
        ({"train": [{"instruction": "i", "output": "o"}], "test": [{"instruction": "i"}]}, "in the list 'train'"),
        ({"message_id": "1", "parent_id": None, "role": "prompter", "text": "q"}, "one message of a tree"),
    ],
)
def test_what_is_no_record_is_named(record, says):
    with pytest.raises(fields.LayoutError, match=says):
        detect.detect(record)
