"""A line through few points: least squares with p-values, the dropping of columns by them, and leave-one-out. Pure.

The points are the subsets that models were tuned on, the columns the mean indicators of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, import_extra
from selectit.signals.arrays import Float64

INTERCEPT = "intercept"


_FLAT = 1e-12
"""Of a column's size: a smaller spread over the subsets is rounding."""


_SAME = 1e-9
"""Of the largest singular value of the centred columns, each scaled to length 1."""


@dataclass(frozen=True, slots=True)
class Term:
    """One coefficient."""

    name: str
    value: float
    stderr: float
    p: float
    """Two-sided, of Student's t test that the coefficient is 0. Not corrected for the dropping before it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Ordinary least squares."""

    terms: tuple[Term, ...]
    """The intercept, then the columns in their order."""
    r2: float
    """Share of the variance that is explained, at the points that were fitted."""

    @property
    def slopes(self) -> tuple[Term, ...]:
        """All but the intercept."""
        return self.terms[1:]


@dataclass(frozen=True, slots=True)
class Regression:
    """A rule, how it came about, and what it is worth for points that it has not seen."""

    every: Fit
    """With all columns."""
    kept: Fit
    """Without those that were dropped."""
    dropped: tuple[str, ...]
    """In the order of dropping."""
    points: int
    error: float
    """Root mean square error of each point's value, predicted from the others: they are fitted, and columns dropped,
    without it."""
    error_of_mean: float
    """The same where the mean of the others is the prediction."""

    @property
    def better(self) -> bool:
        """Whether the rule predicts better than the mean does."""
        return bool(self.kept.slopes) and self.error < self.error_of_mean


def regress(names: Sequence[str], columns: Float64, values: Float64, drop: float) -> Regression:
    """Fit values to columns, dropping the column with the largest p-value, one at a time, while it is above `drop`.

    Args:
        names: P >= 1 different names.
        columns: (M, P) finite, M >= P + 3: a degree of freedom is left where one point is left out.
        values: (M,) finite.
        drop: from 0 to 1; 1 drops nothing.

    Raises:
        SettingsError: too few points, a column or the values that don't vary, columns that follow from each other,
            or SciPy is not installed.
    """
    _check(names, columns, values)
    every = _fitted(names, columns, values)
    kept, dropped = _eliminated(names, columns, values, drop)
    points = len(values)
    others = [np.arange(points) != point for point in range(points)]
    means = np.array([values[rest].mean() for rest in others])
    predicted = np.array(
        [
            _predicted(_eliminated(names, columns[rest], values[rest], drop)[0], names, columns[point])
            for point, rest in enumerate(others)
        ]
    )
    return Regression(every, kept, dropped, points, _size(values - predicted), _size(values - means))


def check_points(points: int, columns: int) -> None:
    """Raise SettingsError where so many values are too few for so many columns."""
    least = columns + 3
    if points < least:
        raise SettingsError(
            f"{points} subsets are too few for {columns + 1} coefficients",
            f"It takes {least} or more: add seeds to the choice, or leave indicators out.",
        )


def check_values(values: Float64, columns: int) -> None:
    """Raise SettingsError where there are too few values for so many columns, or all are the same."""
    check_points(len(values), columns)
    if _is_flat(values):
        raise SettingsError(
            f"the loss is the same after all {len(values)} subsets",
            "Tune for longer: with very few steps the learning rate is still 0 (warmup_ratio).",
        )


def _check(names: Sequence[str], columns: Float64, values: Float64) -> None:
    points = len(values)
    check_values(values, len(names))
    for name, column in zip(names, columns.T, strict=True):
        if _is_flat(column):
            raise SettingsError(
                f"the mean of the indicator {name!r} is the same in all {points} subsets",
                "Leave it out, or draw smaller subsets, which differ more.",
            )
    scaled = _scaled(columns)[0]
    for count in range(2, len(names) + 1):
        singular = np.linalg.svd(scaled[:, :count], compute_uv=False)
        if singular[-1] <= _SAME * singular[0]:
            raise SettingsError(
                f"the indicator {names[count - 1]!r} follows from those before it in all subsets", "Leave it out."
            )


def _eliminated(names: Sequence[str], columns: Float64, values: Float64, drop: float) -> tuple[Fit, tuple[str, ...]]:
    """The fit without columns whose p-value is above `drop`, and those in the order of dropping."""
    left, dropped = list(range(len(names))), list[str]()
    while True:
        fit = _fitted([names[place] for place in left], columns[:, left], values)
        if not left:
            return fit, tuple(dropped)
        worst = max(range(len(left)), key=lambda place: fit.slopes[place].p)
        if fit.slopes[worst].p <= drop:
            return fit, tuple(dropped)
        dropped.append(names[left.pop(worst)])


def _fitted(names: Sequence[str], columns: Float64, values: Float64) -> Fit:
    """Least squares on centred and scaled columns: means of indicators vary little around values that are far from 0.

    A column that does not vary, as may happen with a point left out, has the coefficient 0.
    """
    points, freedom = len(values), len(values) - len(names) - 1
    scaled, centre, length = _scaled(columns)
    inverse = np.linalg.pinv(scaled, rtol=_SAME)
    off = values - values.mean()
    slopes = inverse @ off / length
    residuals = off - (columns - centre) @ slopes
    variance = residuals @ residuals / freedom
    per_column = inverse / length[:, None]
    errors = np.sqrt(variance * (per_column**2).sum(axis=1))
    error = np.sqrt(variance * (1 / points + ((centre @ per_column) ** 2).sum()))
    coefficients = np.concatenate([[values.mean() - centre @ slopes], slopes])
    stderrs = np.concatenate([[error], errors])
    terms = zip((INTERCEPT, *names), coefficients.tolist(), stderrs.tolist(), strict=True)
    total = off @ off
    r2 = float(1 - residuals @ residuals / total) if total else 0.0
    return Fit(tuple(Term(name, value, stderr, _p(value, stderr, freedom)) for name, value, stderr in terms), r2)


def _scaled(columns: Float64) -> tuple[Float64, Float64, Float64]:
    """(M, P) columns of mean 0 and length 1, or all 0 where they don't vary; their means and lengths."""
    centre = columns.mean(axis=0)
    off = columns - centre
    length = np.sqrt((off**2).sum(axis=0))
    flat = np.array([_is_flat(column) for column in columns.T], dtype=bool)
    length[flat] = 1.0
    scaled = off / length
    scaled[:, flat] = 0.0
    return scaled, centre, length


def _is_flat(column: Float64) -> bool:
    return bool(np.ptp(column) <= _FLAT * np.abs(column).max())


def _p(value: float, stderr: float, freedom: int) -> float:
    if stderr == 0:
        return float(value == 0)
    return float(2 * _student()(freedom, -abs(value) / stderr))


def _student() -> Callable[[int, float], float]:
    """The distribution function of Student's t, of degrees of freedom and t."""
    found: Callable[[int, float], float] = import_extra("scipy.special", "methods", "a p-value").stdtr
    return found


def _predicted(fit: Fit, names: Sequence[str], row: Float64) -> float:
    known = dict(zip(names, row.tolist(), strict=True))
    return fit.terms[0].value + float(sum(term.value * known[term.name] for term in fit.slopes))


def _size(errors: Float64) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(errors**2)))
