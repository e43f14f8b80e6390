"""What `selectit export` writes: layouts, cards, refusals. The targets' own readers are in test_export_readers.py."""

import dataclasses
import json
import tomllib
import weakref
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import selectit
from commandline import run as command
from selectit.config.settings import Settings
from selectit.data.records import Turn
from selectit.errors import DataError, RunError, SettingsError
from selectit.exports import export
from selectit.exports.layouts import TARGETS, convert_row
from selectit.runs.run import Run, open_run

ANSWER = {"from": "gpt", "value": "Grüße {name} 😀"}
CALL = '{"name": "look_up", "arguments": {"q": "Ł"}}'
TOOL = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}}
TALKS = [
    {"system": "Be brief.", "conversations": [{"from": "human", "value": "{input} {{x}}"}, ANSWER]},
    {"system": "", "conversations": [{"from": "human", "value": "a\u2028b\n"}, ANSWER]},
    {
        "conversations": [
            {"from": "system", "value": ""},
            {"from": "human", "value": "one"},
            ANSWER,
            {"from": "human", "value": "two"},
            {"from": "gpt", "value": "zwei"},
        ]
    },
]
TOOLS = {
    "id": 7,
    "tools": json.dumps([TOOL]),
    "conversations": [
        {"from": "human", "value": "who?"},
        {"from": "function_call", "value": CALL},
        {"from": "observation", "value": "nobody"},
        ANSWER,
    ],
}


def made(records, name="talks.jsonl", run="run", **settings):
    """A run in which all of the records are chosen, the longest answer first."""
    Path(name).write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    chosen = Settings(run=run, method="length", keep=len(records), out=f"{run}.chosen.jsonl", **settings)
    selectit.select(name, chosen)
    return run


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().split("\n")[:-1]]


def turns(path, run):
    """The turns that selectit reads from a data set."""
    selectit.select(path, Settings(run=run, method="full", out=f"{run}.out"))
    return all_turns(run)


def all_turns(run):
    opened = open_run(run)
    found = [turns for part in opened.source(["turns"]) for turns in part["turns"].to_pylist()]
    return [[Turn(**turn) for turn in turns] for turns in found]


def in_order(run):
    stored = all_turns(run)
    rows = pq.read_table(next(Path(run).glob("selections/*/rows.parquet")))["row"].to_pylist()
    return [stored[row] for row in rows]


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize(
    "records", [TALKS, [{"instruction": "a{}", "input": "b", "output": "ç"}] * 2, [{"conversations": ["a", "ç"]}] * 2]
)
def test_what_is_exported_is_read_again_as_the_same_turns(records, to):
    run = made(records * 10)
    done = selectit.export(run, to)
    assert (done.rows, done.path, done.files[-1]) == (len(records) * 10, Path(f"talks.{to}"), "README.md")
    assert sorted(done.files) == sorted(str(p.relative_to(done.path)) for p in done.path.rglob("*") if p.is_file())
    assert turns(done.path / done.files[0], "again") == in_order(run)


@pytest.mark.parametrize("to", ["llama-factory", "ms-swift", "parquet"])
def test_tool_calls_are_read_again_as_the_same_turns(to):
    run = made([*TALKS, TOOLS])
    done = selectit.export(run, to)
    assert turns(done.path / done.files[0], "again") == in_order(run)


def test_trl_and_axolotl_have_messages():
    run = made(TALKS[2:])
    expected = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "Grüße {name} 😀"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "zwei"},
    ]
    for to in ("trl", "axolotl"):
        selectit.export(run, to)
        assert lines(f"talks.{to}/train.jsonl") == [{"messages": expected}]
    entry = yaml.safe_load(Path("talks.axolotl/axolotl.yaml").read_text())["datasets"]
    assert entry == [
        {
            "path": "talks.axolotl/train.jsonl",
            "ds_type": "json",
            "type": "chat_template",
            "field_messages": "messages",
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
        }
    ]


def test_llama_factory_has_sharegpt_and_its_entry():
    run = made([TALKS[0], TOOLS])
    selectit.export(run, "llama-factory", "out")
    by_length = {len(row["conversations"]): row for row in lines("out/train.jsonl")}
    assert by_length[3] == {
        "conversations": [{"from": "system", "value": "Be brief."}, *TALKS[0]["conversations"]],
        "tools": "",
    }
    assert by_length[4] == {"conversations": TOOLS["conversations"], "tools": TOOLS["tools"]}
    (name, entry), *_ = json.loads(Path("out/dataset_info.json").read_text()).items()
    assert name == "talks_selected"
    assert entry["file_name"] == "train.jsonl" and entry["formatting"] == "sharegpt"
    assert entry["columns"] == {"messages": "conversations", "tools": "tools"}


