"""From the probabilities of rating labels to numbers: the arithmetic that methods share. Pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selectit.signals.arrays import Float64


def expected(logprob: NDArray[Any]) -> Float64:
    """(..., R) natural logs of probabilities, in any constant normalisation, to (...) mean labels in [1, R].

    NaN where a label is missing or all have probability 0.
    """
    values = np.asarray(logprob, np.float64)
    with np.errstate(invalid="ignore"):
        chances = np.exp(values - values.max(axis=-1, keepdims=True))
    mean: Float64 = chances @ np.arange(1, values.shape[-1] + 1) / chances.sum(axis=-1)
    return mean


def log_sum(logprob: NDArray[Any]) -> Float64:
    """(..., R) natural logs of probabilities to (...) the log of their sum; NaN where one is missing."""
    with np.errstate(invalid="ignore"):
        total: Float64 = np.logaddexp.reduce(np.asarray(logprob, np.float64), axis=-1)
    return total


def label_shares(logprob: NDArray[Any]) -> Float64:
    """(..., R) natural logs of the labels' probabilities over the vocabulary to those over the labels alone."""
    shares: Float64 = np.asarray(logprob, np.float64) - log_sum(logprob)[..., None]
    return shares


def sentence_scores(tokens: Float64, alpha: float, min_prompts: int) -> Float64:
    """Equation 4 of SelectIT: mean over the prompts / (1 + alpha · population standard deviation).

    Args:
        tokens: (..., K) scores under single prompts, NaN = missing.
        alpha: 0 or more.
        min_prompts: so many of the K must be present; the mean and deviation are theirs.

    Returns:
        (...) float64, NaN where fewer are present.
    """
    columns = np.ascontiguousarray(np.moveaxis(tokens, -1, 0))
    present = ~np.isnan(columns)
    count = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = columns.sum(axis=0, where=present) / count
        variance = ((columns - mean) ** 2).sum(axis=0, where=present) / count
    return np.where(count >= min_prompts, mean / (1 + alpha * np.sqrt(variance)), np.nan)
