"""Gradients of rows, and what is kept of them: norms, random projections, inner products with those of examples."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selectit.data.records import Sample
from selectit.engines.hf import engine as hf_engine
from selectit.engines.hf.adapters import (
    Adapter,
    adam_step,
    count_weights,
    fresh_adapters,
    load_adapters,
    load_moments,
)
from selectit.engines.hf.differentiate import Batch, Differentiator, Text
from selectit.engines.hf.losses import Pair
from selectit.engines.hf.projection import project
from selectit.errors import DataError
from selectit.models.adapters import TEMPLATE
from selectit.signals.arrays import Float16, Float32
from selectit.signals.base import OnBatch
from selectit.signals.gradients import GradientRequest, RowGradient

log = logging.getLogger(__name__)


def load(path: str, **settings: Any) -> GradientEngine:
    """The causal model in the folder `path`; arguments and errors as of `hf.load`. Its layers are not compiled."""
    return GradientEngine(hf_engine.load(path, **{**settings, "fused": False}))


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of one text's gradient at one checkpoint; see `RowGradient`."""

    norm: np.float32
    projected: Float16
    inner: Float32


@dataclass(slots=True)
class _Report:
    """Tells of texts that are done, each of which is read `passes` times."""

    on_batch: OnBatch
    passes: int
    read: int = 0

    def of(self, batches: Iterable[Batch], texts: Sequence[Text | str]) -> Iterator[Batch]:
        """The batches, each told of."""
        for keys, gradients in batches:
            before, self.read = self.read, self.read + len(keys)
            tokens = sum(len(text.ids) for key in keys if not isinstance(text := texts[key], str))
            self.on_batch(self.read // self.passes - before // self.passes, tokens)
            yield keys, gradients


class GradientEngine:
    """A loaded causal model that gives gradients: `GivesGradients`. Made by `load`."""

    def __init__(self, engine: hf_engine.HFEngine) -> None:
        self._engine = engine
        self._losses = engine.loss_reader()
        self._differentiator = Differentiator(self._losses.reader, self._losses.batch_tokens)
        self._examples: dict[tuple[GradientRequest, int], torch.Tensor] = {}
        self.settings = engine.settings
        self.parameters = engine.parameters

    def gradients(self, what: GradientRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[RowGradient | str]:
        """See `GivesGradients.gradients`."""
        texts = self._texts(what, samples)
        report = _Report(on_batch, what.passes)
        found = [self._at(what, place, texts, report) for place in range(what.passes)]
        return [_assembled(text, kept) for text, kept in zip(texts, zip(*found, strict=True), strict=True)]

    def close(self) -> None:
        """Free the model's memory; the engine can't be used after it."""
        self._examples.clear()
        self._engine.close()

    def _texts(self, what: GradientRequest, samples: Sequence[Sample]) -> list[Text | str]:
        """Each sample's text; at checkpoints in the chat template with which these were tuned, where they have one."""
        losses = self._losses
        if what.checkpoints and (file := Path(what.checkpoints[0].path) / TEMPLATE).is_file():
            tokenizer = copy.copy(losses.tokenizer)
            tokenizer.chat_template = file.read_text(encoding="utf-8")
            losses = replace(losses, tokenizer=tokenizer)
        _, pairs = losses.pairs(what.text, samples)
        return [pair if isinstance(pair, str) else _text(pair) for pair in pairs]

    def _at(self, what: GradientRequest, place: int, texts: Sequence[Text | str], report: _Report) -> list[_Kept | str]:
        """What is kept of each text's gradient at one of the checkpoints, or why there is none."""
        found: dict[int, _Kept | str] = {at: text for at, text in enumerate(texts) if isinstance(text, str)}
        readable = {at: text for at, text in enumerate(texts) if not isinstance(text, str)}
        errors: dict[int, str] = {}
        if what.whole:
            weights = _Weights([], None, None)
            batches = self._differentiator.norms_by_all(readable, errors)
        else:
            weights = self._weights(what, place)
            batches = self._differentiator.by_adapters(weights.adapters, readable, errors)
        held = self._differentiator.rows_held(sum(count_weights(weights.adapters).values()))
        for keys, gradients in _together(report.of(batches, texts), held):
            found |= zip(keys, _keep(what, gradients, weights), strict=True)
        found |= errors
        return [found[at] for at in range(len(texts))]

    def _weights(self, what: GradientRequest, place: int) -> _Weights:
        """Adapters of the model or of one of the checkpoints, and what goes with them."""
        model = self._losses.reader.model
        if not what.checkpoints:
            adapters = fresh_adapters(model, what.rank, what.targets, what.layers, what.seed)
            return _Weights(adapters, None, self._example_gradients(what, place, adapters))
        folder = what.checkpoints[place].path
        adapters = load_adapters(model, folder, what.layers)
        moments = None
        if what.adam:
            first, second = load_moments(folder, adapters)
            moments = first.to(model.device), second.to(model.device)
        return _Weights(adapters, moments, self._example_gradients(what, place, adapters))

    def _example_gradients(self, what: GradientRequest, place: int, adapters: list[Adapter]) -> torch.Tensor | None:
        """(Q, P) of the examples of a target, where they are wanted; computed once for one request after another."""
        if not what.inner:
            return None
        key = (what.of_examples, place)
        if all(request != key[0] for request, _ in self._examples):
            self._examples.clear()
        if key not in self._examples:
            self._examples[key] = self._read_examples(what, adapters)
        return self._examples[key]

    def _read_examples(self, what: GradientRequest, adapters: list[Adapter]) -> torch.Tensor:
        log.info("reading the gradients of the target's examples first: %d", len(what.examples))
        asked = [Sample(at, 0, each.instruction, each.response, each.input) for at, each in enumerate(what.examples)]
        texts = self._texts(what, asked)
        errors = {at: text for at, text in enumerate(texts) if isinstance(text, str)}
        readable = {at: text for at, text in enumerate(texts) if not isinstance(text, str)}
        found = dict[int, torch.Tensor]()
        for keys, gradients in self._differentiator.by_adapters(adapters, readable, errors):
            found |= zip(keys, gradients, strict=True)
        for at, why in errors.items():
            raise DataError(f"example {at} of the target has no gradient: {why}", "Leave it out, or mend it.")
        return torch.stack([found[at] for at in range(len(texts))])


@dataclass(frozen=True, slots=True)
class _Weights:
    """What gradients are with respect to, and what is done with them."""

    adapters: list[Adapter]
    """Those whose P weights count, and others; none where all of the model's do."""
    moments: tuple[torch.Tensor, torch.Tensor] | None
    """The optimiser's, (P,) each, where gradients become its steps."""
    examples: torch.Tensor | None
    """(Q, P)."""


def _text(pair: Pair) -> Text | str:
    first = max(pair.start, 1)
    if first == len(pair.given):
        return "nothing stands before the only token of the response"
    return Text(pair.given, first, pair.truncated)


def _together(batches: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """Batches joined to such of `rows` or more: the signs that project a batch are made anew for each."""
    keys: list[int] = []
    held: list[torch.Tensor] = []
    for some, gradients in batches:
        keys.extend(some)
        held.append(gradients)
        if len(keys) >= rows:
            yield keys, torch.cat(held)
            keys, held = [], []
    if keys:
        yield keys, torch.cat(held)


def _keep(what: GradientRequest, gradients: torch.Tensor, weights: _Weights) -> list[_Kept | str]:
    """What is kept of each of (B, P) gradients, or that it is not finite."""
    if weights.moments is not None:
        gradients = adam_step(gradients, *weights.moments)
    norm = gradients.norm(dim=1)
    projected = inner = norm.new_zeros(len(norm), 0)
    if what.dimensions:
        projected = project(gradients, count_weights(weights.adapters), what.dimensions, what.seed)
        projected = projected / norm.clamp_min(torch.finfo(norm.dtype).tiny)[:, None]
    if weights.examples is not None:
        inner = gradients @ weights.examples.T
    columns = norm.cpu().numpy(), projected.half().cpu().numpy(), inner.cpu().numpy()
    return [_Kept(*row) if np.isfinite(row[0]) else "the gradient is not finite" for row in zip(*columns, strict=True)]


def _assembled(text: Text | str, kept: Sequence[_Kept | str]) -> RowGradient | str:
    """One row's gradients at all checkpoints, or the first error among them."""
    known = [each for each in kept if not isinstance(each, str)]
    if isinstance(text, str) or len(known) < len(kept):
        return next(each for each in kept if isinstance(each, str))
    return RowGradient(
        norm=np.array([each.norm for each in known], np.float32),
        projected=np.stack([each.projected for each in known]),
        inner=np.stack([each.inner for each in known]),
        tokens=len(text.ids),
        truncated=text.truncated,
    )
