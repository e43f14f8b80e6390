"""An input apart from its instruction: losses of such rows are read in the prompt that has a place for it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import selectit
import tiny
from rundirs import contents
from selectit.config.settings import Settings
from selectit.data.layouts import find_layout, parse_map
from selectit.data.records import Sample
from selectit.data.samples import build_samples, read_inputs
from selectit.data.turns import read_turns
from selectit.evaluation.heldout import read_last_answers
from selectit.evaluation.settings import EvalSettings
from selectit.probing.defects import ORIGINAL
from selectit.probing.rows import create_probe_run, draw_rows
from selectit.runs.run import open_run
from selectit.runs.source import create
from selectit.signals.loss_templates import ALPACA, PLAIN, loss_text

HEAD = "Below is an instruction that describes a task"
WITH = (
    HEAD + ", paired with an input that provides further context. Write a response that appropriately completes the "
    "request.\n\n### Instruction:\n{}\n\n### Input:\n{}\n\n### Response:"
)
WITHOUT = HEAD + ". Write a response that appropriately completes the request.\n\n### Instruction:\n{}\n\n### Response:"
NOUNS = "apple river lantern copper meadow violin harbour pencil thunder saddle".split()
ROWS = [
    {
        "instruction": f"Say {n} things about the {NOUNS[n % 10]}.",
        "input": f"The {NOUNS[(n + 3) % 10]} {n} is red.\nAnd {{instruction}}." if n % 2 else "",
        "output": f"It is a {NOUNS[(n * 7) % 10]}, " * (1 + n % 4) + "done.",
    }
    for n in range(24)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("llama"))


def write(rows, name="data.json"):
    Path(name).write_text(json.dumps(rows))
    return name


def by_hand(folder, row):
    """IFD, perplexity and EL2N by two single passes over whole texts."""
    words, net = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    response = words(row["output"])["input_ids"]

    def distributions(before):
        before = words(before)["input_ids"]
        with torch.inference_mode():
            return net(torch.tensor([before + response])).logits[0, len(before) - 1 : -1].double().softmax(-1)

    prompt = WITH.format(row["instruction"], row["input"]) if row["input"] else WITHOUT.format(row["instruction"])
    given, alone = distributions(prompt), distributions("### Response:")
    each = range(len(response))
    loss, loss_alone = (-p[each, response].log().mean().item() for p in (given, alone))
    error = given.clone()
    error[each, response] -= 1
    return loss / loss_alone, np.exp(loss), error.norm(dim=-1).mean().item()


def test_losses_of_rows_with_and_without_an_input_are_those_of_both_published_prompts(model):
    expected = np.array([by_hand(model, row) for row in ROWS])
    selectit.rate(write(ROWS), Settings(model=(model,), dtype="fp32", run="run", unit_size=10, method="ifd"))
    scored = [selectit.score("run", Settings(method=name)) for name in ("ifd", "perplexity", "el2n")]
    np.testing.assert_allclose(scored[0].parts["ifd"], expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(scored[1].parts["perplexity"], expected[:, 1], rtol=1e-5)
    np.testing.assert_allclose(scored[2].score, expected[:, 2], atol=1e-5)
    joined = [{**row, "instruction": row["instruction"] + "\n" + row["input"], "input": ""} for row in ROWS]
    other = np.array([by_hand(model, row) for row in joined])
    assert np.abs(other - expected)[1::2].min(axis=0).max() > 1e-3, "the two prompts can't be told apart here"


def test_what_stands_before_a_response():
    stored = {"text-b416186b66f6", "text-8e7df9c5e997", "text-b3aa508af42b"}
    assert not stored & {PLAIN.folder, ALPACA.folder, loss_text("plain", copies=30).folder}, "these have no ranks"
    assert "with_input" not in PLAIN.about
    asked = Sample(0, 0, "Add.\n1 {input}", "2", "1 {input}")
    assert ALPACA.before(asked) == WITH.format("Add.", "1 {input}")
    assert ALPACA.before(Sample(0, 0, "Add {input}.", "2")) == WITHOUT.format("Add {input}.")
    assert PLAIN.before(asked) == "Add.\n1 {input}\n"


SEEDS = {
    "instruction": "Add.",
    "instances": [{"input": "1", "output": "a"}, {"input": "", "output": "b"}, {"input": "Add.\n1", "output": "c"}],
}


@pytest.mark.parametrize(
    ("layout", "record", "which", "expected"),
    [
        ("alpaca", {"instruction": "Add.", "input": "1\n2", "output": "3"}, "last", [("Add.\n1\n2", "1\n2")]),
        ("alpaca", {"instruction": "Add.\n1", "input": "1", "output": "3"}, "last", [("Add.\n1\n1", "1")]),
        ("alpaca", {"instruction": "", "input": "1", "output": "3"}, "last", [("\n1", "1")]),
        ("alpaca", {"instruction": "Add.\n1", "input": "", "output": "3"}, "last", [("Add.\n1", "")]),
        ("alpaca", {"instruction": "Add.\n1", "output": "3"}, "last", [("Add.\n1", "")]),
        ("instruction=q,input=c.0,response=a", {"q": "Add.", "c": ["1"], "a": "3"}, "last", [("Add.\n1", "1")]),
        ("instruction=q,response=a", {"q": "Add.", "c": ["1"], "a": "3"}, "last", [("Add.", "")]),
        ("prompt-completion", {"prompt": "Add.\n1", "completion": "3", "input": "1"}, "last", [("Add.\n1", "")]),
        ("seed-tasks", SEEDS, "first", [("Add.\n1", "1")]),
        ("seed-tasks", SEEDS, "each", [("", "1"), ("", ""), ("", "Add.\n1")]),
    ],
)
def test_the_input_is_kept_apart_in_every_layout_that_has_one(layout, record, which, expected):
    found = parse_map(layout) if "=" in layout else find_layout(layout)
    turns, _ = read_turns(record, found)
    samples = build_samples(0, turns, which, read_inputs(record, found))
    assert [sample.input for sample in samples] == [extra for _, extra in expected]
    for sample, (instruction, extra) in zip(samples, expected, strict=True):
        assert not instruction or sample.instruction == instruction
        assert sample.instruction == (f"{sample.task}\n{extra}" if extra else sample.task)


def test_a_run_knows_the_inputs_of_its_rows_whatever_the_data_is_written_in():
    expected = [row["input"] for row in ROWS]
    Path("lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    nulls = [{**row, "input": row["input"] or None} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(nulls), "table.parquet")
    for data in (write(ROWS), "lines.jsonl", "table.parquet"):
        run = create(data, Settings(run=data + ".run"))
        assert [sample.input for sample in run.samples(0, 24)] == expected
        assert [sample.input for sample in run.samples_at(np.array([3, 4, 9]))] == [expected[3], "", expected[9]]
        assert [sample.input for sample in read_last_answers(data, EvalSettings())] == expected
    assert open_run("data.json.run").source_rows(0, 1, ["turns"])["turns"].to_pylist() == [
        [{"role": "user", "text": ROWS[0]["instruction"]}, {"role": "assistant", "text": ROWS[0]["output"]}]
    ]


def test_a_probe_s_rows_keep_their_inputs():
    run = create(write(ROWS), Settings(run="run"))
    rows = draw_rows(run, 24, 0)
    probed = create_probe_run(Path("run/probes/p"), rows)
    samples = probed.samples(0, probed.rows)
    assert [(s.instruction, s.input, s.response) for s in samples] == [
        (r.instruction, r.input, r.response) for r in rows
    ]
    assert {row.input for row in rows if row.kind == ORIGINAL} == {row["input"] for row in ROWS}
    assert probed.manifest["layout"] == "alpaca"
    without = create(write(ROWS[::2], "none.json"), Settings(run="none"))
    plain = create_probe_run(Path("none/probes/p"), draw_rows(without, 12, 0))
    assert plain.manifest["layout"] == "prompt-completion"


def test_losses_of_an_older_run_are_read_anew_and_stay_where_they_are():
    """Such a run has the losses under the name of a request without `with_input`."""
    fake = Settings(engine="fake", model=("m",), run="run", method="ifd", unit_size=10)
    selectit.rate(write(ROWS), fake)
    (folder,) = Path("run/losses").glob("*/text-*")
    old = folder.with_name("text-8e7df9c5e997")
    shutil.move(folder, old)
    before = contents(old)
    selectit.rate(None, fake)
    assert folder.is_dir() and contents(old) == before
