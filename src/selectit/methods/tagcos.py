"""Rows whose gradients together stand for those of all rows, cluster by cluster."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from selectit.methods import shorten
from selectit.methods._base import check_count, check_share
from selectit.methods._gradients import check_gradients
from selectit.methods._losses import label_text
from selectit.methods._tuning import Pass, TunedOn, TuningSetMethod, check_epochs, count_share, some, tune_in_rounds
from selectit.numerics.clusters import k_means, quotas
from selectit.numerics.matching import match_rows
from selectit.numerics.row_random import row_uniforms
from selectit.numerics.vectors import row_vectors, unit
from selectit.signals.arrays import Embeddings, Float32, Gradients, Int64, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import GradientRequest


@dataclass(frozen=True, slots=True)
class Tagcos(TuningSetMethod):
    """Of each cluster of gradients the rows whose combination comes nearest to the cluster's mean (TAGCOS).

    The model is tuned in `rounds` rounds on a drawn `share` of the rows, each from the last, and after each the
    gradient of every row is read, projected at random and divided by its length. The mean over the rounds is the row's
    feature. k-means makes clusters of these; each gives its share of the budget, chosen by orthogonal matching pursuit.

    Source: Zhang et al., "TAGCOS: Task-agnostic Gradient Clustered Coreset Selection for Instruction Tuning Data",
    arXiv 2407.15235.

    Needs: a causal model that can be tuned here; scikit-learn.

    Direction: cluster by cluster, in the order of the pursuit.

    Cost: `rounds` forward and backward passes a row, each after a tuning on `share` of the rows; N x `dimensions` x 2
    bytes a round.

    Differs: the published rounds are three checkpoints of one training with an adapter, stopped by hand, whose
    optimiser makes steps of the gradients, and the mean is weighted by learning rates typed in by hand. Here each round
    is a training of its own that goes on from the last, so that all weigh the same, and the gradients are plain ones of
    a fresh adapter. The defaults fit a laptop: rank 4, the last 4 layers, 512 dimensions; the paper has rank 128, all
    layers and 8,192. The published code gives clusters under 20 rows nothing and falls short of its total; here the
    shares are exact. A pursuit that ends early is begun again among the rows that are left, and where no row points
    along the mean the nearest ones follow; there it may never end. k-means is seeded.

    Licence: 2003pro/TAGCOS has none; nothing was taken from it.

    Checked: the pursuit against values that the published code gave (`numerics/matching`), the choice by hand.
    """

    uses_k_means: ClassVar[bool] = True
    rounds: int = 3
    """How often the model is tuned and gradients are read."""
    share: float = 0.05
    """Of the rows, that the model is tuned on: a draw."""
    clusters: int = 100
    """Of the gradients."""
    epochs: float = 1.0
    """Passes over the drawn rows in each round."""
    recipe: str = "brief"
    """How the model is tuned, but for the epochs: a packaged recipe, or a TOML file."""
    rank: int = 4
    """Of the fresh adapter."""
    layers: int = 4
    """So many of the last layers count; 0 = all."""
    dimensions: int = 512
    """Of the projection."""
    template: str = "chat"
    """`chat`, the template with which the model was tuned; `alpaca` or `plain`, as of `ifd`."""
    boundary: str = "joint"
    """`joint` or `split`, as of `ifd`."""
    seed: int = 0
    """Of the draw, the trainings, the projection and the clusters."""

    def __post_init__(self) -> None:
        check_epochs(self.epochs)
        check_gradients(self.rank, self.layers)
        for name, of in (("rounds", "trainings"), ("clusters", "clusters"), ("dimensions", "dimensions")):
            check_count(name, getattr(self, name), of)
        loss_text(self.template, self.boundary)
        check_share("share", self.share, "rows")

    @property
    def needs(self) -> tuple[()]:
        return ()

    @property
    def label(self) -> str:
        tuning = f"r{self.rounds}x{self.share:g}-e{self.epochs:g}-{shorten(self.recipe)}-c{self.clusters}"
        weights = f"r{self.rank}-l{self.layers}-d{self.dimensions}-seed{self.seed}"
        return f"tagcos-{label_text(self.template, self.boundary)}-{tuning}-{weights}"

    def steps(self, signals: Signals, budget: int) -> Generator[Pass, Any, Int64]:
        """`budget` rows, or all that have a gradient where these are fewer."""
        usable = np.flatnonzero(signals.rows.response_words > 0)
        drawn = usable[np.argsort(row_uniforms(signals.rows, f"selectit sample {self.seed}")[usable], kind="stable")]
        features = np.zeros((len(signals.rows), self.dimensions), np.float32)
        for each in self._rounds(drawn[: count_share(self.share, len(drawn))]) if len(drawn) else ():
            gradients = yield each
            features += _directions(gradients, len(signals.rows)) / self.rounds
        known = drawn[np.isfinite(features[drawn]).all(axis=1)]
        return known[choose_by_cluster(features[known], budget, self.clusters, self.seed)]

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """A pass for each round."""
        return self._rounds(some(count_share(self.share, rows)))

    def _rounds(self, rows: Int64) -> tuple[Pass, ...]:
        text = loss_text(self.template, self.boundary, both=False)
        request = GradientRequest(text, self.rank, self.layers, dimensions=self.dimensions, seed=self.seed)
        return tune_in_rounds(request, TunedOn(rows, self.recipe, self.epochs, self.seed), self.rounds)


def _directions(gradients: Gradients, rows: int) -> Float32:
    """(N, D) the projected gradient of each row as a unit vector; NaN where there is none."""
    return unit(row_vectors(Embeddings(gradients.row, gradients.projected[:, 0].astype(np.float32)), rows))


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
