"""The neighbours of a target in an encoder's space."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.methods._towards import SimilarityMethod
from selectit.signals.arrays import Embeddings, Signals
from selectit.signals.requests import EmbeddingRequest


@dataclass(frozen=True, slots=True)
class KnnTarget(SimilarityMethod):
    """The rows nearest to the examples of a target in the space of a sentence encoder.

    Each example takes its nearest row in turn until there are enough: all examples get their share.

    Source: the representation EMBED of arXiv 2602.14696, with the same choosers as `rds`.

    Needs: a target (`--target`), and embeddings of the rows and of its examples.

    Direction: the order of choice.

    Cost: 1 forward pass of the encoder a row and an example, and N x Q x D multiplications.

    Differs: the published code has an encoder of 7B; any may be named with `--encoder`.

    Licence: dcml-lab/targeted-instruction-selection, Apache-2.0; nothing was taken from it.

    Checked: the choosers against orders and masses that the published code gave; by brute force.
    """

    text: str = "both"
    """`instruction`, `response` or `both`; of a target of questions alone `instruction` compares like with like."""
    chooser: str = "round-robin"
    """`round-robin`, `group-round-robin`, `mean`, `group-max`, `doubly-greedy` or `transport`: see docs/targets.md."""
    turns: str = "next"
    """In a round robin an example whose best row is taken takes its `next` best one; or its turn is `lost`."""

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        return f"knn-target-{self.text}-{self.chooser}" + ("-lost" if self.turns == "lost" else "")

    def vectors(self, signals: Signals) -> Embeddings:
        """The encoder's."""
        return signals.embeddings


METHOD = KnnTarget
