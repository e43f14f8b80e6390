"""Engines that embed: sentence encoders, and the pooled states of a causal model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from selectit.data.records import Sample
from selectit.engines import device as engines_device
from selectit.engines.chat import render_chat
from selectit.engines.hf import engine as hf_engine
from selectit.engines.texts import model_errors
from selectit.errors import ModelError, install
from selectit.models.checkpoints import load_checkpoint, without_report
from selectit.signals.arrays import Float32
from selectit.signals.base import OnBatch
from selectit.signals.embeddings import Embeds
from selectit.signals.requests import EmbeddingRequest, StateRequest

_BATCH = 32
_FIRST = 6
"""The first major version of sentence-transformers that asks before it runs Python code of a folder on this machine."""


def load(
    path: str,
    *,
    pooling: str,
    max_tokens: int,
    dtype: str = "auto",
    batch_tokens: int = 0,
    threads: int | None = None,
    fused: bool | None = None,
    trust_remote_code: bool = False,
) -> Embeds:
    """The encoder in the folder `path`: of sentence-transformers where it has a modules.json, else a causal model.

    Args:
        path: the folder.
        pooling: of a causal model's last hidden states: 'last', 'mean' or 'weighted' (sum of i·h_i / sum of i, RDS+).
        max_tokens: longest text for a causal model; a sentence encoder has a limit of its own.
        dtype: as of `hf.load`; a sentence encoder is read in fp32.
        batch_tokens: as of `hf.load`.
        threads: as of `hf.load`.
        fused: as of `hf.load`.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        ModelError: it can't be loaded.
    """
    device, used = engines_device.prepared(threads)
    disable_progress_bar()  # progress is the caller's to show
    if (Path(path) / "modules.json").is_file():
        check_version(path)
        with model_errors(path), without_report():
            from sentence_transformers import SentenceTransformer

            model = SentenceTransformer(path, device=device, trust_remote_code=trust_remote_code)
            _check_complete(model, trust_remote_code)
        return SentenceEncoder(model, device, used)
    engine = hf_engine.load(
        path,
        dtype=dtype,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        fused=fused,
        trust_remote_code=trust_remote_code,
        states_only=True,
    )
    return PooledModel(engine, pooling)


def check_version(path: str) -> None:
    """Raise ModelError where the sentence-transformers that is installed would run what lies in the folder, unasked."""
    try:
        found = metadata.version("sentence-transformers")
    except metadata.PackageNotFoundError:
        return  # importing it says so
    if int(found.partition(".")[0]) < _FIRST:
        raise ModelError(
            f"{path} is not loaded: sentence-transformers {found} runs Python code of a folder without being asked",
            f"Run: {install(f'sentence-transformers>={_FIRST}.0')}",
        )


def _check_complete(model: Any, trust_remote_code: bool) -> None:
    """Refuse a sentence encoder whose transformer lacks weights: sentence-transformers doesn't look. Raises ModelError.

    The transformer is looked at once more without its weights; one that is quantised is left to the loader.
    """
    inner = getattr(model[0], "auto_model", None)
    if isinstance(inner, PreTrainedModel) and not hasattr(inner.config, "quantization_config"):
        load_checkpoint(
            type(inner),
            inner.config.name_or_path,
            dtype=inner.dtype,
            trust_remote_code=trust_remote_code,
            device_map="meta",
            states_only=True,
        )


class SentenceEncoder:
    """A model of sentence-transformers, with its own pooling and normalisation."""

    def __init__(self, model: Any, device: str, threads: int) -> None:
        self._model = model
        self.parameters = sum(parameter.numel() for parameter in model.parameters())
        self.settings: Mapping[str, str | int] = {
            "engine": "sentence-transformers",
            "dtype": "fp32",
            "device": device,
            "threads": threads,
            "max_tokens": int(model.max_seq_length),
        }

    def embed(self, what: EmbeddingRequest, samples: Sequence[Sample], on_batch: OnBatch) -> Float32:
        """See `Embeds.embed`."""
        texts = [what.of(sample) for sample in samples]
        order = sorted(range(len(texts)), key=lambda index: (len(texts[index]), index))
        vectors = np.full((len(texts), self._model.get_embedding_dimension()), np.nan, np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            some = [texts[index] for index in batch]
            vectors[batch] = self._model.encode(some, batch_size=_BATCH, show_progress_bar=False)
            on_batch(len(batch), 0)
        return vectors

    def close(self) -> None:
        """Free the model's memory."""
        self._model = None


@dataclass(slots=True)
class PooledModel:
    """A causal model whose last hidden states are pooled over all tokens of a text."""

    engine: hf_engine.HFEngine
    pooling: str

    @property
    def settings(self) -> Mapping[str, str | int]:
        """The engine's, and the pooling."""
        return {**self.engine.settings, "pooling": self.pooling}

    @property
    def parameters(self) -> int:
        """The model's."""
        return self.engine.parameters

    def embed(self, what: EmbeddingRequest, samples: Sequence[Sample], on_batch: OnBatch) -> Float32:
        """See `Embeds.embed`."""
        limit, tokenizer = self.engine.texts.max_tokens, self.engine.texts.tokenizer
        chat = what.chat and bool(tokenizer.chat_template)
        pooling = what.pooling if isinstance(what, StateRequest) else self.pooling
        texts = [_rendered(what, sample, tokenizer) if chat else what.of(sample) for sample in samples]
        # With the end token of tokenizers that write one: such encoders are trained to be read there.
        whole = tokenizer(texts, add_special_tokens=not chat, verbose=False)["input_ids"] if texts else []
        ids = [ids[:limit] for ids in whole]
        vectors: list[Float32 | None] = [None] * len(samples)
        for batch, states in self.engine.states({index: each for index, each in enumerate(ids) if each}):
            for index, rows in zip(batch, states, strict=True):
                vectors[index] = pooled(rows, pooling)
            on_batch(len(batch), sum(len(ids[index]) for index in batch))
        width = next((len(vector) for vector in vectors if vector is not None), 0)
        missing = np.full(width, np.nan, np.float32)
        return np.array([missing if vector is None else vector for vector in vectors], np.float32)

    def close(self) -> None:
        """Free the model's memory."""
        self.engine.close()


def _rendered(what: EmbeddingRequest, sample: Sample, tokenizer: Any) -> str:
    """What is read of a pair in the chat template; of a question alone all up to where the answer begins."""
    whole = what.text != "instruction" and bool(sample.response)
    messages = [{"role": "user", "content": sample.instruction}]
    messages += [{"role": "assistant", "content": sample.response}] if whole else []
    return render_chat(tokenizer, messages, "Choose another model.", asks=not whole)


def pooled(states: Float32, pooling: str) -> Float32:
    """(D,) of (T, D) states: the 'last', their 'mean', or 'weighted': sum of i·h_i / sum of i with i from 1."""
    place = np.arange(1.0, len(states) + 1)
    weights = {"last": place == len(states), "mean": place > 0, "weighted": place}[pooling]
    vector: Float32 = (weights @ states / weights.sum()).astype(np.float32)
    return vector
