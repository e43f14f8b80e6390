"""The `hf` engine: rates with a transformers model in this process, on a CPU or one or more GPUs.

It resolves labels and settings, fits texts into the token limit, and forms batches; `packing` reads them.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from selectit.engines.base import SAME_ERROR_LIMIT, OnBatch, RatingBatch
from selectit.engines.packing import NO_LIMIT, Float32Head, Reader, common_prefix, packed_limit
from selectit.errors import EngineError, ModelError
from selectit.prompts import FittedText, RatingPrompt, TooLong, fit
from selectit.schema import FLAG_NO_ROOM, FLAG_SMALLER_BATCH, FLAG_TRUNCATED, Float32, Int64, Sample

log = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx", "seq_length")
_REMEDIES = {
    "gated": "Ask for access on the model's page, then sign in with `hf auth login`.",
    "trust_remote_code": "Give --trust-remote-code if you trust the code in that repository.",
    "does not recognize this architecture": "Update transformers, or choose another model.",
    "accelerate": "Install accelerate, or leave the device map out.",
}


def default_device() -> str:
    """'cuda', 'mps' or 'cpu': the best that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def resolve_dtype(requested: str, device: str) -> str:
    """'fp32', 'bf16' or 'fp16' for 'auto' or one of these, on a `device` of `default_device`.

    bf16 on a CPU needs AMX or AVX512-BF16: emulated it is several times slower than fp32.
    """
    if requested != "auto":
        return requested
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "mps":
        return "fp16"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def context_length(path: str, trust_remote_code: bool = False) -> int:
    """Most tokens that the model's configuration allows; loads no weights. Raises ModelError."""
    with _model_errors(path):
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    limits = [getattr(text, key, None) for key in _LENGTH_KEYS]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=NO_LIMIT)


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


def load_counter(path: str, trust_remote_code: bool = False) -> TokenCounter:
    """The tokenizer in the folder `path`. Raises ModelError."""
    with _model_errors(path):
        return TokenCounter(AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code))


def load(
    path: str,
    *,
    dtype: str,
    max_tokens: int,
    batch_tokens: int,
    overflow: str = "cut",
    threads: int | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = False,
) -> HFEngine:
    """Load the model in the folder `path` (or of that hub id) and check how its texts may be batched.

    Args:
        path: as for from_pretrained.
        dtype: 'auto', 'fp32', 'bf16' or 'fp16'.
        max_tokens: longest rated text.
        batch_tokens: most tokens that the model reads at once; a single longer text is still read whole.
        overflow: 'cut' the response of a longer text, or 'refuse' it.
        threads: threads of the CPU, where a stored run decides them; None = torch's own choice.
        device_map: None for one device, or accelerate's 'auto' to spread the layers.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        ModelError: the model can't be loaded.
    """
    device = default_device()
    if threads:
        torch.set_num_threads(threads)
    resolved = resolve_dtype(dtype, device)
    tokenizer = load_counter(path, trust_remote_code).tokenizer
    disable_progress_bar()  # progress is the caller's to show
    with _model_errors(path):
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=_DTYPES[resolved], device_map=device_map, trust_remote_code=trust_remote_code
        )
    if device_map is None:
        model.to(device)
    model.eval()
    head = model.get_output_embeddings()
    if resolved != "fp32" and type(head) is torch.nn.Linear and not head.weight.is_meta:
        model.set_output_embeddings(Float32Head(head))
    settings: dict[str, str | int] = {
        "engine": "hf",
        "dtype": resolved,
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else 0,
        "batch_tokens": batch_tokens,
        "max_tokens": max_tokens,
        "overflow": overflow,
    }
    reader = Reader(model, model.config._attn_implementation)
    return HFEngine(reader, tokenizer, settings, packed_limit(reader, tokenizer, resolved))


