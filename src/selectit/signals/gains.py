"""Gains: how much a row, read in front, lowers the losses of the examples of a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa

from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.errors import SettingsError
from selectit.jsonable import digest_of
from selectit.signals.arrays import Float64, Gains
from selectit.signals.base import Answer, OnBatch, SignalRequest, Stored
from selectit.signals.losses import LossRequest, ResponseLosses, ScoresText

_BETWEEN = "\n\n"


@dataclass(frozen=True)
class GainRequest(SignalRequest[Gains, ScoresText]):
    """The losses of some examples' answers after the pair as one shot, and without: a method names it in its `needs`.

    The pair stands before the example, both in the template, with an empty line between.
    """

    text: LossRequest
    """What stands around an instruction."""
    count: int = 8
    """Examples of the target that are read after each pair."""
    seed: int = 0
    """Of drawing them."""
    examples: tuple[Example, ...] = field(default=(), repr=False)
    """The drawn ones; see `towards`."""

    signal = "gains"
    doing = "reading examples after each row with"
    capability = ScoresText
    of_target = True
    columns = {"gains": pa.list_(pa.float32())}

    @property
    def about(self) -> dict[str, Any]:
        """The examples by their digest: their texts lie in the run of the target."""
        pairs = [[each.instruction, each.response, each.input] for each in self.examples]
        return {**self.text.about, "count": self.count, "examples": digest_of({"pairs": pairs})[:16]}

    @property
    def passes(self) -> int:
        return max(len(self.examples), 1)

    def towards(self, examples: Sequence[Example]) -> Self:
        """With `count` of the examples, as many of each group as there are, drawn with the seed."""
        check_answered(examples)
        groups: dict[str, list[Example]] = {}
        for place in np.random.default_rng(self.seed).permutation(len(examples)).tolist():
            groups.setdefault(examples[place].group, []).append(examples[place])
        longest = max(map(len, groups.values()), default=0)
        turns = [some[turn] for turn in range(longest) for some in groups.values() if turn < len(some)]
        return replace(self, examples=tuple(turns[: self.count]))

    def ask(self, engine: ScoresText, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        alone, _ = self._losses(engine, [self._after("", each) for each in self.examples])
        gains: list[list[float] | None] = []
        errors: list[str | None] = []
        for sample in samples:  # one by one: the examples share the reading of the pair
            after, problem = self._losses(engine, [self._after(self._shot(sample), each) for each in self.examples])
            same = [
                (sample.instruction, sample.response) == (each.instruction, each.response) for each in self.examples
            ]
            found = np.where(same, np.nan, alone - after)
            gains.append(None if np.isnan(found).all() else found.astype(np.float32).tolist())
            errors.append((problem or "each example that was drawn is this row itself") if gains[-1] is None else None)
            on_batch(1, 0)
        return Answer({"gains": gains}, errors)

    def arrays(self, stored: Stored) -> Gains:
        lengths = stored.lengths("gains")
        gains = np.full((len(lengths), len(self.examples)), np.nan, np.float32)
        gains[lengths > 0] = stored.floats("gains").reshape(-1, len(self.examples))
        return Gains(stored.numbers("row"), gains)

    def _shot(self, sample: Sample) -> str:
        return f"{self.text.before(sample)}{sample.response}{_BETWEEN}"

    def _after(self, shot: str, example: Example) -> Sample:
        """The example as a pair whose instruction is everything before its answer."""
        asked = Sample(0, 0, example.instruction, example.response, example.input)
        return Sample(0, 0, shot + self.text.before(asked), example.response)

    def _losses(self, engine: ScoresText, pairs: Sequence[Sample]) -> tuple[Float64, str]:
        """(Q,) mean losses in nats a token, NaN where there is none, and why."""
        whole = LossRequest("{instruction}", "", both=False)
        found = engine.losses(whole, pairs, lambda done, tokens: None)
        problem = next((each for each in found if isinstance(each, str)), "")
        return np.array([_mean(each) for each in found]), problem

    @classmethod
    def describe(cls, entry: Any, about: Any) -> dict[str, Any]:
        known = [gain for gain in entry["gains"] or () if not np.isnan(gain)]
        return {"gain": float(np.mean(known)) if known else None}

    @classmethod
    def tell(cls, described: Any) -> str:
        return "no gain" if described["gain"] is None else f"mean gain {described['gain']:+.4g} nats a token"


def check_answered(examples: Sequence[Example]) -> None:
    """Raise SettingsError where an example of a target has no answer."""
    unanswered = sum(not each.response.strip() for each in examples)
    if unanswered:
        raise SettingsError(
            f"{unanswered} of {len(examples)} examples of the target have no answer whose loss could fall",
            "Give them answers, or choose with rds, knn-target or dsir, which need none.",
        )


def _mean(losses: ResponseLosses | str) -> float:
    return float("nan") if isinstance(losses, str) or losses.truncated else float(losses.given[0].mean())
