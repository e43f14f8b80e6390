"""Ratings: the probabilities of a few labels after a text that asks for one."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.data.records import Sample
from selectit.signals.arrays import FLAG_EMPTY, Float32, Int64, Ratings
from selectit.signals.base import Answer, Answers, Engine, OnBatch, SignalRequest, Stored

TEMPLATE = "{prompt}\n\nInstruction:{instruction}\nResponse:{response}\nThe answer is: \n"
"""Blue-Raincoat/SelectIT@4813250:self_reflection/sentence_level.py's text: no space after the colons, a space
and a newline at the end, so that the label opens a line."""


SAMPLE_FIRST = "Instruction:{instruction}\nResponse:{response}\n\n{prompt}\nThe answer is: \n"
"""The same parts with the sample before the question, so that K questions share one reading of the sample."""


LAYOUTS = {"prompt-first": TEMPLATE, "sample-first": SAMPLE_FIRST}
LABELS = ("1", "2", "3", "4", "5")
_FIELD = re.compile(r"\{(prompt|instruction|response)\}")


@dataclass(frozen=True, slots=True)
class RatingBatch:
    """Ratings of B samples under one prompt with R labels, in the order of the samples."""

    logprob: Float32
    """(B, R) natural-log probability of each label as next token, normalised over the whole vocabulary;
    NaN = not returned."""
    tokens: Int64
    """(B,) length of the rated text in tokens, 0 where there is none."""
    flags: NDArray[np.uint8]
    """(B,) sums of `FLAG_TRUNCATED`, `FLAG_SMALLER_BATCH` and the like."""
    errors: tuple[str | None, ...]
    """(B,) why a sample has no rating; None where it has one."""


@runtime_checkable
class RatesLabels(Engine, Protocol):
    """An engine with a loaded model that gives the probabilities of a rating prompt's labels."""

    def rate(self, prompts: Sequence[RatingPrompt], samples: Sequence[Sample], on_batch: OnBatch) -> list[RatingBatch]:
        """Rate `samples` under each of `prompts`, forming batches inside. A sample that fails is an entry of `errors`.

        What one prompt gives does not depend on which others are asked in the same call.

        Raises:
            ModelError: the labels are not distinct single tokens after the prompt.
            EngineError: `SAME_ERROR_LIMIT` samples in a row failed with the same error.
        """


