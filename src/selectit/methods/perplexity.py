"""How surprised a model is by the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selectit.errors import SettingsError, nearest
from selectit.methods._base import ScoringMethod
from selectit.methods._losses import label_text
from selectit.numerics.segments import mean_by_row, mean_ranks, means
from selectit.signals.arrays import Float64, Losses, Signals
from selectit.signals.loss_templates import loss_text
from selectit.signals.requests import LossRequest

POLICIES = ("low", "high", "middle")
SPANS = ("response", "instruction", "whole")


@dataclass(frozen=True, slots=True)
class Perplexity(ScoringMethod):
    """The least, most or middling surprising texts by a model's perplexity.

    The perplexity of all responses of a data set together, each token counted once, is a figure of `selectit eval
    --heldout`.

    Source: a family of the survey of Qin et al., arXiv 2408.02085; PPL = exp(mean of -log p), in nats. The middle band
    as in Ivison et al., arXiv 2503.01807.

    Needs: the losses of a causal model (the tuned one, or any small one).

    Direction: higher = keep: `high` is the perplexity, `low` its negative, `middle` minus the distance of the row's
    percentile from `centre`. NaN for fewer than two tokens, whose mean says little.

    Cost: 1 forward pass a row; none for `response` where the run has the losses of `ifd`.

    Differs: the survey prints 2 as the base, which fits losses in bits only. The published band starts at a percentile
    and takes scores that are not those of the rows it chooses; here it lies around one, as wide as the budget.

    Licence: hamishivi/automated-instruction-selection has none; nothing was taken from it.

    Checked: by hand.
    """

    policy: str = "low"
    """`low`, `high` or `middle`."""
    span: str = "response"
    """Whose tokens count: `response` after its instruction, `instruction`, or `whole`, both together."""
    template: str = "alpaca"
    """`alpaca`, its prompt for rows with an input or that for rows without; `chat`, the model's chat template; or
    `plain`: instruction and input, each on lines of their own."""
    boundary: str = "joint"
    """`joint`: prompt and response are tokenised together, and a token of both is none of the response; `split`: apart,
    so that the whole response counts."""
    centre: float = 50.0
    """The percentile around which `middle` chooses, in [0, 100]."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise SettingsError(f"perplexity has no policy {self.policy!r}", nearest(self.policy, POLICIES))
        if self.span not in SPANS:
            raise SettingsError(f"perplexity has no span {self.span!r}", nearest(self.span, SPANS))
        if not 0 <= self.centre <= 100:
            raise SettingsError(f"centre is {self.centre}", "It is a percentile from 0 to 100; the median is 50.")
        loss_text(self.template, self.boundary)

    @property
    def needs(self) -> tuple[LossRequest, ...]:
        return (loss_text(self.template, self.boundary, prompt=self.span != "response", both=False),)

    @property
    def label(self) -> str:
        centre = f"{self.centre:g}" if self.policy == "middle" else ""
        return f"perplexity-{self.policy}{centre}-{self.span}-{label_text(self.template, self.boundary)}"

    def score(self, signals: Signals) -> Float64:
        """(N,) scores; a row of several responses has the mean of their perplexities."""
        perplexity = self._perplexity(signals)
        if self.policy == "high":
            return perplexity
        if self.policy == "low":
            return -perplexity
        scores = np.full(len(perplexity), np.nan)
        scored = np.flatnonzero(~np.isnan(perplexity))
        percentile = 100 * (mean_ranks(perplexity[scored]) - 0.5) / max(len(scored), 1)
        scores[scored] = -np.abs(percentile - self.centre)
        return scores

    def parts(self, signals: Signals) -> dict[str, Float64]:
        """The perplexity itself."""
        return {"perplexity": self._perplexity(signals)}

    def _perplexity(self, signals: Signals) -> Float64:
        losses = signals.losses
        sums, tokens = self._sums(losses)
        enough = tokens >= 2
        items = np.exp(np.divide(sums, tokens, out=np.full(len(sums), np.nan), where=enough))
        return mean_by_row(items, losses.row, len(signals.rows))

    def _sums(self, losses: Losses) -> tuple[Float64, Float64]:
        """(I,) sums of the losses of the span, and (I,) how many they are."""
        tokens = np.diff(losses.start).astype(np.float64)
        response = means(losses.given[0], losses.start) * tokens
        if self.span == "response":
            return response, tokens
        # The first token of all has nothing before it, so it has no loss.
        before = np.maximum(losses.prompt_tokens - 1, 0).astype(np.float64)
        instruction = np.where(before > 0, losses.prompt_loss, 0.0) * before
        if self.span == "instruction":
            return np.where(tokens > 0, instruction, np.nan), before
        return instruction + response, before + tokens


METHOD = Perplexity
