"""Engines by their packages: which there are, what each states, and what is refused before anything is loaded."""

import subprocess
import sys

import pytest

from selectit.config.settings import Settings
from selectit.engines import loading
from selectit.engines.base import EngineLoader
from selectit.errors import SettingsError
from selectit.signals.requests import PACKAGED, EmbeddingRequest, JudgeRequest, LossRequest, RewardRequest


def test_each_package_is_an_engine_that_states_known_things():
    assert loading.names() == ["fake", "hf", "server", "vllm"]
    signals = {kind.signal for kind in PACKAGED}
    for name in loading.names():
        loader = loading.find(name)
        assert isinstance(loader, EngineLoader) and loader.name == name
        assert set(loader.signals or ()) <= signals
        assert all(hasattr(Settings(), option) for option in (*loader.options, *loader.refuses))


def test_what_engines_state_is_read_without_what_they_need():
    code = "from selectit.engines import loading; [loading.find(name) for name in loading.names()]; import sys; "
    done = subprocess.run(
        [sys.executable, "-c", code + "print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not {"torch", "transformers", "vllm", "httpx2"} & set(done.stdout.split())


def test_an_engine_that_there_is_not():
    with pytest.raises(SettingsError, match="there is no --engine 'sever'\nDid you mean 'server'"):
        loading.find("sever")


def settings(**given):
    """Settings that were not checked when they were made."""
    made = Settings()
    for name, value in given.items():
        object.__setattr__(made, name, value)
    return made


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"engine": "hf", "base_url": "http://h"},
            "--base-url is for a server, and --engine is 'hf'",
        ),
        ({"engine": "fake", "missing_label": "nan"}, "--missing-label is for a server, and --engine is 'fake'"),
        ({"engine": "server", "dtype": "bf16"}, "--dtype is the server's to decide\nLeave it out; start it with that."),
        ({"engine": "server", "device_map": "auto"}, "--device-map is the server's to decide"),
        (
            {"engine": "server", "tokenizer": "t", "model": ("a", "b")},
            "--tokenizer belongs to one model, and several",
        ),
        ({"engine": "vllm", "device_map": "auto"}, "--device-map is for --engine hf\nSeveral GPUs: --engine-param"),
        (
            {"engine": "hf", "engine_param": {"a": 1}},
            "--engine-param is for vllm, and --engine is 'hf'",
        ),
        ({"engine_param": {"dtype": "x"}}, "--engine-param dtype: it has a flag of its own\nWrite --dtype."),
        ({"engine_param": {"logprobs_mode": "x"}}, "--engine-param logprobs_mode: selectit sets it\nLeave it out."),
        ({"engine_param": {"a": {1}}}, "--engine-param a is .*: .*\nGive what JSON can say."),
    ],
)
def test_options_of_another_engine_are_refused(given, says):
    with pytest.raises(SettingsError, match=says):
        loading.check_options(settings(**given))


def test_options_that_go_together_pass():
    for given in ({}, {"base_url": "http://h"}, {"engine": "server", "tokenizer": "t", "model": ("a",)}):
        loading.check_options(settings(**given))
    loading.check_options(settings(engine="vllm", engine_param={"seed": 1}))


def test_the_engine_that_is_asked():
    loss, judge = LossRequest("{instruction}", ""), JudgeRequest("", "")
    for engine in ("vllm", "server"):
        assert [loading.engine_for(engine, each) for each in (EmbeddingRequest(), RewardRequest())] == ["hf", "hf"]
        loading.check_gives(engine, EmbeddingRequest())
        with pytest.raises(SettingsError, match=f"the engine {engine} gives no losses"):
            loading.check_gives(engine, loss)
    assert loading.engine_for("fake", EmbeddingRequest()) == "fake"
    loading.check_gives("server", judge)
    loading.check_gives(None, loss)
