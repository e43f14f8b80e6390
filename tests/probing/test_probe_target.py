"""Whether what is chosen is nearer to held-out examples than random rows."""

import json
from pathlib import Path

import numpy as np
import pytest

from selectit.config.settings import Settings
from selectit.engines.fake import FakeEngine
from selectit.errors import DataError, SettingsError
from selectit.methods.dsir import Dsir
from selectit.probing.target import (
    DRAWS,
    FARTHER,
    NEARER,
    NEITHER,
    compare_with_random,
    measure_nearness,
    probe_target,
    target_lines,
)

TOPICS = {"sums": "add two numbers and carry one", "birds": "a robin sings in the green tree"}


@pytest.fixture
def topics(monkeypatch):
    """Data of two topics, examples of one, and an encoder that knows which is which."""

    def pair(topic, n):
        words = TOPICS[topic].split()
        return {"prompt": " ".join([*words[n % 3 :], str(n)]), "completion": words[n % len(words)]}

    def embed(engine, what, samples, on_batch):
        on_batch(len(samples), 0)
        known = [["numbers" in what.of(each), "tree" in what.of(each), len(what.of(each)) / 100] for each in samples]
        return np.array(known, np.float32)

    monkeypatch.setattr(FakeEngine, "embed", embed)
    rows = [pair("birds" if n % 4 else "sums", n) for n in range(60)]
    Path("data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("sums.jsonl").write_text("\n".join(json.dumps(pair("sums", 100 + n)) for n in range(12)))
    return "data.jsonl"


def settings(**changes):
    return Settings(**{"engine": "fake", "model": "m", "run": "run", "keep": 6, "target": "sums.jsonl", **changes})


def test_targeted_choices_are_nearer_and_others_are_not(topics):
    found = probe_target(topics, settings(), ["dsir", "knn-target", "rds", "random", "length:order=longest"])
    verdicts = {each.method.partition("-")[0]: each.verdict for each in found.results}
    assert verdicts["dsir"] == verdicts["knn"] == verdicts["rds"] == NEARER
    assert [each.measure for each in found.results][:3] == ["embeddings", "words", "embeddings"]
    assert all(each.chosen == 6 and each.mean.low <= each.mean.value <= each.mean.high for each in found.results)
    lines = "\n".join(target_lines(found))
    assert "12 examples" in lines and f"dsir-both-mean100: {NEARER}" in lines
    assert probe_target(topics, settings(), ["dsir"]).results[0] == found.results[0]


def test_the_other_side(topics):
    Path("own.py").write_text(
        "from dataclasses import dataclass\nimport numpy as np\n@dataclass(frozen=True)\nclass Away:\n"
        "    'Birds.'\n    needs = ('texts',)\n    label = 'away'\n    towards_target = True\n"
        "    def score(self, signals):\n"
        "        return np.array([float('tree' in each.instruction) for each in signals.texts])\n"
    )
    (found,) = probe_target(topics, settings(keep=24), ["./own.py:Away"]).results
    assert found.verdict == FARTHER
    (found,) = probe_target(topics, settings(keep="100%"), ["dsir"]).results
    assert found.verdict == NEITHER and found.mean.value == pytest.approx(0)


def test_a_random_choice_is_seldom_called_nearer_or_farther():
    """Examples of one kind, rows of two: how many of which a choice has differs from draw to draw."""
    rng = np.random.default_rng(0)
    alike = np.where(np.arange(300) % 3 == 0, 0.8, 0.2) + rng.normal(0, 0.05, (40, 300))
    own = np.ones((40, 1), bool)
    random = np.stack([measure_nearness(alike, rng.choice(300, 30, replace=False)) for _ in range(DRAWS)], axis=1)
    outside = 0
    for seed in range(60):
        near = measure_nearness(alike, rng.choice(300, 30, replace=False))
        found = compare_with_random(near[0], random[0], own, seed)
        outside += not found.low <= 0 <= found.high
    assert outside <= 8  # 3 are expected
    best = measure_nearness(alike, np.arange(0, 90, 3))
    assert compare_with_random(best[0], random[0], own, 0).low > 0
    assert best[1] == pytest.approx(alike[:, :90:3].max(axis=1)) and best[0] == pytest.approx(
        alike[:, :90:3].mean(axis=1)
    )


def test_rows_are_filtered_as_by_select(topics):
    rows = Path(topics).read_text().splitlines()
    Path(topics).write_text("\n".join([*rows, *rows[:20]]))
    found = probe_target(topics, settings(keep="100%", dedup="exact"), ["dsir", "knn-target", "random"])
    assert [each.chosen for each in found.results] == [60, 60, 60]
    assert all(each.mean.value == pytest.approx(0) and each.verdict == NEITHER for each in found.results)


def test_a_score_that_is_read_knows_half_of_the_target_only(topics, monkeypatch):
    seen = []
    score = Dsir.score
    monkeypatch.setattr(Dsir, "score", lambda self, signals: seen.append(signals.target) or score(self, signals))
    (found,) = probe_target(topics, settings(), ["mmr:quality=dsir;balance=1"]).results
    assert [len(each.group) for each in seen] == [6, 6] and found.verdict == NEARER


def test_what_it_refuses(topics):
    with pytest.raises(SettingsError, match="does nothing: length reads no target"):
        probe_target(topics, settings(), ["length"])
    Path("few.jsonl").write_text('{"prompt": "one"}\n')
    with pytest.raises(DataError, match="1 examples, and 10 are needed"):
        probe_target(topics, settings(target="few.jsonl"), ["dsir"])
