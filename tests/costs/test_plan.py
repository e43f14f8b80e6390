"""What a rating will cost: the arithmetic against brute force, what is pending, what is written, what is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import commandline
import selectit
from selectit.config.settings import Settings
from selectit.costs import plan as costs_plan
from selectit.costs.elsewhere import estimate_elsewhere, read_machine
from selectit.costs.token_counts import Lot, TextLengths, even_by_length, extrapolate, tokens_to_compute
from selectit.errors import EngineError, SettingsError
from selectit.signals import prompts

FAKE = {"engine": "fake", "model": "m", "run": "run"}


def plan(data, sample=64, proxy=None, **given):
    return selectit.plan(data, Settings(**{**FAKE, **given}), sample, proxy)


def words(text):
    return len(text.split())


def texts_of(rows, layout="prompt-first", k=5):
    """(K, N) rated texts; a token of the fake engine is a word."""
    asked = prompts.changed(prompts.packaged(), None, False, layout).first(k)
    return [[prompt.render(row["instruction"], row["output"]) for row in rows] for prompt in asked]


def once_per_unit(rows, unit_size, k=5):
    """Words to read with the rating prompt (all before the sample) read once a unit."""
    total = 0
    for prompt, texts in zip(prompts.packaged().first(k), texts_of(rows, k=k), strict=True):
        before = words(prompt.text) + words("Instruction:")
        for start in range(0, len(texts), unit_size):
            unit = [words(text) for text in texts[start : start + unit_size]]
            total += before + sum(length - before for length in unit)
    return total


def once_per_row(rows, k=5):
    """Words to read with the sample read once a row and the question once a prompt."""
    questions = [words(prompt.text) + words("The answer is:") for prompt in prompts.packaged().first(k)]
    samples = [words(f"Instruction:{row['instruction']}\nResponse:{row['output']}") for row in rows]
    return sum(sample + sum(questions) for sample in samples)


def choice(model, option):
    return next(each for each in model.choices if each.option == option)


@pytest.mark.parametrize("unit_size", [512, 5, 1])
def test_tokens_are_those_of_the_texts(data, rows, unit_size):
    cost = plan(data, unit_size=unit_size)
    (model,) = cost.models
    lengths = np.array([[words(text) for text in texts] for texts in texts_of(rows)])
    assert (cost.rows, cost.answers, cost.counted_rows, cost.prompts, cost.layout) == (12, 12, 12, 5, "prompt-first")
    assert (cost.passes, model.passes, model.passes_done) == (60, 60, 0)
    assert model.text_tokens == lengths.sum()
    assert model.tokens == once_per_unit(rows, unit_size)
    assert (model.text.mean, model.text.median) == (pytest.approx(lengths.mean()), np.median(lengths))
    assert (model.text.longest, model.text.percentile_95) == (lengths.max(), np.percentile(lengths, 95))
    assert model.text.rating_prompt + model.text.sample == pytest.approx(lengths.mean())
    assert (model.text.limit, model.text.over_limit) == (4096, 0)


def test_the_sample_first_is_counted_and_measured(data, rows):
    (model,) = plan(data, unit_size=5).models
    told = choice(model, "--layout sample-first")
    assert (told.passes, told.tokens, told.measured) == (60, once_per_row(rows), True)
    cost = plan(data, unit_size=5, layout="sample-first")
    assert (cost.layout, cost.models[0].tokens) == ("sample-first", told.tokens)
    assert [each.option for each in cost.models[0].choices] == ["--k 3", "--k 1"]


def test_fewer_prompts_cost_what_they_would_cost(data, rows):
    (model,) = plan(data).models
    for k in (3, 1):
        told = choice(model, f"--k {k}")
        assert (told.passes, told.tokens) == (12 * k, once_per_unit(rows, 512, k))
        assert told.tokens == plan(data, k=k).models[0].tokens
        assert told.seconds == pytest.approx(model.seconds * told.tokens / model.tokens)
    assert plan(data, k=1).models[0].choices[0].option == "--layout sample-first"


def test_the_time_is_the_rate_of_the_sample_times_the_tokens(data):
    (model,) = plan(data, sample=6).models
    assert (model.measured.answers, model.measured.passes) == (6, 30)
    assert model.seconds == pytest.approx(model.tokens * model.measured.seconds / model.measured.tokens)
    assert 0 < model.seconds_low <= model.seconds <= model.seconds_high


def test_what_is_rated_costs_nothing(data, rows):
    settings = {"unit_size": 5}
    selectit.rate(data, Settings(**FAKE, **settings, k=2))
    (model,) = plan(data, **settings).models
    assert (model.passes, model.passes_done) == (36, 24)
    assert model.tokens == once_per_unit(rows, 5) - once_per_unit(rows, 5, k=2)
    # Another layout is another prompt: nothing of it is rated.
    assert choice(model, "--layout sample-first").tokens == once_per_row(rows)
    assert [(each.option, each.passes) for each in model.choices[1:]] == [("--k 3", 12), ("--k 1", 0)]

    selectit.rate(data, Settings(**FAKE, **settings))
    next(Path("run/ratings").glob("*/*/part-00002.parquet")).unlink()
    assert plan(data, **settings).models[0].passes == 2  # rows 10 and 11
    selectit.rate(data, Settings(**FAKE, **settings))
    cost = plan(None)
    assert (cost.passes, cost.seconds) == (0, 0)
    assert (cost.models[0].measured, cost.models[0].passes_done, cost.models[0].choices) == (None, 60, ())
    assert plan(data, **settings, model="n").passes == 60


def test_the_passes_of_a_target(data, folder):
    (folder / "wanted.jsonl").write_text('{"prompt": "Add.", "completion": "Five."}\n' * 3)
    given = {"target": ("wanted.jsonl",), "unit_size": 4}
    cost = plan(data, method="rds", **given)
    assert [(each.signal, each.of_target, each.answers, each.passes) for each in cost.signals] == [
        ("states", False, 12, 12), ("states", True, 3, 3),
    ]  # fmt: skip
    assert cost.models == () and cost.passes == 0 and cost.seconds == 0
    assert plan(data, method="dsir", target=given["target"]).signals == ()
    (gains,) = plan(data, method="target-loss", param={"examples": 2}, target=given["target"]).signals
    assert (gains.of_target, gains.answers, gains.passes) == (False, 12, 24)
    selectit.rate(data, Settings(**FAKE, method="rds", **given))
    assert [(each.passes, each.passes_done) for each in plan(data, method="rds", **given).signals] == [(0, 12), (0, 3)]
    next(Path("run/states").glob("*/*/part-*")).unlink()
    assert [(each.passes, each.passes_done) for each in plan(data, method="rds", **given).signals] == [(4, 8), (0, 3)]


def test_a_method_s_ratings_are_measured_and_its_other_signals_counted(data):
    cost = plan(data, method="deita", param={"complexity": "ifd", "quality": "expected-rating:k=1"})
    assert (cost.prompts, cost.passes) == (1, 12)
    assert {(each.signal, each.passes) for each in cost.signals} == {("losses", 24), ("embeddings", 12)}
    with pytest.raises(SettingsError, match="--proxy does nothing: length reads no ratings"):
        plan(data, method="length", proxy="gemma3-270m")


def test_gradients_are_measured(data):
    given = {"method": "grand", "unit_size": 4}
    (rows,) = plan(data, sample=6, **given).signals
    assert (rows.pass_name, rows.operations, rows.measured.answers) == ("backward passes", 6, 6)
    assert rows.measured.tokens > 0 and rows.measured.parameters == 1_000_000 and rows.bytes > 0
    assert rows.seconds == pytest.approx(2 * rows.measured.seconds)  # 12 rows at the rate of 6
    assert 0 < rows.seconds_low <= rows.seconds <= rows.seconds_high
    selectit.rate(data, Settings(**FAKE, **given))
    next(Path("run/gradients").glob("*/*/part-*")).unlink()
    (left,) = plan(data, sample=6, **given).signals
    assert left.passes == 4 and left.seconds == pytest.approx(4 / 6 * left.measured.seconds)
    selectit.rate(data, Settings(**FAKE, **given))
    assert plan(data, **given).signals[0].measured is None


def test_another_machine(data):
    """Operations over the speed: 6 x parameters x tokens of gradients, 2 x of the tokens of ratings."""
    machine, rows, parameters = read_machine("4e12:8", 0.5, 24e0, 7e9)
    assert (machine.devices, machine.peak, machine.speed, rows, parameters) == (8, 4e12, 16e12, 24, 7_000_000_000)
    cost = plan(data, method="grand", sample=12)
    found = estimate_elsewhere(cost, machine, rows, parameters)
    (gradients,) = found.parts
    assert gradients.tokens == 2 * cost.signals[0].measured.tokens
    assert found.seconds == (pytest.approx(6 * 7e9 * gradients.tokens / 16e12),)
    assert (found.rows, found.weights) == (24, 14e9)
    assert gradients.bytes == pytest.approx(24 * cost.signals[0].measured.bytes_each)
    rated = plan(data)
    (ratings,) = estimate_elsewhere(rated, machine).parts
    assert (ratings.tokens, ratings.operations, ratings.parameters) == (rated.models[0].tokens, 2, 1_000_000)
    assert estimate_elsewhere(rated, machine).seconds == (pytest.approx(2e6 * ratings.tokens / 16e12),)
    selectit.rate(data, Settings(**FAKE))
    with pytest.raises(SettingsError, match="nothing was measured here"):
        estimate_elsewhere(plan(data), machine)
    assert read_machine(None, None, None, None) == (None, None, None)
    assert read_machine("H100", None, None, None)[0].speed == 989e12 * 0.3


def test_only_the_source_is_written(data):
    plan(data)
    assert {entry.name for entry in Path("run").iterdir()} == {"manifest.json", "source", "locks"}
    before = Path("run/manifest.json").stat().st_mtime_ns
    assert len(selectit.select(data, Settings(**FAKE, keep=3)).selection.rows) == 3
    assert Path("run/manifest.json").stat().st_mtime_ns == before
    assert plan(data).source_bytes == Path("run/source/part-00000.parquet").stat().st_size


def test_several_models_and_a_proxy(data):
    cost = plan(data, model=("m", "n"), proxy="small")
    assert (cost.passes, [model.model for model in cost.models], cost.proxy.model) == (120, ["m", "n"], "small")
    assert cost.proxy.tokens == cost.models[0].tokens
    assert cost.seconds == pytest.approx(sum(model.seconds + model.measured.load_seconds for model in cost.models))


def test_what_the_engine_puts_around_a_text_is_counted(data, rows):
    (model,) = plan(data, chat=True).models
    assert model.text_tokens == sum(words(text) + 1 for texts in texts_of(rows) for text in texts)


def test_every_rated_answer_of_a_conversation_counts(folder):
    turns = [{"role": role, "content": f"{role} says {n}"} for n in range(3) for role in ("user", "assistant")]
    Path("chats.jsonl").write_text("".join(json.dumps({"messages": turns[:n]}) + "\n" for n in (2, 4, 6)))
    cost = plan("chats.jsonl", turns="each", k=2)
    assert (cost.rows, cost.answers, cost.passes) == (3, 6, 12)


def test_rows_that_are_not_counted_are_stood_for(data, monkeypatch):
    whole = plan(data).models[0]
    monkeypatch.setattr(costs_plan, "COUNTED_ROWS", 6)
    cost = plan(data, unit_size=5)
    assert (cost.rows, cost.answers, cost.counted_rows, cost.passes) == (12, 12, 6, 60)
    assert cost.models[0].text_tokens == pytest.approx(whole.text_tokens, rel=0.1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.integers(1, 5))
def test_evenly_spaced_rows_stand_for_as_many_each(answers, each):
    row, stands = extrapolate(np.array(answers), len(answers) * each)
    starts = np.cumsum([0, *answers])
    expected = [
        (counted * each + copy, place)
        for counted in range(len(answers))
        for copy in range(each)
        for place in range(starts[counted], starts[counted + 1])
    ]
    assert list(zip(row.tolist(), stands.tolist(), strict=True)) == expected


def test_a_sample_is_even_by_length():
    lengths = np.array([50, 10, 40, 20, 30, 60])
    assert lengths[even_by_length(lengths, 3)].tolist() == [20, 40, 60]
    assert lengths[even_by_length(lengths, 9)].tolist() == [10, 20, 30, 40, 50, 60]


def one_prompt(sample, **given):
    return TextLengths(np.array(sample), np.array([10]), np.array([7]), np.array([3]), False, **given)


def test_long_texts_are_cut_or_refused():
    lot = [Lot(slice(0, 3), (0,))]
    assert tokens_to_compute(one_prompt([5, 90, 2], limit=20, refuse=False), lot, None) == 7 + 8 + 13 + 5
    assert tokens_to_compute(one_prompt([5, 90, 2], limit=20, refuse=True), lot, None) == 7 + 8 + 5
    assert tokens_to_compute(one_prompt([90], limit=20, refuse=True), [Lot(slice(0, 1), (0,))], 64) == 0


def test_a_cut_text_shares_no_sample():
    texts = TextLengths(np.array([5, 90, 12]), np.array([10, 12]), np.array([2, 2]), np.array([8, 10]), True, 20, False)
    # Beginnings of 7 and 14 tokens are read once; 90 is cut under both prompts and 12 under both.
    assert tokens_to_compute(texts, [Lot(slice(0, 3), (0, 1))], None) == 7 + 14 + (8 + 20 + 20) + (10 + 20 + 20)
    refusing = TextLengths(texts.sample, texts.fixed, texts.prefix, texts.tail, True, 20, True)
    assert tokens_to_compute(refusing, [Lot(slice(0, 3), (0, 1))], None) == 7 + 14 + 8 + 10


def test_the_batches_are_those_of_the_hf_engine(folder):
    pytest.importorskip("torch")
    import tiny
    from selectit.data.records import Sample
    from selectit.engines.hf import engine as hf_engine
    from selectit.signals.requests import RatingPrompt

    engine = hf_engine.load(tiny.build(folder / "model"), dtype="fp32", max_tokens=256, batch_tokens=120)
    samples = [Sample(n, 0, f"Say {n} colours.", "red " * (n * 7 % 30) + "end") for n in range(25)]
    prompt = RatingPrompt("Rate the response from 1 to 5.")
    batches = []
    (rated,) = engine.rate([prompt], samples, lambda done, tokens: batches.append((done, tokens)))
    assert len(batches) > 5
    ids = tiny.tokenizer()([prompt.render(sample.instruction, sample.response) for sample in samples])["input_ids"]
    prefix = len(os.path.commonprefix(ids))
    texts = TextLengths(rated.tokens - prefix, np.array([prefix]), np.array([prefix]), np.array([0]), False, 256, False)
    read = sum(tokens - (done - 1) * prefix for done, tokens in batches)
    assert tokens_to_compute(texts, [Lot(slice(0, 25), (0,))], 120) == read


def test_the_disk_that_ratings_take(folder):
    rows = [{"instruction": f"Question {n}?", "output": "word " * (n * 37 % 90)} for n in range(600)]
    Path("many.json").write_text(json.dumps(rows))
    expected = plan("many.json", k=2).models[0].rating_bytes
    selectit.rate("many.json", Settings(**FAKE, k=2))
    found = sum(part.stat().st_size for part in Path("run/ratings").glob("*/*/part-*"))
    assert expected == pytest.approx(found, rel=0.15)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_peak_memory():
    code = """
