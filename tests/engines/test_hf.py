"""The hf engine on tiny random models: every way of batching gives the numbers of a plain forward pass."""

import json
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

import tiny
from selectit.data.records import Sample
from selectit.engines import device as engines_device
from selectit.engines import texts
from selectit.engines.base import CountsTokens
from selectit.engines.hf import attention, fusing, packing
from selectit.engines.hf import engine as hf_engine
from selectit.errors import EngineError, ModelError
from selectit.signals import prompts, ratings
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_SMALLER_BATCH, FLAG_TRUNCATED
from selectit.signals.ratings import RatesLabels
from selectit.signals.requests import RatingPrompt
from tiny import KINDS, load

PROMPT = RatingPrompt("Rate the response from 1 to 5 and answer with the number alone.")
SAMPLES = [
    Sample(
        row, 0, "Name three colours." if row % 3 else "How do I boil an egg?", "Red and blue, " * (row % 7) + "done."
    )
    for row in range(24)
]


def rate(engine, samples=SAMPLES, prompt=PROMPT):
    batches = []
    rated = engine.rate([prompt], samples, lambda ratings, tokens: batches.append((ratings, tokens)))[0]
    return rated, batches


def by_hand(folder, samples, prompt=PROMPT, dtype=torch.float32):
    """Batch 1, all logits, full softmax: as the published code does it."""
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    labels = [words(label)["input_ids"][0] for label in prompt.labels]
    rows = []
    for sample in samples:
        ids = words(prompt.render(sample.instruction, sample.response), return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            rows.append(model(ids).logits[0, -1].float().log_softmax(-1)[labels].numpy())
    return np.array(rows)


@pytest.fixture
def reads(monkeypatch):
    """(reader, 'packed' or 'plain', tokens of each text) of every batch of whole texts from now on."""
    made = []
    for how in ("packed", "plain"):

        def read(self, texts, *prefix, how=how, original=getattr(packing.Reader, how)):
            made.append((self, how, [*map(len, texts)]))
            return original(self, texts, *prefix)

        monkeypatch.setattr(packing.Reader, how, read)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_are_the_model_s_own(folders, kind):
    rated, _ = rate(load(folders[kind]))
    np.testing.assert_allclose(rated.logprob, by_hand(folders[kind], SAMPLES), atol=1e-5)
    assert rated.errors == (None,) * len(SAMPLES)
    assert np.ptp(rated.logprob) > 0.1


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("llama", 10**6), ("mistral", tiny.WINDOW), ("gemma2", 0)],  # its attention has soft caps
)
def test_what_is_packed(folders, reads, kind, limit):
    engine = load(folders[kind])
    reads.clear()
    samples = [Sample(0, 0, "", "1" * n) for n in range(30, 60)]  # a digit is a token
    rated, _ = rate(engine, samples, RatingPrompt("?", "{prompt}{instruction}{response}\n"))
    assert rated.tokens.min() < tiny.WINDOW < rated.tokens.max() and tiny.WINDOW in rated.tokens
    packed, plain = (sorted(n for _, each, some in reads if each == how for n in some) for how in ("packed", "plain"))
    assert packed == sorted(rated.tokens[rated.tokens <= limit])
    assert plain == sorted(rated.tokens[rated.tokens > limit])


def test_a_model_that_can_t_be_packed_gets_the_same_numbers(folders, engine, monkeypatch, reads):
    def broken(*args, **kwargs):
        raise NotImplementedError("no packing here")

    with monkeypatch.context() as patched:
        patched.setattr(packing.Reader, "packed", broken)
        plain = load(folders["llama"])
    reads.clear()
    rated, _ = rate(plain)
    assert {how for _, how, _ in reads} == {"plain"}
    np.testing.assert_allclose(rated.logprob, rate(engine)[0].logprob, atol=1e-5)


@pytest.mark.parametrize("name", ["packed", "go_on"])
def test_packing_that_changes_numbers_is_found_out(folders, monkeypatch, reads, name):
    own = getattr(packing.Reader, name)
    with monkeypatch.context() as patched:
        patched.setattr(packing.Reader, name, lambda self, *given: own(self, *given) * 1.01)
        plain = load(folders["llama"])
    reads.clear()
    rate(plain)
    assert {how for _, how, _ in reads} == {"plain"}


