"""RDS+: the model's own hidden states compared with those of a target."""

from __future__ import annotations

from dataclasses import dataclass

from selectit.errors import SettingsError, nearest
from selectit.methods._towards import SimilarityMethod
from selectit.signals.arrays import Embeddings, Signals
from selectit.signals.requests import EmbeddingRequest, StateRequest

TEXTS = ("both", "instruction")
SPACES = ("model", "encoder")


@dataclass(frozen=True, slots=True)
class Rds(SimilarityMethod):
    """The rows whose hidden states in the model itself are likest to those of a target's examples (RDS+).

    The last hidden states over instruction and response in the model's chat template, their mean weighted by position,
    and its cosine with that of each example; each example takes its likest row in turn.

    Source: Ivison et al., "Large-Scale Data Selection for Instruction Tuning", arXiv 2503.01807; whitening: CRDS, arXiv
    2602.13773.

    Needs: a target (`--target`), and hidden states of the rows and of its examples.

    Direction: the order of choice.

    Cost: 1 forward pass a row and an example, and N x Q x D multiplications.

    Differs: a text is read in the model's own chat template, where the published code has that of Tulu, and without
    one the response follows the instruction on a new line; it is read up to the model's context, at most 4,096 tokens,
    not 2,048. An example whose best row is taken takes its next one; in the published code its turn is lost
    (`turns=lost`). Of a conversation all turns before the last answer are one instruction.

    Licence: hamishivi/automated-instruction-selection and tdano1/CRDS: the first has none, the second Apache-2.0;
    nothing was taken from either.

    Checked: pooling and orders against values that the published code gave; the specification's whitening; packed
    against single reading.
    """

    text: str = "both"
    """`both`, or `instruction` alone: that compares like with like where the target is of questions alone."""
    whiten: int = 0
    """Whiten the vectors to so many principal axes of the rows' first, CRDS has 512; 0 = not. With fewer than several
    times as many rows it blows up noise."""
    space: str = "model"
    """Whose states are compared: those of the `model` (`--model`), or of an `encoder` (`--encoder`)."""
    chooser: str = "round-robin"
    """`round-robin`, `group-round-robin`, `mean`, `group-max`, `doubly-greedy` or `transport`: see docs/targets.md."""
    turns: str = "next"
    """In a round robin an example whose best row is taken takes its `next` best one; or its turn is `lost`."""

    def __post_init__(self) -> None:
        for name, value, known in (("text", self.text, TEXTS), ("space", self.space, SPACES)):
            if value not in known:
                raise SettingsError(f"rds has no {name} {value!r}", nearest(value, known))
        if self.whiten < 0:
            raise SettingsError(f"whiten is {self.whiten}", "It is a number of axes, for example 512; 0 = none.")
        super(Rds, self).__post_init__()  # a dataclass with slots is a class made anew

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return ((StateRequest if self.space == "model" else EmbeddingRequest)(self.text),)

    @property
    def label(self) -> str:
        parts = ["rds", self.text, self.chooser]
        parts += ["encoder"] * (self.space == "encoder") + [f"w{self.whiten}"] * bool(self.whiten)
        return "-".join(parts + ["lost"] * (self.turns == "lost"))

    @property
    def axes(self) -> int:
        """The parameter `whiten`."""
        return self.whiten

    def vectors(self, signals: Signals) -> Embeddings:
        """The model's states, or the encoder's vectors."""
        return signals.states if self.space == "model" else signals.embeddings


METHOD = Rds
