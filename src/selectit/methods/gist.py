"""GIST: gradients compared in the few directions in which those of a target's examples lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selectit.data.examples import Example
from selectit.methods._base import TargetMethod, check_count
from selectit.methods._gradients import at_checkpoints, check_gradients, label_weights
from selectit.methods._losses import label_text
from selectit.methods._towards import known_vectors
from selectit.numerics.choosers import Choice, check_chooser, choose_rows
from selectit.numerics.influence import join_checkpoints, principal_codes
from selectit.numerics.vectors import unit
from selectit.signals.arrays import Embeddings, Float32, Gradients, Int64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Gist(TargetMethod):
    """The rows whose gradients are likest to the mean of a target's, in the examples' leading directions (GIST).

    Gradients are compared by their coordinates on the k leading directions of the examples' gradients: those of each
    group are averaged, and a row's score is the largest cosine to a group, as a mean over checkpoints weighted by their
    learning rates.

    Source: GIST, arXiv 2602.18584.

    Needs: a target (`--target`) with answers, and gradients of the rows and of its examples.

    Direction: the order of choice.

    Cost: 1 forward and backward pass a row and an example at each checkpoint, and N x Q x 4 bytes of the disk; the
    examples' gradients stand in memory, Q x 4 bytes for each weight of the adapter.

    Differs: what is stored of a row is its inner products with the Q examples' gradients, of which its coordinates in
    any number of directions follow, so that k is changed without another pass. Directions with less than a millionth
    of the largest eigenvalue are left out, where the published code adds 1e-6 to its root. With one direction all
    cosines are 1 or -1. As `less` without `checkpoints` it is at the untuned model, with a fresh adapter; the defaults
    fit a laptop. Groups of examples may have any sizes.

    Licence: GuanghuiMin/GIST has none; nothing was taken from it.

    Checked: the specification's values; gradients against PEFT, one row at a time.
    """

    checkpoints: str = ""
    """As of `less`: a folder with checkpoint-1, checkpoint-2, … of an adapter of the model, or one of them."""
    directions: int = 150
    """k; never more than there are examples."""
    rank: int = 4
    """Of the fresh adapter, where there are no checkpoints."""
    layers: int = 4
    """So many of the last layers count; 0 = all."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the matrices that get the fresh adapter."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""
    seed: int = 0
    """Of the fresh adapter."""
    chooser: str = "group-max"
    """`group-max`, `round-robin`, `group-round-robin`, `mean`, `doubly-greedy` or `transport`: see docs/targets.md.
    The similarity of a row with an example is that with its group."""
    turns: str = "next"
    """In a round robin an example whose best row is taken takes its `next` best one; or its turn is `lost`."""

    def __post_init__(self) -> None:
        check_gradients(self.rank, self.layers)
        check_count("directions", self.directions, "directions")
        loss_text(self.template, self.boundary)
        check_chooser(self.chooser, self.turns)

    def check_target(self, examples: Sequence[Example]) -> None:
        """Raise SettingsError where an example has no answer."""
        self.needs[0].towards(examples)

    @property
    def needs(self) -> tuple[GradientRequest]:
        text = loss_text(self.template, self.boundary, both=False)
        request = GradientRequest(text, self.rank, self.layers, self.targets, inner=True, seed=self.seed)
        return (at_checkpoints(request, self.checkpoints),)

    @property
    def label(self) -> str:
        parts = ["gist", label_text(self.template, self.boundary), self.chooser]
        parts += label_weights(self.rank, self.layers, self.checkpoints) + [f"k{self.directions}", f"seed{self.seed}"]
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