@pytest.mark.parametrize("batch_tokens", [1, 600, 10_000])
def test_batching_changes_nothing(folders, engine, batch_tokens):
    rated, batches = rate(load(folders["llama"], batch_tokens=batch_tokens))
    np.testing.assert_allclose(rated.logprob, rate(engine)[0].logprob, atol=1e-5)
    assert sum(ratings for ratings, _ in batches) == len(SAMPLES)
    if batch_tokens == 1:
        assert [ratings for ratings, _ in batches] == [1] * len(SAMPLES)
    if batch_tokens == 10_000:
        assert batches == [(len(SAMPLES), rated.tokens.sum())]


def test_one_sample_alone_and_a_template_without_shared_start(engine):
    swapped = RatingPrompt(PROMPT.text, "{instruction}{response}\n{prompt}\nThe answer is: \n")
    samples = [Sample(0, 0, "Abc", "d"), Sample(1, 0, "Xyz", "and some more"), Sample(2, 0, "", "")]
    together, _ = rate(engine, samples, swapped)
    alone = [rate(engine, [sample], swapped)[0].logprob[0] for sample in samples]
    np.testing.assert_allclose(together.logprob, alone, atol=1e-5)
    assert rate(engine, [])[0].logprob.shape == (0, 5)


def test_same_bytes_twice(engine):
    first, second = rate(engine)[0], rate(engine)[0]
    assert first.logprob.tobytes() == second.logprob.tobytes()
    assert first.logprob.dtype == np.float32 and first.tokens.dtype == np.int64 and first.flags.dtype == np.uint8


def test_long_response_is_cut_and_flagged(folders, monkeypatch):
    seen = []
    read = packing.Reader.packed
    monkeypatch.setattr(
        packing.Reader, "packed", lambda self, texts, prefix: seen.extend(texts) or read(self, texts, prefix)
    )
    short = load(folders["llama"], max_tokens=90)
    long = Sample(1, 0, "Name three colours.", "Red and green. " * 200)
    seen.clear()
    rated, _ = rate(short, [SAMPLES[0], long])
    assert list(rated.flags) == [0, FLAG_TRUNCATED]
    assert rated.tokens[1] <= 90
    text = short.texts.tokenizer.decode(max(seen, key=len))
    assert text.endswith("\nThe answer is: \n") and text.startswith(PROMPT.text)


def test_too_long_is_an_error_row(folders):
    long = Sample(1, 0, "Name three colours. " * 50, "Red.")
    rated, _ = rate(load(folders["llama"], max_tokens=90), [SAMPLES[0], long])
    assert rated.errors[0] is None and "instruction is too long" in rated.errors[1]
    assert np.isnan(rated.logprob[1]).all() and rated.tokens[1] == 0 and rated.flags[1] == FLAG_NO_ROOM
    refusing = load(folders["llama"], max_tokens=90, overflow="refuse")
    rated, _ = rate(refusing, [Sample(0, 0, "Name three colours.", "Red and green. " * 200)])
    assert "refuse" in rated.errors[0]


@pytest.mark.parametrize("labels", [("1", "10"), ("good", "bad"), ("", "1")])
def test_labels_that_are_not_one_token_are_refused(engine, labels):
    with pytest.raises(ModelError, match="label"):
        rate(engine, prompt=RatingPrompt(PROMPT.text, labels=labels))


def test_a_label_that_melts_into_the_text_is_refused(engine):
    melting = RatingPrompt(PROMPT.text, "{prompt}{instruction}{response}\nThe answer i", labels=("s", "1"))
    with pytest.raises(ModelError, match="'s'"):
        rate(engine, prompt=melting)


def fail_on(monkeypatch, poison, message="out of memory", limit=10**9):
    """Make packed reading fail on texts that `poison` says yes to, or on more than `limit` texts."""
    read = packing.Reader.packed

    def packed(self, texts, prefix):
        if len(texts) > limit or any(poison(text) for text in texts):
            raise RuntimeError(message + "\nand a second line")
        return read(self, texts, prefix)

    monkeypatch.setattr(packing.Reader, "packed", packed)


def test_a_failing_batch_is_split(engine, monkeypatch):
    whole, _ = rate(engine)
    fail_on(monkeypatch, lambda text: False, limit=1)
    split, batches = rate(engine)
    np.testing.assert_allclose(split.logprob, whole.logprob, atol=1e-5)
    assert (split.flags == FLAG_SMALLER_BATCH).all() and len(batches) == len(SAMPLES)


