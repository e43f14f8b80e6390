"""A cascade: what goes on, what is rated, what it says it saved and lost, and that it goes on where it stopped."""

import dataclasses
import json
import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import selectit
from fakecalls import recorded
from rundirs import contents
from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.numerics.statistics import wilson
from selectit.progress import Silent
from selectit.runs.run import Run, open_run
from selectit.runs.source import create
from selectit.selection import cascade, cascade_report, summary
from selectit.selection.choose import Budget
from selectit.selection.resolve import resolve, resolve_cascade

ROWS = 60
CASCADE = Settings(engine="fake", model="m", run="run", unit_size=20, k=3, cascade="50%", keep="20%", out="out.json")


FIFTH = Budget(share=Decimal("0.2"))


def changed(**changes):
    return dataclasses.replace(CASCADE, **changes)


def full(**changes):
    return changed(run="full", cascade=None, cascade_k=None, cascade_model=None, out="full.json", **changes)


@pytest.fixture
def many(folder):
    rows = [{"instruction": f"Question {n}?", "input": "", "output": f"answer {n} " * (1 + n % 5)} for n in range(ROWS)]
    (folder / "many.json").write_text(json.dumps(rows, indent=1))
    return folder / "many.json"


@pytest.fixture
def small(monkeypatch):
    """A sample of 20 rows, so that something is dropped."""
    monkeypatch.setattr(cascade, "SAMPLE", 20)


@pytest.fixture
def calls(monkeypatch):
    """Every (model, prompt, text of the rows) that the fake engine was asked; `calls.stop_at` interrupts there."""

    def seen(engine, prompt, samples):
        return engine.name, prompt.text, tuple(sample.instruction for sample in samples)

    return recorded(monkeypatch, seen)


def test_the_choice_is_the_full_one_of_what_went_on(many, small):
    selected = selectit.select(many, CASCADE)
    selectit.select(many, full())
    whole = selectit.score("full", full()).score
    first = selectit.score("full", full(level="token")).score
    went_on = np.argsort(-first, kind="stable")[:30]
    best = went_on[np.argsort(-whole[went_on], kind="stable")][:12]
    assert selected.selection.rows.tolist() == best.tolist()
    assert selected.selection.scores.tolist() == whole[best].tolist()
    stored = pq.read_table("run/scores/selectit-sentence-paper-k3-a0.2-cascade-50pct.parquet").to_pydict()
    assert np.flatnonzero(~np.isnan(stored["score"])).tolist() == sorted(went_on.tolist())
    assert np.array(stored["score"])[went_on].tolist() == whole[went_on].tolist()
    assert stored["first"] == first.tolist()


def test_nothing_is_rated_twice(many, small, calls):
    selected = selectit.select(many, CASCADE)
    asked = [(name, text, row) for name, text, rows in calls for row in rows]
    facts = selected.summary.cascade
    assert len(asked) == facts.first_ratings + facts.second_ratings
    assert facts.first_ratings == ROWS
    assert facts.second_ratings == 2 * facts.fully_rated
    assert facts.full_ratings == 3 * ROWS
    assert len(set(asked)) == len(asked)
    before = len(calls)
    assert selectit.select(many, CASCADE).name == selected.name
    assert selectit.select(None, changed(alpha=0.9, keep=5, out="b.json")).selection.rows.shape == (5,)
    assert len(calls) == before


def test_more_prompts_later_cost_only_themselves(many, small, calls):
    selected = selectit.select(many, CASCADE)
    before = len(calls)
    selectit.select(many, changed(k=4, out="b.json"))
    later = [row for *_, rows in calls[before:] for row in rows]
    assert len(later) == selected.summary.cascade.fully_rated


@pytest.mark.parametrize("model", [None, "cheap"])
@pytest.mark.parametrize("stop_at", [0, 2, 3, 5, 6])
def test_an_interrupted_cascade_ends_as_an_uninterrupted_one(many, small, calls, stop_at, model):
    settings = changed(cascade_model=model)
    calls.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        selectit.select(many, settings)
    calls.stop_at = None
    selectit.select(many, settings)
    interrupted = len(calls)
    calls.clear()
    stored = contents("run")
    Path("run").rename("first")
    Path(settings.out).unlink()
    selectit.select(many, settings)
    assert len(calls) == interrupted, "a finished unit was rated again"
    assert stored == contents("run")


