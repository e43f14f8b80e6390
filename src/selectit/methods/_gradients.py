"""What methods that read gradients have in common: of which weights, and where."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

from selectit.data.examples import Example
from selectit.errors import SettingsError, nearest
from selectit.jsonable import digest_of
from selectit.methods import shorten
from selectit.methods._base import check_count, check_share
from selectit.methods._tuning import (
    Pass,
    TrainingParameters,
    TunedOn,
    TuningTargetMethod,
    check_epochs,
    count_share,
    draw_share,
    some,
)
from selectit.models.adapters import Checkpoint, find_checkpoints
from selectit.signals.arrays import Gradients, Int64, Signals
from selectit.signals.requests import GradientRequest

OPTIMIZERS = ("adam", "sgd")


class GradientTargetMethod(TrainingParameters, TuningTargetMethod):
    """A method that chooses towards examples by gradients, at checkpoints of its own warm-up or of another.

    The warm-up is a training of an adapter on a drawn share of the rows, which keeps a checkpoint for each epoch.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def checkpoints(self) -> str:
        """The parameter: a folder of checkpoints, which are read instead of those of a warm-up; '' = none."""

    @property
    @abstractmethod
    def warmup(self) -> float:
        """The parameter: the share of the rows that the adapter is tuned on; 0 = a fresh adapter, no training."""

    @property
    @abstractmethod
    def request(self) -> GradientRequest:
        """What is read, wherever that is."""

    @property
    def needs(self) -> tuple[GradientRequest, ...]:
        """None before a warm-up: then `steps` says what is read."""
        if self.checkpoints:
            return (self.request.at(find_checkpoints(self.checkpoints)),)
        return () if self.warmup else (replace(self.request, adam=False),)  # a fresh adapter has no moments

    def check_target(self, examples: Sequence[Example]) -> None:
        """Raise SettingsError where an example has no answer."""
        self.request.towards(examples)

    def steps(self, signals: Signals, allowed: Int64) -> Generator[Pass, Any, Signals]:
        """The signals with the gradients of the rows and of the examples, where these were not needed before."""
        if self.needs:
            return signals
        rows, examples = self._passes(draw_share(signals.rows, self.warmup, self.seed, allowed))
        return _with_gradients(signals, (yield rows), (yield examples))

    def outline(self, rows: int, budget: int) -> tuple[Pass, ...]:
        """A pass over the rows and one over the examples, after the warm-up."""
        return () if self.needs else self._passes(some(count_share(self.warmup, rows)))

    def _passes(self, drawn: Int64) -> tuple[Pass, Pass]:
        warm = warm_up(drawn, self.recipe, self.epochs, self.seed)
        return Pass(self.request, warm), Pass(self.request.of_examples, warm, of_target=True)


def _with_gradients(signals: Signals, rows: Gradients, examples: Gradients) -> Signals:
    target = signals.target
    theirs = replace(target.signals, stored={**target.signals.stored, "gradients": examples})
    stored = {**signals.stored, "gradients": rows}
    return replace(signals, stored=stored, stored_target=replace(target, signals=theirs))


def warm_up(rows: Int64, recipe: str, epochs: float, seed: int) -> TunedOn:
    """The training of an adapter that keeps a checkpoint for each epoch."""
    return TunedOn(rows, recipe, epochs, seed, checkpoints=math.ceil(epochs))


def check_warm_up(share: float, epochs: float) -> None:
    """Raise SettingsError where there can be no such warm-up; a share of 0 is none."""
    if share:
        check_share("warmup", share, "rows")
    check_epochs(epochs)


def check_gradients(rank: int, layers: int, optimizer: str = "sgd") -> None:
    """Raise SettingsError for sizes that no adapter has, and for an unknown optimiser."""
    check_count("rank", rank, "rows of an adapter's matrix")
    check_layers(layers)
    if optimizer not in OPTIMIZERS:
        raise SettingsError(f"there is no optimizer {optimizer!r}", nearest(optimizer, OPTIMIZERS))


def check_layers(layers: int) -> None:
    """Raise SettingsError where it is no number of layers."""
    if layers < 0:
        raise SettingsError(f"layers is {layers}", "It is a number of the last layers; 0 = all.")


def label_adapter(method: GradientTargetMethod, rank: int, layers: int) -> list[str]:
    """Which adapter, for a method's label: fresh 'r4', of a warm-up 'w0.05-e4-brief-lora', or that of checkpoints."""
    if method.checkpoints:
        own = [label_checkpoints(find_checkpoints(method.checkpoints))]
    elif method.warmup:
        own = [label_warm_up(method.warmup, method.epochs, method.recipe)]
    else:
        own = [f"r{rank}"]
    return [*own, f"l{layers}"]


def label_warm_up(share: float, epochs: float, recipe: str) -> str:
    """A warm-up, for a method's label: 'w0.05-e4-brief-lora'."""
    return f"w{share:g}-e{epochs:g}-{shorten(recipe)}"


def label_checkpoints(found: Sequence[Checkpoint]) -> str:
    """Checkpoints, for a method's label: '3ckpt-1a2b3c'."""
    return f"{len(found)}ckpt-{digest_of([each.digest for each in found])[:6]}"
