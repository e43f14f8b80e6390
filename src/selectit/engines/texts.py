"""Rated texts as token ids, for every engine that has the model's tokenizer: labels, fitting, cutting."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selectit.data.records import Sample
from selectit.engines.chat import place_system_text, render_chat
from selectit.engines.fitting import FittedText, TooLong, fit
from selectit.errors import ModelError, install, install_extra
from selectit.models.files import TOKENIZER
from selectit.signals.arrays import Int64
from selectit.signals.requests import RatingPrompt

NO_LIMIT = 2**31 - 1
"""Tokens, where nothing limits them."""


_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx", "seq_length")
_NO_TOKENIZER = (
    "Copy the tokenizer's files (tokenizer.json, tokenizer_config.json) from the model that it was tuned from."
)
_COPY = "A file of it is missing, cut short or another kind. Copy or fetch the model again."
_REMEDIES = {
    "gated": "Ask for access on the model's page, then sign in with `hf auth login`.",
    "trust_remote_code": "Give --trust-remote-code if you trust the code in that repository.",
    "does not recognize this architecture": "Update transformers, or choose another model.",
    "Unrecognized configuration class": "Name a causal language model, or a reward model where one is asked.",
    "accelerate": "Install accelerate, or leave the device map out.",
    "sentence_transformers": f"Install it, {install_extra('methods')}, or name a causal model with --encoder.",
    "deserializing header": _COPY,
    "No such file or directory": _COPY,
    "Weights only load failed": _COPY,
    "PytorchStreamReader": _COPY,
    "JSON": _COPY,
    "Expecting ": _COPY,
    "codec can't decode": _COPY,
    "Validation error": "Its config.json has a value of the wrong kind. Copy or fetch the model again.",
    "no file named": "Its weights have other names, or the index of their parts is missing. Copy or fetch it again.",
    "max_model_len": "Give a smaller --max-tokens.",
    "Engine core initialization failed": "vLLM said above why. Where memory is short, give a smaller --max-tokens.",
}


_LOADING_ERRORS = (
    OSError, ValueError, ImportError, RuntimeError, SafetensorError, StrictDataclassError, pickle.UnpicklingError,
    AttributeError, LookupError, TypeError, EOFError, ArithmeticError,
)  # fmt: skip
"""What loading files raises that are not as they should be; config.json is read as it stands, so the last ones too."""


def context_length(path: str, trust_remote_code: bool = False) -> int:
    """Most tokens that the model's configuration allows; loads no weights. Raises ModelError."""
    with model_errors(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    limits = [getattr(text, key, None) for key in _LENGTH_KEYS]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=NO_LIMIT)


def read_sizes(path: str, trust_remote_code: bool = False) -> tuple[int | None, int]:
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
    """The tokenizer in the folder `path` (or of that hub id), whose chat template takes a system text.

    Raises ModelError where it can't be loaded, or is an empty one: transformers makes that where files are missing.
    """
    try:
        with model_errors(path):
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except ModelError as error:
        raise _tokenizer_fault(Path(path)) or error from error.__cause__
    known = set(tokenizer("Rate", add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}
    if not known:
        raise _tokenizer_fault(Path(path)) or ModelError(f"the tokenizer of {path} knows no words", _NO_TOKENIZER)
    place_system_text(tokenizer)
    return tokenizer


def _tokenizer_fault(folder: Path) -> ModelError | None:
    """Why a folder gives no tokenizer, as far as its files say it."""
    files = {file.name for pattern in TOKENIZER for file in folder.glob(pattern)}
    if folder.is_dir() and not files - {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"}:
        return ModelError(f"{folder} has no tokenizer", _NO_TOKENIZER)
    pieces = any(name.endswith(".model") for name in files) and "tokenizer.json" not in files
    if pieces and importlib.util.find_spec("sentencepiece") is None:
        return ModelError(
            f"the tokenizer of {folder} needs sentencepiece, which is not installed",
            f"Run: {install('sentencepiece', 'protobuf')}",
        )
    return None


def check_vocabulary(path: str, tokenizer: Any, trust_remote_code: bool = False) -> None:
    """Refuse a tokenizer with tokens that the model in the folder has no embedding for. Raises ModelError.

    Special tokens that nothing writes are no fault: Gemma 3's tokenizer has one for images, its text models have none.
    """
    with model_errors(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    size = getattr(config.get_text_config(), "vocab_size", None)
    if not isinstance(size, int):
        return
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= size}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special -= set(tokenizer("")["input_ids"])
    template = str(getattr(tokenizer, "chat_template", None))
    used = [token for token, number in beyond.items() if number not in special or token in template]
    if used:
        count = max(beyond.values()) + 1
        raise ModelError(
            f"the tokenizer of {path} has {count:,} tokens, and the model {size:,}: it knows no {used[0]!r}",
            "Take the tokenizer that the model was trained with, or save the model after resize_token_embeddings.",
        )


def open_ids(tokenizer: Any, texts: Sequence[str], special: bool = True) -> list[list[int]]:
    """Token ids of texts that go on.

    Args:
        tokenizer: some put special tokens behind a text too (add_eos_token of tuned models): these are left out.
        texts: may be none.
        special: with the special tokens that the tokenizer puts before a text.
    """
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=special, verbose=False)["input_ids"]
    behind = _tokens_behind(tokenizer) if special else 0
    return [each[: len(each) - behind] for each in ids] if behind else ids


def _tokens_behind(tokenizer: Any) -> int:
    """How many special tokens the tokenizer puts behind a text."""
    bare, whole = (tokenizer("Rate", add_special_tokens=special)["input_ids"] for special in (False, True))
    places = range(len(whole) - len(bare) + 1)
    return next((len(whole) - len(bare) - at for at in places if whole[at : at + len(bare)] == bare), 0)


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

        The tokenizer's special tokens before a text are added, as in the published code; a chat template has its own.
        """
        whole = [(self.chat(text) if chat else text) + after for text in texts]
        return open_ids(self.tokenizer, whole, special=not chat)

    def chat(self, text: str) -> str:
        """The text as a user's message in the model's chat template, up to where the answer begins."""
        if not self.tokenizer.chat_template:
            raise ModelError("this model has no chat template", "Leave --chat out, or choose a chat model.")
        remedy = "Leave --chat out, or choose another chat model."
        return render_chat(self.tokenizer, [{"role": "user", "content": text}], remedy)

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
        return open_ids(self.tokenizer, [text.partition(mark)[0].rstrip() for text in whole], special=not prompt.chat)

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
    known: tuple[type[Exception], ...] = (*_LOADING_ERRORS, *others)
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
