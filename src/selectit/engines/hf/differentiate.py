"""Gradients of the mean losses of texts, many texts at once, with respect to adapters; one by one to all weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from selectit.engines.base import Failures
from selectit.engines.hf.adapters import Adapter, adapted, count_weights
from selectit.engines.hf.halving import read_in_halves
from selectit.engines.hf.packing import Reader

_LOGITS, _CUDA_LOGITS = 2**25, 2**28
"""Logits of one batch: 128 MB and 1 GB in float32, and several times that while they are differentiated."""


_PADDING = 0.2
"""Share of a batch's tokens that may be padding: few texts of unlike lengths are quicker one by one."""


_BYTES, _CUDA_BYTES = 2**28, 2**32
"""Of the gradients that are held at once."""


_CUDA_SHARE = 4
"""On a GPU a batch that is differentiated has so many tokens less than one that is only read."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text, for the mean loss of its tokens from `first` on (1 or more: nothing predicts token 0)."""

    ids: list[int]
    first: int
    truncated: bool


Batch = tuple[list[int], torch.Tensor]
"""The keys of B texts, and their (B, P) gradients in float32."""


_Differentiate = Callable[[Sequence[Text]], torch.Tensor]


class Differentiator:
    """A loaded causal model that is differentiated."""

    def __init__(self, reader: Reader, batch_tokens: int) -> None:
        self.reader = reader
        self._cuda = reader.model.device.type == "cuda"
        self._batch_tokens = batch_tokens // _CUDA_SHARE if self._cuda else batch_tokens
        if self._cuda:
            checkpoint_layers(reader.model)

    def by_adapters(
        self, adapters: Sequence[Adapter], texts: Mapping[int, Text], errors: MutableMapping[int, str]
    ) -> Iterator[Batch]:
        """Gradients with respect to the P weights that count, in the order of the adapters' `sizes`, batch by batch.

        Args:
            adapters: the model reads with them.
            texts: by any keys; they come back shortest first.
            errors: receives why a text has no gradient.

        Raises EngineError where too many texts in a row fail with one error.
        """
        rows = self.rows_held(sum(count_weights(adapters).values()))
        self.reader.model.requires_grad_(False)
        yield from self._read(texts, rows, partial(self._adapter_gradients, adapters), errors)

    def norms_by_all(self, texts: Mapping[int, Text], errors: MutableMapping[int, str]) -> Iterator[Batch]:
        """As `by_adapters`, but P is 1: the norm of the gradient with respect to all weights, tied ones once."""
        self.reader.model.requires_grad_(True)
        yield from self._read(texts, 1, self._norm, errors)

    def rows_held(self, weights: int) -> int:
        """How many rows' gradients with respect to so many weights may be held at once."""
        return int(max((_CUDA_BYTES if self._cuda else _BYTES) // (4 * max(weights, 1)), 1))

    def _read(
        self,
        texts: Mapping[int, Text],
        rows: int,
        differentiate: _Differentiate,
        errors: MutableMapping[int, str],
    ) -> Iterator[Batch]:
        failures = Failures()
        self.reader.use_attention(self.reader.own_attention)
        for batch in self._batches(texts, rows):
            for keys, found in read_in_halves(batch, lambda some: differentiate([texts[key] for key in some])):
                if isinstance(found, str):
                    errors[keys[0]] = found
                    failures.add(found)
                else:
                    failures.reset()
                    yield keys, found

    def _batches(self, texts: Mapping[int, Text], rows: int) -> Iterator[list[int]]:
        """Keys of texts, shortest first, within the limits of rows, of padded tokens, of padding and of logits."""
        vocabulary = self.reader.model.get_input_embeddings().num_embeddings
        most = (_CUDA_LOGITS if self._cuda else _LOGITS) // vocabulary
        batch: list[int] = []
        predicted = own = 0
        for key in sorted(texts, key=lambda key: (len(texts[key].ids), key)):
            size = len(texts[key].ids)
            predicted, own, read = predicted + size - texts[key].first, own + size, (len(batch) + 1) * size
            fits = read <= self._batch_tokens and read - own <= _PADDING * read and predicted <= most
            if batch and not (fits and len(batch) < rows):
                yield batch
                batch, predicted, own = [], size - texts[key].first, size
            batch.append(key)
        if batch:
            yield batch

    def _adapter_gradients(self, adapters: Sequence[Adapter], texts: Sequence[Text]) -> torch.Tensor:
        with torch.enable_grad(), adapted(adapters, len(texts)) as copies:
            found = torch.autograd.grad(self._loss(texts), copies)
        return torch.cat([each.flatten(1).to(self.reader.model.device) for each in found], 1)

    def _norm(self, texts: Sequence[Text]) -> torch.Tensor:
        weights = list(self.reader.model.parameters())
        with torch.enable_grad():
            found = torch.autograd.grad(self._loss(texts), weights, allow_unused=True)
        norms = [each.float().norm().to(self.reader.model.device) for each in found if each is not None]
        return torch.stack(norms).norm().view(1, 1)

    def _loss(self, texts: Sequence[Text]) -> torch.Tensor:
        """The sum of the texts' mean losses, in nats.

        Short texts are padded on their right. That needs no mask, since no token of theirs sees what follows it.
        """
        model, width = self.reader.model, max(len(text.ids) for text in texts)
        ids = torch.tensor([text.ids + [0] * (width - len(text.ids)) for text in texts], device=model.device)
        places = [
            at * width + place for at, text in enumerate(texts) for place in range(text.first - 1, len(text.ids) - 1)
        ]
        targets = torch.tensor([token for text in texts for token in text.ids[text.first :]])
        counts = np.array([len(text.ids) - text.first for text in texts])
        weights = torch.from_numpy(np.repeat(1 / counts, counts).astype(np.float32))
        with _only(model.get_output_embeddings(), torch.tensor(places)):
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
        return cross_entropy(logits, targets.to(logits.device), reduction="none") @ weights.to(logits.device)


@contextmanager
def _only(head: Any, places: torch.Tensor) -> Iterator[None]:
    """Inside it the output layer is applied at those places of all texts' tokens alone, as if they were one text's."""

    def choose(_: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return inputs[0].flatten(0, 1)[places.to(inputs[0].device)][None], *inputs[1:]

    handle = head.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def checkpoint_layers(model: Any) -> None:
    """Let each layer be computed again on the way back instead of being kept, without dropout or all else of training.

    Only layers behind the first adapter are: the others have no way back.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        return
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.modules():
        if getattr(module, "gradient_checkpointing", False):
            module.training = True  # this module's own flag alone: those in it stay as they are
