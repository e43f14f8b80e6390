"""What a method is: everything that the program reads of one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from selectit.array_types import Float64, Int64
from selectit.errors import SettingsError
from selectit.signals.arrays import Signals
from selectit.signals.requests import Need


def check_prompts(k: int) -> None:
    """Raise SettingsError where `k` is no number of prompts."""
    if k < 1:
        raise SettingsError(f"k is {k}", "k is a number of prompts: 1 or more.")


def check_one_model(method: str, models: tuple[str, ...]) -> None:
    """Raise SettingsError where there is not one model."""
    if len(models) != 1:
        raise SettingsError(
            f"{method} reads one model, and there are {len(models)}: {', '.join(models)}", "Name one with --model."
        )


@runtime_checkable
class ScoringMethod(Protocol):
    """A frozen dataclass whose fields are the method's parameters."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """The signals that must be collected first, at most one of each kind but `ScoreOf`."""

    @property
    def label(self) -> str:
        """The method with its telling parameters, fit for a file name: 'selectit-sentence-paper-k5-a0.2'."""

    def score(self, signals: Signals) -> Float64:
        """(N,) float64; higher = keep; NaN = could not be scored."""


@runtime_checkable
class ExplainsScores(Protocol):
    """A scoring method that can say what each score was made of."""

    def parts(self, signals: Signals) -> dict[str, NDArray[Any]]:
        """Named columns of length N."""


@runtime_checkable
class SetMethod(Protocol):
    """A method that chooses a set rather than scoring rows one by one."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """As of a scoring method."""

    @property
    def label(self) -> str:
        """As of a scoring method."""

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` distinct row numbers, in the order in which they were chosen."""


Method = ScoringMethod | SetMethod
