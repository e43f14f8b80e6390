"""A signal of one's own: a request class and an engine's method, and the program knows the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pytest

import selectit
from selectit.cli.main import main
from selectit.config.settings import Settings
from selectit.engines.fake import FakeEngine
from selectit.errors import RunError, SettingsError
from selectit.signals.base import Answer, Engine, SignalRequest

FAKE = {"engine": "fake", "run": "run", "unit_size": 5}
EMPTY = 11
"""The row of the fixture with an empty response."""


@runtime_checkable
class CountsWords(Engine, Protocol):
    """The capability."""

    def count_words(self, samples, on_batch) -> list[int]:
        """Words of each response."""


@dataclass(frozen=True, slots=True)
class WordCounts:
    """What the method reads."""

    row: np.ndarray
    words: np.ndarray


@dataclass(frozen=True)
class WordRequest(SignalRequest[WordCounts, CountsWords]):
    """Words of the response that begin with a letter."""

    letter: str

    signal = "words"
    doing = "counting words with"
    capability = CountsWords

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        return {"words": pa.int64()}

    def ask(self, engine, samples, on_batch):
        counts = engine.count_words([sample.response for sample in samples], self.letter, on_batch)
        return Answer({"words": counts}, [None if count else "no such word" for count in counts])

    def arrays(self, stored):
        return WordCounts(stored.numbers("row"), stored.numbers("words"))


@dataclass(frozen=True, slots=True)
class Wordy:
    """The rows with most words that begin with a letter."""

    letter: str = "w"

    @property
    def needs(self):
        return (WordRequest(self.letter),)

    @property
    def label(self):
        return f"wordy-{self.letter}"

    def score(self, signals):
        counts = signals.of("words")
        return np.bincount(counts.row, counts.words, len(signals.rows)).astype(np.float64)


WORDY = f"{__file__}:Wordy"
SETTINGS = {**FAKE, "method": WORDY, "model": ("m",), "keep": 3}


@pytest.fixture
def asked(monkeypatch):
    """How many samples the engine's method was asked about, call by call."""
    calls = []

    def count_words(self, texts, letter, on_batch):
        calls.append(len(texts))
        on_batch(len(texts), 0)
        return [sum(word.startswith(letter) for word in text.split()) for text in texts]

    monkeypatch.setattr(FakeEngine, "count_words", count_words, raising=False)
    return calls


def test_it_is_collected_stored_and_read(data, rows, asked):
    selected = selectit.select(data, Settings(**SETTINGS))
    assert asked == [5, 5, 2]
    expected = [sum(word.startswith("w") for word in row["output"].split()) for row in rows]
    assert selectit.score("run", Settings(method=WORDY)).score.tolist() == expected
    assert sorted(expected, reverse=True)[:3] == [expected[row] for row in selected.selection.rows]
    next(Path("run/words").glob("*/text-*/part-00001.parquet")).unlink()
    with pytest.raises(RunError, match="1 of 3 units of words by m are missing in run"):
        selectit.score("run", Settings(method=WORDY))
    selectit.rate(data, Settings(**SETTINGS))
    assert asked == [5, 5, 2, 5]


def test_the_summary_and_show_tell_of_it(data, rows, asked, capsys):
    selected = selectit.select(data, Settings(**SETTINGS))
    (stats,) = selected.summary.others
    without = sum(not any(word.startswith("w") for word in row["output"].split()) for row in rows)
    assert (stats.model, stats.signal, stats.passes_per_row) == ("m", "words", 1)
    assert (stats.truncated_rows, stats.failed_rows) == (0, without)
    (shown,) = selectit.show("run")["signals"]
    assert (shown["signal"], shown["model"]) == ("words", "m")
    assert shown["works"] == [{"about": {"letter": "w"}, "units": "3 of 3 units"}]
    words = sum(word.startswith("w") for word in rows[0]["output"].split())
    assert selectit.show("run", 0)["signals"][0]["words"] == words
    for arguments, line in (
        ((), "words by m: 1,000,000 parameters, engine fake"),
        ((), "m, words: 1 forward pass a row"),
        (("--row", "0"), f"m, words: words {words}\n" if words else "m, words: error: no such word\n"),
        (("--row", str(EMPTY)), "m, words: error: no such word\n"),
    ):
        main(["show", "run", *arguments])
        assert line in capsys.readouterr().out


def test_an_engine_without_the_method_says_so(data):
    with pytest.raises(SettingsError, match="the engine fake gives no words"):
        selectit.select(data, Settings(**SETTINGS))
    with pytest.raises(SettingsError, match="the engine vllm gives no words"):
        selectit.select(data, Settings(**{**SETTINGS, "engine": "vllm"}))


def test_a_model_must_be_named(data):
    with pytest.raises(SettingsError, match="this method needs a model for its words"):
        selectit.select(data, Settings(**{**SETTINGS, "model": ()}))
