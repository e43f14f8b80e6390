"""Losses of responses with and without their instruction, from packed rows of a causal model.

Each response is read after its instruction and, where that is wanted, alone. The readings of many samples are packed as
`packing` describes (the template's beginning is read once a batch), the output matrix is applied to the wanted tokens
only, and of the probabilities only sums are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from selectit.data.records import Sample
from selectit.engines.base import Failures
from selectit.engines.chat import frame_answer
from selectit.engines.hf.halving import read_in_halves
from selectit.engines.hf.packing import Reader, common_prefix
from selectit.engines.texts import open_ids
from selectit.signals.arrays import Float32
from selectit.signals.base import OnBatch
from selectit.signals.losses import ResponseLosses
from selectit.signals.requests import LossRequest

_LOGITS, _CUDA_LOGITS = 2**25, 2**28
"""Logits of one batch: 128 MB and 1 GB in float32."""


_CHUNK, _CUDA_CHUNK = 128, 1024
"""Tokens whose probabilities are computed at once; on a CPU they stay in its cache."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One sample's two texts, and where its response begins in each; under 'joint' their tokens may differ."""

    given: list[int]
    start: int
    alone: list[int]
    alone_start: int
    template: str
    """Of `given`."""
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Reading:
    """One text to read, for the losses of its tokens from `first` on (1 or more: nothing predicts token 0)."""

    sample: int
    copy: int
    """0 is the clean reading."""
    template: str
    """What it begins with; '' = the response alone."""
    ids: list[int]
    first: int

    @property
    def given(self) -> bool:
        """Whether the response is read after its instruction."""
        return bool(self.template)

    @property
    def key(self) -> tuple[int, int, bool]:
        """What tells it from the other readings of a call."""
        return self.sample, self.copy, self.given


@dataclass(frozen=True, slots=True)
class _Sums:
    """(tokens,) of the losses read and, for the clean reading of a response after its instruction, the rest."""

    loss: Float32
    entropy: Float32
    largest: Float32
    second: Float32
    squares: Float32
    rank: Float32


