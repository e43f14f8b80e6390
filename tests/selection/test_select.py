"""The stages as a user of the library sees them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import selectit
from fakecalls import rated_as
from selectit.config.settings import Settings
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


def test_choosing_anew_needs_no_data_and_no_engine(data, no_model):
    selectit.select(data, FAKE)
    data.unlink()
    no_model()
    again = selectit.select(None, with_settings(alpha=0.9, k=3, keep=5, out="b.json"))
    assert len(json.loads(Path("b.json").read_text())) == 5
    assert again.name == "selectit-sentence-paper-k3-a0.9-5rows"
    assert len(list(Path("run/selections").iterdir())) == 2


def test_scores_are_those_of_the_stored_ratings(data):
    selectit.select(data, FAKE)
    from selectit.runs import annotators as stored
    from selectit.runs import stored as runs_stored
    from selectit.runs.run import open_run
    from selectit.signals import prompts
    from selectit.signals.arrays import Signals

    run = open_run("run")
    ratings = runs_stored.load_arrays(run, stored.annotators(run), prompts.packaged().first(5))
    assert ratings.logprob.shape == (12, 1, 5, 5)
    expected = SelectIT().score(Signals(run.basic_rows(), {"ratings": ratings}))
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
    with pytest.raises(RunError, match="is there, and run has no selection with these settings"):
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


OWN_RATINGS = """
from dataclasses import dataclass
from typing import ClassVar
from selectit.methods import ScoringMethod

@dataclass(frozen=True)
class Plain:
    k: int = 2
    needs: ClassVar[tuple[str, ...]] = ("ratings",)
    ties: ClassVar[str] = "larger"
    @property
    def prompts(self): return self.k
    @property
    def label(self): return f"plain{self.k}"
    def score(self, signals): return signals.ratings.logprob[:, 0, :, -1].mean(axis=-1).round(0).astype(float)

@dataclass(frozen=True)
class Heir(ScoringMethod):
    k: int = 2
    needs: ClassVar[tuple[str, ...]] = ("ratings",)
    takes_k: ClassVar[bool] = True
    ties: ClassVar[str] = "larger"
    @property
    def prompts(self): return self.k
    @property
    def label(self): return f"heir{self.k}"
    def score(self, signals): return signals.ratings.logprob[:, 0, :, -1].mean(axis=-1).round(0).astype(float)

@dataclass(frozen=True)
class Half(ScoringMethod):
    label: ClassVar[str] = "half"
