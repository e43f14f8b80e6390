"""Packed reading: many texts that begin alike as one row, without padding, and the logits after each.

A batch is one row: the tokens that all its texts share (the rating prompt), then the rest of each text, with
no padding between. Every layer but attention works token by token, so it sees one dense matrix; attention gets
`attention.packed_attention`, in which each text sees the shared tokens and itself. The shared tokens are read once per
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
from torch.nn.functional import linear
from transformers import DynamicCache

from selectit.engines.hf import attention
from selectit.engines.hf.attention import PACKED, Begun
from selectit.engines.hf.fusing import unfused
from selectit.engines.texts import NO_LIMIT, open_ids
from selectit.signals.arrays import Int64

log = logging.getLogger(__name__)


_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1, "fp16": 0.02}
"""Largest relative difference between packed and own log-probabilities that rounding explains."""


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
        self.use_attention(self.own_attention)
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
        self.use_attention(self.own_attention)
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
        self.use_attention(PACKED)
        device = self.model.device
        ids = [*texts[0][:prefix], *(token for text in texts for token in text[prefix:])]
        positions = [*range(prefix), *(place for text in texts for place in range(prefix, len(text)))]
        with torch.inference_mode():
            logits: torch.Tensor = self.model(
                **self._inputs(torch.tensor([ids], device=device), noise),
                position_ids=torch.tensor([positions], device=device),
                logits_to_keep=torch.from_numpy(places).to(device),
                use_cache=False,
                layout=attention.layout_kind(self.model).of(prefix, [len(text) - prefix for text in texts], device),
            ).logits
            return logits[0].float()

    def states(self, texts: Sequence[list[int]], *, packed: bool) -> torch.Tensor:
        """(T, hidden) float32 last hidden states of the T tokens of all texts; one text only unless `packed`."""
        self.use_attention(PACKED if packed else self.own_attention)
        device, lengths = self.model.device, [len(text) for text in texts]
        layout = {"layout": attention.layout_kind(self.model).of(0, lengths, device)} if packed else {}
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
        self.use_attention(self.own_attention)
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
        self.use_attention(PACKED)
        device, lengths = self.model.device, [len(text) for text in texts]
        cache = DynamicCache()
        with torch.inference_mode(), unfused():
            self.model.get_decoder()(
                input_ids=torch.tensor([[token for text in texts for token in text]], device=device),
                position_ids=torch.tensor([[place for length in lengths for place in range(length)]], device=device),
                past_key_values=cache,
                use_cache=True,
                layout=attention.layout_kind(self.model).of(0, lengths, device),
            )
        return Begun(cache, tuple(texts), tuple(np.cumsum([0, *lengths]).tolist()))

    def go_on(self, begun: Begun, places: Sequence[int], texts: Sequence[list[int]]) -> torch.Tensor:
        """(B, vocabulary) float32 logits after each of B whole texts; text b begins as the text at places[b] did.

        Only the tokens after the part that both have in common are read.
        """
        self.use_attention(PACKED)
        device = self.model.device
        shared = [common_prefix([begun.texts[place], text]) for place, text in zip(places, texts, strict=True)]
        rests = [text[known:] for text, known in zip(texts, shared, strict=True)]
        positions = [place for text, known in zip(texts, shared, strict=True) for place in range(known, len(text))]
        ends = np.cumsum([len(rest) for rest in rests]) - 1
        starts = [begun.starts[place] for place in places]
        layout = attention.layout_kind(self.model).after(begun, starts, shared, [*map(len, rests)], device)
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

    def use_attention(self, name: str) -> None:
        """Read with `PACKED` attention from now on, or with another by its name."""
        if self.model.config._attn_implementation != name:
            self.model.set_attn_implementation(name)


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
        differentiated = torch.is_grad_enabled() and self.own.weight.requires_grad
        parts = self.own.weight.split(8192) if self._kept is None or differentiated else [self._kept]
        logits = torch.cat([linear(states.float(), rows.float()) for rows in parts], -1)
        return logits if self.own.bias is None else logits + self.own.bias.float()


def common_prefix(texts: Iterable[list[int]]) -> int:
    """Tokens that all texts begin with, less than the shortest has."""
    texts = list(texts)
    shared = os.path.commonprefix(texts)
    return min([len(shared), *(len(text) - 1 for text in texts)])
