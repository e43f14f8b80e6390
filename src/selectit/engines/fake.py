"""An engine without a model: numbers made from the text's digest. For tests, and for trying a pipeline out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.engines.base import OnBatch, RatingBatch
from selectit.prompts import RatingPrompt
from selectit.schema import FLAG_NO_ROOM, Float32, Int64, Sample


@dataclass(frozen=True, slots=True)
class FakeEngine:
    """Rates each text with label probabilities that depend on its characters alone, mass 0.9; a token is a word.

    A text over `max_tokens` words has no rating, so that a missing one can be tried out too.
    """

    name: str
    max_tokens: int
    parameters: int = 1_000_000

    @property
    def settings(self) -> Mapping[str, str | int]:
        return {"engine": "fake", "dtype": "fp32", "max_tokens": self.max_tokens}

    def rate(self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch) -> list[RatingBatch]:
        return [self._rate(prompt, samples, on_batch) for prompt in prompts]

    def _rate(self, prompt: RatingPrompt, samples: Sequence[Sample], on_batch: OnBatch) -> RatingBatch:
        texts = [prompt.render(sample.instruction, sample.response) + "chat" * prompt.chat for sample in samples]
        tokens = self.count_tokens(texts)
        logprob = np.stack([self._logprob(text, len(prompt.labels)) for text in texts])
        long = tokens > self.max_tokens
        logprob[long] = np.nan
        on_batch(len(texts), int(tokens.sum()))
        errors = tuple(
            f"{n} words, the limit is {self.max_tokens}" if over else None for n, over in zip(tokens, long, strict=True)
        )
        return RatingBatch(logprob, tokens, np.where(long, FLAG_NO_ROOM, 0).astype(np.uint8), errors)

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        return np.array([len(text.split()) for text in texts], dtype=np.int64)

    def close(self) -> None:
        """Nothing to free."""

    def _logprob(self, text: str, labels: int) -> Float32:
        seed = hashlib.sha256(f"{self.name}\0{text}".encode()).digest()
        weights = np.random.default_rng(int.from_bytes(seed[:8], "little")).random(labels) + 1e-3
        logprob: Float32 = np.log(0.9 * weights / weights.sum()).astype(np.float32)
        return logprob
