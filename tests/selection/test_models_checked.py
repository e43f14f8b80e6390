"""A broken model, or a package that is not installed, is known before the first model has answered."""

import sys
from pathlib import Path

import pytest

import selectit
import tiny
from selectit.config.settings import Settings
from selectit.engines.hf.packing import Reader
from selectit.errors import ModelError, SettingsError


@pytest.fixture
def models(folder, monkeypatch):
    """A whole model, and one without its output layer; whoever reads a text with a model fails the test."""
    monkeypatch.setattr(Reader, "plain", lambda *_: pytest.fail("a model was asked"))
    whole, broken = (tiny.build(folder / name, "mistral") for name in ("whole", "broken"))
    tiny.change_weights(broken, lambda weights: {n: each for n, each in weights.items() if "lm_head" not in n})
    return whole, broken


@pytest.mark.parametrize("what", ["rater", "judge", "reward_model", "cascade"])
def test_a_broken_model_is_known_before_another_is_asked(data, models, what):
    whole, broken = models
    settings = {
        "rater": {"model": (whole, broken)},
        "judge": {"combine": "selectit:1,alpagasus-local:1", "model": (whole,), "judge": broken},
        "reward_model": {"combine": "selectit:1,reward:1", "model": (whole,), "reward_model": broken},
        "cascade": {"model": (broken,), "cascade_model": whole, "cascade": "50%", "k": 2},
    }[what]
    with pytest.raises(ModelError, match="broken lacks the weights (lm_head|score).weight"):
        selectit.select(data, Settings(**settings, dtype="fp32", keep=2, run="run"))
    assert not list(Path("run").glob("*/*/manifest.json"))


@pytest.mark.parametrize(
    ("module", "package", "settings"),
    [
        ("rensa", "rensa", {"dedup": "near"}),
        ("py3langid.langid", "py3langid", {"by": "language"}),
        ("sklearn.cluster", "scikit-learn", {"by": "cluster", "encoder": "m"}),
        ("sklearn.cluster", "scikit-learn", {"diversity": "kmeans", "encoder": "m"}),
        ("sklearn.cluster", "scikit-learn", {"method": "semdedup", "encoder": "m"}),
    ],
)
def test_a_missing_package_is_named_before_a_model_is_asked(data, no_model, monkeypatch, module, package, settings):
    no_model()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=rf"needs {package}(.|\n)*pip install"):
        selectit.select(data, Settings(**settings, engine="fake", model=("m",), keep=2, run="run"))
