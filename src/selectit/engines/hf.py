"""The `hf` engine: rates with a transformers model in this process, on a CPU or one or more GPUs.

A batch is one row: the tokens that all its texts share (the rating prompt), then the rest of each text, with
no padding between. Every layer but attention works token by token, so it sees one dense matrix; attention gets
`packed_attention`, in which each text sees the shared tokens and itself. The shared tokens are read once per
batch instead of once per text, and the head reads the last token of each text only. `_packed_limit` checks at
load that this gives the model's own numbers. Where it doesn't, and for texts longer than a sliding window, texts
of equal length form plain batches.
"""

from __future__ import annotations

import gc
import inspect
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM, AutoTokenizer

from selectit.engines.base import SAME_ERROR_LIMIT, OnBatch, RatingBatch
from selectit.errors import EngineError, ModelError
from selectit.prompts import FittedText, RatingPrompt, TooLong, fit
from selectit.schema import FLAG_SMALLER_BATCH, FLAG_TRUNCATED, Float32, Int64, Sample

log = logging.getLogger(__name__)

NO_LIMIT = 2**31 - 1
"""The context length of a model whose configuration names none."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02}
"""Largest relative difference between packed and own log-probabilities that rounding explains."""

_PACKED = "selectit_packed"
_LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx", "seq_length")
_PARITY_TEXTS = (
    "Rate the response from 1 to 5.\n\nInstruction:Name a colour.\nResponse:Red.\nThe answer is: \n",
    "Rate the response from 1 to 5.\n\nInstruction:Add 2 and 3.\nResponse:They make 5, I think.\nThe answer is: \n",
)
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
    device_map: str | None = None,
    trust_remote_code: bool = False,
) -> HFEngine:
    """Load the model in the folder `path` (or of that hub id) and check how its texts may be batched.

    Args:
        dtype: 'auto', 'fp32', 'bf16' or 'fp16'.
        max_tokens: longest rated text.
        batch_tokens: most tokens that the model reads at once; a single longer text is still read whole.
        overflow: 'cut' the response of a longer text, or 'refuse' it.
        device_map: None for one device, or accelerate's 'auto' to spread the layers.

    Raises:
        ModelError: the model can't be loaded.
    """
    device = default_device()
    resolved = resolve_dtype(dtype, device)
    tokenizer = load_counter(path, trust_remote_code).tokenizer
    with _model_errors(path):
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=_DTYPES[resolved], device_map=device_map, trust_remote_code=trust_remote_code
        )
    if device_map is None:
        model.to(device)
    model.eval()
    _use_float32_head(model)
    settings: dict[str, str | int] = {
        "engine": "hf",
        "dtype": resolved,
        "device": device,
        "threads": torch.get_num_threads() if device == "cpu" else 0,
        "batch_tokens": batch_tokens,
        "max_tokens": max_tokens,
        "overflow": overflow,
    }
    reader = _Reader(model, model.config._attn_implementation)
    return HFEngine(reader, tokenizer, settings, _packed_limit(reader, tokenizer, resolved))


class HFEngine:
    """A loaded model that rates and counts tokens: `RatesLabels` and `CountsTokens`. Made by `load`."""

    def __init__(self, reader: _Reader, tokenizer: Any, settings: Mapping[str, str | int], packed_limit: int) -> None:
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
                continue
            unit.ids[index] = fitted.ids
            unit.tokens[index] = len(fitted.ids)
            unit.flags[index] = FLAG_TRUNCATED * fitted.truncated
        prefix = _common_prefix(unit.ids.values())
        for batch in self._batches(unit.ids, prefix):
            self._rate_batch(batch, prefix, labels, unit, on_batch)
        return unit.result()

    def close(self) -> None:
        """Free the model's memory; the engine can't be used after it."""
        self._reader.model = None
        _free_memory()

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole texts, with the tokenizer's default special tokens as in the published code."""
        return self._tokenizer(list(texts), verbose=False)["input_ids"] if texts else []

    def _label_ids(self, prompt: RatingPrompt, samples: Sequence[Sample]) -> list[int]:
        """The one token that each label is after a rated text. Raises ModelError where it isn't so.

        Text and label tokenised together must be the text's tokens plus one. A tokenizer that splits white space
        by what follows it (GPT-2's: ' \\n' is one token at a text's end, two before '1') fails that for a harmless
        reason, so it is enough that the label's token, put after the text's own, spells the text and the label.
        """
        for instruction, response in [("", ""), *((sample.instruction, sample.response) for sample in samples)]:
            text = prompt.render(instruction, response)
            own, *longer = self._encode([text, *(text + label for label in prompt.labels)])
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
        for sample, ids in zip(samples, self._encode(texts), strict=True):
            try:
                yield fit(prompt, sample, lambda text: self._encode([text])[0], limit, cut=cut, ids=ids)
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
        except RuntimeError as error:  # torch's out-of-memory errors among them
            failure = str(error)
        if failure is None:
            unit.store(batch, logprob)
            on_batch(len(batch), sum(map(len, texts)) - prefix * packed * (len(texts) - 1))
            return
        _free_memory()  # after the except clause, whose traceback holds the tensors
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
        return cls(
            ids={},
            logprob=np.full((samples, labels), np.nan, np.float32),
            tokens=np.zeros(samples, np.int64),
            flags=np.zeros(samples, np.uint8),
            errors=[None] * samples,
        )

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


