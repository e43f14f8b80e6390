"""Tiny random models with a small tokenizer, as folders that transformers loads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from selectit.engines.hf import engine as hf_engine
from selectit.engines.hf.engine import HFEngine
from selectit.training.recipes import Recipe

QUICK = Recipe(
    epochs=2,
    batch_size=4,
    micro_batch=2,
    learning_rate=3e-3,
    dtype="fp32",
    max_tokens=128,
    gradient_checkpointing=False,
)
"""A recipe that tunes one of these in a moment."""
SENTENCES = (
    "Rate the response from 1 to 5 and answer with the number alone.",
    "Instruction:Name three colours of the rainbow.\nResponse:Red, green and blue.\nThe answer is: \n",
    "Instruction:How do I boil an egg?\nResponse:Put it in boiling water for eight minutes.\nThe answer is: \n",
    "0 1 2 3 4 5 6 7 8 9",
)
KINDS = ("llama", "mistral", "gemma2")
WINDOW = 48
"""Tokens of the sliding window of 'mistral'."""


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE in which each digit is one token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    raw.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw)


def build(folder: Path, kind: str = "llama") -> str:
    """Write a two-layer model of `kind` ('llama', 'mistral' with a sliding window, 'gemma2' with soft caps) into
    `folder` and return its path."""
    words = tokenizer()
    shape = {
        "vocab_size": len(words),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,  # large enough for probabilities that differ from text to text
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    torch.manual_seed(0)
    if kind == "mistral":
        model = MistralForCausalLM(MistralConfig(**shape, sliding_window=WINDOW))
    elif kind == "gemma2":
        model = Gemma2ForCausalLM(Gemma2Config(**shape, sliding_window=WINDOW, final_logit_softcapping=5.0))
    else:
        model = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def change_weights(folder: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Rewrite the weights in `folder` by a function of their names and tensors."""
    file = Path(folder) / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def change_json(folder: str, name: str, **changes: Any) -> None:
    """Put other values into a JSON file of `folder`."""
    file = Path(folder) / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def load(folder: str, **changes: Any) -> HFEngine:
    """The hf engine with the model in `folder`; `changes` are arguments of its `load`."""
    return hf_engine.load(folder, **{"dtype": "fp32", "max_tokens": 512, "batch_tokens": 256, **changes})


def build_reward(folder: Path, chat: str) -> str:
    """Write a random reward model, a sequence classifier with the shape and the tokenizer of the model in `chat`."""
    torch.manual_seed(1)
    LlamaForSequenceClassification(AutoConfig.from_pretrained(chat, num_labels=1)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(chat).save_pretrained(folder)
    return str(folder)


CHAT = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""A chat template without markers: `<|user|>`, a line break, the text, `<|end|>`, a line break."""


def build_chat(folder: Path) -> str:
    """Write a two-layer llama with `<|end|>` as end of text and the chat template CHAT into `folder`."""
    words = tokenizer()
    words.add_special_tokens({"eos_token": "<|end|>", "pad_token": "<|pad|>"})
    words.chat_template = CHAT
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)
