"""SelectIT: the model's own uncertainty as a measure of data quality, at three levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod, check_prompts
from selectit.numerics.label_probs import sentence_scores
from selectit.numerics.segments import mean_by_row
from selectit.signals.arrays import Float32, Float64, Ratings, Signals

LEVELS = ("token", "sentence", "model", "model-token")
PROFILES = ("paper", "official")


OFFICIAL_WEIGHTS = (7 / 20, 13 / 20, 70 / 90)
"""Blue-Raincoat/SelectIT@4813250:self_reflection/model_level.py; they sum to 1.78, by position."""


_CHUNK = 1 << 12  # rows scored at a time: the arrays stay in the processor's cache


@dataclass(frozen=True, slots=True)
class SelectIT(ScoringMethod):
    """The model's own rating, discounted by its uncertainty (SelectIT, Liu et al., NeurIPS 2024).

    Levels: `token` is equation 3 under prompt 1; `sentence` equation 4 over K prompts; `model` equation 5 over the
    sentence scores of M models, which contains the other two; `model-token` equation 5 over token scores (the
    ablation Model-R).

    Profiles: `paper` normalises the label probabilities plainly and weights models by parameter count. `official`
    repeats what Blue-Raincoat/SelectIT@4813250 does instead: a second softmax over the normalised probabilities
    (scores about 4 times smaller, and another ranking), the weights 7/20, 13/20, 70/90 for exactly three models by
    position, the first k labels only in the gap where k < 5, and the larger row first on ties.

    Source: Liu et al., "SelectIT: Selective Instruction Tuning for LLMs via Uncertainty-Aware Self-Reflection",
    NeurIPS 2024, arXiv 2402.16705, equations 2 to 5.

    Needs: the ratings of one model, or of several.

    Direction: higher = keep; in [0, R], R the number of labels.

    Cost: K forward passes a row and model; 1 at the levels `token` and `model-token`. No generation, no training.

    Differs: see the profiles; `paper` is the default.

    Licence: Blue-Raincoat/SelectIT has none; nothing was taken from it, prompts included.

    Checked: the equations' values by hand; the published code's own output on 16 rows with two models at all levels.
    """

    level: str = "sentence"
    """`token`, `sentence`, `model` or `model-token`; `model` is the default where several models rated."""
    profile: str = "paper"
    """`paper` or `official`."""
    k: int = 5
    """Number of rating prompts, from 1; in `official` also the divisor k - 1, so from 2 to the number of labels."""
    alpha: float = 0.2
    """How much disagreement between the prompts costs; 0 or more."""
    weights: tuple[float, ...] = ()
    """One for each model, in their order; empty = parameter counts."""
    min_prompts: int = 0
    """How many of the K ratings a row must have; 0 = all K."""

    needs: ClassVar[tuple[str, ...]] = ("ratings",)
    takes_k: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise SettingsError(f"there is no level {self.level!r}", nearest(self.level, LEVELS))
        if self.profile not in PROFILES:
            raise SettingsError(f"there is no profile {self.profile!r}", nearest(self.profile, PROFILES))
        check_prompts(self.k)
        if not 0 <= self.alpha < float("inf"):
            raise SettingsError(f"alpha is {self.alpha}", "alpha is a number of 0 or more; the paper's is 0.2.")
        if not 0 <= self.min_prompts <= self.k:
            raise SettingsError(f"min-prompts is {self.min_prompts} of {self.k}", "It is a number from 1 to k.")
        if any(not 0 < weight < float("inf") for weight in self.weights):
            raise SettingsError(f"the weights are {self.weights}", "Weights are numbers above 0, one for each model.")
        if self.profile == "official":
            self._check_official()

    def _check_official(self) -> None:
        if self.k == 1:
            raise SettingsError(
                "k is 1, and the official code divides by k - 1", "Use the profile 'paper', or k from 2 to 5."
            )
        if self.weights or self.min_prompts:
            raise SettingsError(
                "the official profile has fixed weights and wants every rating",
                "Use the profile 'paper' to choose them.",
            )

    @classmethod
    def defaults(cls, named: tuple[str, ...], rated: tuple[str, ...]) -> dict[str, Any]:
        """The level `model` where several models rate."""
        return {"level": "model" if len(named or rated) > 1 else "sentence"}

    def first_rating(self, k: int) -> dict[str, Any]:
        """Under one prompt the token level, in both profiles; all K ratings, since rows with fewer go on anyway."""
        return {"min_prompts": None, **({"level": "token", "k": self.k} if k == 1 else {"k": k})}

    @property
    def label(self) -> str:
        detail = f"-k{self.k}" if self.prompts > 1 or self.profile == "official" else ""
        detail += f"-a{self.alpha:g}" if self.prompts > 1 else ""
        detail += f"-w{':'.join(f'{w:g}' for w in self.weights)}".replace(":", "_") if self.weights else ""
        detail += f"-min{self.min_prompts}" if self.min_prompts else ""
        return f"selectit-{self.level}-{self.profile}{detail}"

    @property
    def prompts(self) -> int:
        """How many of the rating prompts the level reads."""
        return 1 if self.level in ("token", "model-token") else self.k

    @property
    def many_models(self) -> str:
        """The level, where it is a mean over several models."""
        return f"the level {self.level!r}" if self.level in ("model", "model-token") else ""

    @property
    def ordered_models(self) -> bool:
        """Whether there are weights, which go by the order of the models."""
        return bool(self.weights) or self.profile == "official"

    @property
    def ties(self) -> str:
        """Which of two rows with equal scores comes first: 'smaller' or 'larger' row number."""
        return "larger" if self.profile == "official" else "smaller"

    @property
    def about(self) -> str:
        """A line for the summary."""
        return "the model level contains the token and the sentence level" if self.level == "model" else ""

    def check(self, models: tuple[str, ...], labels: int) -> None:
        """Raise SettingsError where the models or the number of labels do not fit the level, profile or weights."""
        named = ", ".join(models)
        if not self.many_models and len(models) != 1:
            raise SettingsError(
                f"the level {self.level!r} reads one model, and there are {len(models)}: {named}",
                "Choose one model, or use the level 'model'.",
            )
        if self.profile == "official" and self.many_models and len(models) != 3:
            raise SettingsError(
                f"the official model level takes exactly three models, and there are {len(models)}: {named}",
                "Use the profile 'paper' for any number of models.",
            )
        if self.profile == "official" and self.k > labels:
            raise SettingsError(
                f"k is {self.k}, and the official code has {labels} labels for prompts and ratings alike",
                "Use the profile 'paper' for more prompts than labels.",
            )
        if self.weights and not self.many_models:
            raise SettingsError(f"the level {self.level!r} has no weights", "Use the level 'model', or leave them out.")
        if self.weights and len(self.weights) != len(models):
            raise SettingsError(
                f"there are {len(self.weights)} weights for {len(models)} models: {named}", "Give one weight a model."
            )

    def score(self, signals: Signals) -> Float64:
        """(N,) scores in [0, R]; higher = keep; NaN where too few ratings are present. Raises as `check` does."""
        ratings = signals.ratings
        self.check(ratings.models, ratings.logprob.shape[-1])
        scores = np.empty(len(ratings.row))
        for start in range(0, len(scores), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            scores[chunk] = self._model_level(self._one_model_level(ratings.logprob[chunk]), ratings)
        return mean_by_row(scores, ratings.row, len(signals.rows))

    def parts(self, signals: Signals) -> dict[str, NDArray[Any]]:
        """What each score was made of, model by model.

        Mean and standard deviation of the token scores over the prompts, the mean of the most likely rating, the mean
        mass on the labels. The names have the model's in front where there are several.
        """
        ratings = signals.ratings
        parts: dict[str, NDArray[Any]] = {}
        for m, name in enumerate(ratings.models):
            logprob = ratings.logprob[:, m, : self.prompts]
            tokens = token_scores(logprob, self.profile, self.k)
            prefix = f"{name}." if len(ratings.models) > 1 else ""
            present = ~np.isnan(tokens)
            enough = present.sum(-1) >= (self.min_prompts or self.prompts)
            columns = {
                "mean": np.where(enough, _mean(tokens, present), np.nan),
                "std": np.where(
                    enough, np.sqrt(_mean((tokens - _mean(tokens, present)[:, None]) ** 2, present)), np.nan
                ),
                "rating": np.where(enough, _mean(logprob.argmax(-1) + 1.0, present), np.nan),
                "mass": np.where(enough, _mean(np.exp(logprob.astype(np.float64)).sum(-1), present), np.nan),
            }
            for key, values in columns.items():
                parts[prefix + key] = mean_by_row(values, ratings.row, len(signals.rows))
        return parts

    def _one_model_level(self, logprob: Float32) -> Float64:
        """(I, M, K, R) log-probabilities to (I, M) scores of single models."""
        tokens = token_scores(logprob[:, :, : self.prompts], self.profile, self.k)
        if self.prompts == 1:
            return tokens[:, :, 0]
        return sentence_scores(tokens, self.alpha, self.min_prompts or self.prompts)

    def _model_level(self, scores: Float64, ratings: Ratings) -> Float64:
        """(I, M) scores of single models to (I,)."""
        if not self.many_models:
            return scores[:, 0]
        if self.profile == "official":
            official: Float64 = scores @ np.array(OFFICIAL_WEIGHTS)
            return official
        for name, parameters in zip(ratings.models, ratings.parameters, strict=True):
            if not self.weights and parameters < 1:
                raise SettingsError(
                    f"the parameter count of {name} is not known, and the models are weighted by it",
                    "Give --weights, one number a model in the order of --model.",
                )
        weights = np.array(self.weights if self.weights else ratings.parameters, dtype=np.float64)
        paper: Float64 = scores @ (weights / weights.sum())
        return paper


METHOD = SelectIT


def token_scores(logprob: NDArray[Any], profile: str = "paper", k: int = 5) -> Float64:
    """Equations 2 and 3: the most likely rating times how far its probability stands above the others.

    Args:
        logprob: (..., R) natural-log probabilities of the labels, in any constant normalisation.
        profile: `paper` divides by the labels' sum: S = r · (R · P'_max - 1) / (R - 1), in [0, R], 0 iff uniform.
            `official` puts a softmax over that and sums the gaps of the first `k` labels over k - 1
            (Blue-Raincoat/SelectIT@4813250:self_reflection/token_level.py), in [0, 1.28] for five labels.
        k: read by `official` only.

    Returns:
        (...) float64; NaN where a label is missing or all have probability 0. Ties take the lowest rating.
    """
    # Labels first and contiguous: five long vectors are many times faster than a million sums of five numbers.
    columns = np.ascontiguousarray(np.moveaxis(logprob, -1, 0), dtype=np.float64)
    labels = len(columns)
    highest = np.maximum.accumulate(columns, axis=0)
    rating = 1 + (highest[:-1] < highest[-1]).sum(axis=0)  # the first label that reaches the maximum
    with np.errstate(invalid="ignore"):
        exponential = np.exp(columns - highest[-1])
    total = exponential.sum(axis=0)
    if profile == "paper":
        # The largest exponential is 1, so P'_max = 1 / total.
        scores: Float64 = rating * (labels / total - 1) / (labels - 1)
        return scores
    second = np.exp(exponential / total)
    second /= second.sum(axis=0)
    official: Float64 = rating * (second.max(axis=0) - second[:k]).sum(axis=0) / (k - 1)
    return official


def _mean(values: NDArray[Any], present: NDArray[np.bool_]) -> Float64:
    """(..., K) to (...): the mean of those that are present; NaN where none is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Float64 = values.sum(axis=-1, where=present) / present.sum(axis=-1)
    return means
