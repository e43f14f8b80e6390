"""Gradients against PEFT and plain autograd, one row at a time, on tiny random models."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import tiny
from places import GOLDEN
from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.engines.hf import gradients as hf_gradients
from selectit.engines.hf.adapters import adam_step
from selectit.engines.hf.differentiate import Differentiator, Text, checkpoint_layers
from selectit.engines.hf.packing import Reader
from selectit.engines.hf.projection import project, signs
from selectit.errors import DataError, ModelError
from selectit.models.adapters import FILES, find_checkpoints
from selectit.signals.gradients import GivesGradients
from selectit.signals.loss_templates import CHAT, PLAIN
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
        for sample, row in zip(SAMPLES[:2], found, strict=False):
            gradient, first, second = peft_gradient(folders["llama"], checkpoint, sample)
            if adam:
                gradient = (0.9 * first + 0.1 * gradient) / (0.999 * second + 0.001 * gradient**2 + 1e-8).sqrt()
            np.testing.assert_allclose(row.norm[place], gradient.norm(), rtol=1e-5)
            expected = examples @ gradient
            scale = examples.norm(dim=1) * gradient.norm()
            np.testing.assert_allclose(row.inner[place] / scale, expected / scale, atol=1e-6)


def test_checkpoints_are_read_in_the_chat_template_with_which_they_were_tuned(folders, run, tmp_path):
    """The model itself has none."""
    shutil.copytree(run / "checkpoint-2", tmp_path / "one")
    (tmp_path / "one" / "chat_template.jinja").write_text(tiny.CHAT)
    engine, chat = load(folders["llama"]), replace(CHAT, both=False, boundary="joint")
    request = replace(SMALL, text=chat).at(find_checkpoints(str(tmp_path / "one")))
    written = replace(chat, template="<|user|>\n{instruction}<|end|>\n<|assistant|>\n", chat=False)
    asked = (request, replace(request, text=written))
    for one, other in zip(*(engine.gradients(each, SAMPLES, nothing) for each in asked), strict=True):
        assert one.norm == other.norm and one.tokens == other.tokens
    with pytest.raises(ModelError, match="no chat template"):
        engine.gradients(replace(SMALL, text=chat), SAMPLES, nothing)


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


def test_the_norms_of_the_published_grand(tmp_path):
    """Its texts begin to count with the line break before the response, so that texts are given as tokens."""
    golden = json.loads((GOLDEN / "rivals/grand_el2n.json").read_text())
    model = LlamaForCausalLM(LlamaConfig(**golden["tiny_model"]["config"]))
    with np.load(GOLDEN / "rivals/tiny_llama_public.npz") as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name].astype("f4")) for name in weights})
    asked = golden["grand"]["inputs"]
    texts = {
        at: Text(ids, first, truncated=False)
        for at, (ids, first) in enumerate(zip(asked["token_ids"], asked["first_scored_position"], strict=True))
    }
    reader = Reader(model.eval(), model.config._attn_implementation)
    found = {key: float(norm) for (key,), norm in Differentiator(reader, 64).norms_by_all(texts, {})}
    assert [found[at] for at in range(len(texts))] == pytest.approx(golden["grand"]["outputs"]["score"], rel=1e-5)


def test_the_steps_of_the_published_less():
    for case in json.loads((GOLDEN / "rivals/less.json").read_text())["adam_gradient"]["cases"]:
        gradient, first, second = (
            torch.tensor(case[name]) for name in ("gradient_float32", "exp_avg_float32", "exp_avg_sq_float32")
        )
        np.testing.assert_allclose(adam_step(gradient[None], first, second)[0], case["adam"], rtol=2e-6)
    step = adam_step(torch.tensor([[0.5]]), torch.tensor([0.1]), torch.tensor([0.04]))
    assert float(step) == pytest.approx(0.698170, abs=1e-6)


def test_what_is_read_together_changes_nothing(folders, run):
    request = replace(SMALL, dimensions=70, adam=True).at(find_checkpoints(str(run)))
    together = load(folders["llama"]).gradients(request, SAMPLES, nothing)
    reported = []
    engine = load(folders["llama"], batch_tokens=1)
    alone = [engine.gradients(request, [each], lambda *done: reported.append(done))[0] for each in SAMPLES]
    assert sum(rows for rows, _ in reported) == len(SAMPLES)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.norm, other.norm, rtol=1e-5)
        np.testing.assert_allclose(one.projected, other.projected, atol=2e-4)  # float16
        assert one.tokens == other.tokens


def test_texts_of_unlike_lengths_are_not_read_together(folders):
    """At most a fifth of a batch is padding: of 5 + 6 + 6 tokens one of 18, of 6 + 40 tokens 34 of 80."""
    engine = load(folders["llama"])
    texts = {key: Text([7] * size, 1, truncated=False) for key, size in enumerate((6, 40, 5, 6))}
    differentiator = engine._differentiator
    adapters = hf_gradients.fresh_adapters(differentiator.reader.model, 2, ("q_proj",), 1, 0)
    assert [keys for keys, _ in differentiator.by_adapters(adapters, texts, {})] == [[2, 0, 3], [1]]


def test_a_failing_batch_is_split(folders, monkeypatch):
    engine = load(folders["llama"])
    whole = engine.gradients(SMALL, SAMPLES, nothing)
    original = Differentiator._loss

    def short_of_memory(self, texts):
        if len(texts) > 1 or "Red and blue, Red and blue, " in engine._engine.texts.tokenizer.decode(texts[0].ids):
            raise RuntimeError("out of memory\nand more")
        return original(self, texts)

    monkeypatch.setattr(Differentiator, "_loss", short_of_memory)
    for sample, one, other in zip(SAMPLES, whole, engine.gradients(SMALL, SAMPLES, nothing), strict=True):
        if sample.row % 4 < 2:
            np.testing.assert_allclose(one.norm, other.norm, rtol=1e-5)
        else:
            assert other == "out of memory"


def test_layers_that_are_computed_again_change_nothing(folders):
    """As on a GPU."""
    engine, other = load(folders["llama"]), load(folders["llama"])
    checkpoint_layers(other._losses.reader.model)
    request = replace(SMALL, dimensions=64)
    for one, again in zip(*(each.gradients(request, SAMPLES, nothing) for each in (engine, other)), strict=True):
        np.testing.assert_allclose(one.norm, again.norm, rtol=1e-6)


@pytest.mark.parametrize("request_", [replace(SMALL, dimensions=64), replace(SMALL, rank=0)])
def test_bf16_is_near(folders, request_):
    whole, half = (
        load(folders["llama"], dtype=dtype).gradients(request_, SAMPLES, nothing) for dtype in ("fp32", "bf16")
    )
    for one, other in zip(whole, half, strict=True):
        np.testing.assert_allclose(one.norm, other.norm, rtol=0.05)
        if request_.dimensions:
            assert np.corrcoef(one.projected[0], other.projected[0])[0, 1] > 0.99


def test_projections_keep_inner_products_within_the_stated_error():
    """Of unit vectors at a cosine c the error's variance is at most (1 + c²) / D."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, 900)).astype("f4") + 0.5 * rng.standard_normal(900).astype("f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    dimensions = 256
    projected = project(torch.from_numpy(vectors), {"one": 400, "other": 500}, dimensions, 7).numpy()
    pairs = np.triu_indices(60, 1)
    exact, found = ((each @ each.T)[pairs] for each in (vectors, projected))
    errors = (found - exact) / np.sqrt((1 + exact**2) / dimensions)
    assert abs(errors.mean()) < 0.3 and 0.8 < np.sqrt((errors**2).mean()) < 1.2