def test_a_poisoned_row_alone_gets_the_error(engine, monkeypatch):
    poisoned = engine.texts.encode([PROMPT.render(SAMPLES[5].instruction, SAMPLES[5].response)], chat=False)[0]
    alike = [i for i, s in enumerate(SAMPLES) if (s.instruction, s.response) == _pair(SAMPLES[5])]
    fail_on(monkeypatch, lambda text: text == poisoned)
    rated, _ = rate(engine)
    assert [i for i, error in enumerate(rated.errors) if error] == alike
    assert rated.errors[5] == "out of memory"
    assert np.isnan(rated.logprob[5]).all() and np.isfinite(np.delete(rated.logprob, alike, 0)).all()


def _pair(sample):
    return sample.instruction, sample.response


def test_twenty_equal_failures_stop(engine, monkeypatch):
    fail_on(monkeypatch, lambda text: True)
    with pytest.raises(EngineError, match="20 rows in a row failed with the same error: out of memory"):
        rate(engine)
    rated, _ = rate(engine, SAMPLES[:19])
    assert set(rated.errors) == {"out of memory"}


def test_non_finite_logits_are_an_error(engine, monkeypatch):
    read = packing.Reader.packed

    def packed(self, texts, prefix):
        logits = read(self, texts, prefix).clone()
        logits[0] = float("nan")
        return logits

    monkeypatch.setattr(packing.Reader, "packed", packed)
    rated, batches = rate(engine, SAMPLES[:4])
    assert sorted(error or "" for error in rated.errors)[-len(batches) :] == ["non-finite logits"] * len(batches)


def test_bf16_is_near_and_its_head_is_exact(folders, engine, reads):
    half = load(folders["llama"], dtype="bf16")
    np.testing.assert_allclose(rate(half)[0].logprob, rate(engine)[0].logprob, atol=0.3)
    reader = reads[0][0]
    with torch.inference_mode():
        assert reader.packed([[5, 6, 7], [5, 8]], 1).dtype == torch.float32
        states = torch.randn(3, 64, dtype=torch.bfloat16)
        head = reader.model.get_output_embeddings()
        assert torch.equal(head(states), states.float() @ head.own.weight.float().T)


def test_settings_and_parameters(engine, folders):
    assert isinstance(engine, RatesLabels) and isinstance(engine, CountsTokens)
    words = len(AutoTokenizer.from_pretrained(folders["llama"]))
    layer = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 128 + 2 * 64
    assert engine.parameters == words * 64 + 2 * layer + 64
    assert engine.settings["dtype"] == "fp32" and engine.settings["batch_tokens"] == 256
    json.dumps(dict(engine.settings))


def test_counting_tokens(engine, folders):
    counter = texts.TokenCounter(texts.load_tokenizer(folders["llama"]))
    three = ["", "1234", "Name three colours."]
    assert list(counter.count_tokens(three)[:2]) == [0, 4]
    assert (counter.count_tokens(three) == engine.count_tokens(three)).all()
    assert counter.count_tokens([]).shape == (0,)


def test_context_length_and_dtypes(folders):
    assert texts.context_length(folders["llama"]) == 512
    assert engines_device.resolve_dtype("auto", "mps") == "fp16"
    assert engines_device.resolve_dtype("fp16", "cpu") == "fp16"
    assert engines_device.resolve_dtype("auto", "cpu") in ("fp32", "bf16")
    assert load(folders["llama"], dtype="auto").settings["dtype"] == "fp32"  # too small to be compiled


