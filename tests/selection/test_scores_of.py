"""Methods that read the scores of other methods, through the whole program."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from selectit import methods
from selectit.config.settings import Settings
from selectit.errors import SettingsError
from selectit.numerics.ranking import ranking
from selectit.selection.score import score
from selectit.selection.select import select
from selectit.signals.requests import ScoreOf

SUM = """
from dataclasses import dataclass
from selectit.signals.requests import ScoreOf

@dataclass(frozen=True)
class Sum:
    '''Two scores.'''
    first: str = "length"
    second: str = "random:seed=3"
    @property
    def needs(self):
        return (ScoreOf(self.first), ScoreOf(self.second))
    @property
    def label(self):
        return "sum"
    def score(self, signals):
        return signals.score_of(self.first) + signals.score_of(self.second)
"""


@pytest.fixture
def summing(folder):
    Path("own.py").write_text(SUM)
    return "./own.py:Sum"


def test_scores_of_other_methods_are_computed_and_stored(data, summing):
    settings = Settings(method=summing, run="run", out="out.json", keep=4)
    chosen = select(data, settings)
    words, drawn = (score("run", Settings(method="length")), score("run", Settings(method="random", seed=3)))
    both = score("run", settings)
    assert both.score == pytest.approx(words.score + drawn.score)
    assert chosen.selection.rows.tolist() == ranking(both.score)[:4].tolist()
    stored = {path.stem for path in Path("run/scores").glob("*.parquet")}
    assert {"sum", "length-words", "random-seed3"} <= stored
    assert "random-seed3" in Path("run/scores/sum.toml").read_text()


def test_scores_that_are_stored(data, summing):
    select(data, Settings(method="length", run="run", out="out.json", name="first", keep=4))
    stored = Settings(method=summing, param={"first": "stored:length-words", "second": "stored:length-words"})
    assert score("run", stored).score == pytest.approx(2 * score("run", Settings(method="length")).score)
    with pytest.raises(SettingsError, match="has no scores 'lenght-words'") as caught:
        score("run", Settings(method=summing, param={"first": "stored:lenght-words"}))
    assert "length-words" in caught.value.hint


def test_a_circle_is_refused_before_anything_is_done(data, summing):
    Path("own.py").write_text(SUM.replace('"length"', '"./own.py:Sum"'))
    with pytest.raises(SettingsError, match="the scores of './own.py:Sum' are made of themselves"):
        select(data, Settings(method=summing, run="run", out="out.json"))
    assert not Path("run").exists()


def test_a_method_that_reads_ratings_through_another_one_rates(data):
    method = dict(method="instruction-mining", param={"rule": "own", "indicators": "selectit", "coefficients": "0,-1"})
    chosen = select(data, Settings(**method, engine="fake", model=("m",), run="run", out="out.json", keep=3))
    plain = select(None, Settings(method="selectit", run="run", out="plain.json", keep=3))
    assert chosen.selection.rows.tolist() == plain.selection.rows.tolist()
    assert len(json.loads(Path("out.json").read_text())) == 3
    timing = {name: {**each, "seconds": 7.0} for name, each in json.loads(Path("run/timing.json").read_text()).items()}
    Path("run/timing.json").write_text(json.dumps(timing))
    # The seconds are those of the ratings, though the method reads none itself.
    again, plain = (select(None, Settings(**each, run="run", keep=3)) for each in (method, dict(method="selectit")))
    assert again.seconds == pytest.approx(plain.seconds) and again.seconds >= 7


@dataclass(frozen=True)
class Outer:
    needs: ClassVar = (ScoreOf("random"), ScoreOf("random"), ScoreOf("stored:x"), "tokens")
    label: ClassVar = "outer"

    def score(self, signals):
        return np.empty(0)


def test_what_a_method_reads():
    assert methods.list_score_texts(Outer()) == ["random", "stored:x"]
    assert methods.shorten("length:unit=chars;field=both") == "length_unit_chars_field_"


def test_the_scores_of_a_method_that_chooses_a_set_are_refused(data, summing):
    with pytest.raises(SettingsError, match="'kcenter' chooses a set and scores no rows"):
        select(data, Settings(method=summing, param={"first": "kcenter"}, run="run", out="out.json"))
    assert not Path("run").exists()


def test_a_method_with_a_threshold_of_its_own_keeps_what_reaches_it(data):
    class_text = SUM.replace("return signals.score_of", "return 0 * signals.score_of").replace(
        "    def score", "    keep = None\n    min_score = 0.5\n    def score"
    )
    Path("own.py").write_text(class_text)
    settings = Settings(method="./own.py:Sum", run="run", out="out.json")
    drawn = select(data, settings).selection
    assert (drawn.scores >= 0.5).all() and 0 < len(drawn.rows) < 12
    assert len(select(None, dataclasses.replace(settings, keep=3, force=True)).selection.rows) == 3