"""


def test_a_method_need_not_inherit_what_it_leaves_out(data, folder):
    (folder / "mine.py").write_text(OWN_RATINGS)
    settings = Settings(run="run", engine="fake", model="m", k=3, keep=4, force=True)
    plain, heir = (selectit.select(data, replace(settings, method=f"./mine.py:{name}")) for name in ("Plain", "Heir"))
    assert plain.selection.rows.tolist() == heir.selection.rows.tolist()
    assert plain.passes == heir.passes == 3, "--k is the number of prompts of both"
    assert (plain.summary.about, heir.summary.about) == ("", "") and plain.name.startswith("plain3")
    with pytest.raises(SettingsError, match="Half lacks needs, label, or one of score and select"):
        selectit.select(data, replace(settings, method="./mine.py:Half"))


def test_everything_is_resolved_once(data, monkeypatch):
    """One `select` reads the prompt file once, and builds each method once: that of the settings, and what it reads."""
    from selectit.signals import prompts

    Path("p.txt").write_text("Is it good?\nIs it right?")
    read, built = [], []
    load, build = prompts.load, selectit.methods.build
    monkeypatch.setattr(prompts, "load", lambda path: read.append(path) or load(path))
    monkeypatch.setattr(selectit.methods, "build", lambda name, given: built.append(name) or build(name, given))
    own = {"rule": "own", "indicators": "expected-rating:k=2,length:unit=chars", "coefficients": "0,1,1"}
    settings = Settings(run="run", engine="fake", model="m", prompts="p.txt", k=2, keep=4)
    selectit.select(data, replace(settings, method="instruction-mining", param=own, k=None, out="a.json"))
    assert (read, built) == (["p.txt"], ["instruction-mining", "expected-rating", "length"])
    built.clear()
    selectit.select(data, replace(settings, combine="selectit:k=2:2,log-odds:k=1", out="b.json"))
    assert (read, built) == (["p.txt"] * 2, ["selectit", "log-odds"])
    built.clear()
    selectit.select(data, replace(settings, cascade="50%", out="c.json"))
    assert (read, built) == (["p.txt"] * 3, ["selectit"] * 2), "in full, and for the first rating"


def test_a_method_of_an_installed_package(data, folder, monkeypatch):
    (folder / "every_nth.py").write_text(SET_METHOD)
    about = folder / "every_nth-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: every_nth\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[selectit.methods]\nevery-nth = every_nth:Every\n")
    monkeypatch.syspath_prepend(folder)
    assert "every-nth" in selectit.methods.names()
    selected = selectit.select(data, Settings(run="run", method="every-nth", keep=4))
    assert selected.selection.rows.tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "selectitt"}, "'selectit'"),
        ({"level": "sentense"}, "'sentence'"),
        ({"k": 10}, "9 prompts"),
        ({"engine": "hff"}, "'hf'"),
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
def test_mistakes_are_told_before_a_model_is_loaded(data, no_model, changes, says):
    no_model()
    with pytest.raises(SettingsError, match=says):
        selectit.select(data, with_settings(**changes))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"dtype": "int8"}, "there is no --dtype 'int8'"),
        ({"limit": 0}, "--limit"),
        ({"unit_size": 0}, "--unit-size"),
        ({"share": "2/2"}, "--share"),
        ({"share": "1"}, "--share"),
        ({"model": ("a", "a")}, "named twice"),
        ({"order": "random"}, "there is no --order"),
    ],
)
def test_wrong_settings(wrong, says):
    with pytest.raises(SettingsError, match=says):
        Settings(**wrong)


def test_warnings_for_raters_that_do_not_answer(data, monkeypatch):
    same = np.log([1e-3, 1e-3, 1e-3, 1e-3, 5e-3], dtype=np.float32)
    rated_as(monkeypatch, lambda batch, samples: replace(batch, logprob=np.broadcast_to(same, batch.logprob.shape)))
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
    from selectit.signals import prompts

    assert [rating["prompt"] for rating in row["ratings"]] == list(prompts.packaged().texts[:5])
    assert row["selections"] == {selected.name: "rank 1 of 12"}
    assert row["scores"]["selectit-sentence-paper-k5-a0.2"]["score"] == selected.selection.scores[0]
    with pytest.raises(RunError, match="rows go from 0 to 11"):
        selectit.show("run", 12)


def test_lists_in_a_fresh_process():
    import subprocess
    import sys

    code = "import selectit; print(*selectit.list_methods()); print(*selectit.list_models())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    methods, models = (line.split() for line in done.stdout.splitlines())
    assert methods == sorted(methods) and {"length", "random", "selectit"} < set(methods)
    assert models == ["smollm2", "gemma3-270m", "minilm"]


def test_the_same_command_gives_the_same_choice_whatever_was_rated_since(data):
    for limit in range(30, 40):
        run = f"run{limit}"
        settings = with_settings(run=run, out=f"{run}.json", force=False)
        first = selectit.select(data, settings)
        selectit.rate(data, with_settings(run=run, max_tokens=limit))
        assert selectit.select(data, settings).selection.rows.tolist() == first.selection.rows.tolist()


def test_models_keep_the_order_in_which_they_began(data):
    first = selectit.select(data, with_settings(model=("z", "a"), weights=(7, 13)))
    with pytest.raises(SettingsError, match="Give the order"):
        selectit.select(None, Settings(run="run", weights=(7, 13), out="w.json"))
    again = selectit.select(None, Settings(run="run", model=("z", "a"), weights=(7, 13)))
    assert again.name == first.name
    by_parameters = selectit.score("run", Settings()).score
    assert by_parameters == pytest.approx(selectit.score("run", with_settings(model=("z", "a"))).score)


def test_weights_that_changed_under_one_name_are_told_apart(data, monkeypatch):
    from selectit.inference import rate
    from selectit.models.files import Model

    for digest in ("old", "new"):
        monkeypatch.setattr(rate, "find_model", lambda name, _, digest=digest: Model(name, "", digest * 20, False))
        selectit.rate(data, FAKE)
    with pytest.raises(RunError, match="with different weights"):
        selectit.score("run", FAKE)
    folder = next(Path("run/ratings").iterdir()).name
    assert len(selectit.score("run", Settings(model=folder)).score) == 12


def test_equal_weights_are_no_two_models(data, monkeypatch):
    from selectit.inference import rate
    from selectit.models.files import Model

    monkeypatch.setattr(rate, "find_model", lambda name, settings: Model(name, "", "same" * 10, False))
    with pytest.raises(SettingsError, match="same weights"):
        selectit.select(data, with_settings(model=("m", "n")))


def test_an_explicit_overflow_or_engine_is_not_forgotten(data):
    selectit.rate(data, with_settings(k=1, max_tokens=34))
    selectit.rate(None, Settings(run="run", k=2))  # goes on with the fake engine and its limit
    assert len(list(Path("run/ratings").iterdir())) == 1
    with pytest.raises(RunError, match="none with these settings"):
        selectit.score("run", Settings(engine="hf", k=1))


@pytest.mark.parametrize(
    "returned",
    ["[1, 1]", "[0, 99]", "[0, 1, 2]", "[-1, 0]", "[0.5, 1.5]"],
    ids=["twice", "beyond", "many", "below", "no"],
)
def test_a_set_that_is_none_is_refused(data, folder, returned):
    (folder / "mine.py").write_text(
        SET_METHOD.replace("np.arange(0, len(signals.rows), self.n)[:budget]", f"np.array({returned})")
    )
    with pytest.raises(SettingsError, match="different row numbers"):
        selectit.select(data, Settings(run="run", method="./mine.py:Every", keep=2))
    assert not Path("data.selected.json").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": ("a", "b", "c"), "weights": (1.0, 2.0)}, "2 weights for 3 models"),
        ({"model": ("a", "b"), "level": "sentence"}, "reads one model"),
        ({"model": ("a", "b"), "profile": "official"}, "exactly three"),
        ({"profile": "official", "k": 7}, "5 labels"),
        ({"keep": 1000}, "1,000 rows were asked for and there are 12"),
        ({"keep": "1%"}, "no row at all"),
        ({"weights": (2.0,)}, "has no weights"),
        ({"name": "../x"}, "is not a valid name"),
        ({"share": "0/2"}, "--share does nothing here"),
        ({"param": {"level": "token"}}, "flag of its own"),
    ],
)
def test_more_mistakes_are_told_before_rating(data, no_model, changes, says):
    if "name" not in changes:
        no_model()
    with pytest.raises(SettingsError, match=says):
        selectit.select(data, with_settings(**changes))


def test_a_minimum_that_no_row_reaches(data):
    with pytest.raises(SettingsError, match="^no row can be chosen: 12 of 12 rows have a score, 12 of them below"):
        selectit.select(data, with_settings(keep=None, min_score=1e9))


def test_options_that_would_do_nothing_are_refused(data):
    selectit.select(data, FAKE)
    for changes in ({"limit": 3}, {"retry_errors": True}, {"turns": "each"}):
        with pytest.raises(SettingsError, match="does nothing here"):
            selectit.select(None, Settings(run="run", **changes))


def test_a_name_that_is_taken_is_not_overwritten(data):
    selectit.select(data, with_settings(name="mine", keep=2))
    with pytest.raises(SettingsError, match="with other settings"):
        selectit.select(data, with_settings(name="mine", keep=3, out="o.json"))
    assert selectit.show("run")["selections"]["mine"]["kept"] == 2
    assert selectit.select(data, with_settings(name="mine", keep=3, out="o.json", force=True)).summary.kept == 3


def test_one_share_in_three_spellings_is_one_selection(data):
    names = {selectit.select(data, with_settings(keep=keep)).name for keep in ("20%", "0.2", 0.20, None)}
    assert len(names) == 1


def test_parts_explain_the_score_of_a_row_that_lacks_a_rating(data):
    selectit.rate(data, with_settings(k=2, max_tokens=34))
    scores = selectit.score("run", Settings(k=2, min_prompts=1))
    strict = selectit.score("run", Settings(k=2)).score
    partly = np.flatnonzero(np.isnan(strict) & ~np.isnan(scores.score))
    assert len(partly)
    assert not np.isnan([scores.parts[name][partly] for name in ("mean", "std", "rating", "mass")]).any()


def test_a_damaged_run_is_a_message(data):
    selected = selectit.select(data, FAKE)
    part = next(Path("run/ratings").glob("*/prompt-*/part-00000.parquet"))
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(RunError, match="damaged or gone"):
        selectit.score("run", FAKE)
    with pytest.raises(RunError, match="not the manifest of a run"):
        selectit.show(part.parent)
    Path("run/manifest.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        selectit.show(selected.run)


ANSWERS = [
    {"instruction": ask, "input": about, "output": "word " * words, "id": key, "about": {"topic": topic}}
    for ask, about, words, key, topic in [
        ("Say it.", "", 3, 1, "x"),
        (" Say it.\n", "", 5, 2, "x"),
        ("Say it.", "Loudly.", 1, 1, "y"),
        ("Say more.", "", 4, 3, ""),
        ("Say it.", "", 5, None, ""),
    ]
]


@pytest.mark.parametrize(
    ("best_of", "expected"), [("instruction", [1, 3, 2]), ("id", [1, 4, 3, 0]), ("about.topic", [1, 4, 3, 2])]
)
def test_the_best_of_several_answers(folder, best_of, expected):
    Path("answers.json").write_text(json.dumps(ANSWERS))
    own = Settings(method="length", best_of=best_of, run="run")
    whole = selectit.select("answers.json", own)
    assert whole.selection.rows.tolist() == expected
    assert whole.name == f"length-words-best-of-{best_of}"
    assert selectit.select(settings=replace(own, keep=2, out="two.json")).selection.rows.tolist() == expected[:2]
    scores = selectit.score("run", own).score
    assert not np.isnan(scores).any(), "what is stored is the score of every row"


def test_the_rest_names_the_better_row_of_its_group(folder):
    rows = [{"instruction": ask, "output": "x " * words} for ask, words in (("a", 9), ("b", 7), ("a", 8), ("c", 1))]
    Path("answers.json").write_text(json.dumps(rows))
    own = Settings(method="length", best_of="instruction", keep=2, run="run", rest="rest.json")
    selected = selectit.select("answers.json", own)
    rest = [each["selectit"] for each in json.loads(Path("rest.json").read_text())]
    assert rest == [
        {"row": 2, "score": 8.0, "why": "is not the best of its instruction: row 0 is", "kept_row": 0},
        {"row": 3, "score": 1.0, "why": "below the cut"},
    ], "row 2 lies above the cut, at 7"
    assert selected.summary.filters.left_out == {"is not the best of its instruction": 1}


def test_best_of_needs_scores_and_a_field(folder, no_model):
    Path("answers.json").write_text(json.dumps(ANSWERS))
    no_model()
    for given, says in (
        ({"method": "kcenter", "best_of": "id"}, "kcenter chooses a set"),
        ({"combine": "length,random", "combine_by": "union", "best_of": "id"}, "union chooses a set"),
        ({"cascade": "50%", "best_of": "id"}, "--best-of compares all"),
        ({"method": "length", "best_of": "idd"}, "no record has a field 'idd'"),
    ):
        with pytest.raises(SettingsError, match=says):
            selectit.select("answers.json", Settings(**given, engine="fake"))


def test_grape_keeps_one_answer_of_each_instruction(folder):
    Path("answers.json").write_text(json.dumps(ANSWERS))
    chosen = selectit.select("answers.json", Settings(method="grape", engine="fake", model=("m",), run="run"))
    assert len(chosen.selection.rows) == 3 and {2, 3} < set(chosen.selection.rows.tolist())
    losses = selectit.score("run", Settings(method="perplexity")).parts["perplexity"]
    rivals = [0, 1, 4]
    assert rivals[int(np.argmin(losses[rivals]))] in chosen.selection.rows
