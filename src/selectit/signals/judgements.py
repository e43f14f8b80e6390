"""Judgements: what a generator answers to a question about a pair, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from selectit.data.records import Sample
from selectit.signals.arrays import Judgements
from selectit.signals.base import Answer, Engine, OnBatch, SignalRequest, Stored


@dataclass(frozen=True, slots=True)
class Reply:
    """A generator's answer to a question about one sample."""

    text: str | None
    """None = there is none."""
    error: str = ""
    """Why there is none; '' where there is one."""
    flags: int = 0
    """`FLAG_UNFINISHED`, or `FLAG_NO_ROOM` where the question is too long."""


@runtime_checkable
class Replies(Engine, Protocol):
    """A loaded generator."""

    def reply(self, question: JudgeRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[Reply]:
        """The greedy answer about each sample."""


@dataclass(frozen=True)
class JudgeRequest(SignalRequest[Judgements, Replies]):
    """What a judge is asked about a pair, to be answered in words: a method names one in its `needs`."""

    system: str
    text: str
    """Holds {instruction}, and {response} where the judge sees it."""
    max_new_tokens: int = 256

    signal = "judgements"
    doing = "asking"
    capability = Replies
    columns = {"reply": pa.string()}
    named_by = ("judge", "model")
    tokenized = False
    pass_name = ("reply", "replies")

    def of(self, sample: Sample) -> str:
        """The text about a pair, which follows `system`."""
        fields = {"instruction": sample.instruction, "response": sample.response}
        # In one pass, so that a pair that holds such a word in braces is left as it is.
        return re.sub(r"\{(instruction|response)\}", lambda match: fields[match[1]], self.text)

    def ask(self, engine: Replies, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        replies = engine.reply(self, samples, on_batch)
        errors = [reply.error or None for reply in replies]
        return Answer({"reply": [reply.text for reply in replies]}, errors, [reply.flags for reply in replies])

    def arrays(self, stored: Stored) -> Judgements:
        return Judgements(stored.numbers("row"), stored.texts("reply"), stored.model)

    @classmethod
    def describe(cls, entry: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        return {"reply": entry["reply"]}

    @classmethod
    def tell(cls, described: Mapping[str, Any]) -> str:
        return f"reply {described['reply']!r}"