from selectit.engines import memory
size = 50_000_000
memory.reset_peak()
before = memory.used()
held = b"x" * size
del held
assert memory.peak() - before > 0.9 * size
memory.reset_peak()
assert memory.peak() - before < 0.5 * size
"""
    # In a process of its own: in this one other tests have left memory that is given back at any moment.
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sample_that_fails_as_a_whole(data):
    with pytest.raises(EngineError, match=r"all \d+ answers of the sample failed: .* the limit is 3"):
        plan(data, max_tokens=3)


@pytest.mark.parametrize(
    ("given", "says"),
    [({"sample": 1}, "--sample is 1"), ({"proxy": "m"}, "same weights"), ({"k": 10}, "9 prompts")],
)
def test_mistakes(data, given, says):
    with pytest.raises(SettingsError, match=says):
        plan(data, **given)


def test_the_command_prints_it(capsys, data):
    code, out, err = commandline.run(capsys, "plan", data, "--engine", "fake", "--sample", 4, "--proxy", "gemma3-270m")
    assert code == 0, err
    for part in (
        "12 rows, 12 rated answers",
        "60 = 12 answers x 5 prompts",
        "4 answers, 20 passes",
        "expected",
        "--k 3",
    ):
        assert part in out
    assert "the proxy would take" in out
    assert "measuring smollm2" in err
    commandline.run(capsys, "rate", data, "--engine", "fake", "--quiet")
    out = commandline.run(capsys, "plan", data, "--engine", "fake")[1]
    told = commandline.run(capsys, "plan", data, "--engine", "fake", "--model", "smollm2", "--method", "ifd")[1]
    assert "losses       smollm2: 24 forward passes = 12 answers x 2" in told and "  expected   " in told
    told = commandline.run(capsys, "plan", data, "--method", "length")[1]
    assert "data.json: 12 rows\n" in told and "no model is asked" in told
    asked = ("--engine", "fake", "--model", "smollm2", "--method", "grand", "--on", "a100:8", "--rows", "1e6")
    told = commandline.run(capsys, "plan", data, *asked)[1]
    assert "elsewhere    1,000,000 rows on 8 x a100" in told and "30 % of 312e12 operations/s a device" in told
    told = commandline.run(capsys, "plan", data, "--engine", "fake", "--model", "n", "--on", "400e12:8")[1]
    assert "8 x 400e12 operations/s, by the operations" in told and " % of the time above), measured" in told
    assert "60 of them done" in out and "nothing is left to rate" in out


def test_json(capsys, data):
    code, out, _ = commandline.run(capsys, "plan", data, "--engine", "fake", "--json", "--quiet")
    told = json.loads(out)
    assert code == 0
    assert {"run", "rows", "answers", "passes", "seconds", "source_bytes", "models", "proxy"} < set(told)
    (model,) = told["models"]
    assert {"mean", "median", "percentile_95", "longest", "rating_prompt", "sample", "limit"} < set(model["text"])
    assert {"answers", "passes", "tokens", "seconds", "load_seconds"} == set(model["measured"])
    assert {"weights", "reading", "peak", "accelerator"} == set(model["memory"])
    assert model["memory"]["weights"] == 4_000_000
    assert [each["option"] for each in model["choices"]] == ["--layout sample-first", "--k 3", "--k 1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan",), "neither a data file nor a run"),
        (("plan", "missing.json"), "can't read missing.json"),
        (("plan", "data.json", "--engine", "fake", "--sample", "0"), "--sample is 0"),
        (("plan", "data.json", "--engine", "fake", "--retry-errors"), "--retry-errors"),
        (("plan", "data.json", "--model", "./nowhere"), "nowhere"),
        (("plan", "data.json", "--rows", "9"), "--rows is about another machine"),
        (("plan", "data.json", "--on", "h100:8", "--rows", "0"), "--rows is 0"),
        (("plan", "data.json", "--on", "h100:0"), "--on is 'h100:0'"),
        (("plan", "data.json", "--on", "h100", "--reached", "2"), "--reached is 2"),
        (
            (
                "plan",
                "data.json",
                "--engine",
                "fake",
                "--method",
                "kcenter",
                "--encoder",
                "e",
                "--on",
                "h100",
                "--quiet",
            ),
            "the tokens of embeddings are not counted",
        ),
    ],
)
def test_a_user_s_mistake_exits_with_2(capsys, data, arguments, says):
    code, out, err = commandline.run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert says in err and "Traceback" not in err
