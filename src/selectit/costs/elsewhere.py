"""The same job on accelerators that are not here: arithmetic on what was measured here, with its assumptions.

Time is operations / (devices x peak x the share of it that is reached). Operations are parameters x tokens x 2 for a
forward pass, x 6 for one forward and backward (Kaplan et al., arXiv 2001.08361, section 2.1). For gradients of adapters
6 is what it takes through all layers where these are computed again on the way back, and more than it takes through the
last layers alone. Attention between tokens is left out: little, while a text has fewer tokens than 12 x the width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selectit.costs.passes import SignalCost
from selectit.costs.plan import Cost
from selectit.costs.tunings import TuningCost
from selectit.errors import SettingsError, nearest
from selectit.signals.base import SignalRequest

PEAKS = {"a100": 312e12, "l40s": 362e12, "h100": 989e12, "h200": 989e12, "b200": 2250e12}
"""Operations a second of one, dense, in bf16: its maker's data sheet."""
REACHED = 0.3
"""The share of the peak that is reached, where nothing is said: a guess for models of some billion parameters."""
TUNING = "tuning"
TUNING_OPERATIONS = 6
"""For each token and parameter: 2 forward and 4 backward."""
WEIGHT_BYTES = 2
"""Of a parameter in bf16."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Accelerators of one kind."""

    name: str
    devices: int
    peak: float
    """Operations a second of one."""
    reached: float = REACHED
    """The share of it."""

    @property
    def speed(self) -> float:
        """Operations a second of all together."""
        return self.devices * self.peak * self.reached


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a model does."""

    what: str
    """A signal's name, or 'tuning'."""
    model: str
    of_model: bool
    """Whether that is the model that is to be tuned: `SignalCost.of_model`."""
    parameters: int
    tokens: float
    """Of all passes."""
    operations: int
    """For each token and parameter."""
    bytes: float
    """Stored."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a job would take on another machine."""

    machine: Machine
    rows: int
    parts: tuple[Part, ...]
    seconds: tuple[float, ...]
    """Of each part, on all devices together."""
    unknown: tuple[str, ...]
    """Signals that are not in it, since their tokens are not counted."""

    @property
    def weights(self) -> int:
        """Bytes of the largest model's weights, which each device holds."""
        return WEIGHT_BYTES * max(part.parameters for part in self.parts)


def read_machine(
    on: str | None, reached: float | None, rows: float | None, parameters: float | None
) -> tuple[Machine | None, int | None, int | None]:
    """The machine, the rows and the parameters that are typed, each None where it is not.

    Args:
        on: 'h100:8' or '400e12:8': a name of `PEAKS` or the peak of one device, and how many (1).
        reached: the share of the peak.
        rows: 1 or more.
        parameters: 1 or more.

    Raises:
        SettingsError: one of them can't be, or there are others without `on`.
    """
    for name, value in {"--reached": reached, "--rows": rows, "--parameters": parameters}.items():
        if value is not None and on is None:
            raise SettingsError(f"{name} is about another machine, and none is named", "Name it: --on h100:8.")
        if value is not None and (not 0 < value < math.inf or (name != "--reached" and value < 1)):
            raise SettingsError(f"{name} is {value:g}", "Give a number above 0.")
    many, large = (None if value is None else round(value) for value in (rows, parameters))
    return None if on is None else _find_machine(on, REACHED if reached is None else reached), many, large


def _find_machine(text: str, reached: float) -> Machine:
    name, _, number = text.lower().partition(":")
    devices = int(number) if number.isdecimal() else int(not number)
    peak = PEAKS.get(name) or _read_number(name)
    if not 0 < peak < math.inf or devices < 1:
        raise SettingsError(
            f"--on is {text!r}",
            f"Write h100:8, or 400e12:8 for 8 devices of 400e12 operations a second. {nearest(name, PEAKS)}",
        )
    if reached > 1:
        raise SettingsError(f"--reached is {reached:g}", "It is a share of the peak, at most 1.")
    return Machine(name if name in PEAKS else f"{name} operations/s", devices, peak, reached)