class HFEngine:
    """A loaded model that rates and counts tokens: `RatesLabels` and `CountsTokens`. Made by `load`."""

    def __init__(self, reader: Reader, tokenizer: Any, settings: Mapping[str, str | int], packed_limit: int) -> None:
        self._reader = reader
        self._tokenizer = tokenizer
        self._packed_limit = packed_limit
        self.settings = settings
        self.parameters: int = reader.model.num_parameters()

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        """(len(texts),) tokens of each text, special tokens not counted."""
        return TokenCounter(self._tokenizer).count_tokens(texts)

    def rate(self, prompt: RatingPrompt, samples: Sequence[Sample], on_batch: OnBatch) -> RatingBatch:
        """Rate `samples` under `prompt`; see `RatesLabels.rate`."""
        labels = self._label_ids(prompt, samples[:1])
        unit = _Unit.of(len(samples), len(labels))
        for index, fitted in enumerate(self._fit_all(prompt, samples)):
            if isinstance(fitted, str):
                unit.errors[index] = fitted
                unit.flags[index] = FLAG_NO_ROOM
                continue
            unit.ids[index] = fitted.ids
            unit.tokens[index] = len(fitted.ids)
            unit.flags[index] = FLAG_TRUNCATED * fitted.truncated
        prefix = common_prefix(unit.ids.values())
        for batch in self._batches(unit.ids, prefix):
            self._rate_batch(batch, prefix, labels, unit, on_batch)
        return unit.result()

    def close(self) -> None:
        """Free the model's memory; the engine can't be used after it."""
        self._reader.model = None
        gc.collect()
        _release_cached()

    def _encode(self, texts: Sequence[str], chat: bool, after: str = "") -> list[list[int]]:
        """Token ids of whole texts, each with `after` behind it.

        The tokenizer's default special tokens are added, as in the published code; a chat template writes its own.
        """
        if not texts:
            return []
        whole = [(self._chat(text) if chat else text) + after for text in texts]
        ids: list[list[int]] = self._tokenizer(whole, add_special_tokens=not chat, verbose=False)["input_ids"]
        return ids

    def _chat(self, text: str) -> str:
        """The text as a user's message in the model's chat template, up to where the answer begins."""
        if not self._tokenizer.chat_template:
            raise ModelError("this model has no chat template", "Leave --chat out, or choose a chat model.")
        message = [{"role": "user", "content": text}]
        whole: str = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return whole

    def _label_ids(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> list[int]:
        """The one token that each label is after a rated text. Raises ModelError where it isn't so.

        Text and label tokenised together must be the text's tokens plus one. A tokenizer that splits white space
        by what follows it (GPT-2's: space and newline are one token at a text's end, two before a digit) fails
        that for a harmless reason, so it is enough that the label's token after the text's own spells text and label.
        """
        for instruction, response in [("", ""), *((sample.instruction, sample.response) for sample in samples)]:
            text = prompt.render(instruction, response)
            own = self._encode([text], prompt.chat)[0]
            longer = [self._encode([text], prompt.chat, label)[0] for label in prompt.labels]
            labels = [ids[-1] for ids in longer]
            spelt = self._tokenizer.batch_decode([own, *([*own, token] for token in labels)])
            hint = "Choose labels that are one token each after the template's last line, or another model."
            for label, ids, spelling in zip(prompt.labels, longer, spelt[1:], strict=True):
                if ids[:-1] != own and spelling != spelt[0] + label:
                    raise ModelError(f"the label {label!r} isn't one token of its own after the rated text", hint)
            if len(set(labels)) != len(labels):
                raise ModelError(f"two of the labels {prompt.labels} are the same token: {labels}", hint)
        return labels

    def _fit_all(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> Iterator[FittedText | str]:
        """Each sample's ids, or why it has none."""
        limit, cut = int(self.settings["max_tokens"]), self.settings["overflow"] == "cut"
        texts = [prompt.render(sample.instruction, sample.response) for sample in samples]
        for sample, ids in zip(samples, self._encode(texts, prompt.chat), strict=True):
            try:
                yield fit(prompt, sample, lambda text: self._encode([text], prompt.chat)[0], limit, cut=cut, ids=ids)
            except TooLong as error:
                yield str(error)

    def _batches(self, texts: Mapping[int, list[int]], prefix: int) -> Iterator[list[int]]:
        """Keys of `texts` in batches of up to `batch_tokens` tokens, shortest first.

        Texts up to the packed limit pay for the shared tokens once; longer ones share a batch by equal length.
        """
        budget = int(self.settings["batch_tokens"])
        batch: list[int] = []
        left = 0
        for index in sorted(texts, key=lambda key: (len(texts[key]), key)):
            length = len(texts[index])
            packed = length <= self._packed_limit
            cost = length - prefix * packed
            if batch and (cost > left or not (packed or length == len(texts[batch[0]]))):
                yield batch
                batch = []
            if not batch:
                left = budget - prefix * packed
            batch.append(index)
            left -= cost
        if batch:
            yield batch

    def _rate_batch(self, batch: list[int], prefix: int, labels: list[int], unit: _Unit, on_batch: OnBatch) -> None:
        """Rate one batch into `unit`; where the model fails on it, its halves, down to single texts."""
        texts = [unit.ids[index] for index in batch]
        packed = len(texts[-1]) <= self._packed_limit
        failure = None
        try:
            logits = self._reader.packed(texts, prefix) if packed else self._reader.plain(texts)
            logprob = (logits[:, labels] - logits.logsumexp(-1, keepdim=True)).cpu().numpy()
        except (RuntimeError, IndexError) as error:  # out of memory; a token that the model does not have
            failure = str(error)
        if failure is None:
            unit.store(batch, logprob)
            on_batch(len(batch), sum(map(len, texts)))
            return
        _release_cached()  # after the except clause, whose traceback holds the tensors
        if len(batch) == 1:
            unit.fail(batch[0], failure)
            on_batch(1, 0)
            return
        log.warning("a batch of %d texts failed and is read in halves: %s", len(batch), _first_line(failure))
        unit.flags[batch] |= FLAG_SMALLER_BATCH
        middle = len(batch) // 2
        self._rate_batch(batch[:middle], prefix, labels, unit, on_batch)
        self._rate_batch(batch[middle:], prefix, labels, unit, on_batch)


@dataclass(slots=True)
class _Unit:
    """The ratings of one `rate` call while they come in; indices are places in its samples."""

    ids: dict[int, list[int]]
    logprob: Float32
    tokens: Int64
    flags: NDArray[np.uint8]
    errors: list[str | None]
    same_error: int = 0
    last_error: str = ""

    @classmethod
    def of(cls, samples: int, labels: int) -> _Unit:
        logprob = np.full((samples, labels), np.nan, np.float32)
        return cls({}, logprob, np.zeros(samples, np.int64), np.zeros(samples, np.uint8), [None] * samples)

    def store(self, batch: list[int], logprob: Float32) -> None:
        for index, values in zip(batch, logprob, strict=True):
            if np.isfinite(values).all():
                self.logprob[index] = values
                self.same_error = 0
            else:
                self.fail(index, "non-finite logits")

    def fail(self, index: int, message: str) -> None:
        """Note the error of one sample. Raises EngineError where it is the last of too many in a row."""
        error = self.errors[index] = _first_line(message)
        self.same_error = self.same_error + 1 if error == self.last_error else 1
        self.last_error = error
        if self.same_error >= SAME_ERROR_LIMIT:
            raise EngineError(
                f"{self.same_error} rows in a row failed with the same error: {error}",
                "The model or the device is at fault, not the rows. Try --dtype fp32 or a smaller --batch-tokens.",
            )

    def result(self) -> RatingBatch:
        return RatingBatch(self.logprob, self.tokens, self.flags, tuple(self.errors))


@contextmanager
def _model_errors(path: str) -> Iterator[None]:
    """Turn what transformers and the hub raise for a model that can't be loaded into a ModelError."""
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
        text = str(error)
        hints = (remedy for sign, remedy in _REMEDIES.items() if sign in text)
        hint = next(hints, "Give a folder with config.json, tokenizer files and weights, or the id of a model.")
        raise ModelError(f"can't load the model {path}: {_first_line(text)}", hint) from error


def _first_line(message: str) -> str:
    """The first line of an error's text, at most 200 characters."""
    return (message.strip().splitlines() or ["unknown error"])[0][:200]


def _release_cached() -> None:
    """Give the accelerator's unused memory back."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
