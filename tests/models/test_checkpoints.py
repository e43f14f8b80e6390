"""Checkpoints that are not complete, or of another kind, are refused by whoever loads a model."""

import json
import logging
import pickle
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaForSequenceClassification,
)

import tiny
from selectit.engines.hf import completeness, encoder, reward
from selectit.errors import ModelError
from selectit.models.checkpoints import load_checkpoint

SMALL = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)


@pytest.fixture
def untied(tmp_path):
    """A model whose output layer is a weight of its own."""
    return tiny.build(tmp_path / "untied", "mistral")


def rename(prefix):
    return lambda weights: {prefix + name: weight for name, weight in weights.items()}


def leave_out(text):
    return lambda weights: {name: weight for name, weight in weights.items() if text not in name}


def narrow(weights):
    return {**weights, "lm_head.weight": weights["lm_head.weight"][:-1].clone()}


def rate(folder):
    return tiny.load(folder)


def embed(folder):
    return encoder.load(folder, pooling="mean", max_tokens=64, dtype="fp32")


def evaluate(folder):
    return completeness.check_model(folder, False)


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("ask", [rate, embed, evaluate])
def test_complete_models_are_loaded_tied_or_not(tmp_path, kind, ask, caplog, capfd):
    with caplog.at_level(logging.INFO):
        ask(tiny.build(tmp_path / kind, kind))
    assert not [record for record in caplog.records if "files" in record.getMessage()]
    assert "LOAD REPORT" not in capfd.readouterr().err


@pytest.mark.parametrize("ask", [rate, evaluate])
@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        (leave_out("lm_head"), "lacks the weights lm_head.weight", "save_pretrained"),
        (leave_out("layers.1."), "lacks the weights model.layers.1.* and 5 more", "at random"),
        (rename("base_model.model."), "lacks the weights lm_head.weight, .*more", "'base_model.model.'"),
        (rename("module."), "lacks the weights", "'module.'"),
        (rename("_orig_mod."), "lacks the weights", "'_orig_mod.'"),
        (narrow, r"other shapes: lm_head.weight \[\d+, 64\] in its files and \[\d+, 64\] by", "config.json"),
    ],
)
def test_what_is_missing_is_named(untied, ask, change, said, hint, capfd):
    tiny.change_weights(untied, change)
    with pytest.raises(ModelError, match=said) as caught:
        ask(untied)
    assert hint in caught.value.hint and untied in caught.value.message
    assert "LOAD REPORT" not in capfd.readouterr().err


@pytest.mark.parametrize("ask", [rate, embed, evaluate])
def test_layers_that_the_configuration_leaves_out_are_named(untied, ask):
    tiny.change_json(untied, "config.json", num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"leaves out: model\.layers\.1\..* and 5 more"):
        ask(untied)


def test_weights_that_the_model_has_no_place_for_are_noted(untied, caplog):
    tiny.change_weights(untied, lambda weights: {**weights, "v_head.summary.weight": torch.zeros(1, 64)})
    with caplog.at_level(logging.INFO, "selectit"):
        tiny.load(untied)
    assert "no place for: v_head.summary.weight" in caplog.text


def test_an_encoder_needs_no_output_layer_but_all_else(untied):
    whole = embed(untied)
    tiny.change_weights(untied, leave_out("lm_head"))
    assert embed(untied).parameters == whole.parameters
    tiny.change_weights(untied, leave_out("layers.1.mlp"))
    with pytest.raises(ModelError, match=r"lacks the weights model\.layers\.1\.mlp"):
        embed(untied)


@pytest.mark.parametrize("ask", [rate, evaluate])
@pytest.mark.parametrize("kind", [LlamaForSequenceClassification, BertForMaskedLM])
def test_a_model_of_another_kind_is_refused_though_a_causal_one_takes_its_weights(tmp_path, ask, kind):
    words = tiny.tokenizer()
    config = {LlamaForSequenceClassification: LlamaConfig, BertForMaskedLM: BertConfig}[kind]
    kind(config(vocab_size=len(words), tie_word_embeddings=True, **SMALL)).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"no causal language model: by its config.json it is a {kind.__name__}"):
        ask(str(tmp_path))


def test_a_model_without_a_class_for_it_says_what_to_name(untied):
    tiny.change_json(untied, "config.json", model_type="t5")
    with pytest.raises(ModelError, match="Unrecognized configuration class") as caught:
        tiny.load(untied)
    assert "causal language model" in caught.value.hint


def test_a_causal_model_is_no_reward_model(tmp_path):
    folder = tiny.build(tmp_path)
    tiny.change_json(folder, "config.json", num_labels=1)
    with pytest.raises(ModelError, match=r"lacks the weights score\.weight"):
        reward.load(folder, dtype="fp32", max_tokens=40)


def test_a_sentence_encoder_is_complete_but_for_the_pooler(tmp_path):
    words, folder = tiny.tokenizer(), str(tmp_path)
    words.add_special_tokens({"pad_token": "<pad>"})
    BertModel(BertConfig(vocab_size=len(words), **SMALL)).save_pretrained(folder)
    words.save_pretrained(folder)
    parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(parts)
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True})
    )
    tiny.change_weights(folder, leave_out("pooler"))
    assert embed(folder).settings["engine"] == "sentence-transformers"
    tiny.change_weights(folder, leave_out("layer.1.output"))
    with pytest.raises(ModelError, match=r"lacks the weights encoder\.layer\.1\.output"):
        embed(folder)


def test_only_the_layer_that_predicts_further_tokens_may_be_left_out(untied):
    tiny.change_json(untied, "config.json", num_hidden_layers=1, num_nextn_predict_layers=1)
    model = load_checkpoint(AutoModelForCausalLM, untied, dtype=torch.float32)
    assert model.config.num_hidden_layers == 1


def test_an_index_whose_shard_is_missing_is_an_error(untied):
    file = Path(untied) / "model.safetensors"
    shard = "model-00002-of-00002.safetensors"
    index = {"metadata": {}, "weight_map": {"lm_head.weight": shard, "model.norm.weight": shard}}
    file.with_name("model.safetensors.index.json").write_text(json.dumps(index))
    file.unlink()
    with pytest.raises(ModelError, match="can't load the model"):
        tiny.load(untied)


def spoil(name, content):
    return lambda folder: (Path(folder) / name).write_bytes(content)


def lose_a_part(folder):
    """In two parts, of which the second is missing."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    (Path(folder) / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=model.num_parameters() * 2)
    sorted(Path(folder).glob("model-*.safetensors"))[1].unlink()


def be_a_pickle(folder):
    (Path(folder) / "model.safetensors").unlink()
    (Path(folder) / "pytorch_model.bin").write_bytes(pickle.dumps(Path("a"), 2))


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (spoil("model.safetensors", b"\x00" * 40), "deserializing header"),
        (spoil("model.safetensors", b"<html>404</html>"), "deserializing header"),
        (lose_a_part, "No such file or directory: .*model-00002-of"),
        (be_a_pickle, "Weights only load failed"),
        (spoil("config.json", b'{"a":'), "valid JSON"),
        (lambda folder: tiny.change_json(folder, "config.json", hidden_size="64"), "hidden_size"),
        (spoil("tokenizer.json", b"["), "Expecting value"),
        (spoil("chat_template.jinja", b"\xff\xfe"), "codec can't decode"),
    ],
)
def test_damaged_files_are_a_message_that_says_to_copy_them_again(untied, spoilt, says):
    spoilt(untied)
    with pytest.raises(ModelError, match=says) as caught:
        tiny.load(untied)
    assert "Copy or fetch the model again." in caught.value.hint
