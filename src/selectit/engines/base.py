"""What an engine can be asked for. One small Protocol for each capability, no flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from selectit.prompts import RatingPrompt
from selectit.schema import Float32, Int64, Sample

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


@runtime_checkable
class RatesLabels(Protocol):
    """An engine with a loaded model that gives the probabilities of a rating prompt's labels."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """What besides model, prompt and data decides the numbers, resolved: dtype, device, threads and so on."""

    @property
    def parameters(self) -> int:
        """Parameter count of the model; tied weights count once."""

    def rate(self, prompt: RatingPrompt, samples: Sequence[Sample], on_batch: OnBatch) -> RatingBatch:
        """Rate `samples`, forming batches inside. A sample that fails is an entry of `errors`.

        Raises:
            ModelError: the labels are not distinct single tokens after the prompt.
            EngineError: `SAME_ERROR_LIMIT` samples in a row failed with the same error.
        """

    def close(self) -> None:
        """Free the model's memory."""


@runtime_checkable
class CountsTokens(Protocol):
    """An engine (or its tokenizer alone) that counts tokens."""

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        """(len(texts),) tokens of each text, special tokens not counted."""