@dataclass(frozen=True)
class RatingPrompt(SignalRequest[Ratings, RatesLabels]):
    """One wording with its template and labels: everything that decides the rated text of a sample."""

    text: str
    template: str = TEMPLATE
    labels: tuple[str, ...] = LABELS
    chat: bool = False
    """Whether the engine puts the text through the model's chat template, as a user's message."""

    signal = "ratings"
    doing = "rating with"
    capability = RatesLabels
    unfinished = (
        "{missing} of {wanted} units of {model} are not rated yet in {run}",
        "Finish them with: selectit rate --run {run} --model {model} --k {requests}",
    )

    def render(self, instruction: str, response: str) -> str:
        """The text whose next token is the rating. Braces inside the arguments are plain text."""
        fields = {"prompt": self.text, "instruction": instruction, "response": response}
        return _FIELD.sub(lambda match: fields[match[1]], self.template)

    def instead(self, other: Substitution) -> RatingPrompt:
        """The prompt with other text in its template where the sample's would stand."""
        texts = {"instruction": other.instruction, "response": other.response}
        given = {name: text for name, text in texts.items() if text is not None}
        return replace(self, template=_FIELD.sub(lambda match: given.get(match[1], match[0]), self.template))

    def seen(self, sample: Sample) -> tuple[str, str]:
        """What of a sample the text depends on."""
        return (
            sample.instruction if "{instruction}" in self.template else "",
            sample.response if "{response}" in self.template else "",
        )

    @property
    def sees_sample(self) -> bool:
        """Whether the text depends on the sample at all."""
        return "{instruction}" in self.template or "{response}" in self.template

    @property
    def sample_first(self) -> bool:
        """Whether the sample stands before the wording, so that its tokens can be read once for many prompts."""
        return "{response}" in self.template and self.template.index("{prompt}") > self.template.index("{response}")

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with the wording, the template, the labels or the chat template's use."""
        return fingerprint_of([self.text, self.template, *self.labels, *(["chat"] if self.chat else [])])

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        return {"logprob": pa.list_(pa.float32(), len(self.labels)), "mass": pa.float32()}

    @property
    def passes(self) -> int:
        return int(self.sees_sample)

    @property
    def about(self) -> dict[str, Any]:
        return {"prompt": self.text, "template": self.template, "labels": list(self.labels)}

    @property
    def folder(self) -> str:
        return f"prompt-{self.fingerprint}"

    def shares_reading(self, other: Self) -> bool:
        return self.sample_first and other.sample_first

    @classmethod
    def ask_all(
        cls, engine: RatesLabels, requests: Sequence[Self], samples: Sequence[Sample], on_batch: OnBatch
    ) -> Answers:
        seen: dict[tuple[tuple[str, str], ...], int] = {}
        place = np.array([seen.setdefault(tuple(p.seen(sample) for p in requests), len(seen)) for sample in samples])
        first = np.unique(place, return_index=True)[1]
        rated = engine.rate(requests, [samples[i] for i in first], on_batch)
        if len(first) < len(samples):
            on_batch((len(samples) - len(first)) * len(requests), 0)
        every = [
            RatingBatch(b.logprob[place], b.tokens[place], b.flags[place], tuple(b.errors[i] for i in place))
            for b in rated
        ]
        return Answers(
            [request.answer(samples, batch) for request, batch in zip(requests, every, strict=True)],
            len(first) * len(requests),
            sum(int(batch.tokens.sum()) for batch in rated),
        )

    def answer(self, samples: Sequence[Sample], batch: RatingBatch) -> Answer:
        """The ratings of the samples as they are stored."""
        empty = np.array([FLAG_EMPTY if not sample.response else 0 for sample in samples], dtype=np.uint8)
        logprob = pa.FixedSizeListArray.from_arrays(pa.array(batch.logprob.ravel(), pa.float32()), len(self.labels))
        mass = np.exp(batch.logprob.astype(np.float64)).sum(axis=1).astype(np.float32)
        return Answer(
            {"logprob": logprob, "mass": mass}, batch.errors, batch.flags | empty, batch.tokens.astype(np.int32)
        )

    @classmethod
    def stack(cls, requests: Sequence[Self], stored: Sequence[Sequence[Stored]]) -> Ratings:

        def each(value: str) -> NDArray[Any]:
            return np.stack([np.stack([one.numbers(value) for one in row], axis=1) for row in stored], axis=1)

        labels = len(requests[0].labels)
        logprob = [[one.floats("logprob").reshape(-1, labels) for one in row] for row in stored]
        return Ratings(
            logprob=np.stack([np.stack(row, axis=1) for row in logprob], axis=1),
            row=stored[0][0].numbers("row"),
            flags=each("flags"),
            tokens=each("tokens"),
            parameters=np.array([row[0].parameters for row in stored], dtype=np.int64),
            models=tuple(row[0].model for row in stored),
            labels=requests[0].labels,
        )

    @classmethod
    def describe(cls, entry: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        chances = [math.exp(value) for value in entry["logprob"]]
        return {
            "prompt": about["prompt"],
            "probabilities": dict(zip(about["labels"], chances, strict=True)),
            "mass": entry["mass"],
            "tokens": entry["tokens"],
        }


@dataclass(frozen=True, slots=True)
class Substitution:
    """The ratings once more, with other text in the place of the sample's own: a method names one in its `needs`."""

    instruction: str | None = None
    """None = the sample's."""
    response: str | None = None


def fingerprint_of(parts: Sequence[str]) -> str:
    """sha256 over what decides a prompt, its first hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
