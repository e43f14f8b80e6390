"""A reward model: one number for an (instruction, response) pair, by a sequence classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils.logging import disable_progress_bar

from selectit.data.records import Sample
from selectit.engines.chat import render_chat
from selectit.engines.device import DTYPES, prepared, resolve_dtype
from selectit.engines.texts import check_vocabulary, load_tokenizer, model_errors
from selectit.errors import ModelError
from selectit.models.checkpoints import load_checkpoint
from selectit.signals.arrays import Float64
from selectit.signals.base import OnBatch

_BATCH = 8


def load(
    path: str, *, dtype: str, max_tokens: int, threads: int | None = None, trust_remote_code: bool = False
) -> RewardEngine:
    """The reward model in the folder `path`. Raises ModelError where it can't be loaded or has several outputs."""
    device, threads = prepared(threads)
    resolved = resolve_dtype(dtype, device)
    tokenizer = load_tokenizer(path, trust_remote_code)
    check_vocabulary(path, tokenizer, trust_remote_code)
    disable_progress_bar()  # progress is the caller's to show
    with model_errors(path):
        model = load_checkpoint(
            AutoModelForSequenceClassification, path, dtype=DTYPES[resolved], trust_remote_code=trust_remote_code
        )
    if model.config.num_labels != 1:
        raise ModelError(
            f"{path} has {model.config.num_labels} outputs, and a reward model has one", "Name a reward model."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    settings: dict[str, str | int] = {
        "engine": "reward",
        "dtype": resolved,
        "device": device,
        "threads": threads,
        "max_tokens": max_tokens,
    }
    return RewardEngine(model.to(device).eval(), tokenizer, settings)


class RewardEngine:
    """A loaded reward model; made by `load`.

    A pair goes through the tokenizer's chat template where it has one, as a user's message and its answer; else as the
    tokenizer's pair of texts (OpenAssistant's reward models were trained on that).
    """

    def __init__(self, model: Any, tokenizer: Any, settings: Mapping[str, str | int]) -> None:
        self._model, self._tokenizer = model, tokenizer
        self.settings = settings
        self.parameters: int = model.num_parameters()

    def reward(self, samples: Sequence[Sample], on_batch: OnBatch) -> Float64:
        """(B,) the model's output for each pair; NaN for a text over the token limit."""
        ids = [self._ids(sample) for sample in samples]
        limit = int(self.settings["max_tokens"])
        fitting = [index for index, each in enumerate(ids) if 0 < len(each) <= limit]
        rewards = np.full(len(samples), np.nan)
        order = sorted(fitting, key=lambda index: (len(ids[index]), index))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            padded = self._tokenizer.pad(
                {"input_ids": [ids[index] for index in batch]}, padding_side="right", return_tensors="pt"
            )
            with torch.inference_mode():
                outputs = self._model(**padded.to(self._model.device)).logits[:, 0]
            rewards[batch] = outputs.float().cpu().numpy()
            on_batch(len(batch), sum(len(ids[index]) for index in batch))
        return rewards

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None

    def _ids(self, sample: Sample) -> list[int]:
        if self._tokenizer.chat_template:
            messages = [
                {"role": "user", "content": sample.instruction},
                {"role": "assistant", "content": sample.response},
            ]
            text = render_chat(self._tokenizer, messages, "Choose another reward model.", asks=False)
            ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            return ids
        pair: list[int] = self._tokenizer(sample.instruction, sample.response, verbose=False)["input_ids"]
        return pair
