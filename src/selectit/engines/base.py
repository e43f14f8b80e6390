"""What an engine can be asked for. One small Protocol for each capability, no flags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from selectit.array_types import Float32, Float64, Int64
from selectit.data.records import Sample
from selectit.engines.fitting import FittedText
from selectit.errors import EngineError
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_TRUNCATED
from selectit.signals.requests import EmbeddingRequest, JudgeRequest, LossRequest, RatingPrompt

OnBatch = Callable[[int, int], None]
"""Called after each batch with the number of ratings done and the tokens of their texts."""


SAME_ERROR_LIMIT = 20
"""So many rows in a row that fail with one error stop the run: the engine is broken, not the rows."""


@dataclass(frozen=True, slots=True)
class RatingBatch:
    """Ratings of B samples under one prompt with R labels, in the order of the samples."""

    logprob: Float32
    """(B, R) natural-log probability of each label as next token, normalised over the whole vocabulary;
    NaN = not returned."""
    tokens: Int64
    """(B,) length of the rated text in tokens, 0 where there is none."""
    flags: NDArray[np.uint8]
    """(B,) sums of `schema.FLAG_TRUNCATED` and `schema.FLAG_SMALLER_BATCH`."""
    errors: tuple[str | None, ...]
    """(B,) why a sample has no rating; None where it has one."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A generator's answer to a question about one sample."""

    text: str | None
    """None = there is none."""
    error: str = ""
    """Why there is none; '' where there is one."""
    flags: int = 0
    """`schema.FLAG_UNFINISHED`, or `schema.FLAG_NO_ROOM` where the question is too long."""


@runtime_checkable
class RatesLabels(Protocol):
    """An engine with a loaded model that gives the probabilities of a rating prompt's labels."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """What besides model, prompt and data decides the numbers, resolved: dtype, device, threads and so on."""

    @property
    def parameters(self) -> int:
        """Parameter count of the model; tied weights count once."""

    def rate(self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch) -> list[RatingBatch]:
        """Rate `samples` under each of `prompts`, forming batches inside. A sample that fails is an entry of `errors`.

        What one prompt gives does not depend on which others are asked in the same call.

        Raises:
            ModelError: the labels are not distinct single tokens after the prompt.
            EngineError: `SAME_ERROR_LIMIT` samples in a row failed with the same error.
        """

    def close(self) -> None:
        """Free the model's memory."""


@dataclass(frozen=True, slots=True)
class ResponseLosses:
    """The losses of one response; see `schema.Losses` for what the columns hold. T tokens, C noisy copies."""

    given: Float32
    """(1 + C, T)."""
    alone: Float32
    """(1 + C, T)."""
    entropy: Float32
    largest: Float32
    second: Float32
    squares: Float32
    prompt_tokens: int
    prompt_loss: float
    truncated: bool


@runtime_checkable
class ScoresText(Protocol):
    """An engine with a loaded causal model that gives the losses of responses."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """As of `RatesLabels`."""

    @property
    def parameters(self) -> int:
        """As of `RatesLabels`."""

    def losses(self, text: LossRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[ResponseLosses | str]:
        """The losses of each response, or why it has none.

        Raises:
            EngineError: `SAME_ERROR_LIMIT` samples in a row failed with the same error.
        """

    def close(self) -> None:
        """Free the model's memory."""


@runtime_checkable
class Embeds(Protocol):
    """A loaded encoder."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """As of `RatesLabels`."""

    @property
    def parameters(self) -> int:
        """As of `RatesLabels`."""

    def embed(self, what: EmbeddingRequest, samples: Sequence[Sample], on_batch: OnBatch) -> Float32:
        """(B, D) vectors, as the encoder gives them; a text over its limit is cut from the right.

        A row that is not finite everywhere has no vector.
        """

    def close(self) -> None:
        """Free the model's memory."""


@runtime_checkable
class Replies(Protocol):
    """A loaded generator."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """As of `RatesLabels`."""

    @property
    def parameters(self) -> int:
        """As of `RatesLabels`."""

    def reply(self, question: JudgeRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[Reply]:
        """The greedy answer about each sample."""

    def close(self) -> None:
        """Free the model's memory."""


@runtime_checkable
class Rewards(Protocol):
    """A loaded reward model."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """As of `RatesLabels`."""

    @property
    def parameters(self) -> int:
        """As of `RatesLabels`."""

    def reward(self, samples: Sequence[Sample], on_batch: OnBatch) -> Float64:
        """(B,) the model's single output, higher is better; NaN where the text has no room."""

    def close(self) -> None:
        """Free the model's memory."""


@runtime_checkable
class CountsTokens(Protocol):
    """An engine (or its tokenizer alone) that counts tokens."""

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        """(len(texts),) tokens of each text, special tokens not counted."""


@dataclass(slots=True)
class Failures:
    """Counts failures in a row with the same error."""

    error: str = ""
    count: int = 0

    def stop(self) -> None:
        """Something went well."""
        self.count = 0

    def add(self, error: str) -> None:
        """Count one. Raises EngineError where it is the last of too many in a row."""
        self.count = self.count + 1 if error == self.error else 1
        self.error = error
        if self.count >= SAME_ERROR_LIMIT:
            raise EngineError(
                f"{self.count} rows in a row failed with the same error: {error}",
                "The model or the device is at fault, not the rows. Try --dtype fp32 or a smaller --batch-tokens.",
            )


@dataclass(slots=True)
class Rated:
    """The ratings of B samples under one prompt while they come in; indices are places in the samples."""

    ids: dict[int, list[int]]
    """The token ids of those that can be rated."""
    logprob: Float32
    tokens: Int64
    flags: NDArray[np.uint8]
    errors: list[str | None]
    failures: Failures

    @classmethod
    def of(cls, texts: Iterable[FittedText | str], labels: int) -> Rated:
        """Nothing rated yet, of fitted texts, or why there is none."""
        texts = list(texts)
        errors = [text if isinstance(text, str) else None for text in texts]
        flags = [FLAG_NO_ROOM if isinstance(text, str) else FLAG_TRUNCATED * text.truncated for text in texts]
        ids = {index: text.ids for index, text in enumerate(texts) if not isinstance(text, str)}
        tokens = [len(ids.get(index, ())) for index in range(len(texts))]
        logprob = np.full((len(texts), labels), np.nan, np.float32)
        return cls(ids, logprob, np.array(tokens, np.int64), np.array(flags, np.uint8), errors, Failures())

    def store(self, batch: Sequence[int], logprob: Float32) -> None:
        """Note the (len(batch), R) log-probabilities of the samples at those places."""
        for index, values in zip(batch, logprob, strict=True):
            if np.isfinite(values).all():
                self.logprob[index] = values
                self.failures.stop()
            else:
                self.fail(index, "non-finite logits")

    def fail(self, index: int, message: str) -> None:
        """Note the error of one sample. Raises EngineError where it is the last of too many in a row."""
        self.errors[index] = message
        self.failures.add(message)

    def result(self) -> RatingBatch:
        """What came in."""
        return RatingBatch(self.logprob, self.tokens, self.flags, tuple(self.errors))
