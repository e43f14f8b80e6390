"""Tokenizers of others: ones that end texts, ones that are not whole, ones with more tokens than the model."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

import tiny
from selectit.data.records import Sample
from selectit.engines.hf import completeness, encoder
from selectit.engines.texts import check_vocabulary, load_tokenizer, open_ids
from selectit.errors import ModelError
from selectit.signals.requests import EmbeddingRequest, JudgeRequest, LossRequest, RatingPrompt

SAMPLES = [Sample(row, 0, "Name three colours.", "Red, " * row + "blue.") for row in range(1, 4)]
FIRST = RatingPrompt("Rate the response.", template="{instruction}\n{response}\n{prompt}\nThe answer is: \n")
LAST = RatingPrompt("Rate the response from 1 to 5 and answer with the number alone.")


def nothing(*_):
    """Hears of no progress."""


@pytest.fixture
def ending(tmp_path):
    """A function of 'both', 'before' or 'none': the folder of one model whose tokenizer adds special tokens there."""

    def build(places):
        folder = tiny.build_chat(tmp_path / places)
        words = AutoTokenizer.from_pretrained(folder)
        words.chat_template = None
        parts = {"both": "<|pad|> $A <|end|>", "before": "<|pad|> $A", "none": "$A"}[places]
        special = [(token, words.convert_tokens_to_ids(token)) for token in ("<|pad|>", "<|end|>")]
        words.backend_tokenizer.post_processor = TemplateProcessing(single=parts, special_tokens=special)
        words.save_pretrained(folder)
        return folder

    return build


def test_ids_of_texts_that_go_on(ending):
    texts = ["Red.", "", "Green and <|end|>"]
    ids = {places: open_ids(load_tokenizer(ending(places)), texts) for places in ("both", "before", "none")}
    assert ids["both"] == ids["before"] == [[ids["both"][1][0], *each] for each in ids["none"]]
    assert open_ids(load_tokenizer(ending("both")), texts, special=False) == ids["none"]
    assert open_ids(load_tokenizer(ending("both")), []) == []


def test_a_tokenizer_that_ends_texts_gives_the_numbers_of_one_that_does_not(ending):
    both, before = (tiny.load(ending(places), max_tokens=200) for places in ("both", "before"))
    for prompt in (FIRST, LAST):
        ours, theirs = (engine.rate([prompt], SAMPLES, nothing)[0] for engine in (both, before))
        assert np.array_equal(ours.logprob, theirs.logprob) and np.isfinite(ours.logprob).all()
    for boundary in ("joint", "separate"):
        request = LossRequest(template="Q: {instruction}\nA: ", alone="", boundary=boundary)
        for one, other in zip(*(engine.losses(request, SAMPLES, nothing) for engine in (both, before)), strict=True):
            assert np.array_equal(one.given, other.given) and np.array_equal(one.alone, other.alone)
    question = JudgeRequest("Be brief.", "{instruction}", max_new_tokens=3)
    assert both.reply(question, SAMPLES, nothing) == before.reply(question, SAMPLES, nothing)


def test_an_encoder_reads_the_end_that_its_tokenizer_writes(ending):
    vectors = [
        encoder.load(ending(places), pooling="last", max_tokens=64, dtype="fp32").embed(
            EmbeddingRequest(), SAMPLES, nothing
        )
        for places in ("both", "before")
    ]
    assert not np.allclose(*vectors, atol=1e-3)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_before_anything_is_read(tmp_path):
    folder = tiny.build(tmp_path)
    count = len(tiny.tokenizer())
    tiny.change_json(folder, "config.json", vocab_size=300)
    said = f"has {count} tokens, and the model 300"
    for ask in (tiny.load, lambda path: completeness.check_model(path, False)):
        with pytest.raises(ModelError, match=said) as caught:
            ask(folder)
        assert "resize_token_embeddings" in caught.value.hint


def test_special_tokens_that_nothing_writes_may_be_more_than_the_model_has(tmp_path):
    folder = tiny.build(tmp_path)
    words = AutoTokenizer.from_pretrained(folder)
    words.add_special_tokens({"extra_special_tokens": ["<|image|>"]})
    check_vocabulary(folder, words)
    words.chat_template = "{% for message in messages %}{{ '<|image|>' + message['content'] }}{% endfor %}"
    with pytest.raises(ModelError, match=r"it knows no '<\|image\|>'"):
        check_vocabulary(folder, words)
    words.chat_template = None
    words.add_tokens(["<think>"])
    with pytest.raises(ModelError, match="it knows no '<think>'"):
        check_vocabulary(folder, words)


@pytest.mark.parametrize("kind", [None, "LlamaTokenizer", "GPT2Tokenizer", "PreTrainedTokenizerFast", "GemmaTokenizer"])
def test_a_folder_without_tokenizer_is_named_and_no_empty_one_is_used(tmp_path, kind):
    folder = tiny.build(tmp_path)
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    if kind:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(ModelError, match=f"^{folder} has no tokenizer") as caught:
        tiny.load(folder)
    assert "tokenizer.json" in caught.value.hint


def test_a_tokenizer_of_sentencepiece_says_what_to_install(tmp_path, monkeypatch):
    folder = tiny.build(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x05<unk>")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sentencepiece" else found(name, *rest)
    )
    with pytest.raises(ModelError, match="needs sentencepiece, which is not installed") as caught:
        tiny.load(folder)
    assert "pip install sentencepiece" in caught.value.hint


def test_a_broken_tokenizer_file_is_an_error(tmp_path):
    folder = tiny.build(tmp_path)
    (Path(folder) / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError):
        tiny.load(folder)
