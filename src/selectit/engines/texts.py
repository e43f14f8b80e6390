"""Rated texts as token ids, for every engine that has the model's tokenizer: labels, fitting, cutting."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selectit.data.records import Sample
from selectit.engines.fitting import FittedText, TooLong, fit
from selectit.errors import ModelError, install_extra
from selectit.signals.arrays import Int64
from selectit.signals.requests import RatingPrompt

NO_LIMIT = 2**31 - 1
"""Tokens, where nothing limits them."""


_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx", "seq_length")
_REMEDIES = {
    "gated": "Ask for access on the model's page, then sign in with `hf auth login`.",
    "trust_remote_code": "Give --trust-remote-code if you trust the code in that repository.",
    "does not recognize this architecture": "Update transformers, or choose another model.",
    "accelerate": "Install accelerate, or leave the device map out.",
    "sentence_transformers": f"Install it, {install_extra('methods')}, or name a causal model with --encoder.",
    "max_model_len": "Give a smaller --max-tokens.",
    "Engine core initialization failed": "vLLM said above why. Where memory is short, give a smaller --max-tokens.",
}


def context_length(path: str, trust_remote_code: bool = False) -> int:
    """Most tokens that the model's configuration allows; loads no weights. Raises ModelError."""
    with model_errors(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    limits = [getattr(text, key, None) for key in _LENGTH_KEYS]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=NO_LIMIT)


def about(path: str, trust_remote_code: bool = False) -> tuple[int | None, int]:
    """Context length and parameters of the model with this tokenizer, by its config.json; (None, 0) without one.

    The parameters need torch to be counted, and are 0 where it is not installed. Raises ModelError.
    """
    if not (Path(path) / "config.json").is_file():
        return None, 0
    context = context_length(path, trust_remote_code)
    if importlib.util.find_spec("torch") is None:
        return context, 0
    import torch

    with model_errors(path), torch.device("meta"):  # no memory, no weights
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
        return context, AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code).num_parameters()


def load_tokenizer(path: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer in the folder `path` (or of that hub id). Raises ModelError."""
    with model_errors(path):
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts tokens with a tokenizer alone."""

    tokenizer: Any

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        """(len(texts),) tokens of each text, special tokens not counted."""
        if not texts:
            return np.zeros(0, np.int64)
        ids = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return np.array([len(each) for each in ids], np.int64)


@dataclass(frozen=True, slots=True)
class Texts:
    """Makes token ids of rated texts."""

    tokenizer: Any
    max_tokens: int
    """Longest rated text."""
    overflow: str
    """'cut' the response of a longer text, or 'refuse' it."""

    def encode(self, texts: Sequence[str], chat: bool, after: str = "") -> list[list[int]]:
        """Token ids of whole texts, each with `after` behind it.

        The tokenizer's default special tokens are added, as in the published code; a chat template writes its own.
        """
        if not texts:
            return []
        whole = [(self.chat(text) if chat else text) + after for text in texts]
        ids: list[list[int]] = self.tokenizer(whole, add_special_tokens=not chat, verbose=False)["input_ids"]
        return ids

    def chat(self, text: str) -> str:
        """The text as a user's message in the model's chat template, up to where the answer begins."""
        if not self.tokenizer.chat_template:
            raise ModelError("this model has no chat template", "Leave --chat out, or choose a chat model.")
        message = [{"role": "user", "content": text}]
        whole: str = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return whole

    def label_ids(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> list[int]:
        """The one token that each label is after a rated text. Raises ModelError where it isn't so.

        Text and label tokenised together must be the text's tokens plus one. A tokenizer that splits white space
        by what follows it (GPT-2's: space and newline are one token at a text's end, two before a digit) fails
        that for a harmless reason, so it is enough that the label's token after the text's own spells text and label.
        """
        for instruction, response in [("", ""), *((sample.instruction, sample.response) for sample in samples)]:
            text = prompt.render(instruction, response)
            own = self.encode([text], prompt.chat)[0]
            longer = [self.encode([text], prompt.chat, label)[0] for label in prompt.labels]
            labels = [ids[-1] for ids in longer]
            spelt = self.tokenizer.batch_decode([own, *([*own, token] for token in labels)])
            hint = "Choose labels that are one token each after the template's last line, or another model."
            for label, ids, spelling in zip(prompt.labels, longer, spelt[1:], strict=True):
                if ids[:-1] != own and spelling != spelt[0] + label:
                    raise ModelError(f"the label {label!r} isn't one token of its own after the rated text", hint)
            if len(set(labels)) != len(labels):
                raise ModelError(f"two of the labels {prompt.labels} are the same token: {labels}", hint)
        return labels

    def heads(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> list[list[int]]:
        """Token ids of what stands before the wording in a template that begins with the sample, white space left out.

        A whole text's ids may differ from these in the last ones, where the tokenizer joins what follows.
        """
        mark = "\0"  # no text has it: the reader refuses it
        texts = [replace(prompt, text=mark).render(sample.instruction, sample.response) for sample in samples]
        whole = [self.chat(text) if prompt.chat else text for text in texts]
        before = [text.partition(mark)[0].rstrip() for text in whole]
        ids: list[list[int]] = self.tokenizer(before, add_special_tokens=not prompt.chat, verbose=False)["input_ids"]
        return ids

    def fit_all(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> Iterator[FittedText | str]:
        """Each sample's ids within the limit, or why it has none."""
        texts = [prompt.render(sample.instruction, sample.response) for sample in samples]
        for sample, ids in zip(samples, self.encode(texts, prompt.chat), strict=True):
            try:
                yield fit(
                    prompt,
                    sample,
                    lambda text: self.encode([text], prompt.chat)[0],
                    self.max_tokens,
                    cut=self.overflow == "cut",
                    ids=ids,
                )
            except TooLong as error:
                yield str(error)


@contextmanager
def model_errors(path: str, *others: type[Exception]) -> Iterator[None]:
    """Turn what transformers, the hub and `others` raise for a model that can't be loaded into a ModelError."""
    known: tuple[type[Exception], ...] = (OSError, ValueError, ImportError, RuntimeError, SafetensorError, *others)
    try:
        yield
    except known as error:
        text = str(error)
        hints = (remedy for sign, remedy in _REMEDIES.items() if sign in text)
        hint = next(hints, "Give a folder with config.json, tokenizer files and weights, or the id of a model.")
        raise ModelError(f"can't load the model {path}: {first_line(text)}", hint) from error


def first_line(message: str) -> str:
    """The first line of an error's text, at most 200 characters."""
    return (message.strip().splitlines() or ["unknown error"])[0][:200]
