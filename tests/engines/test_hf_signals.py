"""Embeddings, replies and rewards against transformers called directly, on tiny random models."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForSequenceClassification,
)

import tiny
from places import GOLDEN
from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.engines.hf import encoder, reward
from selectit.engines.hf import engine as hf_engine
from selectit.errors import ModelError
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_UNFINISHED
from selectit.signals.embeddings import Embeds
from selectit.signals.judgements import Replies, Reply
from selectit.signals.loss_templates import PLAIN
from selectit.signals.requests import EmbeddingRequest, GainRequest, JudgeRequest, StateRequest
from selectit.signals.rewards import RewardsPairs

SAMPLES = [Sample(row, 0, "Name three colours.", "Red and blue, " * (row % 4) + "done.") for row in range(9)]
CHAT = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def nothing(*_):
    return None


@pytest.mark.parametrize("kind", ["llama", "gemma2"])  # packed, and one text at a time
@pytest.mark.parametrize("pooling", ["last", "mean", "weighted"])
@pytest.mark.parametrize("text", ["instruction", "response", "both"])
def test_pooled_states_are_the_model_s_own(folders, kind, pooling, text):
    model = encoder.load(folders[kind], dtype="fp32", pooling=pooling, max_tokens=512, batch_tokens=64)
    vectors = model.embed(EmbeddingRequest(text), SAMPLES, nothing)
    assert isinstance(model, Embeds) and model.settings["pooling"] == pooling
    own = AutoModelForCausalLM.from_pretrained(folders[kind], dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(folders[kind])
    for sample, vector in zip(SAMPLES, vectors, strict=True):
        whole = {"instruction": sample.instruction, "response": sample.response}
        ids = words(whole.get(text, f"{sample.instruction}\n{sample.response}"), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = own(ids, output_hidden_states=True).hidden_states[-1][0].numpy()
        place = np.arange(1, len(states) + 1)[:, None]
        pooled = {"last": states[-1], "mean": states.mean(0), "weighted": (place * states).sum(0) / place.sum()}
        np.testing.assert_allclose(vector, pooled[pooling], atol=1e-5)


def test_a_text_without_tokens_has_no_vector(folders):
    model = encoder.load(folders["llama"], pooling="mean", max_tokens=512, batch_tokens=64)
    vectors = model.embed(EmbeddingRequest("response"), [SAMPLES[0], Sample(1, 0, "Say nothing.", "")], nothing)
    assert np.isfinite(vectors[0]).all() and np.isnan(vectors[1]).all()


@pytest.fixture
def with_code(tmp_path):
    """A sentence encoder's folder whose first module is Python code in it; the code leaves a mark."""
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "", "type": "evilmod.Evil"}]')
    (folder / "config_sentence_transformers.json").write_text("{}")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    mark = tmp_path / "it-has-run"
    (folder / "evilmod.py").write_text(f"open({str(mark)!r}, 'w')\nclass Evil: pass\n")
    return folder, mark


def test_an_encoders_folder_runs_nothing(with_code):
    pytest.importorskip("sentence_transformers")
    folder, mark = with_code
    with pytest.raises(ModelError):
        encoder.load(str(folder), pooling="mean", max_tokens=512)
    assert not mark.exists()


def test_a_version_that_runs_the_code_of_folders_is_refused(with_code, monkeypatch):
    folder, mark = with_code
    monkeypatch.setattr("importlib.metadata.version", lambda name: "5.2.0")
    with pytest.raises(ModelError, match="sentence-transformers 5.2.0 runs Python code of a folder") as caught:
        encoder.load(str(folder), pooling="mean", max_tokens=512)
    assert "sentence-transformers>=6.0" in caught.value.hint and not mark.exists()


@pytest.mark.parametrize("template", [None, CHAT])
def test_replies_are_greedy_and_see_the_question(folders, template):
    engine = hf_engine.load(folders["llama"], dtype="fp32", max_tokens=120, batch_tokens=256)
    engine.texts.tokenizer.chat_template = template
    question = JudgeRequest("You judge.", "Instruction: {instruction}\nResponse: {response}\nGood?", max_new_tokens=5)
    long = Sample(9, 0, "Name it. " * 60, "Red {instruction}.")
    found = engine.reply(question, [*SAMPLES[:2], long], nothing)
    assert isinstance(engine, Replies)
    assert found[2].text is None and "there is room for 115" in found[2].error and found[2].flags == FLAG_NO_ROOM
    body = "Instruction: Name three colours.\nResponse: done.\nGood?"
    text = f"You judge.\n\n{body}\n" if template is None else f"[system] You judge.\n[user] {body}\n[assistant] "
    own = AutoModelForCausalLM.from_pretrained(folders["llama"], dtype=torch.float32)
    ids = engine.texts.tokenizer(text, return_tensors="pt")["input_ids"]
    for _ in range(5):  # greedy, token by token
        with torch.inference_mode():
            ids = torch.cat([ids, own(ids).logits[:, -1:].argmax(-1)], 1)
    assert found[0] == Reply(engine.texts.tokenizer.decode(ids[0, -5:], skip_special_tokens=True), "", FLAG_UNFINISHED)
    shutil.copytree(folders["llama"], "ends")
    config = GenerationConfig(eos_token_id=[0, int(ids[0, -5])])  # the first new token is an end
    config.save_pretrained("ends")
    ending = hf_engine.load("ends", dtype="fp32", max_tokens=120, batch_tokens=256)
    ending.texts.tokenizer.chat_template = template
    assert ending.reply(question, SAMPLES[:1], nothing)[0].flags == 0
    whole = JudgeRequest(question.system, question.text, max_new_tokens=1)  # an end at the limit is an end
    assert ending.reply(whole, SAMPLES[:1], nothing)[0].flags == 0