@dataclass(slots=True)
class _Reader:
    """Reads batches of token ids with a model and gives the logits that follow each text."""

    model: Any
    own_attention: str
    """The attention that the model was loaded with."""

    def plain(self, texts: Sequence[list[int]]) -> torch.Tensor:
        """(B, vocabulary) float32 logits after each of B texts of equal length."""
        self._use_attention(self.own_attention)
        ids = torch.tensor(texts, device=self.model.device)
        # Not every architecture knows `logits_to_keep`; those that don't give all logits.
        keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(self.model.forward).parameters else {}
        with torch.inference_mode():
            logits: torch.Tensor = self.model(input_ids=ids, use_cache=False, **keep).logits
            return logits[:, -1].float()

    def packed(self, texts: Sequence[list[int]], prefix: int) -> torch.Tensor:
        """(B, vocabulary) float32 logits after each of B texts that share their first `prefix` tokens."""
        self._use_attention(_PACKED)
        device = self.model.device
        ids = [*texts[0][:prefix], *(token for text in texts for token in text[prefix:])]
        positions = [*range(prefix), *(place for text in texts for place in range(prefix, len(text)))]
        ends = np.cumsum([prefix, *(len(text) - prefix for text in texts)])[1:] - 1
        with torch.inference_mode():
            logits: torch.Tensor = self.model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=torch.tensor([positions], device=device),
                logits_to_keep=torch.from_numpy(ends).to(device),
                use_cache=False,
                layout=_Layout.of(prefix, [len(text) - prefix for text in texts], device),
            ).logits
            return logits[0].float()

    def _use_attention(self, name: str) -> None:
        if self.model.config._attn_implementation != name:
            self.model.set_attn_implementation(name)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the B texts of a packed row lie: P shared tokens, then each text's own, at most L of them."""

    prefix: int
    queries: torch.Tensor
    """(B, L) place of each text's own tokens in the row; 0 where a text is shorter."""
    keys: torch.Tensor
    """(B, P + L) places of the shared and the own tokens."""
    mask: torch.Tensor
    """(L, P + L) True where an own token may look: at all before it and at itself."""
    real: torch.Tensor
    """(B, L) False where a text is shorter. Right padding needs no mask: no real token looks at it."""

    @classmethod
    def of(cls, prefix: int, lengths: Sequence[int], device: torch.device) -> _Layout:
        length = torch.tensor(lengths, device=device)[:, None]
        place = torch.arange(max(lengths), device=device)
        real = place < length
        queries = torch.where(real, prefix + length.cumsum(0) - length + place, 0)
        shared = torch.arange(prefix, device=device).expand(len(lengths), prefix)
        mask = torch.ones(max(lengths), prefix + max(lengths), dtype=torch.bool, device=device).tril(prefix)
        return cls(prefix, queries, torch.cat([shared, queries], 1), mask, real)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    layout: _Layout,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    position_bias: torch.Tensor | None = None,
    **_unused: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each text of a packed row; signature and shapes as transformers calls it.

    query: (1, heads, T, d); key and value: (1, key heads, T, d). Returns (1, T, heads, d).
    """
    if softcap is not None or s_aux is not None or position_bias is not None:
        raise NotImplementedError("this attention has more to it than queries, keys and values")
    q, k, v = (each[:, :, : layout.prefix] for each in (query, key, value))
    head = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
    rows = (each[0].transpose(0, 1) for each in (query, key, value))
    places = (layout.queries, layout.keys, layout.keys)
    q, k, v = (row[place].transpose(1, 2) for row, place in zip(rows, places, strict=True))
    tail = scaled_dot_product_attention(q, k, v, attn_mask=layout.mask, scale=scaling, enable_gqa=True)
    return torch.cat([head[0].transpose(0, 1), tail.transpose(1, 2)[layout.real]])[None], None


AttentionInterface.register(_PACKED, packed_attention)


def _packed_limit(reader: _Reader, tokenizer: Any, dtype: str) -> int:
    """Longest text, in tokens, that may be packed without changing its numbers; 0 for a model that can't.

    Inside its window a sliding-window layer is an ordinary one, so texts up to the window may be packed; so with
    the length at which a rotary embedding starts to depend on the whole batch's longest text.
    """
    config = reader.model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    limits = [getattr(config, "sliding_window", None), getattr(config, "attention_chunk_size", None)]
    limits += [getattr(config, "original_max_position_embeddings", None), rope.get("original_max_position_embeddings")]
    texts = tokenizer(list(_PARITY_TEXTS))["input_ids"]
    try:
        packed = reader.packed(texts, _common_prefix(texts)).log_softmax(-1)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        log.info("texts are not packed: %s", _first_line(str(error)))
        return 0
    own = torch.cat([reader.plain([ids]) for ids in texts]).log_softmax(-1)
    difference = float((packed - own).norm() / own.norm())
    if not difference <= _TOLERANCE[dtype]:
        log.info("texts are not packed: that would change log-probabilities by %.2g", difference)
        return 0
    return min((limit for limit in limits if limit), default=NO_LIMIT)


class _Float32Head(torch.nn.Module):
    """The output matrix of a bf16 or fp16 model, applied in float32: 8 bits of logit are too few to compare
    labels by."""

    _ROWS = 8192

    def __init__(self, own: torch.nn.Linear) -> None:
        super().__init__()
        self.own = own

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states.float()
        parts = [linear(states, rows.float()) for rows in self.own.weight.split(self._ROWS)]
        logits = torch.cat(parts, -1)
        return logits if self.own.bias is None else logits + self.own.bias.float()


def _use_float32_head(model: Any) -> None:
    """Give a bf16 or fp16 `model` a `_Float32Head`, unless its head is no plain matrix on one device."""
    head = model.get_output_embeddings()
    if (
        type(head) is torch.nn.Linear
        and head.weight.dtype in (torch.bfloat16, torch.float16)
        and not head.weight.is_meta
    ):
        model.set_output_embeddings(_Float32Head(head))


def _common_prefix(texts: Iterable[list[int]]) -> int:
    """Tokens that all texts begin with, less than the shortest has."""
    texts = list(texts)
    shared = os.path.commonprefix(texts)
    return min([len(shared), *(len(text) - 1 for text in texts)])


@contextmanager
def _model_errors(path: str) -> Iterator[None]:
    """Turn what transformers and the hub raise for a model that can't be loaded into a ModelError."""
    try:
        yield
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        text = str(error)
        hints = (remedy for sign, remedy in _REMEDIES.items() if sign in text)
        hint = next(hints, "Give a folder with config.json, tokenizer files and weights, or the id of a model.")
        raise ModelError(f"can't load the model {path}: {_first_line(text)}", hint) from error


def _first_line(message: str) -> str:
    """The first line of an error's text, at most 200 characters."""
    return (message.strip().splitlines() or ["unknown error"])[0][:200]


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