def test_signs_depend_on_their_place_alone():
    device = torch.device("cpu")
    whole = signs("q", 0, 50, 130, 3, device)
    assert set(whole.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(signs("q", 20, 31, 130, 3, device), whole[20:31])
    for other in (signs("k", 0, 50, 130, 3, device), signs("q", 0, 50, 130, 4, device)):
        assert 0.4 < float((other == whole).float().mean()) < 0.6
    correlation = np.corrcoef(signs("q", 0, 2000, 64, 0, device).numpy().T) - np.eye(64)
    assert np.abs(correlation).max() < 0.12  # 5 standard deviations


def test_rows_without_a_gradient_say_why(folders):
    engine = load(folders["llama"], max_tokens=24)
    rows = [Sample(0, 0, "Say nothing.", ""), Sample(1, 0, "word " * 40, "No."), SAMPLES[0]]
    found = engine.gradients(SMALL, rows, nothing)
    assert found[0] == "the response is empty"
    assert found[1].startswith("the instruction is too long")
    assert found[2].norm > 0 and not found[2].truncated
    with pytest.raises(DataError, match="example 0 of the target has no gradient: the instruction is too long"):
        engine.gradients(replace(SMALL, inner=True, examples=(Example("word " * 40, "No.", "", ""),)), rows, nothing)


def test_a_checkpoint_that_is_not_of_the_model_is_refused(folders, run, tmp_path):
    engine = load(folders["llama"])
    with pytest.raises(ModelError, match="none of the matrices c_attn"):
        engine.gradients(replace(SMALL, targets=("c_attn",)), SAMPLES, nothing)

    def refusal(change, adam=False):
        copy = tmp_path / "run"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run / "checkpoint-2", copy)
        change(copy)
        with pytest.raises(ModelError) as caught:
            engine.gradients(replace(SMALL, adam=adam).at(find_checkpoints(str(copy))), SAMPLES, nothing)
        return caught.value.message

    def narrower(copy):
        weights = load_file(copy / "adapter_model.safetensors")
        save_file(
            {name: each[:, :-1].contiguous() if "_A" in name else each for name, each in weights.items()},
            copy / FILES[1],
        )

    assert "_proj, and the model has no such matrix" in refusal(narrower)
    assert "sets use_dora" in refusal(lambda copy: tiny.change_json(copy, FILES[0], use_dora=True))
    assert "has no optimizer.pt" in refusal(lambda copy: (copy / FILES[2]).unlink(), adam=True)
    moments = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2, 3))])
    assert "does not hold the moments" in refusal(lambda copy: torch.save(moments.state_dict(), copy / FILES[2]), True)