@dataclass(frozen=True, slots=True)
class LossReader:
    """Reads losses with a loaded model."""

    reader: Reader
    tokenizer: Any
    max_tokens: int
    overflow: str
    """As of `texts.Texts`."""
    batch_tokens: int
    packed_limit: int
    """As `packing.packed_limit`."""

    def read(self, text: LossRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[ResponseLosses | str]:
        """See `ScoresText.losses`."""
        text, pairs = self.pairs(text, samples)
        readings = [
            reading
            for index, pair in enumerate(pairs)
            if not isinstance(pair, str)
            for copy in range(1 + text.copies)
            for reading in _readings(index, copy, pair, text.prompt and not copy)
        ]
        found: dict[tuple[int, int, bool], _Sums | str] = {}
        failures = Failures()
        for batch in self._batches(readings):
            for some, sums in read_in_halves(batch, lambda some: self._sums(some, text, pairs)):
                if isinstance(sums, str):
                    found[some[0].key] = sums
                    failures.add(sums)
                else:
                    found |= zip((reading.key for reading in some), sums, strict=True)
                    failures.reset()
            finished = [reading for reading in batch if reading.given and not reading.copy]
            on_batch(len(finished), sum(len(reading.ids) for reading in batch))
        return [
            pair if isinstance(pair, str) else _assembled(index, pair, text, found) for index, pair in enumerate(pairs)
        ]

    def pairs(self, text: LossRequest, samples: Sequence[Sample]) -> tuple[LossRequest, list[Pair | str]]:
        """The request with the chat template written out, and each sample's texts, or why it has none."""
        if text.chat:
            text, samples = self._in_chat_template(text, samples)
        return text, [self._pair(text, sample) for sample in samples]

    def _in_chat_template(self, text: LossRequest, samples: Sequence[Sample]) -> tuple[LossRequest, Sequence[Sample]]:
        """The request with what the chat template writes around an instruction, and the responses as it begins them."""
        frame = frame_answer(self.tokenizer)
        written = replace(text, template=frame.template, alone=frame.header, with_input="", chat=False)
        # An empty response stays one: it has no loss.
        return written, [replace(each, response=each.response and frame.lead + each.response) for each in samples]

    def _pair(self, text: LossRequest, sample: Sample) -> Pair | str:
        """The sample's two texts as ids, the response cut to the token limit, or why there are none."""
        prefix = text.before(sample)
        before, alone_before = self._ids(prefix), self._ids(text.alone)
        if text.boundary == "joint":
            given, alone = self._ids(prefix + sample.response), self._ids(text.alone + sample.response)
        else:
            response = self._ids(sample.response, special=False)
            given, alone = before + response, alone_before + response
        if len(given) <= len(before):
            return "the response is empty"
        if len(before) >= self.max_tokens:
            return f"the instruction is too long: {len(before)} tokens, the limit is {self.max_tokens}"
        over = max(len(given) - self.max_tokens, 0)
        if over and self.overflow == "refuse":
            return f"the text has {len(given)} tokens, the limit is {self.max_tokens}, and --overflow is 'refuse'"
        if over:
            alone = alone[: max(len(alone) - over + (text.shifted and not alone_before), 0)]
        alone = alone if text.both else []
        return Pair(
            given[: self.max_tokens], len(before), alone, len(alone_before), text.template_for(sample), over > 0
        )

    def _ids(self, text: str, special: bool = True) -> list[int]:
        return open_ids(self.tokenizer, [text], special)[0]

    def _batches(self, readings: Sequence[_Reading]) -> Iterator[list[_Reading]]:
        """Readings of one kind and copy together, shortest first, within the limits of tokens and of logits.

        Noisy readings share no beginning, and those of different kinds begin differently.
        """
        vocabulary = self.reader.model.get_input_embeddings().num_embeddings
        most = _CUDA_LOGITS if self.reader.model.device.type == "cuda" else _LOGITS
        batch: list[_Reading] = []
        tokens = logits = 0
        for reading in sorted(readings, key=lambda r: (r.template, r.copy > 0, len(r.ids), r.sample, r.copy)):
            size, wanted = len(reading.ids), (len(reading.ids) - reading.first) * vocabulary
            alike = batch and (batch[0].template, batch[0].copy > 0) == (reading.template, reading.copy > 0)
            packed = size <= self.packed_limit
            if batch and not (alike and packed and tokens + size <= self.batch_tokens and logits + wanted <= most):
                yield batch
                batch, tokens, logits = [], 0, 0
            batch.append(reading)
            tokens, logits = tokens + size, logits + wanted
        if batch:
            yield batch

    def _sums(self, batch: list[_Reading], text: LossRequest, pairs: Sequence[Pair | str]) -> list[_Sums]:
        texts, firsts = [reading.ids for reading in batch], [reading.first for reading in batch]
        noise = self._noise(batch, text, pairs) if batch[0].copy else None
        if len(texts[-1]) <= self.packed_limit:
            prefix = common_prefix(texts) if noise is None else 0
            logits = self.reader.predictions(texts, firsts, prefix, noise)
        else:
            logits = self.reader.plain_predictions(texts[0], firsts[0], noise)
        targets = torch.tensor([token for reading in batch for token in reading.ids[reading.first :]])
        full = batch[0].given and not batch[0].copy
        columns = read_columns(logits, targets.to(logits.device), full)
        ends = np.cumsum([len(reading.ids) - reading.first for reading in batch])[:-1]
        return [_Sums(*parts) for parts in zip(*(np.split(column, ends) for column in columns), strict=True)]

    def _noise(self, batch: list[_Reading], text: LossRequest, pairs: Sequence[Pair | str]) -> torch.Tensor:
        """(1, T, width) uniform noise; a response alone has the noise that its tokens have after their instruction.

        It depends on the seed, the text and the copy, not on the row's place or the batch.
        """
        embedding = self.reader.model.get_input_embeddings()
        parts = []
        for reading in batch:
            pair = pairs[reading.sample]
            assert isinstance(pair, Pair)  # only these have readings
            key = np.array([text.seed, reading.copy, *pair.given], np.int64).tobytes()
            seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1
            shape = (len(pair.given), embedding.embedding_dim)
            draw = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
            parts.append(draw[-len(reading.ids) :] * text.noise / (shape[0] * shape[1]) ** 0.5)
        return torch.cat(parts)[None].to(self.reader.model.device, embedding.weight.dtype)


def _readings(index: int, copy: int, pair: Pair, whole: bool) -> Iterator[_Reading]:
    """The texts of one copy that have anything to be predicted; `whole` = the prompt's losses too."""
    first = 1 if whole else max(pair.start, 1)
    if first < len(pair.given):
        yield _Reading(index, copy, pair.template, pair.given, first)
    first = max(pair.alone_start, 1)
    if first < len(pair.alone):
        yield _Reading(index, copy, "", pair.alone, first)


def read_columns(logits: torch.Tensor, targets: torch.Tensor, full: bool) -> tuple[Float32, ...]:
    """(n,) columns of `_Sums` of targets from (n, vocabulary) logits; all but the loss are NaN unless `full`."""
    columns = torch.full((6, len(targets)), torch.nan, device=logits.device)
    chunk = _CUDA_CHUNK if logits.is_cuda else _CHUNK
    for at in range(0, len(targets), chunk):
        part = slice(at, at + chunk)
        logp = logits[part].log_softmax(-1)
        columns[0, part] = -logp.gather(1, targets[part, None])[:, 0]
        if full:
            p = logp.exp()
            columns[1, part] = -(p * logp.clamp_min(-1e4)).sum(-1)
            columns[2:4, part] = p.topk(2).values.T
            columns[4, part] = (p * p).sum(-1)
            own = logits[part].gather(1, targets[part, None])
            above = torch.empty_like(logp, dtype=torch.float32)  # to count floats is ten times quicker than Booleans
            columns[5, part] = 1 + torch.gt(logits[part], own, out=above).sum(-1)
    return tuple(columns.cpu().numpy())


def _assembled(
    index: int, pair: Pair, text: LossRequest, found: Mapping[tuple[int, int, bool], _Sums | str]
) -> ResponseLosses | str:
    """One response's losses of all copies, or the first error among them."""
    tokens = len(pair.given) - pair.start
    given = np.full((1 + text.copies, tokens), np.nan, np.float32)
    alone = np.full((1 + text.copies, tokens), np.nan, np.float32)
    clean, prompt_loss = None, np.nan
    for copy in range(1 + text.copies):
        for after, out in ((True, given), (False, alone)):
            sums = found.get((index, copy, after))
            if isinstance(sums, str):
                return sums
            if sums is None:
                continue
            if not np.isfinite(sums.loss).all():
                return "non-finite logits"
            kept = sums.loss[-tokens:]
            out[copy, tokens - len(kept) :] = kept
            if after and not copy:
                clean = sums
                before = sums.loss[:-tokens]
                prompt_loss = float(before.mean()) if len(before) else np.nan
    rest = np.full((5, tokens), np.nan, np.float32)
    if clean is not None:
        columns = (clean.entropy, clean.largest, clean.second, clean.squares, clean.rank)
        for out_row, column in zip(rest, columns, strict=True):
            kept = column[-tokens:]
            out_row[tokens - len(kept) :] = kept
    entropy, largest, second, squares, rank = rest
    return ResponseLosses(
        given, alone, entropy, largest, second, squares, rank, pair.start, prompt_loss, pair.truncated
    )