def test_what_can_t_be_loaded_says_why(tmp_path, folders):
    with pytest.raises(ModelError, match="can't load the model"):
        texts.context_length(str(tmp_path / "nothing"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard-of"}))
    with pytest.raises(ModelError) as caught:
        texts.context_length(str(tmp_path))
    assert "Update transformers" in caught.value.hint
    remote = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(remote))
    (tmp_path / "code.py").write_text("")
    with pytest.raises(ModelError) as caught:
        texts.context_length(str(tmp_path))
    assert "--trust-remote-code" in caught.value.hint


def test_close_frees_the_model(folders, reads):
    engine = load(folders["llama"])
    model = weakref.ref(reads[0][0].model)
    assert model() is not None
    engine.close()
    assert model() is None


def test_packaged_prompts_rate(engine):
    for prompt in prompts.packaged().first(2):
        assert np.isfinite(rate(engine, SAMPLES[:3], prompt)[0].logprob).all()


def test_chat_puts_the_same_question_through_the_models_template(folders):
    from dataclasses import replace

    chat = replace(PROMPT, chat=True)
    engine = load(folders["llama"])
    with pytest.raises(ModelError, match="no chat template"):
        rate(engine, SAMPLES[:2], chat)
    template = "user: {{ messages[0]['content'] }}{% if add_generation_prompt %}answer: {% endif %}"
    engine.texts.tokenizer.chat_template = template
    rated, _ = rate(engine, SAMPLES[:5], chat)
    model = AutoModelForCausalLM.from_pretrained(folders["llama"]).eval()
    words = AutoTokenizer.from_pretrained(folders["llama"])
    for sample, logprob in zip(SAMPLES[:5], rated.logprob, strict=True):
        text = f"user: {PROMPT.render(sample.instruction, sample.response)}answer: "
        with torch.inference_mode():
            logits = model(**words(text, add_special_tokens=False, return_tensors="pt")).logits[0, -1]
        labels = [words(label, add_special_tokens=False)["input_ids"][-1] for label in PROMPT.labels]
        np.testing.assert_allclose(logprob, logits.log_softmax(-1)[labels], atol=1e-5)
    assert chat.fingerprint != PROMPT.fingerprint


SAMPLE_FIRST = [RatingPrompt(text, ratings.SAMPLE_FIRST) for text in ("Rate it.", "How good is it? One digit.", "1-5?")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_read_once_gives_the_model_s_own_numbers(folders, kind):
    long = Sample(24, 0, "Name three colours.", "Red and blue. " * 12)  # beyond the window of 'mistral'
    together = load(folders[kind]).rate(SAMPLE_FIRST, [*SAMPLES, long], lambda *_: None)
    for prompt, rated in zip(SAMPLE_FIRST, together, strict=True):
        own = by_hand(folders[kind], [*SAMPLES, long], prompt)
        np.testing.assert_allclose(rated.logprob, own, atol=1e-5)


def test_what_a_prompt_gives_does_not_depend_on_the_others(engine):
    together = engine.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None)
    alone = engine.rate(SAMPLE_FIRST[2:], SAMPLES, lambda *_: None)
    assert (together[2].logprob == alone[0].logprob).all()


def test_a_sample_is_read_once_for_all_prompts(engine, monkeypatch):
    begun, continued = [], []
    begin, go_on = packing.Reader.begin, packing.Reader.go_on
    monkeypatch.setattr(packing.Reader, "begin", lambda self, texts: begun.extend(texts) or begin(self, texts))
    monkeypatch.setattr(
        packing.Reader, "go_on", lambda self, state, *which: continued.extend(which[0]) or go_on(self, state, *which)
    )
    done = []
    engine.rate(SAMPLE_FIRST, SAMPLES, lambda ratings, tokens: done.append(ratings))
    assert len(begun) == len(SAMPLES)
    assert len(continued) == sum(done) == len(SAMPLES) * len(SAMPLE_FIRST)


def test_a_cut_sample_is_read_whole(folders):
    short = load(folders["llama"], max_tokens=90)
    long = Sample(1, 0, "Name three colours.", "Red and green. " * 200)
    nearly = Sample(2, 0, "Name three colours.", "Red and green. " * 4)
    for rated in short.rate(SAMPLE_FIRST, [SAMPLES[0], long, nearly], lambda *_: None):
        assert rated.flags[1] == FLAG_TRUNCATED and rated.tokens[1] <= 90
        assert np.isfinite(rated.logprob).all()


def test_a_failing_batch_of_samples_is_split(engine, monkeypatch):
    whole = engine.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None)
    begin = packing.Reader.begin

    def short_of_memory(self, texts):
        if len(texts) > 2:
            raise RuntimeError("out of memory")
        return begin(self, texts)

    monkeypatch.setattr(packing.Reader, "begin", short_of_memory)
    for one, split in zip(whole, engine.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None), strict=True):
        np.testing.assert_allclose(split.logprob, one.logprob, atol=1e-5)
        assert (split.flags == FLAG_SMALLER_BATCH).all() and not any(split.errors)


def one_by_one(query, key, value, query_ends, key_ends, longest_query, longest_key, *, scale, window_size, **grouped):
    """FlashAttention over texts of any lengths, text by text."""
    assert window_size == (-1, 0) and grouped in ({}, {"enable_gqa": True})
    assert query.shape[0] == query_ends[-1] and key.shape[0] == value.shape[0] == key_ends[-1]
    out = torch.empty_like(query)
    for at in range(len(query_ends) - 1):
        mine, seen = slice(*query_ends[at : at + 2]), slice(*key_ends[at : at + 2])
        q, k, v = query[mine].transpose(0, 1), key[seen].transpose(0, 1), value[seen].transpose(0, 1)
        assert q.shape[1] <= longest_query and k.shape[1] <= longest_key
        mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool).tril(k.shape[1] - q.shape[1])
        attended = torch.nn.functional.scaled_dot_product_attention(
            q[None], k[None], v[None], attn_mask=mask, scale=scale, enable_gqa=True
        )
        out[mine] = attended[0].transpose(0, 1)
    return out


