"""The outcomes of an experiment's cells, grouped by the lines of its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Line = tuple[str, str, str]
"""Model, choice, budget."""


@dataclass(frozen=True, slots=True)
class BenchmarkScore:
    """One benchmark of one model."""

    metric: str
    value: float
    stderr: float | None
    items: list[str]
    """Names of the items, of all parts."""
    values: list[float]
    """The metric of each; empty for a metric of the whole."""

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return any(word in self.metric for word in ("nll", "perplexity", "bits_per_byte", "loss"))

    @property
    def mean(self) -> float:
        """What is shown: the mean over the items where they are known, so that differences compare the same figure."""
        return float(np.mean(self.values)) if self.values else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one cell."""

    line: Line
    method: str
    """The method's name; '' for a model before any tuning."""
    seed: int
    rows: int
    steps: int
    tokens: int
    """Read in training."""
    loss: float | None
    """Of the last training step."""
    train_seconds: float
    passes: float
    """Of a model a row, to choose."""
    select_seconds: float | None
    """To choose, as far as the run's timing tells; signals that choices share are counted for each."""
    scores: Mapping[str, BenchmarkScore]
    eval_seconds: float
    data: str = ""
    """The data set of the rows, where it is not the experiment's."""


def group_by_line(outcomes: Sequence[Outcome]) -> dict[Line, list[Outcome]]:
    """The cells of each line, one for each seed, in the order of the experiment."""
    found: dict[Line, list[Outcome]] = {}
    for each in outcomes:
        found.setdefault(each.line, []).append(each)
    return found
