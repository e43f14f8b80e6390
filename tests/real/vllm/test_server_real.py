"""Parity of the server engine with the hf engine, against a real server. Skipped unless it is named:

SELECTIT_TEST_SERVER=http://localhost:8000/v1 SELECTIT_TEST_MODEL=<name under which it is served>
SELECTIT_TEST_FOLDER=<folder of the same model> SELECTIT_TEST_DTYPE=<fp32 or bf16, as the server was started>
"""

import os

import numpy as np
import pytest

from selectit.data.records import Sample
from selectit.engines.hf import engine as hf_engine
from selectit.engines.server import engine as server_engine
from selectit.numerics.ranking import spearman
from selectit.signals import prompts

SERVER = os.environ.get("SELECTIT_TEST_SERVER", "")
TOLERANCE = {"fp32": 0.002, "bf16": 0.15}
"""Largest difference of a label's log-probability. bf16 rounds the output matrix's products too in some servers."""

pytestmark = pytest.mark.skipif(not SERVER, reason="SELECTIT_TEST_SERVER names no server")

WORDS = "red green blue seven eight nine old new bright dark river stone bread glass and or the a of in".split()


def samples():
    rng = np.random.default_rng(0)
    return [
        Sample(
            row,
            0,
            f"Write {int(rng.integers(2, 60))} words about the {rng.choice(WORDS)} {rng.choice(WORDS)}.",
            " ".join(rng.choice(WORDS, int(rng.integers(1, 120)))),
        )
        for row in range(16)
    ]


@pytest.mark.parametrize("tokenizer", [True, False])
def test_parity_with_hf(tokenizer):
    name, folder = os.environ["SELECTIT_TEST_MODEL"], os.environ["SELECTIT_TEST_FOLDER"]
    dtype = os.environ.get("SELECTIT_TEST_DTYPE", "fp32")
    prompt = prompts.packaged().first(1)[0]
    here = hf_engine.load(folder, dtype=dtype, max_tokens=1024, batch_tokens=2048)
    served = server_engine.load(name, base_url=SERVER, tokenizer_path=folder if tokenizer else "", tokenizer_name="t")
    try:
        own, theirs = (engine.rate([prompt], samples(), lambda n, t: None)[0] for engine in (here, served))
    finally:
        here.close()
        served.close()
    assert set(theirs.errors) == {None}
    assert theirs.tokens.tolist() == own.tokens.tolist()
    difference = np.abs(own.logprob - theirs.logprob).max()
    expected = [np.exp(each.logprob) @ np.arange(1, 6) / np.exp(each.logprob).sum(1) for each in (own, theirs)]
    rank = spearman(*(each.astype(np.float64) for each in expected))
    print(f"{served.settings['labels']}: largest difference {difference:.2g}, rank correlation {rank:.4f}")
    assert difference < TOLERANCE[dtype]
    assert rank >= 0.99
