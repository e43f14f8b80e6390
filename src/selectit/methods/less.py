"""LESS: the rows whose gradients point where those of a target's examples do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selectit.data.examples import Example
from selectit.methods._base import check_count
from selectit.methods._gradients import at_checkpoints, check_gradients, label_weights
from selectit.methods._losses import label_text
from selectit.methods._towards import SimilarityMethod
from selectit.numerics.influence import join_checkpoints
from selectit.signals.arrays import Embeddings, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Less(SimilarityMethod):
    """The rows whose gradients are likest to those of a target's examples (LESS).

    The influence of a row on an example is the cosine of the row's Adam step with the example's gradient, both
    projected at random, as a mean over checkpoints weighted by their learning rates; a row's score is the largest of
    its means over the examples of each group.

    Source: Xia et al., "LESS: Selecting Influential Data for Targeted Instruction Tuning", ICML 2024, arXiv 2402.04333.

    Needs: a target (`--target`) with answers, gradients of the rows and of its examples; and for the whole of LESS a
    folder of checkpoints of an adapter that was tuned on a part of the data.

    Direction: the order of choice.

    Cost: 1 forward and backward pass a row and an example at each checkpoint, and N x D x 2 bytes of the disk.

    Differs: without `checkpoints` it is at the untuned model, with plain gradients of a fresh adapter: a first look
    without any tuning. The defaults fit a laptop: an adapter of rank 4 on the last 4 layers and 512 dimensions, where
    the paper has rank 128 on all and 8,192; the projection's error of a cosine has a standard deviation of at most
    .063, with 8,192 .016. A row's step is (.9 m + .1 g) / sqrt(.999 v + .001 g² + 1e-8) with the stored moments m and
    v, as the published code has it: no bias correction, epsilon inside the root. It is taken before the projection. A
    text has the alpaca template where the published one has Tulu's, and its end token is not read. Groups of examples
    may have any sizes.

    Licence: princeton-nlp/LESS is MIT, OpenDCAI/DataFlex Apache-2.0; nothing was taken from either.

    Checked: steps, scores and order of choice against values that the published code gave; gradients against PEFT, one
    row at a time.
    """

    checkpoints: str = ""
    """A folder with checkpoint-1, checkpoint-2, … of an adapter of the model, as the Trainer of transformers saves them
    (adapter_model.safetensors, optimizer.pt, trainer_state.json), or one of them."""
    optimizer: str = "adam"
    """At checkpoints: `adam`, a row's step with the moments of the optimiser, or `sgd`, its gradient; without
    checkpoints there are no moments."""
    rank: int = 4
    """Of the fresh adapter, where there are no checkpoints."""
    layers: int = 4
    """So many of the last layers count; 0 = all."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the matrices that get the fresh adapter."""
    dimensions: int = 512
    """Of the projection."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""
    seed: int = 0
    """Of the projection and the fresh adapter."""
    chooser: str = "group-max"
    """`group-max`, `round-robin`, `group-round-robin`, `mean`, `doubly-greedy` or `transport`: see docs/targets.md."""
    turns: str = "next"
    """In a round robin an example whose best row is taken takes its `next` best one; or its turn is `lost`."""

    def __post_init__(self) -> None:
        check_gradients(self.rank, self.layers, self.optimizer)
        check_count("dimensions", self.dimensions, "dimensions of the projection")
        loss_text(self.template, self.boundary)
        super(Less, self).__post_init__()  # a dataclass with slots is a class made anew

    def check_target(self, examples: Sequence[Example]) -> None:
        """Raise SettingsError where an example has no answer."""
        self.needs[0].towards(examples)

    @property
    def needs(self) -> tuple[GradientRequest]:
        text = loss_text(self.template, self.boundary, both=False)
        request = GradientRequest(
            text, self.rank, self.layers, self.targets, dimensions=self.dimensions, seed=self.seed
        )
        return (at_checkpoints(request, self.checkpoints, self.optimizer),)

    @property
    def label(self) -> str:
        parts = ["less", label_text(self.template, self.boundary), self.chooser]
        parts += label_weights(self.rank, self.layers, self.checkpoints) + [f"d{self.dimensions}", f"seed{self.seed}"]
        return "-".join(parts + ["lost"] * (self.turns == "lost") + ["sgd"] * (self.optimizer == "sgd"))

    def vectors(self, signals: Signals) -> Embeddings:
        """(I, C x D) vectors whose inner products are the influences."""
        found = signals.gradients
        places = range(len(found.rates))
        return Embeddings(found.row, join_checkpoints([found.projected[:, place] for place in places], found.rates))


METHOD = Less
