"""A linear rule over cheap indicators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.signals.arrays import Float64, Signals
from selectit.signals.requests import ScoreOf

RULES = {
    "v1": ((1.0684, -0.1498, 8.257e-5, -0.9350), ("reward", "length:unit=tokens", "knn:k=6")),
    "v2": (
        (0.0274, -0.0078, 0.4421, -0.3212, -0.1520),
        ("reward", "field:name=understandability", "field:name=naturalness", "field:name=coherence"),
    ),
    "own": ((), ()),
}


@dataclass(frozen=True, slots=True)
class InstructionMining(ScoringMethod):
    """The loss that a linear rule predicts for a model tuned on such rows (Instruction Mining).

    v1: 1.0684 - 0.1498 reward + 8.257e-5 length - 0.9350 KNN6. v2: 0.0274 - 0.0078 reward + 0.4421 understandability -
    0.3212 naturalness - 0.1520 coherence. The published coefficients belong to LLaMA-7B, one reward model and one set
    of evaluations: with another reward model their scale is meaningless. `own` takes
    your own coefficients, which `selectit fit-rule` fits to the losses of models that an experiment has tuned on
    random rows (docs/experiments.md).

    Source: Cao et al., "Instruction Mining", arXiv 2307.06290; the coefficients of v2 from a secondary source.

    Needs: the scores of other methods: v1 `reward`, `length` in tokens and `knn`; v2 `reward` and the three fields of
    UniEval, which the records must bring along.

    Direction: higher = keep; the score is minus the predicted log loss.

    Cost: that of the indicators: 1 forward pass of the reward model and 1 of the encoder for v1.

    Differs: the published code counts the tokens of prompt and response, `length` those of the response: at 8e-5 a
    token that is a small constant for most data. Its search for the best number of rows, which tunes a model for each
    trial, is the budget "search" of an experiment. The intercept of v1 is also quoted as 1.0694: the same order.

    Licence: lingjoor-research/instruct-minnig (unofficial) has none; nothing was taken from it.

    Checked: the specification's values of both rules; fitting gives back coefficients that made the losses, and its
    standard errors and p-values agree with SciPy's.
    """

    rule: str = "v1"
    """`v1`, `v2`, or `own` with `indicators` and `coefficients`."""
    indicators: tuple[str, ...] = ()
    """Other scoring methods for the rule's indicators, in its order: reward,length:unit=tokens,knn:k=6."""
    coefficients: tuple[float, ...] = ()
    """Of the rule `own`: the intercept, then one for each indicator."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise SettingsError(f"there is no rule {self.rule!r}", nearest(self.rule, RULES))
        if self.coefficients and self.rule != "own":
            raise SettingsError(f"the rule {self.rule} has its coefficients", "Use --param rule=own for others.")
        intercept_and_slopes = len(self._coefficients)
        if intercept_and_slopes != len(self._indicators) + 1 or intercept_and_slopes < 2:
            raise SettingsError(
                f"there are {len(self._indicators)} indicators for {intercept_and_slopes} coefficients",
                "Give the intercept and one coefficient for each indicator.",
            )

    @property
    def needs(self) -> tuple[ScoreOf, ...]:
        return tuple(ScoreOf(indicator) for indicator in self._indicators)

    @property
    def label(self) -> str:
        return f"instruction-mining-{self.rule}" + ("-changed" if self.indicators and self.rule != "own" else "")

    @property
    def _indicators(self) -> tuple[str, ...]:
        return self.indicators or RULES[self.rule][1]

    @property
    def _coefficients(self) -> tuple[float, ...]:
        return self.coefficients or RULES[self.rule][0]

    def score(self, signals: Signals) -> Float64:
        """(N,) minus the predicted log loss; NaN where an indicator is missing."""
        return -self.parts(signals)["predicted_log_loss"]

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """The predicted log loss and the indicators."""
        values = {indicator: signals.score_of(indicator) for indicator in self._indicators}
        intercept, *slopes = self._coefficients
        predicted = intercept + np.stack(list(values.values()), axis=1) @ np.array(slopes)
        return {"predicted_log_loss": predicted, **values}


METHOD = InstructionMining