def test_an_interruption_while_ratings_are_handed_on(many, small, calls, monkeypatch):
    selectit.select(many, CASCADE)
    stored, asked = contents("run"), list(calls)
    Path("run").rename("first")
    Path(CASCADE.out).unlink()
    original, written = Run.write_table, []

    def write_table(run, path, table):
        if "cascades" in path.parts:
            if len(written) == 1:
                raise KeyboardInterrupt
            written.append(path)
        original(run, path, table)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "write_table", write_table)
        selectit.select(many, CASCADE)
    calls[:] = calls[len(asked) :]
    selectit.select(many, CASCADE)
    assert calls == asked
    assert contents("run") == stored


def test_rate_does_both_stages_and_select_needs_no_model_then(many, small, calls, no_model):
    settings = changed(keep=None, out=None)
    assert selectit.rate(many, settings) == Path("run")
    before = len(calls)
    no_model()
    selectit.select(None, Settings(run="run", k=3, cascade="50%", out="b.json"))
    assert len(calls) == before
    with pytest.raises(RunError, match="no ratings of such a cascade"):
        selectit.select(None, Settings(run="run", k=3, cascade="40%", out="c.json"))


def test_a_smaller_model_rates_first(many, small, calls):
    selected = selectit.select(many, changed(cascade_model="cheap", cascade_k=2))
    by = {name: {text for model, text, _ in calls if model == name} for name in ("cheap", "m")}
    assert (len(by["cheap"]), len(by["m"])) == (2, 3)
    facts = selected.summary.cascade
    assert (facts.first_model, facts.first_prompts, facts.full_model, facts.full_prompts) == ("cheap", 2, "m", 3)
    assert (facts.first_ratings, facts.second_ratings) == (2 * ROWS, 3 * facts.fully_rated)
    cheap = selectit.score("run", Settings(model="cheap", k=2)).score
    whole = selectit.select(many, full())
    went_on = set(np.argsort(-cheap, kind="stable")[:30].tolist())
    kept = [row for row in whole.selection.rows.tolist() if row in went_on]
    assert selected.selection.rows.tolist()[: len(kept)] == kept
    assert [each.model for each in selected.summary.raters] == ["cheap", "m"]


def test_what_it_says_of_the_agreement(many):
    """The sample of 200 is all rows here, so the figure is no estimate."""
    selected = selectit.select(many, CASCADE)
    whole = selectit.select(many, full())
    common = set(selected.selection.rows.tolist()) & set(whole.selection.rows.tolist())
    facts = selected.summary.cascade
    assert (facts.sample, facts.best, facts.best_went_on, facts.low) == (ROWS, 12, len(common), None)
    assert 0 < len(common) < 12, "the example is to lose some"
    lines = list(summary.summary_lines(selected.summary, cascade_report.read_timing(open_run("run"))))
    assert any(f"{len(common)} of the 12 rows that full ratings would choose went on" in line for line in lines)
    assert "  180 forward passes instead of 180: nothing saved" in lines


def test_the_sample_estimates_the_agreement(folder):
    """Over many samples the mean estimate is the true share, and the interval covers it."""
    rows = [{"instruction": f"Question {n}?", "output": f"answer {n}"} for n in range(400)]
    (folder / "d.json").write_text(json.dumps(rows))
    settings = changed(unit_size=None)
    selectit.rate("d.json", full(unit_size=None))
    whole = selectit.score("full", full(unit_size=None)).score
    first = selectit.score("full", full(unit_size=None, level="token")).score
    plan = resolve(settings)
    stages = resolve_cascade(plan, None)
    run = create("d.json", settings)
    true = len(set(np.argsort(-whole)[:80]) & set(np.argsort(-first)[:200])) / 80
    done = cascade.run_cascade(run, plan, stages, Silent(), rates=True, sample=100)
    facts = done.summary.cascade
    assert facts.best == 20
    assert facts.low <= true <= facts.high
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        sample = rng.choice(400, 100, replace=False)
        best = sample[cascade.best_of_sample(FIFTH, 400, whole[sample])]
        shares.append(np.isin(best, np.argsort(-first)[:200]).mean())
    assert np.mean(shares) == pytest.approx(true, abs=0.03)
    covered = [each.low <= true <= each.high for each in (wilson(round(share * 20), 20) for share in shares)]
    assert np.mean(covered) > 0.93


