"""Losses from packed rows equal a plain double loop with transformers."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

import made_up_signals as made
from places import GOLDEN
from selectit.data.records import Sample
from selectit.engines.hf import packing
from selectit.engines.hf.losses import read_columns
from selectit.errors import EngineError
from selectit.methods.el2n import El2n
from selectit.methods.rsr import Rsr
from selectit.signals.arrays import Signals
from selectit.signals.loss_templates import CHAT
from selectit.signals.losses import ScoresText
from selectit.signals.requests import LossRequest
from tiny import KINDS, build_chat, load

SAMPLES = [
    Sample(
        row, 0, "Name three colours." if row % 3 else "How do I boil an egg?", "Red and blue, " * (row % 5) + "done."
    )
    for row in range(11)
]
SPLIT = LossRequest("Answer it.\n\n{instruction}\nResponse:", "Response:", prompt=True)
PLAIN = LossRequest("{instruction}\n", "", "joint", prompt=True)
TEXTS = {"split": SPLIT, "joint": PLAIN}


def read(engine, text, samples=SAMPLES):
    return engine.losses(text, samples, lambda *_: None)


def by_hand(folder, text, sample):
    """Batch 1, one softmax over everything: losses after the instruction, alone, of the prompt; and distributions."""
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def logp(ids):
        with torch.inference_mode():
            return model(torch.tensor([ids])).logits[0].log_softmax(-1)

    def ids(prefix):
        if text.boundary == "joint":
            return words(prefix + sample.response)["input_ids"], len(words(prefix)["input_ids"])
        start = words(prefix)["input_ids"]
        return start + words(sample.response)["input_ids"], len(start)

    (given, start), (alone, alone_start) = ids(text.template.format(instruction=sample.instruction)), ids(text.alone)
    by_given, by_alone = logp(given), logp(alone)
    response = by_given[start - 1 : -1].exp()
    return (
        np.array([-by_given[t - 1, given[t]] for t in range(start, len(given))]),
        np.array([-by_alone[t - 1, alone[t]] if t else np.nan for t in range(alone_start, len(alone))]),
        np.mean([-by_given[t - 1, given[t]] for t in range(1, start)]),
        response.numpy(),
    )


def test_the_response_alone_may_be_left_out(engine):
    text = TEXTS["split"]
    both, given = read(engine, text), read(engine, dataclasses.replace(text, both=False))
    for first, second in zip(both, given, strict=True):
        assert first.given == pytest.approx(second.given, abs=1e-5)
        assert first.entropy == pytest.approx(second.entropy, abs=1e-5)
        assert not np.isnan(first.alone).all() and np.isnan(second.alone).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TEXTS)
def test_losses_are_those_of_a_plain_loop(folders, kind, name):
    found = read(load(folders[kind]), TEXTS[name])
    for sample, losses in zip(SAMPLES, found, strict=True):
        given, alone, prompt, p = by_hand(folders[kind], TEXTS[name], sample)
        np.testing.assert_allclose(losses.given[0], given, atol=2e-5)
        np.testing.assert_allclose(losses.alone[0][-len(alone) :], alone, atol=2e-5)
        np.testing.assert_allclose(losses.prompt_loss, prompt, atol=2e-5)
        np.testing.assert_allclose(losses.entropy, -(p * np.log(p)).sum(-1), atol=1e-4)
        np.testing.assert_allclose(losses.squares, (p**2).sum(-1), atol=1e-5)
        ordered = np.sort(p, axis=-1)
        np.testing.assert_allclose(losses.largest, ordered[:, -1], atol=1e-5)
        np.testing.assert_allclose(losses.second, ordered[:, -2], atol=1e-5)
        gold = np.exp(-given)[:, None]
        surely, perhaps = (1 + (p > gold + shift).sum(-1) for shift in (1e-6, -1e-6))  # rounding may turn equal ones
        assert (surely <= losses.rank).all() and (losses.rank <= perhaps).all()


def test_the_first_token_alone_has_no_loss(engine):
    losses = read(engine, PLAIN)[0]
    assert np.isnan(losses.alone[0, 0]) and np.isfinite(losses.given).all()


def test_a_prompt_s_losses_are_read_only_where_they_are_wanted(engine):
    with_prompt, without = read(engine, SPLIT)[1], read(engine, LossRequest(SPLIT.template, SPLIT.alone))[1]
    assert np.isnan(without.prompt_loss) and np.isfinite(with_prompt.prompt_loss)
    np.testing.assert_allclose(with_prompt.given, without.given, atol=1e-5)


def test_a_long_response_is_cut_and_a_long_instruction_refused(folders, engine):
    short = load(folders["llama"], max_tokens=60)
    long = Sample(0, 0, "Name three colours.", "Red and green. " * 50)
    cut, refused, empty, whole = read(
        short, SPLIT, [long, Sample(1, 0, "Name it. " * 50, "Red."), Sample(2, 0, "Name it.", ""), SAMPLES[1]]
    )
    assert cut.truncated and cut.prompt_tokens + cut.given.shape[1] == 60
    uncut = read(engine, SPLIT, [long])[0]
    np.testing.assert_allclose(cut.given[0], uncut.given[0, : cut.given.shape[1]], atol=1e-5)
    np.testing.assert_allclose(cut.alone[0], uncut.alone[0, : cut.given.shape[1]], atol=1e-5)
    assert "the instruction is too long" in refused and empty == "the response is empty"
    assert not whole.truncated


def test_a_cut_response_is_a_token_longer_alone_where_the_published_code_has_it_so(folders, engine):
    short = load(folders["llama"], max_tokens=60)
    long = Sample(0, 0, "Name three colours.", "Red and green. " * 50)
    same, shifted = (
        read(short, dataclasses.replace(PLAIN, shifted=each), [long, SAMPLES[1]]) for each in (False, True)
    )
    uncut = read(engine, PLAIN, [long])[0]
    tokens = same[0].given.shape[1]
    np.testing.assert_allclose(same[0].alone[0, 1:], uncut.alone[0, 1:tokens], atol=1e-5)
    np.testing.assert_allclose(shifted[0].alone[0], uncut.alone[0, 1 : tokens + 1], atol=1e-5)
    np.testing.assert_allclose(shifted[0].given, same[0].given, atol=1e-5)
    np.testing.assert_allclose(shifted[1].alone, same[1].alone, atol=1e-5)  # what is whole is read as ever


def test_losses_in_the_chat_template_are_those_of_the_text_that_it_writes(folder):
    engine = load(build_chat(folder / "chat"), max_tokens=256)
    written = LossRequest("<|user|>\n{instruction}<|end|>\n<|assistant|>\n", "<|assistant|>\n")
    for asked, by_hand in zip(read(engine, CHAT), read(engine, written), strict=True):
        np.testing.assert_allclose(asked.given, by_hand.given, atol=1e-5)
        np.testing.assert_allclose(asked.alone, by_hand.alone, atol=1e-5)
        assert asked.prompt_tokens == by_hand.prompt_tokens


def test_ranks_and_losses_of_the_published_rsr():
    """Its answers about given logits; row t of them predicts token t + 1."""
    golden = json.loads((GOLDEN / "rivals/rsr.json").read_text())["given_logits"]
    with np.load(GOLDEN / "rivals/rsr_logits_public.npz") as logits:
        for name, places in golden["outputs"]["positions"].items():
            ids = torch.tensor(golden["inputs"]["token_ids"][int(name[1:])])[places]
            columns = read_columns(torch.from_numpy(logits[name][np.array(places) - 1]), ids, True)
            np.testing.assert_allclose(columns[0], golden["outputs"]["nll_float32"][name], rtol=1e-6)
            ranks = np.minimum(columns[5], golden["inputs"]["rank_clip_r"])
            assert ranks.tolist() == golden["outputs"]["ranks"][name]
            expected = golden["outputs"]["per_sample"][name]["rank_surprisal_ratio"]
            losses = made.token_losses([columns[0]], [columns[0]], rank=[columns[5]])
            assert -Rsr(clip=20).score(Signals(made.rows(1), {"losses": losses})) == pytest.approx([expected], rel=1e-6)


def test_el2n_of_data_diet_on_a_tiny_model():
    golden = json.loads((GOLDEN / "rivals/grand_el2n.json").read_text())
    model = LlamaForCausalLM(LlamaConfig(**golden["tiny_model"]["config"]))
    with np.load(GOLDEN / "rivals/tiny_llama_public.npz") as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name].astype("f4")) for name in weights})
    asked = golden["grand"]["inputs"]
    outputs = golden["el2n_on_the_tiny_model"]["outputs"]
    for ids, first, expected in zip(asked["token_ids"], asked["first_scored_position"], outputs, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, first - 1 : -1]
        loss, _, _, _, squares, _ = read_columns(logits, torch.tensor(ids[first:]), True)
        losses = dataclasses.replace(made.token_losses([loss], [loss]), squares=squares)
        assert El2n().score(Signals(made.rows(1), {"losses": losses})) == pytest.approx([expected["mean_l2"]], abs=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_noise_is_the_seed_s_and_the_response_s_own(folders, kind):
    engine = load(folders[kind])
    noisy = LossRequest(SPLIT.template, SPLIT.alone, copies=3)
    found = read(engine, noisy)
    again = read(engine, noisy, SAMPLES[4:5])
    np.testing.assert_allclose(found[4].given, again[0].given, atol=2e-5)  # whatever the batch
    np.testing.assert_allclose(found[4].alone, again[0].alone, atol=2e-5)
    np.testing.assert_allclose(found[4].given[0], read(engine, SPLIT)[4].given[0], atol=2e-5)
    assert len({row.tobytes() for row in found[4].given}) == 4
    other = read(engine, LossRequest(SPLIT.template, SPLIT.alone, copies=3, seed=1), SAMPLES[4:5])[0]
    assert np.abs(other.given[1:] - again[0].given[1:]).max() > 1e-3
    silent = read(engine, LossRequest(SPLIT.template, SPLIT.alone, copies=1, noise=0.0), SAMPLES[4:5])[0]
    np.testing.assert_allclose(silent.given[1], silent.given[0], atol=2e-5)
    np.testing.assert_allclose(silent.alone[1], silent.alone[0], atol=2e-5)


def test_a_failing_batch_is_split_and_too_many_failures_stop(engine, monkeypatch):
    whole = read(engine, SPLIT)
    original = packing.Reader.predictions

    def short_of_memory(self, texts, *others):
        if len(texts) > 1:
            raise RuntimeError("out of memory")
        return original(self, texts, *others)

    monkeypatch.setattr(packing.Reader, "predictions", short_of_memory)
    for one, other in zip(whole, read(engine, SPLIT), strict=True):
        np.testing.assert_allclose(one.given, other.given, atol=2e-5)

    def dead(*_):
        raise RuntimeError("device lost\nand more")

    monkeypatch.setattr(packing.Reader, "predictions", dead)
    assert read(engine, SPLIT, SAMPLES[:3]) == ["device lost"] * 3
    with pytest.raises(EngineError, match="20 rows in a row failed with the same error: device lost"):
        read(engine, SPLIT)


def test_the_engine_is_a_text_scorer(engine):
    assert isinstance(engine, ScoresText)
