"""`plot`: what is loaded of a run, the files, and what can't be drawn."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import selectit
from commandline import run
from selectit.config.settings import Settings
from selectit.errors import RunError, SettingsError
from selectit.methods.selectit import SelectIT
from selectit.numerics.ranking import ranking
from selectit.pages import load
from selectit.pages.plot import FIGURES, plot
from selectit.runs.run import open_run
from selectit.runs.stored import load_selection


def chosen(name="a"):
    return load_selection(open_run("run"), name)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run that has ratings of two models, embeddings, and the selections a, b, length and set."""
    folder = tmp_path_factory.mktemp("made")
    rows = [{"instruction": f"Question {n}?", "output": " ".join(["word"] * (1 + n * 7 % 11))} for n in range(12)]
    rows[2]["instruction"], rows[5]["instruction"] = "What is 2 + 3?", "How much is 12 and 30?"
    fake = {"engine": "fake", "run": "run", "keep": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("data.json").write_text(json.dumps(rows))
        selectit.select("data.json", Settings(**fake, model="m", k=5, name="a", out="a.json"))
        selectit.rate("data.json", Settings(**fake, model="n", k=5))
        both = Settings(model=("m", "n"), level="model", k=3, name="b", out="b.json", run="run", keep=4)
        selectit.select(None, both)
        selectit.select(None, Settings(run="run", method="length", keep=3, name="length", out="l.json"))
        selectit.select("data.json", Settings(**fake, method="kcenter", encoder="e", name="set", out="s.json"))
    return folder


@pytest.fixture
def rated(made, folder):
    """That run, in a folder of its own."""
    shutil.copytree(made / "run", folder / "run")


def test_what_is_loaded_of_a_selection(rated, no_model):
    no_model()
    of = chosen()
    assert of.scores == "selectit-sentence-paper-k5-a0.2"
    assert of.rows.tolist() == ranking(of.score)[:4].tolist()
    assert chosen("length").scores == "length-words" and chosen("set").scores == ""
    histogram = load.load_histogram(of)
    assert (histogram.all.sum(), histogram.chosen.sum(), of.cut) == (12, 4, pytest.approx(of.score[of.rows].min()))
    lengths = load.load_lengths(chosen("length"))
    words = of.run.basic_rows().response_words
    assert (lengths.mean_all, lengths.mean_chosen) == (words.mean(), np.sort(words)[-3:].mean())
    assert load.load_calculations(of).share_all == 2 / 12


def test_sweeps_are_those_of_the_method_itself(rated, no_model):
    no_model()
    k, alpha = load.load_sweeps(chosen())
    assert ([p.value for p in k.points], k.own, k.count) == ([1, 2, 3, 4, 5], 5, 4)
    other = selectit.score("run", Settings(model="m", k=5, alpha=0.8)).score
    point = next(point for point in alpha.points if point.value == 0.8)
    assert point.same == len(np.intersect1d(ranking(other)[:4], chosen().rows))
    k, _ = load.load_sweeps(chosen("b"))
    assert [p.value for p in k.points] == [1, 2, 3, 4, 5], "more prompts than it read are there"


def test_agreement_of_prompts_models_and_methods(rated, no_model):
    no_model()
    found = load.load_agreements(chosen())
    assert {what: each.names for what, each in found.items()} == {
        "prompts": tuple(f"prompt {number}" for number in range(1, 6)),
        "models": ("m", "n"),
        "methods": ("selectit-sentence-paper-k5-a0.2", "length-words", "selectit-model-paper-k3-a0.2"),
    }
    one = SelectIT(level="token").score(load.Signals(chosen().run.basic_rows(), {"ratings": ratings_of("m")}))
    assert load._prompt_scores(chosen())["prompt 1"] == pytest.approx(one, nan_ok=True)
    assert list(load.load_agreements(chosen("length"))) == ["models", "methods"], "it read no prompts"


def ratings_of(model):
    of = chosen()
    return load._load_ratings(of.run, load._raters(of), load._prompts(of))


def test_a_map(rated, no_model):
    no_model()
    found = load.load_map(chosen())
    assert found.encoder == "e, instruction and response"
    assert np.isfinite(found.projection.points).all() and 0 < found.centre.p <= 1


@pytest.mark.parametrize("what", FIGURES)
def test_every_figure(rated, no_model, what):
    pytest.importorskip("matplotlib")
    no_model()
    path = plot("run:a", what, "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_files_of_all_kinds_are_equal_when_drawn_again(rated):
    pytest.importorskip("matplotlib")
    for ending, begin in ((".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")):
        before = plot("run:a", "scores", f"f{ending}").read_bytes()
        assert before.startswith(begin)
        Path(f"f{ending}").unlink()
        assert plot("run:a", "scores", f"f{ending}").read_bytes() == before
    assert b"CIDFontType2" in Path("f.pdf").read_bytes(), "the fonts are embedded, as TrueType"
    assert b"<text" not in Path("f.svg").read_bytes(), "letters are outlines"


def test_the_command(rated, capsys):
    pytest.importorskip("matplotlib")
    assert run(capsys, "plot", "run:a", "--what", "cost", "--out", "c.svg")[:2] == (0, "figure    c.svg\n")
    code, out, err = run(capsys, "plot", "run:a", "--what", "lengths", "--out", "c.svg")
    assert code == 2 and "is another figure" in err and "--force" in err
    assert run(capsys, "plot", "run:a", "--what", "lengths", "--out", "c.svg", "--force", "--json")[0] == 0


def test_a_folder_is_no_figure(rated, capsys):
    pytest.importorskip("matplotlib")
    Path("f.svg").mkdir()
    code, _, err = run(capsys, "plot", "run:a", "--what", "cost", "--out", "f.svg")
    assert code == 2 and "f.svg" in err and "error: " in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run:a", "--what", "score", "--out", "f.png"], "'scores'"),
        (["run:a", "--what", "scores", "--out", "f.jpg"], "f.pdf"),
        (["run:a", "--what", "scores", "--out", "no/f.png"], "no folder no"),
        (["run", "--what", "scores", "--out", "f.png"], "Name one: run:NAME"),
        (["run:z", "--what", "scores", "--out", "f.png"], "no selection 'z'"),
        (["run:set", "--what", "scores", "--out", "f.png"], "chosen as a set"),
        (["run:length", "--what", "sweep", "--out", "f.png"], "no K or alpha"),
        (["nowhere:a", "--what", "scores", "--out", "f.png"], "nowhere is not a run directory"),
    ],
)
def test_what_cant_be_drawn(rated, capsys, arguments, says):
    code, _, err = run(capsys, "plot", *arguments)
    assert code == 2 and says in err
    assert not list(Path().glob("f.*"))