def test_what_is_asked_once_for_all_rows_is_no_pass_a_row(many, small):
    facts = selectit.select(many, changed(method="calibrated")).summary.cascade
    assert (facts.first_ratings, facts.second_ratings) == (ROWS, 2 * facts.fully_rated)
    assert facts.full_ratings == 3 * ROWS


def test_why_a_row_is_not_chosen(many, small):
    selected = selectit.select(many, changed(rest="rest.json"))
    rest = [row["selectit"] for row in json.loads(Path("rest.json").read_text())]
    dropped = [each for each in rest if each["why"].startswith("dropped by the cascade after K=1: rank ")]
    assert len(dropped) == 30
    assert all(each["score"] is None for each in dropped)
    assert sorted(int(each["why"].split()[-3]) for each in dropped) == list(range(31, 61))
    assert {each["why"] for each in rest if each not in dropped} == {"below the cut"}
    assert selected.summary.unscored_rows == 0


def test_rows_without_a_first_score_go_on_and_say_why_they_have_none(folder, small):
    rows = [
        {"instruction": f"Question {n}?", "output": "word " * (900 if n in (5, 40) else 3 + n)} for n in range(ROWS)
    ]
    (folder / "d.json").write_text(json.dumps(rows))
    selected = selectit.select("d.json", changed(max_tokens=400, rest="rest.json"))
    assert selected.summary.unscored_rows == 2
    assert selected.summary.cascade.went_on == 32
    why = {row["selectit"]["row"]: row["selectit"]["why"] for row in json.loads(Path("rest.json").read_text())}
    assert "the limit is 400" in why[5]
    assert "the limit is 400" in why[40]


def test_the_selection_says_that_it_is_a_cascade(many, small):
    selected = selectit.select(many, CASCADE)
    assert selected.name == "selectit-sentence-paper-k3-a0.2-cascade-50pct-20pct"
    config = tomllib.loads((Path("run/selections") / selected.name / "config.toml").read_text())
    assert config["cascade"]["first"]["level"] == "token"
    assert config["cascade"]["goes_on"] == "50pct"
    inner = open_run(Path("run") / config["cascade"]["run"])
    assert inner.rows == selected.summary.cascade.fully_rated
    plain = selectit.show("run")["selections"][selected.name]
    assert summary.from_plain(plain) == selected.summary
    exported = selectit.export("run", "trl", "exported")
    card = (exported.path / "README.md").read_text()
    assert "- cascade: 30 of 60 rows went on" in card
    assert card.count("- model: m (ratings), engine fake") == 1


@pytest.mark.parametrize("kind", ["parquet", "arrow", "map", "jsonl.gz", "sharegpt"])
def test_every_kind_of_data(folder, small, kind):
    rows = [{"q": f"Question {n}?", "a": f"answer {n} " * (1 + n % 5)} for n in range(ROWS)]
    settings = {"map": "instruction=q,response=a"}
    data = "d.json"
    if kind == "parquet":
        data = "d.parquet"
        pq.write_table(pa.Table.from_pylist(rows), data)
    elif kind == "arrow":
        import datasets

        datasets.Dataset.from_list(rows).save_to_disk("d")
        data = "d"
    elif kind == "jsonl.gz":
        import gzip

        data = "d.jsonl.gz"
        Path(data).write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    elif kind == "sharegpt":
        settings = {"turns": "each"}
        talks = [[("human", row["q"]), ("gpt", row["a"]), ("human", "And?"), ("gpt", row["q"])] for row in rows]
        Path(data).write_text(
            json.dumps([{"conversations": [{"from": who, "value": what} for who, what in talk]} for talk in talks])
        )
    else:
        Path(data).write_text(json.dumps(rows))
    selected = selectit.select(data, changed(out="out", **settings))
    whole = selectit.select(data, changed(run="full", cascade=None, out="whole", **settings))
    scores = dict(zip(whole.selection.rows.tolist(), whole.selection.scores.tolist(), strict=True))
    common = [row for row in selected.selection.rows.tolist() if row in scores]
    assert len(common) >= 6
    chosen = dict(zip(selected.selection.rows.tolist(), selected.selection.scores.tolist(), strict=True))
    assert all(chosen[row] == scores[row] for row in common)


