"""Packed reading: many texts that begin alike as one row, without padding, and the logits after each.

A batch is one row: the tokens that all its texts share (the rating prompt), then the rest of each text, with
no padding between. Every layer but attention works token by token, so it sees one dense matrix; attention gets
`packed_attention`, in which each text sees the shared tokens and itself. The shared tokens are read once per
batch instead of once per text, and the head reads the last token of each text only. `packed_limit` checks at
load that this gives the model's own numbers. Where it doesn't, and for texts longer than a sliding window, texts
of equal length form plain batches.

Where the sample stands before the prompt, `begin` reads a batch of samples once and `go_on` reads what each of many
prompts adds to them, from the keys and values that `begin` has kept.
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
from transformers import AttentionInterface, DynamicCache

from selectit.engines.hf.fusing import unfused
from selectit.engines.texts import NO_LIMIT, open_ids
from selectit.signals.arrays import Int64

log = logging.getLogger(__name__)


_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02}
"""Largest relative difference between packed and own log-probabilities that rounding explains."""


try:
    from torch.nn.attention.varlen import varlen_attn  # torch 2.10
except ImportError:
    varlen_attn = None
_ARGUMENTS = inspect.signature(varlen_attn).parameters if varlen_attn else {}
_SCALED = "window_size" in _ARGUMENTS and "scale" in _ARGUMENTS  # torch 2.11
_GROUPED = {"enable_gqa": True} if "enable_gqa" in _ARGUMENTS else {}  # torch 2.12; before it no one asks
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
        return self._row(texts, prefix, np.cumsum([prefix, *(len(text) - prefix for text in texts)])[1:] - 1)

    def predictions(
        self, texts: Sequence[list[int]], firsts: Sequence[int], prefix: int, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits that predict the tokens from firsts[b] (1 or more) to the end of each of B texts.

        Args:
            texts: B texts that share their first `prefix` tokens.
            firsts: (B,).
            prefix: 0 or more; 0 with noise.
            noise: (1, T, width) to add to the input embeddings of the T tokens of all texts; None for none.

        Returns:
            (sum of the predicted tokens, vocabulary) float32, text after text.
        """
        places, start = [], prefix
        for text, first in zip(texts, firsts, strict=True):
            before = range(first - 1, len(text) - 1)
            places += [place if place < prefix else start + place - prefix for place in before]
            start += len(text) - prefix
        return self._row(texts, prefix, np.array(places, np.int64), noise)

    def plain_predictions(self, text: list[int], first: int, noise: torch.Tensor | None = None) -> torch.Tensor:
        """As `predictions` of one text, with the attention that the model was loaded with."""
        self._use_attention(self.own_attention)
        with torch.inference_mode():
            inputs = self._inputs(torch.tensor([text], device=self.model.device), noise)
            logits: torch.Tensor = self.model(**inputs, use_cache=False).logits
            return logits[0, first - 1 : -1].float()

    def _inputs(self, ids: torch.Tensor, noise: torch.Tensor | None) -> dict[str, torch.Tensor]:
        if noise is None:
            return {"input_ids": ids}
        return {"inputs_embeds": self.model.get_input_embeddings()(ids) + noise}

    def _row(
        self, texts: Sequence[list[int]], prefix: int, places: Int64, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(len(places), vocabulary) float32 logits at those places of the packed row of the texts."""
        self._use_attention(_PACKED)
        device = self.model.device
        ids = [*texts[0][:prefix], *(token for text in texts for token in text[prefix:])]
        positions = [*range(prefix), *(place for text in texts for place in range(prefix, len(text)))]
        with torch.inference_mode():
            logits: torch.Tensor = self.model(
                **self._inputs(torch.tensor([ids], device=device), noise),
                position_ids=torch.tensor([positions], device=device),
                logits_to_keep=torch.from_numpy(places).to(device),
                use_cache=False,
                layout=layout_kind(self.model).of(prefix, [len(text) - prefix for text in texts], device),
            ).logits
            return logits[0].float()

    def states(self, texts: Sequence[list[int]], *, packed: bool) -> torch.Tensor:
        """(T, hidden) float32 last hidden states of the T tokens of all texts; one text only unless `packed`."""
        self._use_attention(_PACKED if packed else self.own_attention)
        device, lengths = self.model.device, [len(text) for text in texts]
        layout = {"layout": layout_kind(self.model).of(0, lengths, device)} if packed else {}
        positions = [[place for length in lengths for place in range(length)]]
        with torch.inference_mode():
            states: torch.Tensor = self.model.get_decoder()(
                input_ids=torch.tensor([[token for text in texts for token in text]], device=device),
                position_ids=torch.tensor(positions, device=device),
                use_cache=False,
                **layout,
            ).last_hidden_state
            return states[0].float()

    def generate(self, ids: list[int], new_tokens: int, tokenizer: Any) -> tuple[str, bool]:
        """The greedy continuation of one text, and whether it ended by itself."""
        self._use_attention(self.own_attention)
        device = self.model.device
        row = torch.tensor([ids], device=device)
        with torch.inference_mode(), unfused():
            made = self.model.generate(
                row,
                attention_mask=torch.ones_like(row),
                max_new_tokens=new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=tokenizer.pad_token_id or tokenizer.eos_token_id,
            )
        new = made[0, len(ids) :]
        ends = self.model.generation_config.eos_token_id  # a number, several, or None
        ended = len(new) < new_tokens or (ends is not None and int(new[-1]) in np.ravel(ends))
        return tokenizer.decode(new, skip_special_tokens=True), ended

    def begin(self, texts: Sequence[list[int]]) -> Begun:
        """Read the beginnings of texts and keep their keys and values."""
        self._use_attention(_PACKED)
        device, lengths = self.model.device, [len(text) for text in texts]
        cache = DynamicCache()
        with torch.inference_mode(), unfused():
            self.model.get_decoder()(
                input_ids=torch.tensor([[token for text in texts for token in text]], device=device),
                position_ids=torch.tensor([[place for length in lengths for place in range(length)]], device=device),
                past_key_values=cache,
                use_cache=True,
                layout=layout_kind(self.model).of(0, lengths, device),
            )
        return Begun(cache, tuple(texts), tuple(np.cumsum([0, *lengths]).tolist()))

    def go_on(self, begun: Begun, places: Sequence[int], texts: Sequence[list[int]]) -> torch.Tensor:
        """(B, vocabulary) float32 logits after each of B whole texts; text b begins as the text at places[b] did.

        Only the tokens after the part that both have in common are read.
        """
        self._use_attention(_PACKED)
        device = self.model.device
        shared = [common_prefix([begun.texts[place], text]) for place, text in zip(places, texts, strict=True)]
        rests = [text[known:] for text, known in zip(texts, shared, strict=True)]
        positions = [place for text, known in zip(texts, shared, strict=True) for place in range(known, len(text))]
        ends = np.cumsum([len(rest) for rest in rests]) - 1
        starts = [begun.starts[place] for place in places]
        layout = layout_kind(self.model).after(begun, starts, shared, [*map(len, rests)], device)
        try:
            with torch.inference_mode(), unfused():
                logits: torch.Tensor = self.model(
                    input_ids=torch.tensor([[token for rest in rests for token in rest]], device=device),
                    position_ids=torch.tensor([positions], device=device),
                    logits_to_keep=torch.from_numpy(ends).to(device),
                    past_key_values=begun.cache,
                    use_cache=True,
                    layout=layout,
                ).logits
                return logits[0].float()
        finally:
            for layer in begun.cache.layers:  # each by itself: after a failure some have grown and some have not
                layer.keys, layer.values = (each[:, :, : begun.starts[-1]] for each in (layer.keys, layer.values))

    def _use_attention(self, name: str) -> None:
        if self.model.config._attn_implementation != name:
            self.model.set_attn_implementation(name)


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


AttentionInterface.register(_PACKED, torch.compiler.disable(packed_attention))  # see `fusing`


def packed_limit(reader: Reader, tokenizer: Any, dtype: str) -> int:
    """Longest text, in tokens, that may be packed without changing its numbers; 0 for a model that can't.

    Inside its window a sliding-window layer is an ordinary one, so texts up to the window may be packed; so with
    the length at which a rotary embedding starts to depend on the whole batch's longest text.
    """
    config = reader.model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    limits = [getattr(config, "sliding_window", None), getattr(config, "attention_chunk_size", None)]
    limits += [getattr(config, "original_max_position_embeddings", None), rope.get("original_max_position_embeddings")]
    texts = open_ids(tokenizer, _PARITY_TEXTS)
    try:
        packed = reader.packed(texts, common_prefix(texts)).log_softmax(-1)
        begun = reader.begin([text[: len(text) // 2] for text in texts])
        continued = reader.go_on(begun, range(len(texts)), texts).log_softmax(-1)
    except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        log.info("texts are not packed: %s", error)
        return 0
    own = torch.cat([reader.plain([ids]) for ids in texts]).log_softmax(-1)
    difference = max(float((other - own).norm() / own.norm()) for other in (packed, continued))
    if not difference <= _TOLERANCE[dtype]:
        log.info("texts are not packed: that would change log-probabilities by %.2g", difference)
        return 0
    return min((limit for limit in limits if limit), default=NO_LIMIT)


class Float32Head(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy here
    """The output matrix of a bf16 or fp16 model, applied in float32: bf16's 8 bits are too few to compare labels by.

    On a CPU a float32 copy is kept, since converting the matrix for every batch takes as long as six layers; a GPU
    converts it in parts, since memory is dear there.
    """

    def __init__(self, own: torch.nn.Linear) -> None:
        super().__init__()
        self.own = own
        self._kept = own.weight.detach().float() if own.weight.device.type == "cpu" else None

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, hidden) -> (…, vocabulary) float32."""
        parts = self.own.weight.split(8192) if self._kept is None else [self._kept]
        logits = torch.cat([linear(states.float(), rows.float()) for rows in parts], -1)
        return logits if self.own.bias is None else logits + self.own.bias.float()


def common_prefix(texts: Iterable[list[int]]) -> int:
    """Tokens that all texts begin with, less than the shortest has."""
    texts = list(texts)
    shared = os.path.commonprefix(texts)
    return min([len(shared), *(len(text) - 1 for text in texts)])