def test_a_run_without_models(data):
    selectit.select(data, Settings(run="run", method="length"))
    of = chosen("length-words-20pct")
    with pytest.raises(RunError, match="--method kcenter"):
        load.load_map(of)
    with pytest.raises(RunError, match="neither two prompts"):
        load.load_agreements(of)
    with pytest.raises(RunError, match="no model was asked"):
        plot("run", "cost", "f.png")


def test_without_matplotlib(data, monkeypatch):
    import sys

    selectit.select(data, Settings(run="run", method="length"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"pip install 'selectit\[report\]'"):
        plot("run", "scores", "f.png")


def test_a_folder_with_a_colon_is_a_run(data):
    selectit.select(data, Settings(run="a:b", method="length", name="n"))
    assert plot("a:b", "scores", "f.svg") and plot("a:b:n", "lengths", "g.svg")


def test_a_hostile_model_name(data):
    pytest.importorskip("matplotlib")
    name = "<script>$x^2$ \x1b[31m 数\u202e"
    selectit.select(data, Settings(run="run", engine="fake", model=name, k=2, name="n"))
    selectit.rate(data, Settings(run="run", engine="fake", model="other", k=2))
    for what in ("agreement", "cost"):
        assert b"<script>" not in plot("run", what, f"{what}.svg").read_bytes()


def test_a_method_of_a_file_is_not_run(data):
    Path("mine.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    k: int = 1\n"
        "    needs = ('ratings',)\n    label = 'mine'\n    prompts = 1\n"
        "    def score(self, signals):\n        return signals.ratings.logprob[:, 0, 0, 0].astype(float)\n"
    )
    selectit.select(data, Settings(run="run", engine="fake", model="m", method="./mine.py:Mine", name="n"))
    Path("mine.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(RunError, match="no K or alpha"):
        load.load_sweeps(chosen("n"))
