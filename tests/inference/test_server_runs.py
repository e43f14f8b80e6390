"""Runs that a server rates: the command, what is stored, going on, and options that don't go together."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import commandline
import selectit
import tiny
from selectit.config.settings import Settings
from selectit.engines.loading import check_options
from selectit.errors import ModelError, RunError, SettingsError
from selectit.models.files import count_parameters
from selectit.models.resolve import resolve_tokenizer
from selectit.runs.annotators import annotators
from selectit.runs.run import open_run
from stub_server import KEY, RARE, serving


@pytest.fixture
def command(capfd):
    return partial(commandline.run, capfd)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny.build(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def words(whole, tmp_path_factory):
    """The tokenizer and the configuration of a model, without its weights."""
    folder = tmp_path_factory.mktemp("words") / "words"
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return str(folder)


def served(stub, **changes):
    return Settings(**{"engine": "server", "base_url": stub.url, "model": "served", "run": "run", **changes})


def test_the_whole_command(stub, command, data, words, whole):
    ask = ("--engine", "server", "--base-url", stub.url, "--model", "served", "--tokenizer", words, "--run", "run")
    code, out, err = command("select", data, *ask, "--keep", 3, "--concurrency", 2)
    assert code == 0, err
    assert "kept 3 of 12 rows" in out and "served: mean mass on the labels" in out
    assert "60 of 60" in err
    asked = len(stub.asked)
    assert command("select", data, *ask, "--keep", 3)[1].splitlines()[0] == out.splitlines()[0]
    assert len(stub.asked) == asked  # all of it is there
    assert command("score", "--run", "run", "--level", "token")[0] == 0
    manifest = json.loads(next(Path("run").glob("ratings/*/manifest.json")).read_text())
    assert manifest["settings"]["labels"] == "ids" and manifest["settings"]["max_tokens"] == 511
    assert manifest["parameters"] == count_parameters(whole)
    told = b"".join(path.read_bytes() for path in Path("run").rglob("*") if path.is_file())
    told += (out + err).encode()
    assert KEY.encode() not in told and stub.url.encode() not in told and stub.told_keys == {KEY}


def test_going_on_needs_no_tokenizer_again(stub, command, data, words):
    selectit.rate(data, served(stub, tokenizer=words, k=2))
    with serving() as moved:  # the same server on another port
        moved.key = KEY
        code, out, err = command("rate", "--run", "run", "--base-url", moved.url, "--k", 3)
        assert code == 0, err
        assert len(moved.asked) >= 12 and isinstance(moved.asked[-1]["prompt"], list)
    assert len(annotators(open_run("run"))) == 1
    with pytest.raises(SettingsError, match="needs an address"):
        selectit.rate(None, Settings(run="run", k=4))


def test_a_server_that_changes_its_ways_is_another_rater(stub, data):
    selectit.rate(data, served(stub, k=1))
    stub.ids = "ignored"
    with pytest.raises(RunError, match="'labels': 'top 20'"):
        selectit.rate(data, served(stub, k=2))


def test_missing_labels_are_counted_and_told(stub, command, data, rows):
    stub.ids = "ignored"
    rows[0]["instruction"] = RARE
    data.write_text(json.dumps(rows))
    selectit.rate(data, served(stub, k=2))
    selectit.rate(data, served(stub, k=2, missing_label="floor"))
    shown = command("select", "--run", "run", "--missing-label", "nan", "--k", 2, "--keep", 3, "--out", "a.json")
    assert "1 failed" in shown[1] and "floor" not in shown[1]
    shown = command("select", "--run", "run", "--missing-label", "floor", "--k", 2, "--keep", 3, "--out", "b.json")
    assert "0 failed, 1 with a label at the floor" in shown[1]
    row = command("show", "run", "--row", 0)[1]
    assert "label at the floor" in row and "the server did not return the labels 5" in row


def test_several_served_models_need_weights_where_nothing_is_known(stub, data, words):
    stub.models = ["a", "b"]
    with pytest.raises(SettingsError, match="parameter count of a is not known") as caught:
        selectit.select(data, served(stub, model=("a", "b"), k=2))
    assert "--weights" in caught.value.hint
    selected = selectit.select(None, Settings(run="run", k=2, model=("a", "b"), weights=(1, 3), keep=3))
    assert selected.summary.kept == 3
    selectit.rate(data, served(stub, model="a", tokenizer=words, run="known", k=2))
    selectit.rate(data, served(stub, model="b", tokenizer=words, run="known", k=2))
    scores = selectit.score("known", Settings(k=2))
    assert np.isfinite(scores.score).all()


def test_a_tokenizer_alone_is_enough_to_count_with(stub, data, words):
    settings = served(stub, tokenizer=words, method="length", keep=3)
    assert len(selectit.select(data, settings).selection.rows) == 3
    with pytest.raises(SettingsError, match="no tokenizer here"):
        selectit.select(data, served(stub, run="other", method="length", keep=3, out="other.json"))


def test_the_digest_is_of_the_tokenizer_alone(words, folder):
    first = resolve_tokenizer(words)
    config = Path(words) / "config.json"
    config.write_text(config.read_text() + "\n")
    assert resolve_tokenizer(words).digest == first.digest
    changed = tiny.tokenizer()
    changed.add_tokens(["new"])
    changed.save_pretrained(folder / "t")
    assert resolve_tokenizer("./t").digest != first.digest
    (folder / "empty").mkdir()
    with pytest.raises(ModelError, match="no tokenizer"):
        resolve_tokenizer("./empty")


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"engine": "hf", "base_url": "http://h"}, "--base-url is for a server"),
        ({"engine": "fake", "missing_label": "nan"}, "--missing-label is for a server"),
        ({"engine": "server", "dtype": "bf16"}, "--dtype is the server's"),
        ({"engine": "server", "batch_tokens": 9}, "--batch-tokens is the server's"),
        ({"concurrency": 0}, "--concurrency is 0"),
        ({"missing_label": "zero"}, "there is no --missing-label 'zero'"),
        ({"engine": "server", "tokenizer": "t", "model": ("a", "b")}, "--tokenizer belongs to one model"),
    ],
)
def test_options_that_do_not_go_together(settings, said):
    with pytest.raises(SettingsError, match=said):
        check_options(Settings(**settings))


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"engine": "server"}, "needs an address"),
        ({"base_url": "http://h"}, "--base-url is for a server"),
        ({"engine": "server", "base_url": "http://h", "chat": True}, "--chat needs"),
        ({"engine": "server", "base_url": "localhost:8000"}, "no plain address"),
    ],
)
def test_what_is_refused_before_anything_is_loaded(data, settings, said):
    with pytest.raises(SettingsError, match=said):
        selectit.rate(data, Settings(**settings, run="run"))
    assert not list(Path("run").glob("ratings/*"))
