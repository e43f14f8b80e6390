"""Packed reading: many texts that begin alike as one row, without padding, and the logits after each.

A batch is one row: the tokens that all its texts share (the rating prompt), then the rest of each text, with
no padding between. Every layer but attention works token by token, so it sees one dense matrix; attention gets
`packed_attention`, in which each text sees the shared tokens and itself. The shared tokens are read once per
batch instead of once per text, and the head reads the last token of each text only. `packed_limit` checks at
load that this gives the model's own numbers. Where it doesn't, and for texts longer than a sliding window, texts
of equal length form plain batches.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import AttentionInterface

from selectit.engines.texts import NO_LIMIT

log = logging.getLogger(__name__)

_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02}
"""Largest relative difference between packed and own log-probabilities that rounding explains."""

_PACKED = "selectit_packed"
_PARITY_TEXTS = (
    "Rate the response from 1 to 5.\n\nInstruction:Name a colour.\nResponse:Red.\nThe answer is: \n",
    "Rate the response from 1 to 5.\n\nInstruction:Add 2 and 3.\nResponse:They make 5, I think.\nThe answer is: \n",
)


@dataclass(slots=True)
class Reader:
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
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each text of a packed row; signature and shapes as transformers calls it.

    query: (1, heads, T, d); key and value: (1, key heads, T, d). Returns (1, T, heads, d).
    """
    if any(others.get(name) is not None for name in ("softcap", "s_aux", "position_bias")):
        raise NotImplementedError("this attention has more to it than queries, keys and values")
    q, k, v = (each[:, :, : layout.prefix] for each in (query, key, value))
    head = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=True)
    rows = (each[0].transpose(0, 1) for each in (query, key, value))
    places = (layout.queries, layout.keys, layout.keys)
    q, k, v = (row[place].transpose(1, 2) for row, place in zip(rows, places, strict=True))
    tail = scaled_dot_product_attention(q, k, v, attn_mask=layout.mask, scale=scaling, enable_gqa=True)
    return torch.cat([head[0].transpose(0, 1), tail.transpose(1, 2)[layout.real]])[None], None


AttentionInterface.register(_PACKED, packed_attention)


def packed_limit(reader: Reader, tokenizer: Any, dtype: str) -> int:
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
        packed = reader.packed(texts, common_prefix(texts)).log_softmax(-1)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        log.info("texts are not packed: %s", error)
        return 0
    own = torch.cat([reader.plain([ids]) for ids in texts]).log_softmax(-1)
    difference = float((packed - own).norm() / own.norm())
    if not difference <= _TOLERANCE[dtype]:
        log.info("texts are not packed: that would change log-probabilities by %.2g", difference)
        return 0
    return min((limit for limit in limits if limit), default=NO_LIMIT)


class Float32Head(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy here
    """The output matrix of a bf16 or fp16 model, applied in float32: bf16's 8 bits are too few to compare labels by."""

    def __init__(self, own: torch.nn.Linear) -> None:
        super().__init__()
        self.own = own

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, hidden) -> (…, vocabulary) float32, in parts so that no float32 copy of the matrix is kept."""
        logits = torch.cat([linear(states.float(), rows.float()) for rows in self.own.weight.split(8192)], -1)
        return logits if self.own.bias is None else logits + self.own.bias.float()


def common_prefix(texts: Iterable[list[int]]) -> int:
    """Tokens that all texts begin with, less than the shortest has."""
    texts = list(texts)
    shared = os.path.commonprefix(texts)
    return min([len(shared), *(len(text) - 1 for text in texts)])