def _read_number(text: str) -> float:
    """0 where it is no number."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def estimate_elsewhere(
    cost: Cost | TuningCost, machine: Machine, rows: int | None = None, parameters: int | None = None
) -> Elsewhere:
    """What the whole job would take on another machine, also what the run here holds of it already.

    Args:
        cost: measured here.
        machine: the other one.
        rows: so many like these; None = as many.
        parameters: of a larger model in place of the one that is to be tuned; encoders and reward models stay.

    Raises:
        SettingsError: no model is asked, or nothing of it was measured here.
    """
    if isinstance(cost, Cost) and not cost.models and not cost.signals:
        raise SettingsError("no model is asked, and --on is about what models take", "Leave it out.")
    found = list(_tuning_parts(cost) if isinstance(cost, TuningCost) else _parts(cost))
    if not found:
        raise _refuse(cost)
    scale = 1.0 if rows is None else rows / cost.rows
    parts = tuple(_enlarge(part, scale, parameters) for part in found)
    return Elsewhere(
        machine=machine,
        rows=cost.rows if rows is None else rows,
        parts=parts,
        seconds=tuple(part.parameters * part.tokens * part.operations / machine.speed for part in parts),
        unknown=tuple(
            f"{each.signal} of the target" if each.of_target else each.signal
            for each in cost.signals
            if not _is_counted(each)
        ),
    )


def _refuse(cost: Cost | TuningCost) -> SettingsError:
    """The error where nothing can be estimated: nothing was measured, or no tokens are counted."""
    if measured := [each.signal for each in cost.signals if each.measured is not None]:
        return SettingsError(
            f"the tokens of {', '.join(measured)} are not counted, and --on goes by them", "Leave it out."
        )
    return SettingsError(
        "nothing was measured here that could be estimated elsewhere",
        "Where the run holds all of it already, plan with a new --run.",
    )


def _enlarge(part: Part, scale: float, parameters: int | None) -> Part:
    """The part of `scale` times the rows, by a model of so many parameters; weights grow with these, answers do not."""
    size = parameters if parameters is not None and part.of_model else part.parameters
    times = size / part.parameters if part.what == TUNING and part.parameters else scale
    return dataclasses.replace(part, parameters=size, tokens=part.tokens * scale, bytes=part.bytes * times)


def _parts(cost: Cost) -> Iterator[Part]:
    for model in cost.models:
        if model.measured is not None:
            whole = (model.passes + model.passes_done) / model.passes
            tokens, size = model.tokens * whole, model.rating_bytes * whole
            yield Part("ratings", model.model, True, model.parameters or 0, tokens, SignalRequest.operations, size)
    yield from _signal_parts(cost.signals)


def _tuning_parts(cost: TuningCost) -> Iterator[Part]:
    yield from _signal_parts(cost.signals)
    known = [each.measured.parameters for each in cost.signals if each.measured and each.model == cost.model]
    tokens = sum(each.tokens for each in cost.tunings)
    if known:
        yield Part(TUNING, cost.model, True, known[0], tokens, TUNING_OPERATIONS, len(cost.tunings) * cost.weights)


def _signal_parts(signals: Sequence[SignalCost]) -> Iterator[Part]:
    for each in signals:
        trial = each.measured
        if trial is not None and _is_counted(each):
            passes = each.passes + each.passes_done
            tokens, size = (passes / trial.answers * of for of in (trial.tokens, trial.answers * trial.bytes_each))
            yield Part(
                each.signal, each.model, each.of_model, trial.parameters, tokens, each.operations, size / each.each
            )


def _is_counted(cost: SignalCost) -> bool:
    """Whether the tokens that it takes are known."""
    return cost.measured is not None and cost.measured.tokens > 0
