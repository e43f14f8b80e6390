"""LIFT's compression: varied first, then good."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.ranking import standardised
from selectit.numerics.vectors import blocks, pool
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf
from selectit.text_tables import write_count


@dataclass(frozen=True, slots=True)
class Lift(SetMethod):
    """The rows of the largest variance over the main axes, and of these the best by quality and length (LIFT).

    Source: Xu et al., "Rethinking the Instruction Quality: LIFT Is What You Need", arXiv 2312.11508; read in secondary
    sources, for there is no public code.

    Needs: embeddings of the instruction, and a score of quality: any scoring method.

    Direction: higher variance, then higher quality + length, first.

    Cost: 1 forward pass of the encoder a row and what the quality costs.

    Differs: this is the compression. The expansion before it, where GPT-4 writes new rows, is `selectit expand`, by a
    generator of yours and in this project's words; without it this chooses from the rows that there are. Quality is
    the score that you name where the paper asks GPT-4; the paper does not give the number of axes (here as many as
    explain 95 % of the variance), the encoder, or the weights (here equal, of standardised quality and log length). A
    row's variance says how unevenly it lies along the axes, mostly how far out, not how unlike the chosen rows are. It
    depends on which way the axes point, which the paper leaves open; here each points to where its large entries are.

    Licence: no public code.

    Checked: the specification's row variances, and by hand.
    """

    quality: str = "reward"
    """A scoring method with its parameters, or `stored:NAME`."""
    length: str = "length"
    """The same for the length, which is 0 or more."""
    share: float = 0.2
    """The share of the rows with an embedding that passes the first step. With a larger budget than that, fewer rows
    come back."""
    components: int = 0
    """The number of axes, from 2; 0 = as many as explain the share `explained` of the variance."""
    explained: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 < self.explained <= 1:
            raise SettingsError(f"share is {self.share}, explained {self.explained}", "Both are above 0 and at most 1.")
        if self.components < 0 or self.components == 1:
            raise SettingsError(f"components is {self.components}", "A variance needs 2 axes or more; 0 = automatic.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest("instruction"), ScoreOf(self.quality), ScoreOf(self.length))

    @property
    def label(self) -> str:
        axes = f"k{self.components}" if self.components else f"e{self.explained:g}"
        return f"lift-{shorten(self.quality)}-{shorten(self.length)}-s{self.share:g}-{axes}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows, best first; those without embedding, quality or length are never taken.

        Raises SettingsError where a length is negative, or a score infinite.
        """
        rows, vectors = pool(signals)
        quality, length = signals.score_of(self.quality)[rows], signals.score_of(self.length)[rows]
        known = ~(np.isnan(quality) | np.isnan(length))
        rows, vectors, quality, length = rows[known], vectors[known], quality[known], length[known]
        if not len(rows):
            return rows
        if (length < 0).any():
            raise SettingsError(
                f"the length is below 0 for {write_count(int((length < 0).sum()), 'row')}, and its logarithm is taken",
                "Name a score that is not negative.",
            )
        variance = row_variance(vectors, self.components, self.explained)
        passed = np.argsort(-variance, kind="stable")[: math.ceil(Decimal(str(self.share)) * len(rows))]
        worth = standardised(quality[passed]) + standardised(np.log1p(length[passed]))
        return rows[passed[np.argsort(-worth, kind="stable")[:budget]]]


METHOD = Lift


def row_variance(vectors: Float64 | np.ndarray, components: int, explained: float = 0.95) -> Float64:
    """(N,) the variance (divisor k - 1) of each point's k coordinates on the principal axes, largest axes first.

    A point's mean over the axes is a part of it, so it depends on which way each axis points; see `_signs`.

    Args:
        vectors: (N, D) finite.
        components: k, 2 or more; 0 = the fewest, but 2, that explain the share `explained`.
        explained: of the variance.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    parts = blocks(len(vectors), 16_384)  # a block at a time in float64, and no axis for every row
    squares, axes = np.linalg.eigh(sum((part := vectors[at] - mean).T @ part for at in parts))
    squares, axes = np.maximum(squares[::-1], 0), axes.T[::-1]
    if not components:
        total = np.cumsum(squares)
        components = max(int(np.searchsorted(total, explained * total[-1] * (1 - 1e-12))) + 1, 2)
    axes = axes[: min(components, len(vectors))]
    if len(axes) < 2:
        return np.zeros(len(vectors))  # one axis, or one point
    axes = axes * _signs(axes)[:, None]
    return np.concatenate([((vectors[at] - mean) @ axes.T).var(axis=1, ddof=1) for at in parts])


def _signs(axes: Float64) -> Float64:
    """(k,) 1 or -1, by which each of (k, D) axes points to where its large entries are: their cubes add up above 0.

    The largest entry alone would say the same where there is one; of several of about its size another point more or
    less makes another the largest. Where the cubes cancel out, the first entry is above 0.
    """
    cubes = (axes**3).sum(axis=1)
    first = axes[np.arange(len(axes)), (np.abs(axes) > 1e-6).argmax(axis=1)]
    return np.where(np.where(np.abs(cubes) > 1e-9, cubes, first) < 0, -1.0, 1.0)
