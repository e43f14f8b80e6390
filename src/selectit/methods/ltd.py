"""The core of one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from selectit.data.examples import Example
from selectit.errors import SettingsError
from selectit.methods._base import SetMethod, check_count
from selectit.methods._towards import example_vectors
from selectit.numerics.clusters import core_of_clusters
from selectit.numerics.vectors import pool
from selectit.runs import row_lists
from selectit.signals.arrays import Float32, Int64, Signals
from selectit.signals.requests import EmbeddingRequest
from selectit.signals.rows import Rows


@dataclass(frozen=True, slots=True)
class Ltd(SetMethod):
    """The rows nearest to the centroids of the clusters of a task, then each the farthest from those chosen (LTD).

    Source: Chen et al., "Maybe Only 0.5% Data is Needed: A Preliminary Exploration of Low Training Data Instruction
    Tuning", arXiv 2305.09246; read in secondary sources, for there is no public code.

    Needs: embeddings; examples of the task (`--target`) or its rows (`target`), where there is one; scikit-learn, of
    the extra `methods`.

    Direction: the order of choice: the clusters' middles, the largest cluster first, then as `kcenter`.

    Cost: 1 forward pass of the encoder a row, k-means, and N x n x D multiplications, N the rows of the clusters kept.

    Differs: the paper gives neither the encoder, nor the number of clusters, nor how the target's cluster is found;
    here the clusters are kept that hold more than half of the task's examples or rows, each in the cluster of the
    nearest mean, the fullest of these first. Without a task all are kept. All examples count alike, whatever their
    groups.

    Licence: no public code.

    Checked: by hand on clear clusters; after the middles, the greedy rule.
    """

    uses_k_means: ClassVar[bool] = True
    target: str = ""
    """The rows of the data that belong to the task, as `fixed` takes its `file`, instead of `--target`. With neither
    every cluster is kept."""
    clusters: int = 10
    """How many clusters of k-means."""
    text: str = "both"
    """What is embedded: `instruction`, `response` or `both`."""
    seed: int = 0
    """Of the first centroids."""

    towards_target: ClassVar[bool] = True
    needs_target: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count("clusters", self.clusters, "clusters")

    @property
    def needs(self) -> tuple[EmbeddingRequest]:
        return (EmbeddingRequest(self.text),)

    @property
    def label(self) -> str:
        name = Path(self.target).name.partition(".")[0]
        target = f"-{name[:24]}-{row_lists.digest(self.target)}" if self.target else ""
        return f"ltd{target}-c{self.clusters}-{self.text}-seed{self.seed}"

    def check_target(self, examples: Sequence[Example]) -> None:
        """Raise SettingsError where the parameter `target` names the task too."""
        if self.target:
            raise SettingsError("ltd has the task in --target and in its parameter target", "Give one of them.")

    def check_rows(self, rows: Rows) -> None:
        """Raise DataError where the list names what is no row, or one twice."""
        if self.target:
            row_lists.find(self.target, rows)

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` rows in order; fewer where the clusters kept have no more different ones.

        Raises SettingsError: no row of the target has an embedding, or no scikit-learn.
        """
        rows, vectors = pool(signals, self.seed)
        if not len(rows):
            return rows
        return rows[core_of_clusters(vectors, self._task(signals, rows, vectors), budget, self.clusters, self.seed)]

    def _task(self, signals: Signals, rows: Int64, vectors: Float32) -> Float32 | None:
        """(Q, D) vectors of the task's examples or rows; None = there is no task."""
        if signals.stored_target is not None:
            examples = signals.target.signals
            return example_vectors(examples.embeddings, len(examples.rows))
        if not self.target:
            return None
        named = np.isin(rows, row_lists.find(self.target, signals.rows))
        if not named.any():
            raise SettingsError(f"no row of {self.target} has an embedding", "Name other rows as target.")
        return vectors[named]


METHOD = Ltd
