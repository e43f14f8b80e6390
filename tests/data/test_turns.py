"""Every container and layout: what is chosen whole comes back as it was, and the right pairs are rated."""

import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tables import TABLE

import selectit
from places import SHARED
from selectit.cli.main import main
from selectit.config.settings import Settings
from selectit.data import detect, fields, samples, turns
from selectit.data.records import Turn
from selectit.errors import DataError, SettingsError
from selectit.runs.run import open_run

ALL = {"method": "length", "keep": "100%", "order": "source", "force": True}

text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=15)
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
extra = st.dictionaries(
    st.text("abcxyz", min_size=3, max_size=5), numbers | text | st.lists(numbers, max_size=2), max_size=2
)
LAYOUTS = {
    "alpaca": st.fixed_dictionaries({"instruction": text, "input": text, "output": text}),
    "sharegpt": st.builds(
        lambda pairs, system: {
            "conversations": [
                {"from": who, "value": what} for pair in pairs for who, what in zip(("human", "gpt"), pair, strict=True)
            ],
            "system": system,
        },
        st.lists(st.tuples(text, text), min_size=1, max_size=3),
        text,
    ),
    "lima": st.builds(
        lambda pairs: {"conversations": [text for pair in pairs for text in pair]},
        st.lists(st.tuples(text, text), min_size=1, max_size=3),
    ),
    "messages": st.builds(
        lambda a, b: {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": a}, {"type": "image", "url": "u"}]},
                {"role": "assistant", "content": b},
            ]
        },
        text,
        text,
    ),
    "prompt-completion": st.fixed_dictionaries({"prompt": text, "completion": text}),
    "seed-tasks": st.builds(
        lambda a, b, c: {"instruction": a, "instances": [{"input": b, "output": c}]}, text, text, text
    ),
}
records = st.sampled_from(list(LAYOUTS)).flatmap(
    lambda name: st.lists(
        st.builds(lambda more, record: {**more, **record}, extra, LAYOUTS[name]), min_size=1, max_size=4
    )
)


def write_json(path, rows, kind, indent=None):
    whole = json.dumps(rows, indent=indent, ensure_ascii=False)
    content = whole if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows)
    data = content.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)


def read_back(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if path.suffix == ".zst":
        with pa.input_stream(io.BytesIO(data), compression="zstd") as stream:
            data = stream.read()
    content = data.decode()
    return json.loads(content) if content.startswith("[") else [json.loads(line) for line in content.splitlines()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    records,
    st.sampled_from(["json", "jsonl", "json.gz", "jsonl.gz", "json.zst", "jsonl.zst"]),
    st.sampled_from([None, 2]),
)
def test_json_of_every_layout_comes_back(tmp_path_factory, rows, ending, indent):
    folder = tmp_path_factory.mktemp("round")
    data, out = folder / f"data.{ending}", folder / f"out.{ending}"
    write_json(data, rows, ending.partition(".")[0], indent)
    selectit.select(data, Settings(run=str(folder / "run"), out=str(out), **ALL))
    assert read_back(out) == rows
    assert [list(row) for row in read_back(out)] == [list(row) for row in rows]


@pytest.mark.parametrize("ending", ["json", "jsonl.gz", "jsonl.zst", "parquet"])
def test_the_default_output_has_the_ending_of_the_input(folder, ending):
    rows = [{"instruction": "a", "output": "b c"}, {"instruction": "d", "output": "e"}]
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), "data.parquet")
    else:
        write_json(folder / f"data.{ending}", rows, ending.partition(".")[0])
    selectit.select(f"data.{ending}", Settings(method="length", keep=1))
    assert (folder / f"data.selected.{ending}").exists()


def test_a_folder_of_files_becomes_one_file(folder):
    (folder / "d" / "sub").mkdir(parents=True)
    write_json(folder / "d" / "a.json", [{"instruction": "1", "output": "x"}], "json", indent=2)
    write_json(folder / "d" / "b.jsonl.gz", [{"instruction": "2", "output": "x", "n": 1}], "jsonl")
    pq.write_table(pa.table({"instruction": ["3"], "output": ["x"]}), folder / "d" / "sub" / "c.parquet")
    (folder / "d" / ".hidden.json").write_text("broken")
    (folder / "d" / "notes.txt").write_text("nothing")
    selectit.select("d", Settings(**ALL))
    kept = [json.loads(line) for line in Path("d.selected.jsonl").read_text().splitlines()]
    assert [row["instruction"] for row in kept] == ["1", "2", "3"]
    (folder / "d" / "b.jsonl.gz").write_bytes(gzip.compress(b'{"instruction": "2"}'))
    with pytest.raises(DataError, match=r"b\.jsonl\.gz, line 1: the field 'output' is missing"):
        selectit.select("d", Settings(**ALL))


