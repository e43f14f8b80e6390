"""Gradients against PEFT and plain autograd, one row at a time, on tiny random models."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.engines.hf import gradients as hf_gradients
from selectit.engines.hf.adapters import adam_step
from selectit.engines.hf.projection import project, signs
from selectit.errors import DataError, EngineError, ModelError, SettingsError
from selectit.models.adapters import Checkpoint, find_checkpoints
from selectit.signals.gradients import GivesGradients
from selectit.signals.loss_templates import PLAIN
from selectit.signals.requests import GradientRequest

TEXT = replace(PLAIN, both=False)
SAMPLES = [Sample(row, 0, "Name three colours.", "Red and blue, " * (row % 4) + "done.") for row in range(7)]
EXAMPLES = [Example(f"Add 2 and {n}.", f"They make {2 + n}.", "", "sums") for n in range(3)]
SMALL = GradientRequest(TEXT, rank=3, layers=0)


def load(folder, **changes):
    return hf_gradients.load(folder, **{"dtype": "fp32", "max_tokens": 512, "batch_tokens": 256, **changes})


def nothing(*_):
    return None


def own_loss(model, words, sample):
    """The mean loss of the response after instruction and line break, by plain calls."""
    before = words(f"{sample.instruction}\n")["input_ids"]
    ids = torch.tensor(before + words(sample.response)["input_ids"])
    logits = model(input_ids=ids[None]).logits[0, len(before) - 1 : -1]
    return cross_entropy(logits, ids[len(before) :])


def tune(folder, run):
    """An adapter that is tuned for two steps, with its checkpoints as the Trainer saves them; PEFT's model at each."""
    config = peft.LoraConfig(
        r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "o_proj"], init_lora_weights=False, lora_dropout=0.0
    )
    torch.manual_seed(1)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config).eval()
    words = AutoTokenizer.from_pretrained(folder)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=0.01)
    log = []
    for step in (1, 2):
        optimizer.zero_grad()
        own_loss(model, words, SAMPLES[step]).backward()
        optimizer.step()
        log += [{"step": step, "learning_rate": 0.02 / step, "loss": 1.0}]
        path = run / f"checkpoint-{step}"
        model.save_pretrained(path)
        torch.save(optimizer.state_dict(), path / "optimizer.pt")
        (path / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory, folders):
    """The folder of the checkpoints of an adapter of the llama."""
    return tune(folders["llama"], tmp_path_factory.mktemp("run"))


def peft_gradient(folder, checkpoint, sample):
    """Of the second layer's matrices, A before B, by PEFT and one backward pass; and their moments by their names."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(base, checkpoint.path, is_trainable=True).eval()
    own_loss(model, AutoTokenizer.from_pretrained(folder), sample).backward()
    trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    states = torch.load(Path(checkpoint.path) / "optimizer.pt")["state"]
    last = [(each.grad, states[number]) for number, (name, each) in enumerate(trained) if "layers.1." in name]
    gradient = torch.cat([each.flatten() for each, _ in last])
    return gradient, *(torch.cat([state[key].flatten() for _, state in last]) for key in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_fresh_adapters_against_one_backward_pass_a_row(folders, kind):
    """The gradient with respect to B, since B is zero, is that of the matrix itself times A."""
    engine = load(folders[kind])
    assert isinstance(engine, GivesGradients)
    request = replace(SMALL, inner=True, layers=1).towards(EXAMPLES)
    found = engine.gradients(request, SAMPLES, nothing)
    model, words = (
        AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32),
        AutoTokenizer.from_pretrained(folders[kind]),
    )
    adapters = hf_gradients.fresh_adapters(model, 3, request.targets, 1, 0)
    assert [each.name.split(".")[-1] for each in adapters] == ["q_proj", "k_proj", "v_proj", "o_proj"]

    def own(sample):
        model.zero_grad()
        own_loss(model, words, sample).backward()
        return torch.cat([(each.module.weight.grad @ each.a.T).flatten() for each in adapters])

    examples = torch.stack([own(Sample(0, 0, each.instruction, each.response)) for each in EXAMPLES])
    for sample, row in zip(SAMPLES, found, strict=True):
        gradient = own(sample)
        np.testing.assert_allclose(row.norm, [gradient.norm()], rtol=1e-5)
        np.testing.assert_allclose(row.inner[0], examples @ gradient, rtol=1e-5, atol=1e-6 * gradient.norm() ** 2)


@pytest.mark.parametrize("adam", [False, True])
def test_adapters_of_checkpoints_against_peft(folders, run, adam):
    request = replace(SMALL, inner=True, layers=1, adam=adam, rank=9).at(find_checkpoints(str(run))).towards(EXAMPLES)
    found = load(folders["llama"]).gradients(request, SAMPLES, nothing)
    for place, checkpoint in enumerate(request.checkpoints):
        examples = torch.stack(
            [peft_gradient(folders["llama"], checkpoint, Sample(0, 0, e.instruction, e.response))[0] for e in EXAMPLES]
        )
        for sample, row in zip(SAMPLES[:3], found, strict=False):
            gradient, first, second = peft_gradient(folders["llama"], checkpoint, sample)
            if adam:
                gradient = (0.9 * first + 0.1 * gradient) / (0.999 * second + 0.001 * gradient**2 + 1e-8).sqrt()
            np.testing.assert_allclose(row.norm[place], gradient.norm(), rtol=1e-5)
            expected = examples @ gradient
            scale = examples.norm(dim=1) * gradient.norm()
            np.testing.assert_allclose(row.inner[place] / scale, expected / scale, atol=1e-6)


def test_all_weights_against_one_backward_pass_a_row(folders):
    found = load(folders["llama"]).gradients(replace(SMALL, rank=0), SAMPLES, nothing)
    model, words = (
        AutoModelForCausalLM.from_pretrained(folders["llama"]),
        AutoTokenizer.from_pretrained(folders["llama"]),
    )
    for sample, row in zip(SAMPLES, found, strict=True):
        model.zero_grad()
        own_loss(model, words, sample).backward()
        own = sum(float((each.grad**2).sum()) for each in model.parameters()) ** 0.5
        np.testing.assert_allclose(row.norm, [own], rtol=1e-5)
