"""What a method is: everything that the program reads of one, with the default of what may be left out.

A method is a frozen dataclass whose fields are its parameters. It inherits from `ScoringMethod` or `SetMethod`, and
defines `needs`, `label`, and `score` or `select`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from selectit.data.examples import Example
from selectit.errors import SettingsError
from selectit.numerics.choosers import Choice
from selectit.signals.arrays import Float64, Int64, Signals
from selectit.signals.requests import Need
from selectit.signals.rows import Rows


class _AnyMethod(ABC):
    """What both kinds of method have."""

    __slots__ = ()

    takes_k: ClassVar[bool] = False
    """Whether the parameter `k` is the number of rating prompts, so that --k decides it."""
    instruction_alone: ClassVar[bool] = False
    """Whether its rating prompts may ask about the instruction alone."""
    towards_target: ClassVar[bool] = False
    """Whether it chooses towards the examples of --target: what it needs of the rows it needs of these too."""
    needs_target: ClassVar[bool] = True
    """Whether it can't do without them; says nothing of a method that does not choose towards any."""
    uniform: ClassVar[bool] = False
    """Whether a row is as likely to be chosen as any other: a fair sample of the data."""
    uses_k_means: ClassVar[bool] = False
    """Whether it needs scikit-learn, which is looked for before models are asked."""
    names_rows: ClassVar[bool] = False
    """Whether a set method's parameters name rows of the whole data: what is left out is taken from its choice."""

    @property
    @abstractmethod
    def needs(self) -> tuple[Need, ...]:
        """The signals that must be collected first, at most one of each kind but `ScoreOf`."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The method with its telling parameters, fit for a file name: 'selectit-sentence-paper-k5-a0.2'."""

    @classmethod
    def defaults(cls, named: tuple[str, ...], rated: tuple[str, ...]) -> dict[str, Any]:
        """Parameters whose defaults depend on the models, with these.

        Args:
            named: the models of the settings.
            rated: those that have rated the run; empty where there is no run yet.
        """
        return {}

    @property
    def prompts(self) -> int:
        """How many of the rating prompts are read; says nothing of a method that reads no ratings."""
        return 1

    @property
    def keep(self) -> str | None:
        """The method's own size, as --keep is written, where no budget is given."""
        return None

    @property
    def min_score(self) -> float | None:
        """The least score where no budget is given. With neither this nor `keep` 20 % are kept."""
        return None

    @property
    def about(self) -> str:
        """A line for the summary; '' = none."""
        return ""

    @property
    def many_models(self) -> str:
        """What it is in the method that is made of several models' ratings, in words; '' = it reads one model's."""
        return ""

    @property
    def ordered_models(self) -> bool:
        """Whether the scores depend on the order of the models."""
        return False

    def check(self, models: tuple[str, ...], labels: int) -> None:
        """Raise SettingsError where the method can't use ratings by these models with so many labels."""

    def check_judge(self, judge: str) -> None:
        """Raise SettingsError where the method can't use replies of this judge."""

    def check_target(self, examples: Sequence[Example]) -> None:
        """Raise SettingsError where the method can't choose towards these examples."""

    def check_rows(self, rows: Rows) -> None:
        """Raise DataError where a parameter names rows that are not among these."""

    def check_cascade(self) -> None:
        """Raise SettingsError where a cascade can't leave rows out of the method's sight."""

    def first_rating(self, k: int) -> dict[str, Any]:
        """Settings (`k`, `level`, …) that make the method of a cascade's first rating, under the first `k` prompts."""
        return {"k": k}


class ScoringMethod(_AnyMethod):
    """A method that scores rows one by one."""

    __slots__ = ()

    @abstractmethod
    def score(self, signals: Signals) -> Float64:
        """(N,) float64; higher = keep; NaN = could not be scored."""

    def parts(self, signals: Signals) -> dict[str, NDArray[Any]]:
        """What each score was made of: named columns of length N."""
        return {}

    @property
    def ties(self) -> str:
        """Which of two rows with equal scores comes first: the 'smaller' or the 'larger' row number."""
        return "smaller"

    def tie_break(self, signals: Signals) -> str | Float64:
        """`ties`; or (N,) values: of two rows with equal scores that with the larger comes first."""
        return self.ties


class SetMethod(_AnyMethod):
    """A method that chooses a set rather than scoring rows one by one."""

    __slots__ = ()

    nested: ClassVar[bool] = True
    """Whether a smaller budget always takes the first rows of what a larger one takes."""

    @abstractmethod
    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` distinct row numbers, in the order in which they were chosen."""


class TargetMethod(SetMethod):
    """A set method that says for which example of the target it chose each row."""

    __slots__ = ()

    towards_target = True

    @abstractmethod
    def choose(self, signals: Signals, budget: int) -> Choice:
        """At most `budget` distinct row numbers in the order of choice, and the example that each is for."""

    def select(self, signals: Signals, budget: int) -> Int64:
        """The rows of `choose`."""
        return self.choose(signals, budget).rows


Method = ScoringMethod | SetMethod


class RatingMethod(ScoringMethod):
    """A method that scores rows by one model's ratings under the first `k` prompts."""

    __slots__ = ()

    name: ClassVar[str]
    """In messages."""
    takes_k = True

    @property
    @abstractmethod
    def k(self) -> int:
        """The parameter: the number of rating prompts."""

    @property
    def prompts(self) -> int:
        """How many of the rating prompts are read."""
        return self.k

    def check(self, models: tuple[str, ...], labels: int) -> None:
        """Raise SettingsError where there is not one model."""
        if len(models) != 1:
            raise SettingsError(
                f"{self.name} reads one model, and there are {len(models)}: {', '.join(models)}",
                "Choose one model.",
            )


def check_prompts(k: int) -> None:
    """Raise SettingsError where `k` is no number of prompts."""
    if k < 1:
        raise SettingsError(f"k is {k}", "k is a number of prompts: 1 or more.")


def check_share(name: str, value: float, of: str) -> None:
    """Raise SettingsError where a parameter is no share `of` something."""
    if not 0 < value <= 1:
        raise SettingsError(f"{name} is {value}", f"It is a share of the {of}: above 0 and at most 1.")


def check_count(name: str, value: int, of: str) -> None:
    """Raise SettingsError where a parameter is not at least 1 `of` something."""
    if value < 1:
        raise SettingsError(f"{name} is {value}", f"It is a number of {of}: 1 or more.")