def test_standard_input_goes_to_standard_output(folder, monkeypatch, capfdbinary):
    class In:
        buffer = io.BytesIO(json.dumps([{"instruction": "a", "output": "b"}], indent=2).encode())

    monkeypatch.setattr(sys, "stdin", In)
    selected = selectit.select("-", Settings(run="run", **ALL))
    assert str(selected.out) == "-"
    assert json.loads(capfdbinary.readouterr().out) == {"instruction": "a", "output": "b"}


def test_a_hub_data_set_is_its_parquet_files(folder, monkeypatch):
    import huggingface_hub

    asked = {}

    def download(name, **options):
        asked.update(name=name, **options)
        (folder / "snap" / "default" / "train").mkdir(parents=True, exist_ok=True)
        pq.write_table(TABLE.drop_columns(["when", "raw"]), folder / "snap" / "default" / "train" / "0000.parquet")
        return str(folder / "snap")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    selected = selectit.select("someone/things", Settings(**ALL))
    assert (asked["name"], asked["allow_patterns"]) == ("someone/things", ["*/train/*.parquet"])
    assert selected.out == Path("things.selected.jsonl")
    assert [json.loads(line)["instruction"] for line in selected.out.read_text().splitlines()] == [
        "one",
        "two",
        "three",
    ]


CONVERSATION = (
    Turn("system", "Be brief."),
    Turn("user", "Hi"),
    Turn("assistant", "Hello"),
    Turn("user", "Find it"),
    Turn("call", "{}"),
    Turn("tool", "found"),
    Turn("assistant", "Here"),
    Turn("user", "Thanks"),
)


def test_which_answers_are_rated():
    (last,) = samples.build_samples(7, CONVERSATION, "last")
    assert (last.row, last.item, last.response) == (7, 0, "Here")
    assert last.instruction == (
        "System: Be brief.\nUser: Hi\nAssistant: Hello\nUser: Find it\nTool call: {}\nTool result: found"
    )
    (first,) = samples.build_samples(7, CONVERSATION, "first")
    assert (first.instruction, first.response) == ("System: Be brief.\nUser: Hi", "Hello")
    each = samples.build_samples(7, CONVERSATION, "each")
    assert [(sample.item, sample.response) for sample in each] == [(0, "Hello"), (1, "Here")]
    (plain,) = samples.build_samples(0, (Turn("user", "a"), Turn("assistant", "b")), "last")
    assert plain.instruction == "a"


def test_bare_texts_are_question_and_answer_in_turn():
    layout = detect.detect({"conversations": ["a", "b"]})
    found, _ = turns.read_turns({"conversations": ["a", "b", "c", "d"]}, layout)
    assert found == (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d"))
    with pytest.raises(fields.RowError, match="has no answer"):
        turns.read_turns({"conversations": ["a"]}, layout)
    with pytest.raises(fields.RowError, match=r"conversations\[0\] is a text, not an object"):
        turns.read_turns({"conversations": ["a", {"from": "gpt", "value": "b"}]}, layout)


def test_each_answer_is_an_item_and_the_row_their_mean(folder):
    rows = [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}] * n} for n in (1, 3, 2)]
    (folder / "d.json").write_text(json.dumps(rows))
    shared = {"engine": "fake", "model": "m", "k": 2}
    selectit.select("d.json", Settings(run="each", turns="each", keep=1, **shared))
    from selectit.runs import annotators as stored
    from selectit.runs import stored as runs_stored
    from selectit.signals import prompts

    run = open_run("each")
    ratings = runs_stored.load_arrays(run, stored.annotators(run), prompts.packaged().first(2))
    assert ratings.row.tolist() == [0, 1, 1, 1, 2, 2]
    assert run.basic_rows().response_words.tolist() == [1, 3, 2]
    scores = selectit.score("each", Settings(k=2)).score
    assert len(scores) == 3
    last = selectit.select("d.json", Settings(run="last", keep=1, out="o.json", **shared))
    assert selectit.score(last.run, Settings(k=2)).score[0] == pytest.approx(scores[0])


def test_a_map_for_any_other_layout(folder):
    rows = [{"q": {"text": "Why?"}, "more": ["x", "y"], "a": [{"v": "Because."}]}]
    (folder / "d.json").write_text(json.dumps(rows))
    selectit.select("d.json", Settings(run="run", map="instruction=q.text,input=more.1,response=a.0.v", **ALL))
    (sample,) = open_run("run").samples(0, 1)
    assert (sample.instruction, sample.response) == ("Why?\ny", "Because.")
    for wrong in ("instruction=q.text", "instruction", "question=q,response=a", "instruction=,response=a"):
        with pytest.raises(SettingsError, match="--map"):
            selectit.select("d.json", Settings(map=wrong, **ALL))


