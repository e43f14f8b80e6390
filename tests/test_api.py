"""The stages as a user of the library sees them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import selectit
from selectit import Settings
from selectit.errors import DataError, RunError, SettingsError
from selectit.methods.selectit import SelectIT

FAKE = Settings(engine="fake", model="m", run="run")


def with_settings(**changes):
    import dataclasses

    return dataclasses.replace(FAKE, **changes)


def test_the_whole_job(data, rows):
    selected = selectit.select(data, FAKE)
    assert selected.out == Path("data.selected.json")
    kept = json.loads(selected.out.read_text())
    assert kept == [rows[row] for row in selected.selection.rows]
    assert len(kept) == 2  # the floor of 20 % of 12
    scores = selectit.score("run", FAKE).score
    assert scores[selected.selection.rows].tolist() == sorted(scores.tolist(), reverse=True)[:2]
    stored = pq.read_table(Path("run/selections") / selected.name / "rows.parquet").to_pydict()
    assert stored["row"] == selected.selection.rows.tolist()
    assert stored["why"] == ["rank 1 of 12", "rank 2 of 12"]


def test_choosing_anew_needs_no_data_and_no_engine(data, monkeypatch):
    selectit.select(data, FAKE)
    data.unlink()
    monkeypatch.setattr("selectit.collect.load_engine", lambda *_: pytest.fail("a model was loaded"))
    again = selectit.select(None, with_settings(alpha=0.9, k=3, keep=5, out="b.json"))
    assert len(json.loads(Path("b.json").read_text())) == 5
    assert again.name == "selectit-sentence-paper-k3-a0.9-5rows"
    assert len(list(Path("run/selections").iterdir())) == 2


def test_scores_are_those_of_the_stored_ratings(data):
    selectit.select(data, FAKE)
    from selectit import collect, prompts
    from selectit.run import open_run
    from selectit.schema import Signals

    run = open_run("run")
    ratings = collect.load_ratings(run, collect.raters(run), prompts.packaged().first(5))
    assert ratings.logprob.shape == (12, 1, 5, 5)
    expected = SelectIT().score(Signals(run.basic_rows(), ratings))
    stored = pq.read_table("run/scores/selectit-sentence-paper-k5-a0.2.parquet")
    assert stored["score"].to_pylist() == expected.tolist()
    assert {"mean", "std", "rating", "mass"} < set(stored.column_names)


def test_several_models_make_the_model_level(data):
    both = with_settings(model=("m", "n"))
    selected = selectit.select(data, both)
    assert selected.name.startswith("selectit-model-paper-k5")
    alone = [selectit.score("run", with_settings(model=name)).score for name in ("m", "n")]
    assert selectit.score("run", both).score == pytest.approx(np.mean(alone, axis=0))
    weighted = selectit.score("run", with_settings(model=("m", "n"), weights=(3, 1))).score
    assert weighted == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])
    with pytest.raises(SettingsError, match="reads one model"):
        selectit.select(None, Settings(run="run", level="sentence"))


def test_another_model_never_overwrites_a_selection_of_the_same_name(data):
    first = selectit.select(data, FAKE)
    second = selectit.select(data, with_settings(model="n", out="n.json"))
    assert first.name != second.name
    assert selectit.select(data, FAKE).name == first.name
    assert selectit.select(data, with_settings(model="n", out="n.json")).name == second.name
    assert len(list(Path("run/selections").iterdir())) == 2


def test_an_output_that_differs_is_not_overwritten(data):
    Path("data.selected.json").write_text("mine")
    with pytest.raises(RunError, match="holds something else"):
        selectit.select(data, FAKE)
    assert Path("data.selected.json").read_text() == "mine"
    assert not list(Path().glob(".data*"))
    selectit.select(data, with_settings(force=True))
    assert json.loads(Path("data.selected.json").read_text())
    selectit.select(data, FAKE)  # the same content is no conflict


def test_the_input_is_never_the_output(data):
    with pytest.raises(SettingsError, match="the data itself"):
        selectit.select(data, with_settings(out="data.json", force=True))


def test_source_order_and_scores_in_the_output(data, rows):
    plain = selectit.select(data, with_settings(keep=6))
    selected = selectit.select(None, with_settings(keep=6, order="source", with_scores=True, out="o.json"))
    out = json.loads(Path("o.json").read_text())
    assert [row.pop("selectit")["row"] for row in out] == sorted(plain.selection.rows.tolist())
    assert out == [rows[row] for row in sorted(plain.selection.rows)]
    by_row = {row["selectit"]["row"]: row["selectit"] for row in json.loads(Path("o.json").read_text())}
    for rank, (row, value) in enumerate(zip(selected.selection.rows, selected.selection.scores, strict=True), start=1):
        assert by_row[int(row)] == {"row": int(row), "rank": rank, "score": value}


def test_a_field_of_that_name_is_not_doubled(folder):
    (folder / "d.jsonl").write_text('{"instruction": "a", "output": "b", "selectit": 1}\n')
    with pytest.raises(DataError, match="has a field 'selectit' already"):
        selectit.select("d.jsonl", with_settings(keep=1, with_scores=True))
    assert not Path("d.selected.jsonl").exists()


def test_random_and_length_need_no_model(data, rows):
    longest = selectit.select(data, Settings(run="run", method="length", keep=3))
    words = [len(row["output"].split()) for row in rows]
    assert longest.selection.scores.tolist() == sorted(map(float, words), reverse=True)[:3]
    drawn = [selectit.score("run", Settings(method="random", seed=seed)).score for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).all()
    assert len(set(drawn[0])) == 12, "equal rows draw apart"
    assert not Path("run/ratings").exists()


def test_a_random_draw_stays_with_its_row(data, rows, folder):
    before = dict(zip(map(json.dumps, rows), selectit_random(data, "run"), strict=True))
    fewer = [row for n, row in enumerate(rows) if n not in (0, 4)]
    (folder / "fewer.json").write_text(json.dumps(fewer))
    after = dict(zip(map(json.dumps, fewer), selectit_random("fewer.json", "run2"), strict=True))
    assert all(before[row] == after[row] for row in after if before[row] is not None)


def selectit_random(data, run):
    selectit.select(data, Settings(run=run, method="random", keep=1, force=True))
    return selectit.score(run, Settings(method="random")).score.tolist()


def test_tokens_are_counted_where_a_model_is_named(data, rows):
    settings = Settings(run="run", method="length", model="m", engine="fake", keep=3)
    selected = selectit.select(data, settings)
    assert selected.name == "length-tokens-3rows"
    assert selected.selection.scores[0] == max(len(row["output"].split()) for row in rows)


SET_METHOD = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np

@dataclass(frozen=True)
class Every:
    """Every n-th row."""
    n: int = 2
    needs: ClassVar[tuple[str, ...]] = ()
    @property
    def label(self): return f"every{self.n}"
    def select(self, signals, budget): return np.arange(0, len(signals.rows), self.n)[:budget]

class Nothing: ...
'''


def test_a_method_of_ones_own_that_chooses_a_set(data, folder):
    (folder / "mine.py").write_text(SET_METHOD)
    selected = selectit.select(data, Settings(run="run", method="./mine.py:Every", param={"n": "3"}, keep=4))
    assert selected.selection.rows.tolist() == [0, 3, 6, 9]
    assert selected.summary.cut is None
    for wrong, says in (("Nothing", "not a dataclass"), ("Evry", "'Every'")):
        with pytest.raises(SettingsError, match=says):
            selectit.select(data, Settings(run="run", method=f"./mine.py:{wrong}"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "selectitt"}, "'selectit'"),
        ({"level": "sentense"}, "'sentence'"),
        ({"k": 10}, "9 prompts"),
        ({"keep": "0"}, "--keep"),
        ({"alpha": -1.0}, "alpha"),
        ({"prompts": "none.txt"}, "can't read the prompt file"),
        ({"method": "random", "alpha": 0.1}, "no parameter 'alpha'"),
        ({"param": {"x": 1}}, "no parameter 'x'"),
        ({"method": "length", "param": {"unit": "wrds"}}, "'words'"),
        ({"out": "no/such/folder.json"}, "no folder"),
        ({"out": "."}, "is a folder"),
    ],
)
def test_mistakes_are_told_before_a_model_is_loaded(data, monkeypatch, changes, says):
    monkeypatch.setattr("selectit.collect.load_engine", lambda *_: pytest.fail("a model was loaded"))
    with pytest.raises(SettingsError, match=says):
        selectit.select(data, with_settings(**changes))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"dtype": "int8"}, "--dtype is 'int8'"),
        ({"engine": "hff"}, "'hf'"),
        ({"limit": 0}, "--limit"),
        ({"unit_size": 0}, "--unit-size"),
        ({"share": "2/2"}, "--share"),
        ({"share": "1"}, "--share"),
        ({"model": ("a", "a")}, "named twice"),
        ({"order": "random"}, "--order is"),
    ],
)
def test_wrong_settings(wrong, says):
    with pytest.raises(SettingsError, match=says):
        Settings(**wrong)


def test_warnings_for_raters_that_do_not_answer(data, monkeypatch):
    from selectit.engines.fake import FakeEngine

    monkeypatch.setattr(FakeEngine, "_logprob", lambda self, text, labels: np.log([1e-3, 1e-3, 1e-3, 1e-3, 5e-3]))
    summary = selectit.select(data, FAKE).summary
    small, one_label, constant = summary.warnings
    assert "puts only 0.9% of its probability" in small
    assert "rates 100.0% of everything 5" in one_label
    assert "every row has the same score" in constant
    assert summary.raters[0].label_shares == (0, 0, 0, 0, 1)


def test_no_warnings_for_one_that_does(data):
    summary = selectit.select(data, FAKE).summary
    assert summary.warnings == ()
    assert summary.raters[0].mean_mass == pytest.approx(0.9)
    assert summary.raters[0].passes_per_row == 5
    assert summary.empty_responses == 1


def test_show(data):
    selected = selectit.select(data, FAKE)
    shown = selectit.show("run")
    assert shown["rows"] == 12
    assert shown["selections"][selected.name]["kept"] == 2
    best = int(selected.selection.rows[0])
    row = selectit.show("run", best)
    assert len(row["ratings"]) == 5
    from selectit import prompts

    assert [rating["prompt"] for rating in row["ratings"]] == list(prompts.packaged().texts[:5])
    assert row["selections"] == {selected.name: "rank 1 of 12"}
    assert row["scores"]["selectit-sentence-paper-k5-a0.2"]["score"] == selected.selection.scores[0]
    with pytest.raises(RunError, match="rows go from 0 to 11"):
        selectit.show("run", 12)


def test_lists():
    assert set(selectit.methods()) >= {"selectit", "random", "length"}
    assert set(selectit.models()) == {"smollm2", "gemma3-270m"}
