"""GIST: gradients compared in the few directions in which those of a target's examples lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.methods._base import check_count
from selectit.methods._gradients import GradientTargetMethod, check_gradients, check_warm_up, label_adapter
from selectit.methods._losses import label_text
from selectit.methods._towards import known_vectors
from selectit.numerics.choosers import Choice, check_chooser, choose_rows
from selectit.numerics.influence import join_checkpoints, principal_codes
from selectit.numerics.vectors import unit
from selectit.signals.arrays import Embeddings, Float32, Gradients, Int64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Gist(GradientTargetMethod):
    """The rows whose gradients are likest to the mean of a target's, in the examples' leading directions (GIST).

    An adapter is tuned on a drawn share of the rows first, as by `less`. At its checkpoints gradients are compared by
    their coordinates on the k leading directions of the examples' gradients: those of each group are averaged, and a
    row's score is the largest cosine to a group, as a mean over checkpoints weighted by their learning rates.

    Source: GIST, arXiv 2602.18584.

    Needs: a target (`--target`) with answers; a causal model that can be tuned here, or `checkpoints`.

    Direction: the order of choice.

    Cost: `epochs` forward and backward passes a row and an example, after a tuning on `warmup` of the rows; N x Q x 4
    bytes of the disk for each; the examples' gradients stand in memory, Q x 4 bytes for each weight of the adapter.

    Differs: what is stored of a row is its inner products with the Q examples' gradients, of which its coordinates in
    any number of directions follow, so that k is changed without another pass. Directions with less than a millionth
    of the largest eigenvalue are left out, where the published code adds 1e-6 to its root. With one direction all
    cosines are 1 or -1. The defaults fit a laptop, as those of `less`, and `warmup=0` is the same first look. Groups of
    examples may have any sizes.

    Licence: GuanghuiMin/GIST has none; nothing was taken from it.

    Checked: the specification's values; gradients against PEFT, one row at a time.
    """

    warmup: float = 0.05
    """Share of the rows, drawn, that the adapter is tuned on first; 0 = a fresh adapter and no training."""
    epochs: float = 4.0
    """Passes of the warm-up over these rows; at the end of each a checkpoint is kept, and gradients are read."""
    recipe: str = "brief-lora"
    """How the adapter is tuned, but for the epochs: a packaged recipe, or a TOML file, with `lora` above 0."""
    checkpoints: str = ""
    """Instead of a warm-up, as of `less`: a folder with checkpoint-1, checkpoint-2, … of an adapter of the model, or
    one of them."""
    directions: int = 150
    """k; never more than there are examples."""
    rank: int = 4
    """Of the fresh adapter of `warmup=0`."""
    layers: int = 4
    """So many of the last layers count; 0 = all."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the matrices that get the fresh adapter."""
    template: str = "chat"
    """`chat`, the template with which the adapter was tuned, or the model's own without one; `alpaca`, its prompt for
    rows with an input or that for rows without; or `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""
    seed: int = 0
    """Of the draw, the training and the fresh adapter."""
    chooser: str = "group-max"
    """`group-max`, `round-robin`, `group-round-robin`, `mean`, `doubly-greedy` or `transport`: see docs/targets.md.
    The similarity of a row with an example is that with its group."""
    turns: str = "next"
    """In a round robin an example whose best row is taken takes its `next` best one; or its turn is `lost`."""

    def __post_init__(self) -> None:
        check_gradients(self.rank, self.layers)
        check_warm_up(self.warmup, self.epochs)
        check_count("directions", self.directions, "directions")
        loss_text(self.template, self.boundary)
        check_chooser(self.chooser, self.turns)

    @property
    def request(self) -> GradientRequest:
        """Their inner products with those of the examples."""
        text = loss_text(self.template, self.boundary, both=False)
        return GradientRequest(text, self.rank, self.layers, self.targets, inner=True, seed=self.seed)

    @property
    def label(self) -> str:
        parts = ["gist", label_text(self.template, self.boundary), self.chooser]
        parts += label_adapter(self, self.rank, self.layers) + [f"k{self.directions}", f"seed{self.seed}"]
        return "-".join(parts + ["lost"] * (self.turns == "lost"))

    def choose(self, signals: Signals, budget: int) -> Choice:
        """At most `budget` rows in the order of choice; those without a gradient are never taken."""
        found, group = signals.gradients, signals.target.group
        codes, means = describe_in_directions(found, signals.target.signals.gradients, group, self.directions)
        rows, vectors = known_vectors(Embeddings(found.row, codes), len(signals.rows))
        if not len(rows):
            return Choice(rows, rows)
        choice = choose_rows((unit(means) @ unit(vectors).T)[group], budget, group, self.chooser, self.turns)
        return Choice(rows[choice.rows], choice.targets)


METHOD = Gist


def describe_in_directions(
    rows: Gradients, examples: Gradients, group: Int64, directions: int
) -> tuple[Float32, Float32]:
    """(I, C x k) of items and (G, C x k) of the examples' groups: their cosines are weighted means over checkpoints.

    Args:
        rows: with inner products with the Q examples.
        examples: the same of these themselves.
        group: (Q,) the group of each, from 0 to G - 1.
        directions: at most so many at each checkpoint.
    """
    codes, means = [], []
    for place in range(len(rows.rates)):
        gram = examples.inner[:, place]
        codes.append(principal_codes(rows.inner[:, place], gram, directions))
        own = principal_codes(gram, gram, directions)
        means.append(np.stack([own[group == each].mean(axis=0) for each in np.unique(group)]))
    return join_checkpoints(codes, rows.rates), join_checkpoints(means, rows.rates)
