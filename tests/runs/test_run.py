"""The run directory and the collecting loop: identity, units, resuming, locks, failed rows."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import selectit
from fakecalls import rated_as, recorded
from rundirs import contents
from selectit import progress
from selectit.atomic_files import remove_leftovers
from selectit.config.settings import Settings
from selectit.engines.fake import FakeEngine
from selectit.errors import DataError, EngineError, RunError
from selectit.runs import annotators, source
from selectit.runs import run as run_module
from selectit.signals.arrays import FLAG_EMPTY

FAKE = {"engine": "fake", "model": ("m",), "unit_size": 5, "run": "run"}


def pairs(table):
    return zip(table["row"].to_pylist(), table["error"].to_pylist(), strict=True)


@pytest.fixture
def calls(monkeypatch):
    """Every (model, prompt, first row, rows) that the fake engine was asked for; `calls.stop_at` interrupts there."""
    return recorded(
        monkeypatch, lambda engine, prompt, samples: (engine.name, prompt.text, samples[0].row, len(samples))
    )


def test_units_cover_every_row_under_every_prompt_once(data, calls):
    selectit.rate(data, Settings(**FAKE, k=2))
    assert [(first, count) for _, _, first, count in calls] == [(0, 5), (0, 5), (5, 5), (5, 5), (10, 2), (10, 2)]
    assert len({(prompt, first) for _, prompt, first, _ in calls}) == 6


def test_what_is_missing_is_computed_and_nothing_else(data, calls):
    selectit.rate(data, Settings(**FAKE, k=2))
    before = len(calls)
    selectit.rate(data, Settings(**FAKE, k=2))
    assert len(calls) == before
    selectit.rate(data, Settings(**FAKE, k=3))
    assert [first for *_, first, _ in calls[before:]] == [0, 5, 10]
    before = len(calls)
    selectit.rate(data, Settings(**{**FAKE, "model": ("m", "other")}, k=3))
    assert {name for name, *_ in calls[before:]} == {"other"}
    selectit.rate(None, Settings(run="run", engine="fake", model=("other",), k=4))
    assert len(calls) == before + 9 + 3


@pytest.mark.parametrize("stop_at", range(6))
def test_an_interrupted_run_ends_as_an_uninterrupted_one(data, calls, stop_at):
    settings = Settings(**FAKE, k=2, out="a.json")
    calls.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        selectit.select(data, settings)
    calls.stop_at = None
    selectit.select(data, settings)
    assert len(calls) == 6, "a finished unit was computed again"
    interrupted = contents("run")
    Path("run").rename("first")
    Path("a.json").unlink()
    selectit.select(data, settings)
    assert interrupted == contents("run")


def test_shares_do_the_units_between_them(data, calls):
    for share in ("1/2", "0/2"):
        selectit.rate(data, Settings(**FAKE, k=3, share=share))
    assert len(calls) == 9
    assert len(set(calls)) == 9
    shared = contents("run/ratings")
    Path("run").rename("first")
    selectit.rate(data, Settings(**FAKE, k=3))
    assert shared == contents("run/ratings")


def _hold(path, name, held, done):
    with run_module.open_run(path).lock(name, "busy"):
        held.set()
        done.wait(20)


def test_the_same_share_twice_is_refused(data):
    selectit.rate(data, Settings(**FAKE, k=1))
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=("run", "rate-0-of-1", held, done))
    other.start()
    assert held.wait(20)
    try:
        with pytest.raises(RunError, match="another selectit is rating share 0/1"):
            selectit.rate(data, Settings(**FAKE, k=2))
        selectit.rate(data, Settings(**FAKE, k=2, share="0/2"))
    finally:
        done.set()
        other.join()
    selectit.rate(data, Settings(**FAKE, k=2))


def test_another_source_is_refused_and_the_run_kept(data, folder):
    selectit.rate(data, Settings(**FAKE, k=1))
    before = contents("run")
    with pytest.raises(RunError, match="--limit differs"):
        selectit.rate(data, Settings(**FAKE, k=1, limit=3))
    data.write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    with pytest.raises(RunError, match=r"the content of .*data\.json differs"):
        selectit.rate(data, Settings(**FAKE, k=1))
    assert contents("run") == before


def test_bad_rows_leave_nothing_behind(folder):
    (folder / "bad.json").write_text('[{"instruction": "a"}]')
    with pytest.raises(DataError):
        selectit.rate("bad.json", Settings(engine="fake", k=1))
    assert not list(folder.glob("selectit-runs/*"))


def test_a_folder_that_is_something_else_is_refused(data, folder):
    (folder / "run").mkdir()
    (folder / "run" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not a run directory"):
        selectit.rate(data, Settings(**FAKE))
    assert (folder / "run" / "thesis.tex").read_text() == "x"
    with pytest.raises(RunError, match=r"no manifest\.json"):
        selectit.score("run")


def test_a_leftover_of_a_killed_process_is_removed(data, folder):
    selectit.rate(data, Settings(**FAKE, k=1))
    part = next(folder.glob("run/ratings/*/prompt-*/part-00001.parquet"))
    whole = part.read_bytes()
    part.unlink()
    import socket

    leftover = part.with_name(f".{part.name}.{socket.gethostname()}-999999999.tmp")
    leftover.write_bytes(b"half")
    remove_leftovers.cache_clear()  # as in another process
    selectit.rate(data, Settings(**FAKE, k=1))
    assert part.read_bytes() == whole
    assert not leftover.exists()


def test_failed_rows_stay_in_place_and_can_be_tried_again(data, calls):
    # The fake engine refuses texts of more words than --max-tokens.
    settings = Settings(**FAKE, k=2, max_tokens=34)
    selectit.rate(data, settings)
    tables = [pq.read_table(path) for path in sorted(Path("run").glob("ratings/*/prompt-*/part-*.parquet"))]
    failed = {row for table in tables for row, error in pairs(table) if error}
    assert failed
    scores = selectit.score("run", Settings(k=2)).score
    assert set(np.flatnonzero(np.isnan(scores))) == failed
    assert len(scores) == 12
    before, stored = len(calls), contents("run/ratings")
    selectit.rate(data, settings)
    assert len(calls) == before
    selectit.rate(data, Settings(**FAKE, k=2, max_tokens=34, retry_errors=True))
    assert len(calls) > before
    assert {row for *_, row, _ in calls[before:]} <= failed
    assert contents("run/ratings") == stored


def test_retrying_mends_what_can_be_mended(data, monkeypatch):
    def flaky(batch, samples):
        errors = tuple("lost" if sample.row in (3, 7) else None for sample in samples)
        lost = np.array([[error is not None] for error in errors])
        return replace(batch, logprob=np.where(lost, np.float32(np.nan), batch.logprob), errors=errors)

    with monkeypatch.context() as patched:
        rated_as(patched, flaky)
        selectit.rate(data, Settings(**FAKE, k=2))
    assert np.isnan(selectit.score("run", Settings(k=2)).score).sum() == 2
    selectit.rate(data, Settings(**FAKE, k=2, retry_errors=True))
    mended = contents("run/ratings")
    Path("run").rename("first")
    selectit.rate(data, Settings(**FAKE, k=2))
    assert mended == contents("run/ratings")


def test_a_whole_unit_that_fails_stops_the_run(data, monkeypatch):
    def dead(batch, samples):
        return replace(batch, logprob=np.full_like(batch.logprob, np.nan), errors=("gone",) * len(samples))

    rated_as(monkeypatch, dead)
    with pytest.raises(EngineError, match="all 5 rows from row 0 failed: gone"):
        selectit.rate(data, Settings(**FAKE, k=1))
    assert not list(Path("run").glob("ratings/*/prompt-*/part-*"))


def test_empty_responses_are_flagged_and_rated(data):
    selectit.rate(data, Settings(**FAKE, k=1))
    table = pq.read_table(next(Path("run").glob("ratings/*/prompt-*/part-00002.parquet")))
    assert table["flags"].to_pylist() == [0, FLAG_EMPTY]
    assert table["error"].null_count == 2


def test_stored_settings_answer_for_what_is_left_open(data):
    selectit.rate(data, Settings(**{**FAKE, "unit_size": 3}, k=1, max_tokens=77))
    run = run_module.open_run("run")
    annotator = annotators.named_annotator(run, "m", Settings())
    assert (annotator.unit_size, annotator.manifest["settings"]["max_tokens"]) == (3, 77)
    digest = annotator.manifest["digest"]
    assert annotators.find_annotator(run, digest, Settings()) == annotator
    assert annotators.find_annotator(run, digest, Settings(max_tokens=78)) is None
    assert annotators.find_annotator(run, digest, Settings(unit_size=4)) is None
    assert annotators.find_annotator(run, digest, Settings(engine="hf")) is None
    assert annotators.find_annotator(run, "another digest", Settings()) is None


def test_source_parts_and_rows(folder, small_parts):
    small_parts(4)
    records = [{"instruction": str(n % 3), "output": "x"} for n in range(10)]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, records)))
    run = source.create("d.jsonl", Settings(run="run"))
    assert len(list(Path("run/source").iterdir())) == 3
    assert run.source_rows(3, 9, ["row"])["row"].to_pylist() == [3, 4, 5, 6, 7, 8]
    assert run.source_rows(4, 8, ["row"])["row"].to_pylist() == [4, 5, 6, 7]
    assert run.basic_rows().occurrence.tolist() == [n // 3 for n in range(10)]


def test_an_unfinished_rating_says_how_to_go_on(data, calls):
    calls.stop_at = 3
    with pytest.raises(KeyboardInterrupt):
        selectit.rate(data, Settings(**FAKE, k=2))
    with pytest.raises(
        RunError, match=r"3 of 6 units of m are not rated(.|\n)*selectit rate --run run --model m --k 2"
    ):
        selectit.select(None, Settings(run="run", k=2))


class Counted(progress.Silent):
    """A progress that remembers what it was told."""

    def start(self, what, total, done):
        self.total, self.done = total, done

    def advance(self, ratings, tokens):
        self.done += ratings


def test_progress_ends_at_its_total_with_several_answers_a_row_and_with_retries(folder):
    pair = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    rows = [{"conversations": pair * (1 + n % 4)} for n in range(12)]
    (folder / "d.json").write_text(json.dumps(rows))
    for turns, limit in (("each", 4096), ("last", 33)):
        settings = Settings(**{**FAKE, "run": turns}, k=2, turns=turns, max_tokens=limit)
        first, again = Counted(), Counted()
        selectit.rate("d.json", settings, first)
        assert first.done == pytest.approx(first.total) == 24
    selectit.rate("d.json", replace(settings, retry_errors=True), again)
    assert again.done == pytest.approx(again.total) == 24


def test_sample_first_rates_all_prompts_of_a_row_range_at_once_and_resumes(data, monkeypatch):
    asked = []
    original = FakeEngine.rate

    def rate(self, prompts, samples, on_batch):
        asked.append((len(prompts), samples[0].row))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(self, prompts, samples, on_batch)

    monkeypatch.setattr(FakeEngine, "rate", rate)
    settings = Settings(**FAKE, k=3, layout="sample-first")
    with pytest.raises(KeyboardInterrupt):
        selectit.rate(data, settings)
    assert asked == [(3, 0), (3, 5)]
    selectit.rate(data, settings)
    assert asked[2:] == [(3, 5), (3, 10)]
    resumed = contents("run/ratings")
    Path("run").rename("first")
    selectit.rate(data, settings)
    assert resumed == contents("run/ratings")
    selectit.rate(data, Settings(**FAKE, k=3))
    assert asked[-1][0] == 1
    assert len(list(Path("run").glob("ratings/*/prompt-*"))) == 6
