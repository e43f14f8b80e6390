"""DEITA's two scorers end to end: one is asked about the instruction alone, the other about the pair."""

import json
from pathlib import Path

import numpy as np
import pytest

import selectit
import tiny
from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.numerics.label_probs import expected
from selectit.signals.prompts import load

ROWS = [
    {"instruction": f"Name {n} colours of the rainbow.", "input": "", "output": "Red and green. " * (1 + n % 3)}
    for n in range(8)
]
LONG = {"instruction": "Name it. " * 200, "input": "", "output": "Red."}
LABELS = 'labels = ["1", "2", "3", "4", "5", "6"]\n'


def test_deita_by_scores_of_the_instruction_and_of_the_pair(folder):
    model = tiny.build(folder / "llama")
    Path("data.json").write_text(json.dumps([*ROWS, ROWS[3] | {"output": "Blue."}, LONG]))
    templates = {"complexity": "{instruction}\n{prompt}: ", "quality": "{instruction}\n{response}\n{prompt}: "}
    stored = {}
    for name, template in templates.items():
        Path(f"{name}.toml").write_text(f"{LABELS}prompts = [{name!r}]\ntemplate = {json.dumps(template)}\n")
        own = {"prompts": f"{name}.toml", "k": 1, "method": "expected-rating"}
        selectit.rate("data.json", Settings(model=(model,), dtype="fp32", max_tokens=200, run="run", **own))
        stored[name] = selectit.score("run", Settings(**own))
    hard = stored["complexity"].score
    assert hard[8] == hard[3] and stored["quality"].score[8] != stored["quality"].score[3]
    assert np.isnan(hard[9]) and len(set(hard[:8].tolist())) == 8
    samples = [Sample(n, 0, row["instruction"], row["output"]) for n, row in enumerate(ROWS)]
    (text,) = load("complexity.toml").first(1)
    logprob = tiny.load(model).rate([text], samples, lambda *_: None)[0].logprob
    assert hard[:8] == pytest.approx(expected(logprob), abs=1e-5)
    parameters = {name: f"stored:{scores.name}" for name, scores in stored.items()} | {"limit": "1.0"}
    own = {"method": "deita", "param": parameters, "encoder": model}
    chosen = selectit.select("data.json", Settings(run="run", **own, dtype="fp32", max_tokens=200, keep=9))
    product = hard * stored["quality"].score
    assert chosen.selection.rows.tolist() == np.argsort(-product[:9], kind="stable").tolist()