@pytest.fixture(scope="module")
def rewarding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward")
    words = tiny.tokenizer()
    words.pad_token = words.convert_ids_to_tokens(0)
    torch.manual_seed(0)
    shape = dict(vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2)
    heads = dict(num_attention_heads=2, num_key_value_heads=2, initializer_range=0.2, pad_token_id=words.pad_token_id)
    LlamaForSequenceClassification(LlamaConfig(**shape, **heads, num_labels=1)).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def test_rewards_are_those_of_single_passes(rewarding):
    engine = reward.load(rewarding, dtype="fp32", max_tokens=40)
    found = engine.reward([*SAMPLES, Sample(9, 0, "Name it. " * 60, "Red.")], nothing)
    assert isinstance(engine, RewardsPairs) and np.isnan(found[9]) and engine.parameters > 0
    own = AutoModelForSequenceClassification.from_pretrained(rewarding, dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(rewarding)
    for sample, value in zip(SAMPLES, found[:9], strict=True):
        ids = words(sample.instruction, sample.response, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            np.testing.assert_allclose(value, own(ids).logits[0, 0].item(), atol=1e-5)


def test_a_model_with_several_outputs_is_no_reward_model(tmp_path):
    words = tiny.tokenizer()
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has 2 outputs"):
        reward.load(str(tmp_path), dtype="fp32", max_tokens=40)


@pytest.mark.parametrize("text", ["both", "instruction"])
def test_hidden_states_of_the_pair_in_its_chat_template(tmp_path, text):
    """Packed as read alone; a question without an answer up to where the answer begins."""
    folder = tiny.build_chat(tmp_path / "chat")
    model = encoder.load(folder, dtype="fp32", pooling="weighted", max_tokens=256, batch_tokens=64)
    samples = [*SAMPLES, Sample(9, 0, "Name three colours.", "")]
    vectors = model.embed(StateRequest(text), samples, nothing)
    own, words = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )
    for sample, vector in zip(samples, vectors, strict=True):
        whole = f"<|user|>\n{sample.instruction}<|end|>\n<|assistant|>\n"
        whole += f"{sample.response}<|end|>\n" if text == "both" and sample.response else ""
        ids = words(whole, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            states = own.model(input_ids=ids).last_hidden_state[0].numpy()
        place = np.arange(1, len(states) + 1)
        assert vector == pytest.approx(place @ states / place.sum(), abs=1e-5)


def test_weighted_states_as_published():
    published = json.loads((GOLDEN / "rivals" / "targeted_selection.json").read_text())["rds_pooling"]
    expected = published["outputs"]["weighted_mean_normalised_float32"]
    for states, vector in zip(published["inputs"]["hidden_states_float32"], expected, strict=True):
        own = encoder.pooled(np.array(states, np.float32), "weighted")
        assert own / np.linalg.norm(own) == pytest.approx(vector, abs=1e-6)


def test_what_a_row_does_to_the_loss_of_an_example(tmp_path):
    """The loss of an example's answer after its question, less that after the row and the question."""
    engine = tiny.load(tiny.build(tmp_path / "llama"))
    examples = tuple(Example(f"Add {n} and 2.", f"It is {n + 2}.", "", "sums") for n in range(3))
    request = GainRequest(PLAIN).towards([*examples])
    samples = [*SAMPLES[:2], Sample(2, 0, examples[1].instruction, examples[1].response)]
    answer = request.ask(engine, samples, nothing)
    own, words = AutoModelForCausalLM.from_pretrained(tmp_path / "llama"), engine.texts.tokenizer

    def loss(before, text):
        ids = [words(each, add_special_tokens=False)["input_ids"] for each in (before, text)]
        with torch.inference_mode():
            logp = own(torch.tensor([sum(ids, [])])).logits[0].log_softmax(-1)
        places = range(len(ids[0]) - 1, len(ids[0]) + len(ids[1]) - 1)
        return -float(np.mean([logp[place, token] for place, token in zip(places, ids[1], strict=True)]))

    for sample, gains in zip(samples, answer.columns["gains"], strict=True):
        for each, gain in zip(request.examples, gains, strict=True):
            row, asked = f"{sample.instruction}\n{sample.response}\n\n", f"{each.instruction}\n"
            same = sample.instruction == each.instruction
            wanted = np.nan if same else loss(asked, each.response) - loss(row + asked, each.response)
            assert gain == pytest.approx(wanted, abs=2e-4, nan_ok=True)
    assert np.isnan(answer.columns["gains"]).sum() == 1
