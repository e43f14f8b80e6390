"""The `fake` engine, without a model: numbers made from the text's digest. For tests, and to try a pipeline out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from selectit.config.settings import Settings
from selectit.data.records import Sample
from selectit.engines.base import MAX_TOKENS, EngineLoader
from selectit.jsonable import digest_of
from selectit.models.files import Model
from selectit.signals.arrays import FLAG_NO_ROOM, Float32, Float64, Int64
from selectit.signals.base import OnBatch
from selectit.signals.embeddings import EmbeddingRequest
from selectit.signals.gradients import GradientRequest, RowGradient
from selectit.signals.judgements import JudgeRequest, Reply
from selectit.signals.losses import LossRequest, ResponseLosses
from selectit.signals.ratings import RatingBatch, RatingPrompt


@dataclass(frozen=True, slots=True)
class FakeEngine:
    """Answers everything with numbers that depend on the text's characters alone; a token is a word.

    The labels' probabilities have a mass of 0.9.

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

    def losses(self, text: LossRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[ResponseLosses | str]:
        """Losses of words; a response without words, or with too long a prompt, has none."""
        on_batch(len(samples), 0)
        return [self._losses(text, sample) for sample in samples]

    def embed(self, what: EmbeddingRequest, samples: Sequence[Sample], on_batch: OnBatch) -> Float32:
        """(B, 8) vectors, those of equal texts equal; NaN for a text without words."""
        on_batch(len(samples), 0)
        texts = [what.of(sample) for sample in samples]
        vectors = [self._draws(text).standard_normal(8) if text.split() else np.full(8, np.nan) for text in texts]
        return np.array(vectors, np.float32)

    def gradients(self, what: GradientRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[RowGradient | str]:
        """Gradients of 64 weights, and their inner products; a response without words has none."""
        on_batch(len(samples), 0)
        examples = [self._gradients(what, each.instruction, each.response) for each in what.examples]
        return [self._gradient(what, sample, examples) for sample in samples]

    def reply(self, question: JudgeRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[Reply]:
        """A number from 0 to 5, in halves."""
        on_batch(len(samples), 0)
        texts = [f"{question.text}\0{sample.instruction}\0{sample.response}" for sample in samples]
        return [Reply(f"{self._draws(text).integers(0, 11) / 2}") for text in texts]

    def reward(self, samples: Sequence[Sample], on_batch: OnBatch) -> Float64:
        """(B,) standard normal numbers."""
        on_batch(len(samples), 0)
        return np.array([self._draws(f"{s.instruction}\0{s.response}").standard_normal() for s in samples])

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        return np.array([len(text.split()) for text in texts], dtype=np.int64)

    def close(self) -> None:
        """Nothing to free."""

    def _losses(self, text: LossRequest, sample: Sample) -> ResponseLosses | str:
        prompt = len(text.before(sample).split())
        words = sample.response.split()[: max(self.max_tokens - prompt, 0)]
        if not words:
            return "the response is empty" if not sample.response.split() else "the instruction is too long"
        draws = self._draws(f"{text.template_for(sample)}\0{sample.instruction}\0{sample.response}")
        given, alone = draws.exponential(2, (2, 1 + text.copies, len(words))).astype(np.float32)
        if not text.alone:
            alone[:, 0] = np.nan
        if not text.both:
            alone[:] = np.nan
        largest = np.exp(-given[0])
        second = (1 - largest) / 2
        entropy = draws.random(len(words)).astype(np.float32)
        cut = len(words) < len(sample.response.split())
        squares, rank = largest**2 + 2 * second**2, np.ceil(np.exp(given[0]))
        return ResponseLosses(
            given, alone, entropy, largest, second, squares, rank, prompt, float(given[0].mean()), cut
        )

    def _gradient(self, what: GradientRequest, sample: Sample, examples: Sequence[Float64]) -> RowGradient | str:
        words = len(sample.response.split())
        if not words:
            return "the response is empty"
        own = self._gradients(what, sample.instruction, sample.response)
        norm = np.linalg.norm(own, axis=1)
        inner = np.stack([np.einsum("cp,cp->c", own, each) for each in examples], 1) if examples else own[:, :0]
        projected = own[:, np.arange(what.dimensions) % 64] / norm[:, None]
        return RowGradient(
            norm.astype(np.float32), projected.astype(np.float16), inner.astype(np.float32), words, truncated=False
        )

    def _gradients(self, what: GradientRequest, instruction: str, response: str) -> Float64:
        """(C, 64)."""
        return self._draws(f"{what.text.template}\0{instruction}\0{response}").standard_normal((what.passes, 64))

    def _draws(self, text: str) -> np.random.Generator:
        seed = hashlib.sha256(f"{self.name}\0{text}".encode()).digest()
        return np.random.default_rng(int.from_bytes(seed[:8], "little"))

    def _logprob(self, text: str, labels: int) -> Float32:
        weights = self._draws(text).random(labels) + 1e-3
        logprob: Float32 = np.log(0.9 * weights / weights.sum()).astype(np.float32)
        return logprob


class FakeLoader(EngineLoader):
    """Every name is a model's, and nothing is loaded."""

    name = noun = "fake"
    holds_weights = False
    made_up = True

    def model(self, name: str, settings: Settings) -> Model:
        return Model(name, "", digest_of({"fake": name}), packaged=False)

    def load(self, model: Model, settings: Settings, stored: Mapping[str, Any], signal: str) -> FakeEngine:
        return FakeEngine(model.name, settings.max_tokens or stored.get("max_tokens") or MAX_TOKENS)

    def counter(self, model: Model, settings: Settings) -> FakeEngine:
        return FakeEngine(model.name, 0)


ENGINE = FakeLoader()
