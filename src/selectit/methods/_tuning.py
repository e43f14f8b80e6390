"""What methods that tune a model on the way have in common: they say step by step whose answers they need next.

`steps` is a generator. It yields a `Pass`, receives what is stored of that model's answers about all rows, and so on;
what it returns at last is the choice, or the signals that the method then scores or chooses by. `procedures` answers
each pass; a pass that was answered before is read from the run, so that an interrupted method is simply begun again.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from selectit.errors import SettingsError
from selectit.methods._base import Method, ScoringMethod, SetMethod, TargetMethod
from selectit.numerics.coverage import k_center
from selectit.numerics.row_random import shuffle_rows
from selectit.numerics.vectors import Vectors
from selectit.signals.arrays import Int64, Signals
from selectit.signals.requests import Request
from selectit.signals.rows import Rows


@dataclass(frozen=True, slots=True, eq=False)
class TunedOn:
    """The model that the settings name, after supervised tuning on some of the rows."""

    rows: Int64
    """Each once; their order says nothing."""
    recipe: str
    """A packaged recipe, or a TOML file."""
    epochs: float
    """In place of the recipe's own number of epochs or steps."""
    seed: int
    """Of the training, in place of the recipe's."""
    start: TunedOn | None = None
    """The tuned model that is tuned further; None = the model as it is."""
    checkpoints: int = 0
    """So many are kept of its adapter, evenly over its steps, and its gradients are read at these: at the model as it
    is with the adapter of each. 0 = it is asked at the end."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Some of the rows, with other responses: what is asked about becomes rows 0, 1, … in this order."""

    rows: Int64
    """A row of several answers is its last one."""
    responses: tuple[str, ...] | None = None
    """One for each of the rows; None = their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One request, answered by one model."""

    request: Request
    model: TunedOn | None
    """None = the model that the settings name for such a request."""
    pairs: Pairs | None = None
    """What it is asked about; None = all rows."""
    of_target: bool = False
    """Whether it is asked about the target's examples, and about no row."""

    @property
    def each(self) -> int:
        """Passes of a model over each row or example, at most."""
        return self.request.passes * (1 if self.model is None else max(self.model.checkpoints, 1))

    @property
    def passes(self) -> int:
        """Passes over each row; none where it is asked about the target's examples."""
        return 0 if self.of_target else self.each


class _TuningMethod(ABC):
    """What all kinds have."""

    __slots__ = ()

    @abstractmethod
    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """The passes that `steps` yields of so many rows, with models tuned on as many; at most so many of each.

        Which rows they are tuned on is not known yet: only their number says something.
        """


class TrainingParameters(ABC):
    """The parameters of the one training that several methods have alike."""

    __slots__ = ()

    @property
    @abstractmethod
    def epochs(self) -> float:
        """Passes over the rows that are tuned on."""

    @property
    @abstractmethod
    def recipe(self) -> str:
        """How the model, or its adapter, is tuned."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """Of the training, and of what is drawn before it."""


class TuningScoringMethod(_TuningMethod, ScoringMethod):
    """A method that scores rows by what a model says that is tuned first. Its `needs` name requests alone."""

    __slots__ = ()

    @abstractmethod
    def steps(self, signals: Signals) -> Generator[Pass, Any, Signals]:
        """From what `needs` names to what `score` reads."""


class TuningSetMethod(_TuningMethod, SetMethod):
    """A method that chooses a set in rounds, with models that are tuned on what is chosen so far."""

    __slots__ = ()

    nested = False

    @abstractmethod
    def steps(self, signals: Signals, budget: int) -> Generator[Pass, Any, Int64]:
        """At most `budget` distinct row numbers, in the order in which they were chosen."""

    def select(self, signals: Signals, budget: int) -> Int64:
        """Raise SettingsError: stored signals alone say nothing to it."""
        raise SettingsError("this method tunes models while it chooses", "Use it with selectit select.")


class TuningTargetMethod(_TuningMethod, TargetMethod):
    """A method that chooses towards examples by what a model says that is tuned first."""

    __slots__ = ()

    @abstractmethod
    def steps(self, signals: Signals, allowed: Int64) -> Generator[Pass, Any, Signals]:
        """From what `needs` names to what `choose` reads; models are tuned on allowed rows alone."""


Tuning = TuningScoringMethod | TuningSetMethod | TuningTargetMethod


def tunes(method: Method) -> TypeGuard[Tuning]:
    """Whether the method, with these parameters, tunes a model on the way."""
    return isinstance(method, Tuning) and bool(method.outline(100, 10))


def some(rows: int) -> Int64:
    """So many rows, whichever: for `outline`."""
    return np.arange(rows)


def count_share(share: float, rows: int) -> int:
    """A share of so many rows: one at least, where there is one."""
    return max(round(share * rows), min(rows, 1))


def draw_share(rows: Rows, share: float, seed: int, allowed: Int64 | None = None) -> Int64:
    """A share of the allowed rows (None = all) that have a response, drawn by their content."""
    usable = np.flatnonzero(rows.response_words > 0)
    usable = usable if allowed is None else np.intersect1d(usable, allowed)
    return shuffle_rows(rows, f"selectit sample {seed}", usable)[: count_share(share, len(usable))]


def tune_in_rounds(request: Request, first: TunedOn, rounds: int) -> tuple[Pass, ...]:
    """One request to the model of each round: each is the last one, tuned again as `first` is."""
    models = [first]
    while len(models) < rounds:
        models.append(dataclasses.replace(first, start=models[-1]))
    return tuple(Pass(request, model) for model in models)


def check_epochs(epochs: float) -> None:
    """Raise SettingsError where a model can't be tuned so long."""
    if not 0 < epochs < np.inf:
        raise SettingsError(f"epochs is {epochs}", "It is a number of passes over the rows, above 0.")


def choose_farthest(rows: Int64, vectors: Vectors, chosen: Int64, n: int) -> Int64:
    """The next n rows by k-center from those chosen, or fewer where only copies of these are left.

    Args:
        rows: (M,) that may be chosen, and those that are chosen already.
        vectors: (M, D) of these rows; one that is not finite is never chosen.
        chosen: numbers among `rows`.
        n: how many.
    """
    known = np.isfinite(vectors).all(axis=1)
    rows, vectors = rows[known], vectors[known]
    following: Int64 = rows[k_center(vectors, n, start=np.flatnonzero(np.isin(rows, chosen)))]
    return following
