"""The size of the step that a row would make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.methods._base import ScoringMethod
from selectit.methods._gradients import check_gradients, check_layers, label_checkpoints
from selectit.methods._losses import label_text
from selectit.models.adapters import Checkpoint, find_checkpoints
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Grand(ScoringMethod):
    """The rows that would move the weights most: those of the longest gradients (GraNd).

    The length of the gradient of the mean loss of the response's tokens, after the instruction, with respect to all
    weights; or its mean over `checkpoints`, with respect to the weights of their adapters.

    Source: Paul et al., "Deep Learning on a Data Diet", NeurIPS 2021, arXiv 2107.07075.

    Needs: gradients of a causal model: of the model before its tuning, or at early checkpoints of an adapter.

    Direction: longer = keep; 0 or more. Noisy and very short responses have long gradients too.

    Cost: 1 forward and backward pass a row through the whole model, a row at a time, and memory for a second copy of
    its weights; with `rank`, or at each of the `checkpoints`, many rows at a time through its last layers.

    Differs: the paper averages about ten networks early in their training of image classifiers. Here that is one model
    before its training, or the checkpoints that you name: of trainings with other seeds. OpenDataArena's code has the
    model in training mode, so that dropout enters, and scores the line break before the response; here there is no
    dropout, and the response alone counts.

    Licence: mansheej/data_diet is Apache-2.0, OpenDataArena's ODA-DataScorer MIT; nothing was taken from them.

    Checked: against norms that OpenDataArena's code gave on a random model; against plain autograd.
    """

    checkpoints: tuple[str, ...] = ()
    """Folders of checkpoints of adapters of the model, as of `less`, of one or several trainings."""
    rank: int = 0
    """0 = all weights. Else a cheaper stand-in: a fresh adapter of this rank on the last `layers`."""
    layers: int = 4
    """So many of the last layers get the fresh adapter, or of a checkpoint's adapter count; 0 = all."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the matrices that get it."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""
    seed: int = 0
    """Of the adapter."""

    def __post_init__(self) -> None:
        if self.rank:
            check_gradients(self.rank, self.layers)
        check_layers(self.layers)
        loss_text(self.template, self.boundary)

    @property
    def needs(self) -> tuple[GradientRequest]:
        text = loss_text(self.template, self.boundary, both=False)
        request = GradientRequest(text, self.rank, self.layers, self.targets, seed=self.seed)
        return (request.at(self._find()),)

    @property
    def label(self) -> str:
        weights = [f"r{self.rank}", f"l{self.layers}", f"seed{self.seed}"] if self.rank else ["all"]
        if self.checkpoints:
            weights = [label_checkpoints(self._find()), f"l{self.layers}"]
        return "-".join(["grand", label_text(self.template, self.boundary), *weights])

    def score(self, signals: Signals) -> Float64:
        """(N,) lengths; NaN where there is no gradient. A row of several responses has the mean of theirs."""
        gradients = signals.gradients
        return mean_by_row(gradients.norm.mean(axis=1, dtype=np.float64), gradients.row, len(signals.rows))

    def _find(self) -> list[Checkpoint]:
        return [each for folder in self.checkpoints for each in find_checkpoints(folder)]


METHOD = Grand
