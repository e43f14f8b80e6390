"""Losses: how well a causal model foresees each token of a response."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pyarrow as pa

from selectit.data.records import Sample
from selectit.signals.arrays import FLAG_TRUNCATED, Float32, Int64, Losses
from selectit.signals.base import Answer, Engine, OnBatch, SignalRequest, Stored


@dataclass(frozen=True, slots=True)
class ResponseLosses:
    """The losses of one response; see `Losses` for what the columns hold. T tokens, C noisy copies."""

    given: Float32
    """(1 + C, T)."""
    alone: Float32
    """(1 + C, T)."""
    entropy: Float32
    largest: Float32
    second: Float32
    squares: Float32
    rank: Float32
    prompt_tokens: int
    prompt_loss: float
    truncated: bool


@runtime_checkable
class ScoresText(Engine, Protocol):
    """An engine with a loaded causal model that gives the losses of responses."""

    def losses(self, text: LossRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[ResponseLosses | str]:
        """The losses of each response, or why it has none.

        Raises:
            EngineError: `SAME_ERROR_LIMIT` samples in a row failed with the same error.
        """


@dataclass(frozen=True)
class LossRequest(SignalRequest[Losses, ScoresText]):
    """What a causal model reads for the losses of a response: a method names one in its `needs`."""

    template: str
    """What stands before the response; holds {instruction} once."""
    alone: str
    """What stands before it where it is read without its instruction; may be empty."""
    boundary: str = "split"
    """'split': prefix and response are tokenised apart and joined as ids, so that the boundary is exact. 'joint': the
    joined text is tokenised, and the prefix tokenised by itself says where the response begins (as Cherry,
    Superfiltering and T-SHIRT do). A token that spans the boundary is none of the response then."""
    prompt: bool = False
    """Whether the losses of what stands before the response are wanted too."""
    both: bool = True
    """Whether the response is read alone too; without it half the passes."""
    copies: int = 0
    """Noisy copies beside the clean reading: uniform noise on the input embeddings."""
    noise: float = 5.0
    """Its size: U(-1, 1) x noise / sqrt(tokens x width)."""
    seed: int = 42
    with_input: str = ""
    """What stands before the response to an instruction with an input; holds {instruction}, and after it {input}, once.
    Empty: the same as before any other, with the input at the instruction's end."""
    chat: bool = False
    """Whether the instruction is a user's message in the model's chat template instead; alone, the response keeps what
    the template begins an answer with."""
    shifted: bool = False
    """Whether a response that is cut keeps one token more where it is read alone and nothing stands before it, so that
    both readings have as many losses; else both are cut after the same token."""

    signal = "losses"
    doing = "reading losses with"
    capability = ScoresText
    columns = {  # the fields of `ResponseLosses`; of noisy copies one after another
        **dict.fromkeys(("given", "alone", "entropy", "largest", "second", "squares", "rank"), pa.list_(pa.float32())),
        "prompt_tokens": pa.int64(),
        "prompt_loss": pa.float32(),
    }

    @property
    def about(self) -> dict[str, Any]:
        """Without what is left at its default, and with a mark: earlier versions stored no ranks."""
        later = ("with_input", "chat", "shifted")
        about = {key: value for key, value in super().about.items() if value or key not in later}
        return {**about, "ranks": True}

    def template_for(self, sample: Sample) -> str:
        """The one of the two templates that the sample is read in."""
        return self.with_input if self.with_input and sample.input else self.template

    def before(self, sample: Sample) -> str:
        """What stands before the sample's response."""
        template = self.template_for(sample)
        if template != self.with_input:
            return template.replace("{instruction}", sample.instruction)
        head, _, rest = template.partition("{instruction}")
        middle, _, tail = rest.partition("{input}")
        return f"{head}{sample.task}{middle}{sample.input}{tail}"

    @property
    def passes(self) -> int:
        return (1 + self.both) * (1 + self.copies)

    @property
    def wider(self) -> tuple[Self, ...]:
        return () if self.both else (replace(self, both=True),)

    def ask(self, engine: ScoresText, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        found = engine.losses(self, samples, on_batch)
        read = [None if isinstance(each, str) else each for each in found]
        return Answer(
            {name: [None if each is None else _flat(getattr(each, name)) for each in read] for name in self.columns},
            errors=[each if isinstance(each, str) else None for each in found],
            flags=[FLAG_TRUNCATED * (each is not None and each.truncated) for each in read],
            tokens=[0 if each is None else each.prompt_tokens + each.given.shape[1] for each in read],
        )

    def arrays(self, stored: Stored) -> Losses:
        start = np.concatenate([[0], np.cumsum(stored.lengths("entropy"))])
        return Losses(
            row=stored.numbers("row"),
            start=start,
            given=_by_copy(stored.floats("given"), start, 1 + self.copies),
            alone=_by_copy(stored.floats("alone"), start, 1 + self.copies),
            entropy=stored.floats("entropy"),
            largest=stored.floats("largest"),
            second=stored.floats("second"),
            squares=stored.floats("squares"),
            rank=stored.floats("rank"),
            prompt_tokens=stored.numbers("prompt_tokens", missing=0),
            prompt_loss=stored.numbers("prompt_loss", missing=np.nan),
            truncated=(stored.numbers("flags") & FLAG_TRUNCATED).astype(bool),
        )

    @classmethod
    def describe(cls, entry: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        clean = len(entry["entropy"] or ())  # noisy copies follow the clean reading
        means = {name: _mean((entry[name] or ())[:clean]) for name in ("given", "alone")}
        return {**means, "tokens": entry["tokens"]}

    @classmethod
    def tell(cls, described: Mapping[str, Any]) -> str:
        means = [f"{name} {described[name]:.4g}" for name in ("given", "alone") if described[name] is not None]
        notes = "".join(f"  ({note})" for note in described["flags"])
        return f"mean loss {', '.join(means) or 'undefined'}, {described['tokens']:,} tokens{notes}"


def _flat(value: Any) -> Any:
    return value.ravel() if isinstance(value, np.ndarray) else value


def _by_copy(values: Float32, start: Int64, copies: int) -> Float32:
    """(copies x T,) of item after item, in each copy after copy, to (copies, T)."""
    if copies == 1:
        return values[None]
    out = np.empty((copies, int(start[-1])), np.float32)
    for begin, end in zip(start[:-1].tolist(), start[1:].tolist(), strict=True):
        out[:, begin:end] = values[copies * begin : copies * end].reshape(copies, end - begin)
    return out


def _mean(values: Sequence[float]) -> float | None:
    """The mean of those that are defined: a first token that nothing stands before has no loss."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else None