def test_texts_without_padding_give_the_same_numbers(folders, engine, monkeypatch, reads):
    first = [rate(engine)[0], *engine.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None)]
    monkeypatch.setattr(attention, "varlen_attn", one_by_one)
    monkeypatch.setattr(attention, "layout_kind", lambda model: attention.Ragged)
    ragged = load(folders["llama"])
    reads.clear()
    second = [rate(ragged)[0], *ragged.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None)]
    assert {how for _, how, _ in reads} == {"packed"}  # the check at load has seen them too
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(other.logprob, one.logprob, atol=1e-5)


def test_a_batch_on_cuda_takes_half_of_what_is_free(folders, monkeypatch):
    config = AutoConfig.from_pretrained(folders["llama"])
    on, off = (SimpleNamespace(device=torch.device(n), dtype=torch.bfloat16, config=config) for n in ("cuda", "cpu"))
    each = 2 * (16 * config.hidden_size + 4 * config.intermediate_size)
    for free, tokens in ((2 * each * 10_000, 10_000), (0, hf_engine.CPU_BATCH), (2**60, hf_engine.CUDA_BATCH)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert hf_engine.suitable_batch(on) == tokens
    assert hf_engine.suitable_batch(off) == hf_engine.CPU_BATCH


def test_layers_are_compiled_where_that_can_be_done(folders, engine, monkeypatch, reads):
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2))
    except RuntimeError as error:  # no C++ compiler, or no headers of Python
        pytest.skip(f"nothing can be compiled here: {error}")
    monkeypatch.setattr(fusing, "SMALLEST", 0)
    fused = load(folders["llama"], fused=True)
    assert fused.settings["fused"] == 1 and "fused" not in engine.settings
    reads.clear()
    np.testing.assert_allclose(rate(fused)[0].logprob, rate(engine)[0].logprob, atol=1e-5)
    assert {how for _, how, _ in reads} == {"packed"}
    eager = engine.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None)
    for one, other in zip(fused.rate(SAMPLE_FIRST, SAMPLES, lambda *_: None), eager, strict=True):
        np.testing.assert_allclose(one.logprob, other.logprob, atol=1e-5)


def test_layers_that_can_t_be_compiled_run_as_they_are(folders, engine, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(fusing, "SMALLEST", 0)
    monkeypatch.setattr(LlamaDecoderLayer, "compile", lambda self, **how: setattr(self, "_compiled_call_impl", broken))
    plain = load(folders["llama"], fused=True)
    assert "fused" not in plain.settings
    assert rate(plain)[0].logprob.tobytes() == rate(engine)[0].logprob.tobytes()


def test_auto_is_fp32_where_bf16_can_t_be_compiled(folders, monkeypatch, reads):
    monkeypatch.setattr(engines_device, "resolve_dtype", lambda dtype, device: "bf16" if dtype == "auto" else dtype)
    monkeypatch.setattr(hf_engine, "can_compile", lambda: False)
    chosen = load(folders["llama"], dtype="auto")
    assert chosen.settings["dtype"] == "fp32" and reads[0][0].model.dtype == torch.float32
    np.testing.assert_array_equal(rate(chosen)[0].logprob, rate(load(folders["llama"]))[0].logprob)
    assert load(folders["llama"], dtype="bf16").settings["dtype"] == "bf16"  # who asks for it gets it
    monkeypatch.setattr(fusing, "SMALLEST", 0)
    assert "fused" not in load(folders["llama"], dtype="bf16", fused=True).settings  # and not under a false name


def test_a_compiler_is_looked_for(monkeypatch):
    monkeypatch.setattr(fusing.shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    monkeypatch.delenv("TORCH_COMPILE_DISABLE", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    assert fusing.can_compile()
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")
    assert not fusing.can_compile()
    monkeypatch.delenv("TORCH_COMPILE_DISABLE")
    monkeypatch.setattr(fusing.shutil, "which", lambda name: None)
    assert not fusing.can_compile()
