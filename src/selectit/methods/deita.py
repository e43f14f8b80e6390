"""Complexity times quality, without what is too similar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError
from selectit.methods import shorten
from selectit.methods._base import SetMethod
from selectit.numerics.ranking import check_finite
from selectit.numerics.subsets import similarity_filter
from selectit.numerics.vectors import pool
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import EmbeddingRequest, ScoreOf


@dataclass(frozen=True, slots=True)
class Deita(SetMethod):
    """The best rows by complexity x quality that are not too similar to one taken before (DEITA).

    Source: Liu et al., "What Makes Good Data for Alignment?", ICLR 2024, arXiv 2312.15685.

    Needs: embeddings, and two scores. By default they stand in the records' fields `complexity` and `quality`, where
    the outputs of DEITA's own scorers belong; `stored:NAME` takes scores of this run, as of `expected-rating:k=1` with
    one of these scorers as --model. Any other scoring method is a substitute, and the label says which.

    Direction: higher scores first; both above 0, or the product makes no sense.

    Cost: 1 forward pass of the encoder a row and what the two scores cost; N x kept x D multiplications.

    Differs: of a conversation the published code adds up complexity x quality over the turns, so that longer ones are
    first; here a row's two scores are means over its rated answers. Its embedding is the last token of a 7B to 13B
    model, for which .9 was chosen: with another encoder the limit means something else. Its way with equal scores is
    not defined; here it is a seeded draw. The paper words the limit as a distance; the code's test, similarity >
    limit, is used.

    Licence: hkust-nlp/deita, Apache-2.0; nothing was taken from it.

    Checked: the specification's values of the scorers' reading and of the filter, and the filter as a plain loop.
    """

    complexity: str = "field:name=complexity"
    """A scoring method with its parameters, such as `instag-complexity`, or `stored:NAME`."""
    quality: str = "field:name=quality"
    """The same, such as `selectit`."""
    limit: float = 0.9
    """A row is passed over whose cosine to one taken exceeds it; from -1 to 1."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""
    seed: int = 0
    """Of the order of equal scores."""

    def __post_init__(self) -> None:
        if not -1 <= self.limit <= 1:
            raise SettingsError(f"limit is {self.limit}", "It is a cosine: a number from -1 to 1.")

    @property
    def needs(self) -> tuple[EmbeddingRequest | ScoreOf, ...]:
        return (EmbeddingRequest(self.text), ScoreOf(self.complexity), ScoreOf(self.quality))

    @property
    def label(self) -> str:
        return f"deita-{shorten(self.complexity)}-{shorten(self.quality)}-l{self.limit:g}"

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows, best first; fewer where the rest is alike. Raises SettingsError on such scores."""
        complexity, quality = signals.score_of(self.complexity), signals.score_of(self.quality)
        for name, values in (("complexity", complexity), ("quality", quality)):
            check_finite(values)
            if (values < 0).any():
                raise SettingsError(
                    f"{name} is below 0 for {int((values < 0).sum())} rows, and a product of two such scores is high",
                    "Name a score that is not negative.",
                )
        rows, vectors = pool(signals, self.seed)
        product = (complexity * quality)[rows]
        order = np.argsort(-product, kind="stable")
        order = order[~np.isnan(product[order])]
        return rows[similarity_filter(vectors, order, budget, self.limit)]


METHOD = Deita
