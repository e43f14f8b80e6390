"""The vllm engine with a real vLLM and the packaged model: the hf engine's numbers, and a killed run that goes on."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from selectit.data.records import Sample
from selectit.engines.hf import engine as hf_engine
from selectit.engines.vllm import engine as engine_file
from selectit.methods import selectit
from selectit.numerics import label_probs
from selectit.numerics.ranking import spearman
from selectit.signals import prompts
from selectit.signals.arrays import FLAG_TRUNCATED
from selectit.signals.ratings import SAMPLE_FIRST, RatingPrompt

WORDS = "red green blue seven eight nine old new bright dark river stone bread glass and or the a of in".split()
ROWS = 32
WITHIN = {"fp32": 1e-3, "bf16": 0.4}
"""Largest difference of a label's log-probability. fp32: seen 6e-5. bf16: each engine is as far from fp32."""


def rows(count):
    """Rows as of Alpaca: an instruction, and a response of 1 to 120 words."""
    draw = np.random.default_rng(0)
    return [
        {
            "instruction": f"Write {draw.integers(2, 60)} words about the {' '.join(draw.choice(WORDS, 2))}.",
            "input": "",
            "output": " ".join(draw.choice(WORDS, int(draw.integers(1, 120)))),
        }
        for _ in range(count)
    ]


SAMPLES = [Sample(number, 0, row["instruction"], row["output"]) for number, row in enumerate(rows(ROWS))]
THREE = prompts.packaged().first(3)


def rated(engine, asked=THREE, samples=SAMPLES):
    done = []
    found = engine.rate(asked, samples, lambda count, tokens: done.append(count))
    assert sum(done) == len(samples) * len(asked)
    return found


def logprobs(found):
    return np.stack([each.logprob for each in found])


def by_hf(folder, dtype, asked=THREE, samples=SAMPLES, max_tokens=1024):
    engine = hf_engine.load(folder, dtype=dtype, max_tokens=max_tokens, batch_tokens=2048)
    try:
        return rated(engine, asked, samples), engine.parameters
    finally:
        engine.close()


def agree(ours, theirs, within):
    """Compare (K, N, R) log-probabilities, and the sentence scores made of them."""
    difference = np.abs(ours - theirs).max()
    scores = [label_probs.sentence_scores(selectit.token_scores(each).T, 0.2, len(each)) for each in (ours, theirs)]
    rank = spearman(*scores)
    print(f"largest difference {difference:.1e}, rank correlation {rank:.4f}")
    assert difference < within
    return rank


@pytest.fixture(scope="module")
def engine(model_folder):
    made = engine_file.load(model_folder, dtype="fp32", max_tokens=1024, engine_param={})
    yield made
    core = [each for each in psutil.Process().children() if "EngineCore" in " ".join(each.cmdline())]
    assert core
    made.close()
    assert not any(each.is_running() for each in core)


def test_fp32_gives_the_hf_engines_numbers(engine, model_folder):
    theirs, parameters = by_hf(model_folder, "fp32")
    ours = rated(engine)
    assert agree(logprobs(ours), logprobs(theirs), WITHIN["fp32"]) >= 0.99
    assert [each.tokens.tolist() for each in ours] == [each.tokens.tolist() for each in theirs]
    assert engine.parameters == parameters == 134_515_008


def test_log_probabilities_are_of_the_whole_vocabulary(engine):
    mass = np.exp(logprobs(rated(engine)).astype(float)).sum(-1)
    assert (mass > 0).all() and (mass < 1).all()


def test_samples_first(engine, model_folder):
    asked = [RatingPrompt(prompt.text, SAMPLE_FIRST) for prompt in THREE]
    theirs, _ = by_hf(model_folder, "fp32", asked, SAMPLES[:8])
    agree(logprobs(rated(engine, asked, SAMPLES[:8])), logprobs(theirs), WITHIN["fp32"])


def test_a_text_at_the_limit_has_room_for_the_token(engine, model_folder):
    long = [Sample(0, 0, "Count.", "one two three " * 900), SAMPLES[0]]
    ours = rated(engine, THREE[:1], long)[0]
    assert ours.flags[0] == FLAG_TRUNCATED and ours.tokens[0] in range(1000, 1025) and set(ours.errors) == {None}
    theirs, _ = by_hf(model_folder, "fp32", THREE[:1], long)
    np.testing.assert_allclose(ours.logprob, theirs[0].logprob, atol=WITHIN["fp32"])


def test_a_text_that_vllm_refuses_fails_alone(engine, monkeypatch):
    monkeypatch.setattr(engine, "texts", dataclasses.replace(engine.texts, max_tokens=10**5))  # vLLM's own is 1025
    found = rated(engine, THREE[:1], [SAMPLES[0], Sample(1, 0, "Count.", "one two three " * 900), SAMPLES[1]])[0]
    assert [error is None for error in found.errors] == [True, False, True]
    assert "maximum" in found.errors[1] and str(found.tokens[1]) in found.errors[1] and found.tokens[1] > 2700


def test_bf16_is_as_near_as_it_gets(model_folder):
    """Rounding moves these ratings: between bf16 and fp32 of the hf engine alone ranks agree to 0.974."""
    half = engine_file.load(model_folder, dtype="bf16", max_tokens=1024, engine_param={})
    try:
        ours = logprobs(rated(half, THREE[:2], SAMPLES[:16]))  # few: many processors only emulate bf16
        assert half.settings["dtype"] == "bf16"
    finally:
        half.close()
    theirs, _ = by_hf(model_folder, "bf16", THREE[:2], SAMPLES[:16])
    assert agree(ours, logprobs(theirs), WITHIN["bf16"]) >= 0.95


COMMAND = [
    "select",
    "data.json",
    "--run",
    "run",
    "--model",
    "smollm2",
    "--engine",
    "vllm",
    "--dtype",
    "fp32",
    "--k",
    "2",
]
COMMAND += ["--unit-size", "8", "--max-tokens", "512", "--keep", "25%", "--engine-param", "seed=1"]


def start():
    return subprocess.Popen([sys.executable, "-m", "selectit", *COMMAND], stderr=subprocess.PIPE, text=True)


def parts():
    return {path: path.read_bytes() for path in Path("run").glob("ratings/*/prompt-*/part-*")}


def test_a_killed_command_leaves_nothing_running_and_goes_on(folder):
    Path("data.json").write_text(json.dumps(rows(ROWS)))
    first = start()
    while not parts():
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.05)
    family = psutil.Process(first.pid).children(recursive=True)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    psutil.wait_procs(family, timeout=60)
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    finished = parts()
    assert 0 < len(finished) < 8

    again = start()
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert len(parts()) == 8 and finished.items() <= parts().items()
    assert len(json.loads(Path("data.selected.json").read_text())) == ROWS // 4
    for path in parts():
        assert pq.read_table(path)["error"].null_count == 8
