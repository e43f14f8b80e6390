"""Attention over a packed row: where the texts of a row lie, and causal attention inside each of them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

PACKED = "selectit_packed"
"""The name under which transformers finds `packed_attention`."""


try:
    from torch.nn.attention.varlen import varlen_attn  # torch 2.10
except ImportError:
    varlen_attn = None
_ARGUMENTS = inspect.signature(varlen_attn).parameters if varlen_attn else {}
_SCALED = "window_size" in _ARGUMENTS and "scale" in _ARGUMENTS  # torch 2.11
_GROUPED = {"enable_gqa": True} if "enable_gqa" in _ARGUMENTS else {}  # torch 2.12; before it no one asks


@dataclass(frozen=True, slots=True)
class Begun:
    """The beginnings of texts, read."""

    cache: Any
    texts: tuple[list[int], ...]
    starts: tuple[int, ...]
    """Where each begins in the packed row; the last entry is the row's length."""


@dataclass(frozen=True, slots=True)
class Padded:
    """Where the B texts of a packed row lie: P shared tokens, then each text's own, at most L of them.

    Attention sees a text a row, filled up to L. For kernels that take any mask.
    """

    prefix: int
    queries: torch.Tensor
    """(B, L) place of each text's own tokens in the row; 0 where a text is shorter."""
    keys: torch.Tensor
    """(B, P + L) places of the shared and the own tokens."""
    mask: torch.Tensor
    """(L, P + L), or (B, 1, L, S + L) after beginnings of at most S tokens. True where an own token may look: at all
    before it and at itself."""
    real: torch.Tensor
    """(B, L) False where a text is shorter. Right padding needs no mask: no real token looks at it."""

    @classmethod
    def of(cls, prefix: int, lengths: Sequence[int], device: torch.device) -> Padded:
        queries, real = _places(lengths, prefix, device)
        shared = torch.arange(prefix, device=device).expand(len(lengths), prefix)
        mask = torch.ones(max(lengths), prefix + max(lengths), dtype=torch.bool, device=device).tril(prefix)
        return cls(prefix, queries, torch.cat([shared, queries], 1), mask, real)

    @classmethod
    def after(
        cls, begun: Begun, starts: Sequence[int], shared: Sequence[int], lengths: Sequence[int], device: torch.device
    ) -> Padded:
        """Of rests that follow the first `shared` tokens of beginnings at `starts` of the kept keys."""
        queries, real = _places(lengths, 0, device)
        place = torch.arange(max(shared), device=device)
        known = place < torch.tensor(shared, device=device)[:, None]
        before = torch.where(known, torch.tensor(starts, device=device)[:, None] + place, 0)
        own = torch.ones(max(lengths), max(lengths), dtype=torch.bool, device=device).tril()
        rows = len(lengths)
        seen = known[:, None, None].expand(rows, 1, max(lengths), -1)
        mask = torch.cat([seen, own.expand(rows, 1, -1, -1)], -1)
        return cls(0, queries, torch.cat([before, begun.starts[-1] + queries], 1), mask, real)

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> torch.Tensor:
        """See `packed_attention`."""
        q, k, v = (each[:, :, : self.prefix] for each in (query, key, value))
        head = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True) if self.prefix else q
        rows = (each[0].transpose(0, 1) for each in (query, key, value))
        places = (self.queries, self.keys, self.keys)
        q, k, v = (row[place].transpose(1, 2) for row, place in zip(rows, places, strict=True))
        if q.is_cuda:  # with grouped heads and a mask CUDA has only the kernel that keeps all weights of attention
            k, v = (each.repeat_interleave(q.shape[1] // each.shape[1], 1) for each in (k, v))
        tail = scaled_dot_product_attention(q, k, v, attn_mask=self.mask, scale=scale, enable_gqa=True)
        return torch.cat([head[0].transpose(0, 1), tail.transpose(1, 2)[self.real]])


@dataclass(frozen=True, slots=True)
class Ragged:
    """The same for FlashAttention, which reads texts of any lengths one after another, without padding.

    The shared tokens are a text of their own. A text's tokens see its keys up to themselves, the last one all of them.
    """

    keys: torch.Tensor
    """(K,) places in the row of the keys of the first text, of the second and so on."""
    query_ends: torch.Tensor
    """(texts + 1,) int32 where each text's tokens begin in the row, and the row's length."""
    key_ends: torch.Tensor
    """(texts + 1,) int32 the same for `keys`."""
    longest_query: int
    longest_key: int

    @classmethod
    def of(cls, prefix: int, lengths: Sequence[int], device: torch.device) -> Ragged:
        shared = [(prefix, [range(prefix)])] if prefix else []
        starts = np.cumsum([prefix, *lengths]).tolist()
        own = [(n, [range(prefix), range(start, start + n)]) for n, start in zip(lengths, starts, strict=False)]
        return cls._of([*shared, *own], device)

    @classmethod
    def after(
        cls, begun: Begun, starts: Sequence[int], shared: Sequence[int], lengths: Sequence[int], device: torch.device
    ) -> Ragged:
        """As `Padded.after`."""
        places = np.cumsum([begun.starts[-1], *lengths]).tolist()
        texts = zip(starts, shared, places, lengths, strict=False)
        return cls._of([(n, [range(s, s + known), range(own, own + n)]) for s, known, own, n in texts], device)

    @classmethod
    def _of(cls, texts: Sequence[tuple[int, list[range]]], device: torch.device) -> Ragged:
        """Of the number of tokens and the places of the keys of each text."""
        queries = [length for length, _ in texts]
        keys = [sum(map(len, places)) for _, places in texts]
        places = np.concatenate([np.arange(each.start, each.stop) for _, places in texts for each in places])
        query_ends, key_ends = (
            torch.tensor(np.cumsum([0, *each]), dtype=torch.int32, device=device) for each in (queries, keys)
        )
        return cls(torch.from_numpy(places).to(device), query_ends, key_ends, max(queries), max(keys))

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None) -> torch.Tensor:
        """See `packed_attention`."""
        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        causal = (-1, 0)
        return varlen_attn(
            q.contiguous(), k[self.keys], v[self.keys], self.query_ends, self.key_ends, self.longest_query,
            self.longest_key, scale=scale, window_size=causal, **_GROUPED,
        )  # fmt: skip


def layout_kind(model: Any) -> type[Padded | Ragged]:
    """How a packed row is laid out for the attention that the model's device and dtype have."""
    half = model.dtype in (torch.bfloat16, torch.float16)
    return Ragged if half and model.device.type == "cuda" and _SCALED else Padded


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    layout: Padded | Ragged,
    scaling: float | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each text of a packed row; signature and shapes as transformers calls it.

    query: (1, heads, T, d); key and value: (1, key heads, T, d). Returns (1, T, heads, d).
    """
    if any(others.get(name) is not None for name in ("softcap", "s_aux", "position_bias")):
        raise NotImplementedError("this attention has more to it than queries, keys and values")
    return layout.attend(query, key, value, scaling)[None], None


def _places(lengths: Sequence[int], start: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, L) place of each text's tokens in a row where they follow each other from `start`, and whether there is one.

    The place is 0 where a text has ended.
    """
    length = torch.tensor(lengths, device=device)[:, None]
    place = torch.arange(max(lengths), device=device)
    real = place < length
    return torch.where(real, start + length.cumsum(0) - length + place, 0), real


AttentionInterface.register(PACKED, torch.compiler.disable(packed_attention))  # see `fusing`
