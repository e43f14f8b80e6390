"""Rows whose gradients together stand for those of all rows, cluster by cluster."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from selectit.methods._base import check_count, check_share
from selectit.methods._gradients import check_layers, label_warm_up, warm_up
from selectit.methods._losses import label_text
from selectit.methods._tuning import Pass, TuningSetMethod, check_epochs, count_share, draw_share, some
from selectit.numerics.clusters import k_means, quotas
from selectit.numerics.influence import mean_checkpoints
from selectit.numerics.matching import match_rows
from selectit.numerics.vectors import row_vectors, unit
from selectit.signals.arrays import Embeddings, Float32, Gradients, Int64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Tagcos(TuningSetMethod):
    """Of each cluster of gradients the rows whose combination comes nearest to the cluster's mean (TAGCOS).

    An adapter is tuned on a drawn `share` of the rows, and a checkpoint is kept at the end of each epoch. There every
    row's Adam step is projected at random and divided by its length; the mean over the checkpoints, weighted by the
    mean learning rates of their epochs, is the row's feature. k-means makes clusters of these; each gives its share of
    the budget, chosen by orthogonal matching pursuit.

    Source: Zhang et al., "TAGCOS: Task-agnostic Gradient Clustered Coreset Selection for Instruction Tuning Data",
    arXiv 2407.15235.

    Needs: a causal model that can be tuned here; scikit-learn.

    Direction: cluster by cluster, in the order of the pursuit.

    Cost: `epochs` forward and backward passes a row, after a tuning on `share` of the rows; N x `dimensions` x 2 bytes
    of the disk for each. `less` with the same share, epochs, recipe and seed has the same warm-up.

    Differs: the published checkpoints are those of the steps 10, 20 and 30 of a training stopped by hand, weighted by
    the learning rates of these very steps, which were typed in by hand; here they are the ends of the epochs, weighted
    by the epochs' mean rates, of the training's own log. The steps are those of `less`. The defaults fit a laptop:
    rank 8, the last 4 layers, 512 dimensions; the paper has rank 128, all layers and 8,192. The published code gives
    clusters under 20 rows nothing and falls short of its total; here the shares are exact. A pursuit that ends early is
    begun again among the rows that are left, and where no row points along the mean the nearest ones follow; there it
    may never end. k-means is seeded.

    Licence: 2003pro/TAGCOS has none; nothing was taken from it.

    Checked: the pursuit against values that the published code gave (`numerics/matching`), the choice by hand.
    """

    uses_k_means: ClassVar[bool] = True
    share: float = 0.05
    """Of the rows, that the adapter is tuned on: a draw."""
    clusters: int = 100
    """Of the gradients."""
    epochs: float = 3.0
    """Passes over the drawn rows; at the end of each a checkpoint is kept, and gradients are read."""
    recipe: str = "brief-lora"
    """How the adapter is tuned, but for the epochs: a packaged recipe, or a TOML file, with `lora` above 0."""
    layers: int = 4
    """So many of the last layers count; 0 = all."""
    dimensions: int = 512
    """Of the projection."""
    template: str = "chat"
    """`chat`, the template with which the adapter was tuned; `alpaca` or `plain`, as of `ifd`."""
    boundary: str = "joint"
    """`joint` or `split`, as of `ifd`."""
    seed: int = 0
    """Of the draw, the training, the projection and the clusters."""

    def __post_init__(self) -> None:
        check_epochs(self.epochs)
        check_layers(self.layers)
        check_count("clusters", self.clusters, "clusters")
        check_count("dimensions", self.dimensions, "dimensions of the projection")
        loss_text(self.template, self.boundary)
        check_share("share", self.share, "rows")

    @property
    def needs(self) -> tuple[()]:
        return ()

    @property
    def label(self) -> str:
        tuning = label_warm_up(self.share, self.epochs, self.recipe)
        sizes = f"l{self.layers}-d{self.dimensions}-c{self.clusters}-seed{self.seed}"
        return f"tagcos-{label_text(self.template, self.boundary)}-{tuning}-{sizes}"

    def steps(self, signals: Signals, budget: int) -> Generator[Pass, Any, Int64]:
        """`budget` rows, or all that have a gradient where these are fewer."""
        drawn = draw_share(signals.rows, self.share, self.seed)
        if not len(drawn):
            return drawn
        features = mean_directions((yield self._pass(drawn)), len(signals.rows))
        order = draw_share(signals.rows, 1.0, self.seed)
        known = order[np.isfinite(features[order]).all(axis=1)]
        return known[choose_by_cluster(features[known], budget, self.clusters, self.seed)]

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """One pass, at the checkpoints of the warm-up."""
        return (self._pass(some(count_share(self.share, rows))),)

    def _pass(self, rows: Int64) -> Pass:
        text = loss_text(self.template, self.boundary, both=False)
        request = GradientRequest(text, layers=self.layers, dimensions=self.dimensions, adam=True, seed=self.seed)
        return Pass(request, warm_up(rows, self.recipe, self.epochs, self.seed))


def mean_directions(gradients: Gradients, rows: int) -> Float32:
    """(N, D) means of each row's unit vectors at C checkpoints, weighted by the rates; NaN where there is none."""
    projected = gradients.projected.astype(np.float32)
    each = [unit(row_vectors(Embeddings(gradients.row, projected[:, at]), rows)) for at in range(len(gradients.rates))]
    return mean_checkpoints(each, gradients.rates)


def choose_by_cluster(features: Float32, n: int, clusters: int, seed: int) -> Int64:
    """min(n, N) indices: of each cluster of (N, D) features its share, by a pursuit of the cluster's mean."""
    if not len(features):
        return np.zeros(0, np.int64)
    label, _ = k_means(features, clusters, seed)
    shares = quotas(np.bincount(label), n)
    members = [np.flatnonzero(label == cluster) for cluster in range(len(shares))]
    chosen = [
        rows[match_rows(features[rows], features[rows].mean(axis=0), int(share))]
        for rows, share in zip(members, shares, strict=True)
    ]
    return np.concatenate(chosen)


METHOD = Tagcos