@pytest.mark.parametrize("method", ["expected-rating", "calibrated", "contrast", "log-odds"])
def test_other_methods_on_ratings(many, small, method):
    selected = selectit.select(many, changed(method=method))
    whole = selectit.score("run", changed(method=method, k=1)).score
    went_on = np.argsort(-whole, kind="stable")[:30]
    assert np.isin(selected.selection.rows, went_on).all()
    again = selectit.select(many, full(method=method))
    both = set(again.selection.rows.tolist()) & set(went_on.tolist())
    assert selected.selection.rows.tolist()[: len(both)] == [r for r in again.selection.rows.tolist() if r in both]


def test_the_official_profile(many, small):
    selected = selectit.select(many, changed(profile="official"))
    whole = selectit.score(selectit.rate(many, full()), full(profile="official")).score
    assert selected.selection.scores.tolist() == whole[selected.selection.rows].tolist()


def test_a_minimum_score_alone(many, small):
    selected = selectit.select(many, changed(keep=None, min_score=0.5))
    assert (selected.selection.scores >= 0.5).all()
    facts = selected.summary.cascade
    assert 0 < facts.best <= facts.sample


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cascade": "10%"}, "lets 6 of 60 rows go on, and 12 are to be kept"),
        ({"cascade": "0"}, "--cascade is 0"),
        ({"cascade": "most"}, "--cascade is 'most'"),
        ({"cascade_k": 3}, "3 of 3 prompts: nothing would be saved"),
        ({"level": "token"}, "1 of 1 prompts: nothing would be saved"),
        ({"method": "length"}, "for methods that score rows by ratings alone, and length does not"),
        ({"method": "kcenter"}, "for methods that score rows by ratings alone, and kcenter does not"),
        ({"method": "deita"}, "for methods that score rows by ratings alone, and deita does not"),
        ({"method": "calibrated", "param": {"by": "batch"}}, "by batch scores a row by all others"),
        ({"combine": "selectit,length"}, "--combine names several"),
        ({"model": ("m", "n")}, "--cascade takes one model, and there are 2: m, n"),
        ({"cascade_model": "m"}, "--cascade-model m is the model itself"),
    ],
)
def test_what_makes_no_cascade(many, calls, changes, said):
    with pytest.raises(SettingsError) as told:
        selectit.select(many, changed(**changes))
    assert said in told.value.message
    assert told.value.hint
    assert not calls


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cascade_k": 2}, "--cascade-k belongs to a cascade"),
        ({"cascade_model": "n"}, "--cascade-model belongs to a cascade"),
        ({"cascade": "50%", "cascade_k": 0}, "--cascade-k is 0"),
        ({"cascade": "50%", "share": "0/2"}, "--share can't be used with --cascade"),
        ({"cascade": "50%", "cascade_model": "n", "tokenizer": "t", "engine": "server"}, "--cascade-model names a"),
    ],
)
def test_settings_that_contradict_each_other(settings, said):
    with pytest.raises(SettingsError) as told:
        Settings(**settings)
    assert said in told.value.message


def test_the_command(many, small, capsys):
    import commandline

    options = ("--engine", "fake", "--model", "m", "--run", "run", "--k", 3, "--cascade", "50%")
    assert commandline.run(capsys, "rate", many, *options)[0] == 0
    code, out, err = commandline.run(capsys, "select", many, *options, "--out", "out.json")
    assert code == 0, err
    assert "loading" not in err
    assert "cascade: after 1 prompt of m, 30 rows went on; these and " in out
    assert "% saved" in out
    assert "agreement with the full choice: " in out
    shown = commandline.run(capsys, "show", "run")[1]
    assert "  cascade: after 1 prompt of m, 30 rows went on" in shown
    assert commandline.run(capsys, "select", many, *options, "--out", "out.json")[1] == out