def test_openai_has_tool_calls_with_ids():
    own = {"id": "x1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    of_openai = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "typed "}, {"type": "text", "text": "parts"}]},
            {"role": "assistant", "content": "Wait.", "tool_calls": [own]},
            {"role": "tool", "tool_call_id": "x1", "content": "r"},
            {"role": "assistant", "content": "Done."},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }
    selectit.export(made([TOOLS] * 10, "a.jsonl", "a"), "openai", "oa")
    assert lines("oa/train.jsonl")[0] == {
        "messages": [
            {"role": "user", "content": "who?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "call_0", "type": "function", "function": {"name": "look_up", "arguments": '{"q": "Ł"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_0", "content": "nobody"},
            {"role": "assistant", "content": "Grüße {name} 😀"},
        ],
        "tools": [{"type": "function", "function": TOOL}],
    }
    selectit.export(made([of_openai] * 10, "b.jsonl", "b"), "openai", "ob")
    expected = json.loads(json.dumps(of_openai))
    expected["messages"][0]["content"] = "typed parts"
    assert lines("ob/train.jsonl")[0] == expected


def test_llama_factory_has_openai_calls_as_name_and_arguments():
    function = {"name": "f", "arguments": '{"a": 1}'}
    talk = [
        message("user", "q"),
        message("assistant", None, tool_calls=[{"id": "x1", "type": "function", "function": function}]),
        message("tool", "r", tool_call_id="x1"),
        message("assistant", "a"),
    ]
    selectit.export(made([{"messages": talk, "tools": [TOOL]}]), "llama-factory", "out")
    (row,) = lines("out/train.jsonl")
    assert row["conversations"][1] == {"from": "function_call", "value": '[{"name": "f", "arguments": {"a": 1}}]'}
    assert json.loads(row["tools"]) == [TOOL]


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name):
    return {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_ms_swift_has_one_message_a_call_and_tools_as_json():
    talk = [
        message("user", "q"),
        message("assistant", None, tool_calls=[call("x"), call("y")]),
        message("tool", "r", tool_call_id="x"),
        message("tool", "s", tool_call_id="y"),
        message("assistant", "a"),
    ]
    selectit.export(made([{"messages": talk, "tools": [TOOL]}, {"messages": ASKED}]), "ms-swift", "out")
    rows = {len(row["messages"]): row for row in lines("out/train.jsonl")}
    one = message("tool_call", '{"name": "f", "arguments": {}}')
    assert rows[6]["messages"] == [talk[0], one, one, message("tool", "r"), message("tool", "s"), talk[-1]]
    assert json.loads(rows[6]["tools"]) == [{"type": "function", "function": TOOL}]
    assert rows[2] == {"messages": ASKED, "tools": "[]"}
    selectit.export(made([{"instruction": "q", "output": "a"}], "p.jsonl", "p"), "ms-swift", "plain")
    assert lines("plain/train.jsonl") == [{"messages": ASKED}], "a layout without tools has no column for them"


ASKED = [message("user", "q"), message("assistant", "a")]
BAD = {
    "it doesn't end with an answer": ([*ASKED, message("user", "and?")], set(TARGETS) - {"parquet"}),
    "it has content that is not text (image_url)": (
        [message("user", [{"type": "image_url"}, {"type": "text", "text": "q"}]), ASKED[1]],
        set(TARGETS),
    ),
    "an answer is empty": ([ASKED[0], message("assistant", "")], {"openai"}),
    "its turns don't alternate between user or tool result and answer or tool call": (
        [ASKED[0], *ASKED],
        {"llama-factory"},
    ),
    "a tool call has no result": ([*ASKED[:1], message("assistant", "", tool_calls=[call("x")]), *ASKED], {"openai"}),
    "a tool result has no call": ([ASKED[0], message("tool", "r"), *ASKED], {"openai"}),
    "the results of its tool calls are not in the order of the calls": (
        [
            ASKED[0],
            message("assistant", "", tool_calls=[call("x"), call("y")]),
            message("tool", "r", tool_call_id="y"),
            message("tool", "r", tool_call_id="x"),
            ASKED[1],
        ],
        {"openai"},
    ),
    "a tool call is not JSON": (
        [ASKED[0], message("tool_call", "f(x)"), message("tool", "r"), ASKED[1]],
        {"openai", "llama-factory", "ms-swift"},
    ),
    "a tool call has no name or no arguments": (
        [ASKED[0], message("tool_call", '["f"]'), message("tool", "r"), ASKED[1]],
        {"openai", "llama-factory", "ms-swift"},
    ),
    "it has tool calls": (
        [ASKED[0], message("assistant", "", tool_calls=[call("x")]), message("tool", "r"), ASKED[1]],
        {"trl", "axolotl", "hf-dataset"},
    ),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_row_that_the_layout_cannot_hold_is_refused_or_left_out_and_counted(reason):
    talk, targets = BAD[reason]
    run = made([*[{"messages": ASKED}] * 10, {"messages": talk}])
    for to in sorted(targets):
        with pytest.raises(DataError) as error:
            selectit.export(run, to, "out")
        assert f"1 of 11 rows can't be written for {to}\n  {reason}: 1 row, the first is row 10" in error.value.message
        assert "--bad-rows skip" in error.value.hint
        assert not list(Path().glob("out*")) and not list(Path().glob(".out*"))
        done = selectit.export(run, to, to, bad_rows="skip")
        assert (done.rows, done.skipped_rows) == (10, 1)
        assert done.skipped == (f"{reason}: 1 row, the first is row 10",)
        assert f"- left out: {reason}: 1 row" in Path(to, "README.md").read_text()
        assert len(turns(Path(to) / done.files[0], f"again-{to}")) == 10


def test_openai_takes_ten_rows_or_more():
    with pytest.raises(DataError, match="9 rows, and OpenAI takes 10 or more"):
        selectit.export(made([{"messages": ASKED}] * 9), "openai")
    assert not Path("talks.openai").exists()


def test_openai_keeps_weights_and_whether_calls_are_parallel():
    turns = [Turn("user", "q"), Turn("unrated", "a"), Turn("user", "q"), Turn("assistant", "b")]
    own = [message("user", "q"), message("assistant", "a", weight=0), message("user", "q")]
    record = {"messages": [*own, message("assistant", "b", weight=0.5)], "parallel_tool_calls": False}
    row = convert_row("openai", "messages", turns, record)
    assert [each.get("weight") for each in row["messages"]] == [None, 0, None, 0.5]
    assert row["parallel_tool_calls"] is False


def test_fields_that_have_no_place_are_named():
    record = {"id": 1, "source": "", "messages": [message("user", "q", name="n"), message("assistant", "a", weight=1)]}
    run = made([record] * 10)
    for to in TARGETS:
        assert selectit.export(run, to).left_behind == ("id", "messages.name")
        assert "fields of the source that are not here: id, messages.name" in Path(f"talks.{to}/README.md").read_text()
    mapped = made([{"q": {"a": "x"}, "r": "y", "n": 3}], "m.jsonl", "m", map="instruction=q.a,response=r")
    assert selectit.export(mapped, "trl").left_behind == ("n",)
    assert selectit.export(made([TOOLS], "t.jsonl", "t"), "parquet").left_behind == ("id", "tools")
    assert selectit.export("t", "llama-factory").left_behind == ("id",)


@pytest.mark.parametrize("to", ["parquet", "hf-dataset", "trl"])
def test_a_table(to):
    when = pa.array([1, 2, 3], pa.timestamp("ns"))
    table = pa.table({"instruction": ["a", "b", "c"], "output": ["x", "x y", "x y z"], "when": when})
    pq.write_table(table, "t.parquet")
    selectit.select("t.parquet", Settings(run="run", method="length", keep=2, out="chosen.parquet"))
    done = selectit.export("run", to, "out", scores=True)
    if to == "parquet":
        found = pq.read_table("out/train.parquet")
        assert found.drop_columns("selectit").equals(table.take([2, 1]))
        assert done.left_behind == ()
        scores = found["selectit"].to_pylist()
    else:
        found = lines("out/train.jsonl") if to == "trl" else pq.read_table(Path("out") / done.files[0]).to_pylist()
        assert [row["messages"][1]["content"] for row in found] == ["x y z", "x y"]
        scores = [row["selectit"] for row in found]
    assert [dict(score) for score in scores] == [
        {"row": 2, "rank": 1, "score": 3.0},
        {"row": 1, "rank": 2, "score": 2.0},
    ]


def test_the_card_says_where_the_rows_come_from(data):
    settings = Settings(engine="fake", model=("m", "n"), run="run", keep="50%")
    selected = selectit.select(data, settings)
    selectit.export("run", "hf-dataset", licence="cc-by-nc-4.0")
    text = Path("data.hf-dataset/README.md").read_text()
    head, body = text.removeprefix("---\n").split("\n---\n")
    meta = yaml.safe_load(head)
    assert meta["license"] == "cc-by-nc-4.0" and meta["size_categories"] == ["n<1K"]
    assert meta["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-00000-of-00001.parquet"}]
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert f"sha256 {manifest['identity']['sha256']}" in body
    for annotator in selectit.show("run")["raters"]:
        assert f"- model: {annotator['model']} (ratings), engine fake, digest {annotator['digest']}" in body
    config = tomllib.loads((Path("run/selections") / selected.name / "config.toml").read_text())
    assert tomllib.loads(body.split("```toml\n")[1].removesuffix("```\n")) == config
    assert f"- prompts: fingerprint {config['prompts']}" in body
    for line in (
        "- source: data.json, 12 rows, layout alpaca",
        "- its licence: cc-by-nc-4.0",
        f"- chosen: 6 rows, the selection {selected.name}",
        "- method: selectit",
        "- budget: 50pct",
        f"- cut: scores of {selected.selection.cut:.6g} and above",
        "- rows here: 6, best first",
        f"- made by: selectit {selectit.__version__}",
    ):
        assert line + "\n" in body


def test_the_card_without_a_licence_and_with_a_licence_in_words(data):
    selectit.select(data, Settings(run="run", method="random", keep=3))
    selectit.export("run", "trl", "a")
    assert "license" not in Path("a/README.md").read_text().split("\n---\n")[0]
    assert "- its licence: as the source has it; not stated here\n" in Path("a/README.md").read_text()
    selectit.export("run", "trl", "b", licence='Ours: "free"')
    meta = yaml.safe_load(Path("b/README.md").read_text().split("---\n")[1])
    assert (meta["license"], meta["license_name"]) == ("other", 'Ours: "free"')


def test_the_card_names_the_models_of_combined_methods_and_of_scores_that_a_method_read(data):
    fake = Settings(engine="fake", model="m", encoder="e", run="run", keep=3)
    combined = selectit.select(data, dataclasses.replace(fake, combine="selectit:0.7,length:0.3"))
    selectit.export("run", "trl", "a", combined.name)
    assert "- model: m (ratings), engine fake" in Path("a/README.md").read_text()
    inner = {"quality": "selectit:k=3"}
    deita = selectit.select(data, dataclasses.replace(fake, method="qdit", param=inner, out="q.json"))
    selectit.export("run", "trl", "b", deita.name)
    text = Path("b/README.md").read_text()
    assert "(ratings), engine fake" in text and "(embeddings), engine fake" in text
    assert "- cut: none, the method chooses a set\n" in text


def test_the_name_of_a_selection_is_needed_where_there_are_several(data):
    selectit.rate(data, Settings(run="run", method="length"))
    with pytest.raises(RunError, match="run has no selection\n"):
        selectit.export("run", "trl")
    for name in ("one", "two"):
        selectit.select(None, Settings(run="run", method="length", keep=len(name), name=name, out=f"{name}.json"))
    with pytest.raises(SettingsError, match="has the selections one, two"):
        selectit.export("run", "trl")
    with pytest.raises(RunError, match="has no selection 'on'") as error:
        selectit.export("run", "trl", selection="on")
    assert error.value.hint == "Did you mean 'one'?"
    assert selectit.export("run", "trl", selection="two").rows == 3
    done = selectit.export("run", "trl", "all", selection="all")
    assert (done.rows, done.selection) == (12, "all")
    assert turns("all/train.jsonl", "again") == all_turns("run")
    assert "- chosen: all rows\n" in Path("all/README.md").read_text()
    with pytest.raises(SettingsError, match="only a selection has scores"):
        selectit.export("run", "trl", "all", selection="all", scores=True)


def test_options_that_do_not_fit(data):
    selectit.select(data, Settings(run="run", method="length", keep=10))
    with pytest.raises(SettingsError, match="there is no --to 'axolot'") as error:
        selectit.export("run", "axolot")
    assert error.value.hint == "Did you mean 'axolotl'?"
    with pytest.raises(SettingsError, match="no place for scores"):
        selectit.export("run", "openai", scores=True)
    with pytest.raises(SettingsError, match="there is no --bad-rows 'drop'"):
        selectit.export("run", "trl", bad_rows="drop")
    with pytest.raises(SettingsError, match="is a file"):
        selectit.export("run", "trl", "data.json")
    with pytest.raises(SettingsError, match="no folder"):
        selectit.export("run", "trl", "nowhere/out")
    with pytest.raises(RunError, match="run has other files in it"):
        selectit.export("run", "trl", "run", force=True)


def test_what_is_there_and_differs_is_kept_without_force(data, monkeypatch):
    selectit.select(data, Settings(run="run", method="length", keep=3, name="three"))
    done = selectit.export("run", "llama-factory", "out")
    before = {name: (Path("out") / name).stat().st_mtime_ns for name in done.files}
    monkeypatch.setattr(export, "datetime", Tomorrow)
    selectit.export("run", "llama-factory", "out")  # the same rows on another day are no conflict
    assert {name: (Path("out") / name).stat().st_mtime_ns for name in done.files} == before
    with pytest.raises(RunError, match=r"something else than this export: train.jsonl, README.md"):
        selectit.export("run", "llama-factory", "out", "all")
    assert len(lines("out/train.jsonl")) == 3
    selectit.export("run", "llama-factory", "out", "all", force=True)
    assert len(lines("out/train.jsonl")) == 12
    assert "2100-01-01" in Path("out/README.md").read_text()
    with pytest.raises(RunError, match="other files in it: dataset_info.json"):
        selectit.export("run", "trl", "out", "three", force=True)
    assert not list(Path().glob(".out*"))


class Tomorrow:
    """In the place of the module datetime."""

    import datetime as real

    UTC = real.UTC

    class datetime:
        @staticmethod
        def now(zone):
            return Tomorrow.real.datetime(2100, 1, 1, tzinfo=zone)


def test_an_export_that_breaks_off_leaves_nothing(data, monkeypatch):
    selectit.select(data, Settings(run="run", method="length", keep=3))
    monkeypatch.setattr(export, "render_card", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        selectit.export("run", "trl", "out")
    assert not list(Path().glob("out*")) and not list(Path().glob(".out*"))


@pytest.mark.parametrize("to", TARGETS)
def test_no_more_than_a_slice_of_the_source_is_read_at_a_time(to, monkeypatch, small_parts):
    small_parts(8)
    run = made([{"instruction": f"q{n}", "output": "a " * (n * 37 % 200 + 1)} for n in range(200)])
    sizes = []
    read_part = Run.read_part

    def counted_part(run, path, columns=None):
        table = read_part(run, path, columns)
        if path.parent.name == "source":
            sizes.append(len(table))
        return table

    monkeypatch.setattr(Run, "read_part", counted_part)
    alive, most = [0], [0]
    make = convert_row

    def counted(*args):
        row = Row(make(*args))
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        weakref.finalize(row, lambda: alive.__setitem__(0, alive[0] - 1))
        return row

    monkeypatch.setattr(export, "convert_row", counted)
    done = selectit.export(run, to, scores=to != "openai")
    assert done.rows == 200 and max(sizes) == 8
    assert 0 < most[0] <= 2 * 8 + 2
    assert turns(done.path / done.files[0], "again") == in_order(run)


class Row(dict):
    """A converted row that can be watched."""


def test_the_command(data, capsys):
    command(capsys, "select", data, "--method", "length", "--keep", 10, "--run", "run", "--quiet")
    code, _, err = command(capsys, "export", "run", "--to", "openai", "--selection", "all")
    assert code == 2 and "an answer is empty: 1 row, the first is row 11" in err
    assert command(capsys, "export", "run", "--to", "openai")[0] == 0
    code, out, _ = command(capsys, "export", "run", "--to", "trl", "--json", "--with-scores")
    assert code == 0
    found = json.loads(out)
    assert (found["path"], found["rows"], found["files"]) == ("data.trl", 10, ["train.jsonl", "README.md"])
    assert lines("data.trl/train.jsonl")[0]["selectit"]["rank"] == 1
    code, out, err = command(capsys, "export", "run", "--to", "parquet", "--quiet")
    assert (code, err) == (0, "") and out.startswith("exported  10 rows")
    code, _, err = command(capsys, "export", "run", "--to", "csv")
    assert code == 2 and "there is no --to 'csv'" in err and "Traceback" not in err
    code, out, _ = command(capsys, "export", "run", "--to", "trl", "--out", "b", "--selection", "all")
    assert "exported  12 rows" in out and "folder    b" in out


def test_a_set_method_has_no_scores():
    run = made([{"instruction": f"q{n}", "output": "a"} for n in range(4)])
    selectit.select(None, Settings(run=run, method="full", name="everything", out="full.jsonl"))
    selectit.export(run, "trl", selection="everything", scores=True)
    assert [row["selectit"] for row in lines("talks.trl/train.jsonl")] == [
        {"row": n, "rank": n + 1, "score": None} for n in range(4)
    ]
