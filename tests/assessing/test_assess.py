"""Data sets side by side: what is planted is counted, stored answers serve, and what asks for action has a sentence."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import selectit
from commandline import run
from selectit.assessing.assess import assess
from selectit.assessing.findings import percent
from selectit.assessing.report import assessment_lines
from selectit.assessing.texts import breaks_off
from selectit.config.settings import Settings
from selectit.engines.fake import FakeEngine, FakeLoader
from selectit.errors import DataError, ModelError, RunError, SettingsError
from selectit.filters.duplicates import share_near
from selectit.models.files import Model
from selectit.numerics.statistics import bootstrap_median
from selectit.runs.verify import verify

for needed, extra in (("rensa", "filters"), ("py3langid", "filters"), ("sklearn", "methods")):
    pytest.importorskip(needed, reason=f"the extra '{extra}' is not installed")

LONG = "The committee met on a cold morning in March to talk about roads, bridges, schools and the price of bread."
WHOLE = "Rain fell. Then the sun came out and all the people of the town went down to the river to look at the boats."
GERMAN = "Das ist eine ausführliche Antwort in deutscher Sprache, die niemand für Englisch halten würde, wie ich meine."


def pair(instruction, response):
    return {"prompt": instruction, "completion": response}


def topic(n):
    return pair(f"Please describe animal number {n} of the zoo and its keeper {n * n}.", f"It has {n} legs, says {n}.")


@pytest.fixture
def two(folder):
    """Two data sets with planted faults, which share an equal question and a near one."""
    first = [topic(n) for n in range(30)] + [
        pair("What did they talk about?", LONG),
        pair("what did  they talk about?", LONG.upper()),
        pair("What did they talk about?", f"{LONG} Indeed."),
        pair("Say nothing.", " "),
        pair("What is the best way to learn a language quickly at home?", GERMAN),
        pair("Tell me a story about the river.", WHOLE[:-12]),
    ]
    second = [
        *(topic(n) for n in range(100, 125)),
        pair(f"{topic(3)['prompt']} Thanks.", "No."),
        pair("SAY nothing.", "Nothing."),
    ]
    for name, rows in (("first", first), ("second", second)):
        Path(f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return ["first.jsonl", "second.jsonl"]


def test_what_is_planted_is_counted(two, no_model):
    no_model()
    Path("exam.txt").write_text("Tell me a story about the river.\nWho was first?")
    found = assess(two, Settings(decontaminate=("exam.txt",)))
    texts = found.data[0].texts
    assert (texts.rows, texts.answers, found.data[0].name) == (36, 36, "first")
    assert (texts.exact.rows, texts.near.rows, texts.repeated.rows) == ((31,), (31, 32), (31, 32))
    assert (texts.empty.rows, texts.mismatched.rows, texts.broken.rows) == ((33,), (34,), (35,))
    assert texts.asked["exam.txt"].rows == (35,)
    assert texts.languages["de"] == 1 and next(iter(texts.languages)) == "en"
    assert texts.words == sum(len(line.split()) for each in rows_of(two[0]) for line in each.values())
    assert [(each.of, each.other, each.exact, each.near) for each in found.shared] == [(0, 1, 1, 2), (1, 0, 1, 2)]
    assert found.data[0].models == () and found.data[0].diversity is None and not found.data[0].tokens
    said = [each.text for each in found.findings if each.data == "first"]
    for begin in (
        "1 row (2.8 %) has an empty answer",
        "2 rows (5.6 %) repeat an earlier one, or nearly: --dedup near",
        "1 row (2.8 %) shares a question with exam.txt: --decontaminate exam.txt",
        "1 row (2.8 %) has an answer that seems to end within a sentence",
        "1 row (2.8 %) answers in another language",
        "2 rows (5.6 %) ask exactly (1) or nearly what second asks",
    ):
        assert any(each.startswith(begin) for each in said), begin


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_model_is_asked_about_a_sample_and_its_answers_are_kept(two, no_model):
    Path("exam.txt").write_text("Who was first?")
    exam = {"decontaminate": "exam.txt", "data_dir": "."}
    settings = Settings(engine="fake", model="m", encoder="e", target="second.jsonl", **exam)
    found = assess(two, settings, sample=20)
    first, second = found.data
    assert [(each.figure, each.drawn) for each in first.models] == [
        ("IFD", True), ("perplexity", True), ("RSR", True), ("rating", True),
    ]  # fmt: skip
    assert all(each.interval[0] <= each.median <= each.interval[1] for each in first.models)
    assert all(each.rows in (19, 20) for each in first.models)  # one may be the empty answer
    assert first.tokens.keys() == {"m"}
    assert (first.diversity.rows, second.diversity.rows) == (20, 20)
    assert second.diversity.target.value < first.diversity.target.value
    no_model()
    assert assess(two, settings, sample=20) == found
    lines = assessment_lines(found)
    assert any(line.startswith("IFD (m): median") for line in lines)
    assert any("20 rows each" in line for line in lines)


def test_the_run_of_a_sample_is_verified_too(two):
    first = assess([two[0]], Settings(engine="fake", model="m"), sample=20).data[0]
    (part,) = first.run.glob("assess/*/run/ratings/*/*/part-00000.parquet")
    assert not verify(first.run).findings
    part.write_bytes(part.read_bytes()[:-20])
    assert [each.path for each in verify(first.run).findings] == [part]


def test_what_is_stored_for_all_rows_serves_without_a_model(two, no_model):
    for each in two:
        for method in ("ifd", "kmeans"):
            settings = Settings(engine="fake", model="m", keep=5, method=method, out=f"{method}-{each}")
            selectit.select(each, settings)
    no_model()
    found = assess(two, Settings())
    assert [(one.figure, one.drawn, one.rows, one.interval) for one in found.data[0].models] == [
        ("IFD", False, 35, None), ("perplexity", False, 35, None), ("RSR", False, 35, None),
    ]  # fmt: skip
    assert found.data[0].diversity.rows == 27


def test_more_varied_vectors_are_more_varied(two, monkeypatch):
    def embed(engine, what, samples, on_batch):
        on_batch(len(samples), 0)
        numbers = [0 if "equal" in each.instruction else len(each.instruction) % 8 for each in samples]
        return np.eye(8, dtype=np.float32)[numbers]

    monkeypatch.setattr(FakeEngine, "embed", embed)
    Path("plain.jsonl").write_text("\n".join(json.dumps(pair(f"equal {n}", "x")) for n in range(25)))
    first, plain = assess([two[0], "plain.jsonl"], Settings(engine="fake", encoder="e"), sample=25).data
    assert first.diversity.vendi > plain.diversity.vendi == pytest.approx(1)
    assert first.diversity.entropy > plain.diversity.entropy == 0
    Path("equal.jsonl").write_text("\n".join(json.dumps(pair(f"equal? {n}", "y")) for n in range(12)))
    settings = Settings(engine="fake", encoder="e", target="equal.jsonl")
    found = assess([two[0], "plain.jsonl"], settings, sample=25).findings
    assert [each.data for each in found if "nearest to the target" in each.text] == ["plain"]


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        (WHOLE, False),
        (WHOLE[:-1], True),
        ("Here it is:\n```python\nprint(1)", True),
        ("Here it is:\n```python\nprint(1)\n```", False),
        (f"{WHOLE}\n- one more thing that nobody ever thought of when they went to the river to look", False),
        (f"{WHOLE}\nOf rivers and boats", False),
        (f"{WHOLE[:-1]} #boats", False),
        ("", False),
    ],
)
def test_answers_that_break_off(text, broken):
    assert breaks_off(text) is broken


def test_near_texts_of_others_are_found():
    others = [LONG, WHOLE]
    assert share_near([LONG.lower(), f"{WHOLE} Yes.", GERMAN, ""], others, 0.7).tolist() == [True, True, False, False]


def test_the_interval_of_a_median_holds_it():
    values = np.arange(101.0)
    found = bootstrap_median(values, 0)
    assert found.value == 50 and 30 < found.low < 50 < found.high < 70
    assert bootstrap_median(np.ones(3), 1) == type(found)(1, 1, 1)


def test_shares_in_words():
    assert [percent(*each) for each in ((0, 5), (1, 100_000), (5, 1000), (1, 1))] == [
        "0 %",
        "<0.1 %",
        "0.5 %",
        "100.0 %",
    ]


@pytest.mark.parametrize(
    ("settings", "sample", "message"),
    [
        (Settings(run="r"), 20, "each data set has its own"),
        (Settings(), 19, "--sample is 19"),
        (Settings(target="second.jsonl"), 20, "--target is measured with an encoder"),
        (Settings(engine="bogus"), 20, "there is no --engine 'bogus'"),
        (Settings(engine="server", model="served"), 20, "the engine server needs an address"),
    ],
)
def test_what_is_refused(two, settings, sample, message):
    with pytest.raises(SettingsError, match=message):
        assess(two, settings, sample)


def test_a_run_directory_is_a_data_set(two):
    folder = selectit.rate(two[0], Settings(engine="fake", model="m", k=1, run="elsewhere"))
    found = assess([folder, two[1]], Settings()).data
    assert [each.name for each in found] == ["first", "second"] and found[0].run == folder
    assert [each.figure for each in found[0].models] == ["rating"]


def test_vectors_of_two_encoders_are_not_compared(two, monkeypatch):
    def embed(engine, what, samples, on_batch):
        on_batch(len(samples), 0)
        return np.ones((len(samples), 3 if len(samples) == 27 else 4), np.float32)

    monkeypatch.setattr(FakeEngine, "embed", embed)
    with pytest.raises(RunError, match="different lengths"):
        assess(two, Settings(engine="fake", encoder="e"), sample=500)


def test_a_target_of_one_example_has_no_distance(two):
    Path("one.jsonl").write_text(json.dumps(topic(1)))
    with pytest.raises(DataError, match="one.jsonl has one example"):
        assess(two, Settings(engine="fake", encoder="e", target="one.jsonl"))


def test_a_data_set_that_is_there_twice_is_refused(two):
    with pytest.raises(SettingsError, match="first.jsonl is there twice"):
        assess([two[0], two[1], two[0]], Settings())


def test_a_name_of_no_model_is_refused_before_the_texts_are_read(two, monkeypatch):
    monkeypatch.setattr("selectit.assessing.assess.measure_texts", lambda *_: pytest.fail("texts were read"))
    for settings in (Settings(model="nosuch"), Settings(encoder="nosuch")):
        with pytest.raises(ModelError, match="unknown model 'nosuch'"):
            assess(two, settings)


def test_the_command(two, capsys):
    code, out, _ = run(capsys, "assess", *two, "--json", "--quiet")
    assert code == 0 and json.loads(out)["data"][1]["texts"]["rows"] == 27
    code, out, err = run(capsys, "assess", *two)
    assert code == 0 and "copies and near-copies" in out and "in second" in out
    assert "first: 1 row (2.8 %) has an empty answer: take them out (33)" in out
    assert "run directory: selectit-runs/first-" in err


def test_what_is_not_installed_is_left_out_and_named(two, monkeypatch, capsys):
    for package in ("rensa", "py3langid", "sklearn"):
        monkeypatch.setitem(sys.modules, package, None)
    code, said, _ = run(capsys, "assess", *two, "--encoder", "m", "--engine", "fake", "--quiet")
    assert code == 0
    assert "copies of an earlier row" in said and "1 / -" in said
    assert said.count("left out, since") == 3 and "[filters,methods]'" in said
    found = assess(two[:1], Settings())
    assert found.data[0].texts.near is None and {"rensa", "py3langid"} <= set(found.missing)
    assert found.data[0].texts.exact.count == 1 and any("--dedup exact" in each.text for each in found.findings)


def test_a_data_set_alone_has_no_table_of_what_is_shared(two):
    found = assess(two[:1], Settings())
    assert found.shared == () and not any("another data set" in line for line in assessment_lines(found))


def test_two_data_sets_of_one_name_are_told_apart(two):
    Path("more").mkdir()
    Path("more/first.jsonl").write_text(Path("second.jsonl").read_text())
    first, other = assess([two[0], "more/first.jsonl"], Settings()).data
    assert first.name != other.name and first.name.startswith("first-") and other.name.startswith("first-")


def test_answers_of_one_model_with_several_settings_are_not_guessed_at(two, no_model):
    runs = {selectit.rate(two[0], Settings(engine="fake", model="m", unit_size=n, k=1)) for n in (16, 32)}
    folders = [path.name for path in (runs.pop() / "ratings").iterdir()]
    no_model()
    with pytest.raises(RunError, match="several settings") as raised:
        assess(two[:1], Settings())
    assert all(folder in raised.value.message for folder in folders)
    assert raised.value.hint == "Say which with --unit-size, or --model FOLDER."
    (rating,) = assess(two[:1], Settings(unit_size=32)).data[0].models
    assert (rating.figure, rating.model, rating.drawn) == ("rating", "m", False)
    (rating,) = assess(two[:1], Settings(model=folders[0])).data[0].models
    assert (rating.model, rating.drawn) == (folders[0], False)


def test_what_other_weights_of_that_name_answered_is_not_read(two, monkeypatch):
    selectit.rate(two[0], Settings(engine="fake", model="m", k=1))
    (stored,) = assess(two[:1], Settings()).data[0].models
    assert not stored.drawn
    model = Model("m", "", "f" * 64, packaged=False)
    for module in ("selectit.inference.rate", "selectit.selection.collect", "selectit.assessing.sample"):
        monkeypatch.setattr(f"{module}.find_model", lambda *_: model)
    found = assess(two[:1], Settings(engine="fake", model="m"), sample=20).data[0].models
    assert [each.drawn for each in found] == [True] * 4


def test_an_engine_without_losses_gives_the_ratings(two, monkeypatch):
    monkeypatch.setattr(FakeLoader, "signals", ("ratings", "embeddings"))
    (rating,) = assess(two[:1], Settings(engine="fake", model="m"), sample=20).data[0].models
    assert (rating.figure, rating.drawn) == ("rating", True)
