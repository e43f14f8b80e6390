"""Damaged, exchanged, forged and hostile files of a run are found, and named with what to do."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import selectit
from commandline import run as command
from fakecalls import recorded
from rundirs import contents, read_json
from selectit.config.settings import Settings
from selectit.engines.loading import load_engine
from selectit.engines.vllm import read_stored
from selectit.errors import RunError, SettingsError
from selectit.models.files import Model
from selectit.runs.files import read_part, write_table
from selectit.runs.run import open_run
from selectit.runs.sums import DamagedError, Place, check_parquet
from selectit.selection.rate import rate

FAKE = Settings(engine="fake", model=("m",), unit_size=5, run="run", k=2)
PLACE = Place("0" * 16, "ratings/m/prompt/part-00000.parquet", has_sum=True)


@pytest.fixture
def rated(data):
    selectit.select(data, FAKE)
    return Path("run")


def parts(run, number="*"):
    return sorted(run.glob(f"ratings/*/prompt-*/part-{number}.parquet"))


def swap(one, other):
    one.rename("aside")
    other.rename(one)
    Path("aside").rename(other)


def without_sums(run):
    """The run as an older version wrote it."""
    for path in run.rglob("*.json"):
        path.write_text(json.dumps(read_json(path)))
    for path in run.rglob("*.toml"):
        path.write_text(path.read_text().partition("\n")[2])
    for path in run.rglob("*.parquet"):
        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def test_each_flipped_bit_of_a_part_is_found(tmp_path):
    table = pa.table({"row": np.arange(40), "text": [f"word {n}" for n in range(40)]})
    path = tmp_path / "part.parquet"
    write_table(path, table, PLACE)
    whole = path.read_bytes()
    missed = 0
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(DamagedError):
            check_parquet(path, PLACE)
        try:
            missed += not read_part(path, None, PLACE).equals(table)
        except DamagedError:
            pass
    assert missed == 0
    path.write_bytes(whole)
    assert check_parquet(path, PLACE) and read_part(path, None, PLACE).equals(table)


def test_a_damaged_part_is_done_again_where_a_model_may_be_asked(data, rated, monkeypatch, capsys):
    before = contents("run")
    part = parts(rated)[1]
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(DamagedError, match=rf"{part} is damaged or gone(.|\n)*rate.*does it again"):
        selectit.score("run", FAKE)
    found = selectit.verify("run")
    assert [finding.path for finding in found.findings] == [part]
    calls = recorded(monkeypatch, lambda engine, prompt, samples: samples[0].row)
    assert command(capsys, "rate", data, "--run", "run", "--engine", "fake", "--model", "m", "--k", 2)[0] == 0
    assert calls == [5]
    selectit.select(data, FAKE)
    assert contents("run") == before
    assert not selectit.verify("run").findings


def test_damaged_counts_of_tokens_are_counted_again(data):
    settings = Settings(engine="fake", model=("m",), run="run", method="length", param={"unit": "tokens"})
    chosen = selectit.select(data, settings).selection.rows
    (part,) = Path("run").glob("tokens/*/part-00000.parquet")
    part.write_bytes(part.read_bytes()[:200])
    assert selectit.select(data, settings).selection.rows.tolist() == chosen.tolist()


@pytest.mark.parametrize("older", [False, True])
def test_exchanged_parts_of_two_units_are_refused(rated, older):
    if older:
        without_sums(rated)
    one, other = parts(rated)[:2]
    swap(one, other)
    with pytest.raises(RunError, match=rf"{one}"):
        selectit.score("run", FAKE)
    assert {finding.path for finding in selectit.verify("run").findings} == {one, other}


def test_exchanged_parts_of_two_prompts_are_refused_also_by_rate(data, rated):
    one, other = parts(rated, "00001")
    swap(one, other)
    for verb in (lambda: selectit.score("run", FAKE), lambda: rate(data, FAKE)):
        with pytest.raises(RunError, match=rf"{one} is another file: it was stored as {other.relative_to(rated)}"):
            verb()


def test_a_part_of_another_run_is_refused(data, rated):
    text = data.read_text()
    data.write_text(text.replace("Question 1?", "Question one?"))
    selectit.rate(data, Settings(engine="fake", model=("m",), unit_size=5, run="other", k=2))
    part = parts(rated)[0]
    shutil.copy(Path("other") / part.relative_to(rated), part)
    with pytest.raises(RunError, match="is another file"):
        selectit.score("run", FAKE)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("key", "value"), [("unit_size", 10), ("unit_size", "5"), ("digest", "0"), ("order", None)])
def test_an_edited_manifest_of_a_model_is_refused(rated, older, key, value):
    if older:
        without_sums(rated)
    (path,) = rated.glob("ratings/*/manifest.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(DamagedError, match=str(path)):
        selectit.score("run", FAKE)
    assert path in [finding.path for finding in selectit.verify("run").findings]


@pytest.mark.parametrize("number", [5, 11, 13, 5000, 0, "12"])
def test_an_edited_number_of_rows_is_refused(rated, number):
    without_sums(rated)
    path = rated / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rows": number}))
    with pytest.raises(DamagedError):
        selectit.score("run", FAKE)


def test_a_unit_that_is_short_by_a_row_is_refused(rated):
    without_sums(rated)
    part = parts(rated)[1]
    pq.write_table(pq.read_table(part).slice(1), part)
    with pytest.raises(DamagedError, match="its rows are not 5 to 9"):
        selectit.score("run", FAKE)


def test_a_file_without_a_sum_is_refused_in_a_run_with_sums(rated):
    part = parts(rated)[0]
    pq.write_table(pq.read_table(part).replace_schema_metadata(None), part)
    with pytest.raises(DamagedError, match="it states no sum"):
        selectit.score("run", FAKE)


def test_older_runs_open_and_go_on(data, rated):
    whole = selectit.show("run")
    rows = selectit.select(data, FAKE).selection.rows
    without_sums(rated)
    found = selectit.verify("run")
    assert not found.findings and found.older == len(list(rated.rglob("*.parquet")))
    assert selectit.show("run") == whole
    assert selectit.select(data, FAKE).selection.rows.tolist() == rows.tolist()
    selectit.rate(data, Settings(engine="fake", model=("m",), run="run", k=3))
    assert not selectit.verify("run").findings


def test_a_prompt_set_that_is_gone_or_another_is_noticed(data, rated):
    Path("own.txt").write_text("Good?\nBad?\n")
    selectit.rate(data, Settings(engine="fake", model=("m",), unit_size=5, run="run", k=2, prompts="own.txt"))
    one, other = sorted(rated.glob("prompts/*.toml"))
    aside = one.read_bytes()
    one.unlink()
    with pytest.raises(RunError, match="is of no prompt set"):
        selectit.score("run", Settings(k=2))
    one.write_bytes(other.read_bytes())
    with pytest.raises(RunError, match=str(one)):
        selectit.score("run", Settings(k=2))
    one.write_bytes(aside)
    assert not selectit.verify("run").findings


def put(path, what):
    content = path.read_bytes()
    path.unlink()
    if what == "link":
        Path("elsewhere").write_bytes(content)
        path.symlink_to(Path("elsewhere").absolute())
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("what", ["link", "pipe", "directory"])
@pytest.mark.parametrize(
    "name", ["manifest.json", "timing.json", "ratings/*/manifest.json", "source/part-00000.parquet"]
)
def test_what_is_no_plain_file_is_refused(rated, what, name):
    (path,) = rated.glob(name)
    put(path, what)
    with pytest.raises(RunError, match=rf"{path} is a link, a pipe or something else"):
        selectit.show("run")
        selectit.score("run", FAKE)
    if name != "manifest.json":
        assert path in [finding.path for finding in selectit.verify("run").findings]


def test_a_folder_that_is_a_link_is_not_written_into(data, rated):
    shutil.rmtree(rated / "scores")
    Path("victim").mkdir()
    (rated / "scores").symlink_to(Path("victim").absolute())
    with pytest.raises(RunError, match="run/scores is a link"):
        selectit.select(data, FAKE)
    (rated / "locks" / "results").unlink()
    (rated / "locks" / "results").symlink_to(Path("victim/file").absolute())
    with pytest.raises(RunError, match="can't be locked"):
        selectit.score("run", FAKE)
    assert not list(Path("victim").iterdir())


@pytest.mark.parametrize("amounts", [{"seconds": 1, "ratings": 2}, {"seconds": -1}, {"seconds": float("nan")}, 3])
def test_durations_that_can_not_be_are_refused_with_their_remedy(rated, amounts):
    (key, whole) = next(iter(read_json(rated / "timing.json").items()))
    entry = {**whole, **amounts} if isinstance(amounts, dict) and len(amounts) == 1 else amounts
    (rated / "timing.json").write_text(json.dumps({key: entry}))
    with pytest.raises(DamagedError, match="timing.json is damaged") as error:
        selectit.show("run")
    assert error.value.hint.startswith("Remove it")


def test_a_file_named_locks_is_a_message(rated):
    shutil.rmtree(rated / "locks")
    (rated / "locks").write_text("")
    with pytest.raises(RunError, match="can't be locked"):
        selectit.score("run", FAKE)


@pytest.mark.parametrize(
    "stored",
    [
        {"trust_remote_code": True},
        {"model": "evil/repo"},
        {"worker_cls": "evil.Worker"},
        {"worker_extension_cls": "evil.Worker"},
        {"hf_overrides": {"auto_map": {}}},
        {"load_format": "evil"},
        {"seed": "1"},
        {"distributed_executor_backend": "evil.Executor"},
        [],
        "nonsense",
    ],
)
def test_a_run_sets_no_engine_parameter_that_could_run_code(stored):
    with pytest.raises(RunError, match="engine parameter"):
        read_stored(stored if stored == "nonsense" else json.dumps(stored))
    assert read_stored('{"tensor_parallel_size": 2, "enforce_eager": true}')["tensor_parallel_size"] == 2


def test_a_run_does_not_choose_whose_code_is_trusted(rated):
    trusting = replace(FAKE, model=(), k=3, trust_remote_code=True)
    for do in (rate, partial(selectit.probe, sample=20)):
        with pytest.raises(SettingsError, match="run, not you, names it: m") as error:
            do(None, trusting)
        assert "--model" in error.value.hint
    rate(None, replace(trusting, model=("m",)))
    assert len(list(rated.glob("ratings/*/prompt-*"))) == 3


def test_nor_whose_tokenizer_is_trusted(rated, monkeypatch):
    monkeypatch.setattr("selectit.inference.rate._find_tokenizer", lambda *_: "evil/repo")
    with pytest.raises(SettingsError, match="not you, names it: evil/repo"):
        rate(None, replace(FAKE, k=3, trust_remote_code=True))


@pytest.mark.parametrize(
    "stored", [{"dtype": "evil"}, {"max_tokens": "9"}, {"overflow": "run"}, {"threads": 10**9}, {"pooling": "x"}]
)
def test_stored_settings_that_nobody_could_type_are_refused(stored):
    with pytest.raises(RunError, match="the run's settings of its model"):
        load_engine(Model("m", "", "0", packaged=False), Settings(engine="fake"), stored)


def test_a_manifest_names_no_path(rated):
    without_sums(rated)
    path = rated / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "suffix": "/../../evil.json"}))
    with pytest.raises(DamagedError):
        open_run("run")


def test_verify_says_what_is_bad_in_text_and_in_json(rated, capsys):
    code, out, _ = command(capsys, "verify", "run")
    assert code == 0 and out.endswith("0 of them bad\n")
    (toml,) = rated.glob("scores/*.toml")
    toml.write_text(toml.read_text().replace("selectit", "lengthit"))
    code, out, _ = command(capsys, "verify", "run")
    assert code == 1 and f"{toml} is damaged or gone: its sum differs\n  Score or select again" in out
    code, out, _ = command(capsys, "verify", "run", "--json")
    assert code == 1 and [each["path"] for each in json.loads(out)["findings"]] == [str(toml)]
    assert command(capsys, "verify", "nowhere")[0] == 2