def test_bad_rows_can_be_skipped(folder):
    (folder / "d.jsonl").write_text(
        '{"instruction": "a", "output": "b"}\n{"instruction": "a"}\nbroken\n{"instruction": "c", "output": "d"}\n'
    )
    selected = selectit.select("d.jsonl", Settings(run="run", bad_rows="skip", **ALL))
    assert selected.summary.rows == 2
    rejected = [json.loads(line) for line in Path("run/source/rejected.jsonl").read_text().splitlines()]
    assert [(entry["place"], entry["raw"]) for entry in rejected] == [
        ("line 2", '{"instruction": "a"}'),
        ("line 3", "broken"),
    ]
    assert "'output' is missing" in rejected[0]["problem"]


def test_the_rest_says_why(folder, rows):
    (folder / "d.json").write_text(json.dumps(rows))
    settings = Settings(engine="fake", model="m", run="run", max_tokens=34, keep=2, rest="rest.json")
    selected = selectit.select("d.json", settings)
    rest = json.loads(Path("rest.json").read_text())
    whys = {row["selectit"]["row"]: row["selectit"]["why"] for row in rest}
    assert set(whys) == set(range(12)) - set(selected.selection.rows.tolist())
    assert any(why.startswith("no score: ") and "the limit is 34" in why for why in whys.values())
    assert "below the cut" in whys.values()
    with pytest.raises(SettingsError, match="--out and --rest"):
        selectit.select("d.json", Settings(engine="fake", model="m", run="run", out="x.json", rest="./x.json"))


def test_content_that_is_no_text_is_named(folder):
    message = {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "image"}, {"type": "audio"}]}
    (folder / "d.jsonl").write_text(json.dumps({"messages": [message, {"role": "assistant", "content": "Yes"}]}))
    selectit.select("d.jsonl", Settings(run="run", **ALL))
    assert selectit.show("run", 0)["left_out"] == ["audio", "image"]


def test_rows_with_content_that_is_no_text_are_counted(folder, small_parts, capsys):
    small_parts(2)
    contents = ["a", [{"type": "image"}], [{"type": "text", "text": "b"}], [{"type": "audio"}, {"type": "image"}], "c"]
    rows = [
        {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "Yes"}]}
        for content in contents
    ]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = "2 rows have content that is not text (audio, image) and was left out"
    main(["select", "d.jsonl", "--run", "run", "--method", "length"])
    assert capsys.readouterr().out.count(line) == 1
    summary = selectit.select("d.jsonl", Settings(run="run", method="length", force=True)).summary
    assert (summary.left_out_rows, summary.left_out) == (2, ("audio", "image"))
    main(["show", "run"])
    assert capsys.readouterr().out.count(line) == 1
    main(["show", "run", "--row", "3"])
    assert "left out, since it is not text: audio, image" in capsys.readouterr().out
    (folder / "e.jsonl").write_text(json.dumps(rows[0]) + "\n" + json.dumps(rows[3]))
    selectit.rate("e.jsonl", Settings(run="rated", engine="fake", model="m", k=1))
    assert selectit.show("rated")["left_out"] == {"rows": 1, "kinds": ["audio", "image"]}
    main(["show", "rated"])
    assert "1 row has content that is not text (audio, image)" in capsys.readouterr().out
    (folder / "f.jsonl").write_text(json.dumps(rows[0]))
    main(["select", "f.jsonl", "--run", "plain", "--method", "length", "--keep", "1"])
    main(["show", "plain"])
    assert "left out" not in capsys.readouterr().out


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "layout", "rows"),
    [
        ("alpaca_random_9k.json", "alpaca", 9229),
        ("alpaca_cleaned_52k.json.gz", "alpaca", 51924),
        ("alpaca_en_demo_999.json", "alpaca", 999),
        ("dolly_3k.json", "alpaca", 2996),
        ("seed_tasks_175.jsonl", "seed-tasks", 175),
        ("sharegpt_toolcall_demo.json", "sharegpt", 300),
        ("messages_v1_demo.jsonl", "messages", 500),
    ],
)
def test_real_files_come_back(folder, name, layout, rows):
    data = SHARED / name
    out = folder / f"out{''.join(data.suffixes[-2:] if data.suffix == '.gz' else data.suffixes[-1:])}"
    selected = selectit.select(data, Settings(run="run", out=str(out), **ALL))
    assert (selected.summary.rows, open_run("run").manifest["layout"]) == (rows, layout)
    assert read_back(out) == read_back(data)
