"""What can be asked about each pair.

A request decides the signal (a folder of the run), its own folder there, and what its manifest says.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from selectit.data.records import Sample
from selectit.errors import SettingsError, nearest
from selectit.jsonable import digest_of

TEMPLATE = "{prompt}\n\nInstruction:{instruction}\nResponse:{response}\nThe answer is: \n"
"""Blue-Raincoat/SelectIT@4813250:self_reflection/sentence_level.py's text: no space after the colons, a space
and a newline at the end, so that the label opens a line."""


SAMPLE_FIRST = "Instruction:{instruction}\nResponse:{response}\n\n{prompt}\nThe answer is: \n"
"""The same parts with the sample before the question, so that K questions share one reading of the sample."""


LAYOUTS = {"prompt-first": TEMPLATE, "sample-first": SAMPLE_FIRST}
LABELS = ("1", "2", "3", "4", "5")
_FIELD = re.compile(r"\{(prompt|instruction|response)\}")


@dataclass(frozen=True, slots=True)
class RatingPrompt:
    """One wording with its template and labels: everything that decides the rated text of a sample."""

    text: str
    template: str = TEMPLATE
    labels: tuple[str, ...] = LABELS
    chat: bool = False
    """Whether the engine puts the text through the model's chat template, as a user's message."""

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


def fingerprint_of(parts: Sequence[str]) -> str:
    """sha256 over what decides a prompt, its first hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class LossRequest:
    """What a causal model reads for the losses of a response: a method names one in its `needs`."""

    template: str
    """What stands before the response; holds {instruction} once."""
    alone: str
    """What stands before it where it is read without its instruction; may be empty."""
    boundary: str = "split"
    """'split': prefix and response are tokenised apart and joined as ids, so that the boundary is exact. 'joint': the
    joined text is tokenised, and the prefix tokenised by itself says where the response begins (as Cherry,
    Superfiltering and T-SHIRT do; off by one where a token spans the boundary)."""
    prompt: bool = False
    """Whether the losses of what stands before the response are wanted too."""
    both: bool = True
    """Whether the response is read alone too; without it half the passes."""
    copies: int = 0
    """Noisy copies beside the clean reading: uniform noise on the input embeddings."""
    noise: float = 5.0
    """Its size: U(-1, 1) x noise / sqrt(tokens x width)."""
    seed: int = 42


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What of a pair is embedded: a method names one in its `needs`."""

    text: str = "both"
    """'instruction', 'response', or 'both' with a line break between."""

    def __post_init__(self) -> None:
        known = ("instruction", "response", "both")
        if self.text not in known:
            raise SettingsError(f"text is {self.text!r}, which there is not", nearest(self.text, known))

    def of(self, sample: Sample) -> str:
        """The text of a pair."""
        parts = {"instruction": [sample.instruction], "response": [sample.response]}
        return "\n".join(parts.get(self.text, [sample.instruction, sample.response]))


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """What a judge is asked about a pair, to be answered in words: a method names one in its `needs`."""

    system: str
    text: str
    """Holds {instruction}, and {response} where the judge sees it."""
    max_new_tokens: int = 256

    def of(self, sample: Sample) -> str:
        """The text about a pair, which follows `system`."""
        fields = {"instruction": sample.instruction, "response": sample.response}
        # In one pass, so that a pair that holds such a word in braces is left as it is.
        return re.sub(r"\{(instruction|response)\}", lambda match: fields[match[1]], self.text)


@dataclass(frozen=True, slots=True)
class RewardRequest:
    """The pair as the reward model was trained on it: a method names it in its `needs`."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of each record, by name (dots for fields within fields): a method names one in its `needs`."""

    name: str


@dataclass(frozen=True, slots=True)
class ScoreOf:
    """The scores of another scoring method over the same rows: a method names any number of them in its `needs`."""

    method: str
    """As typed: 'length', or with parameters 'length:unit=tokens'; 'stored:NAME' = scores that the run already has."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """The ratings once more, with other text in the place of the sample's own: a method names one in its `needs`."""

    instruction: str | None = None
    """None = the sample's."""
    response: str | None = None


Need = str | LossRequest | EmbeddingRequest | JudgeRequest | RewardRequest | Field | ScoreOf | Substitution
"""A signal that a method reads: 'ratings', 'tokens', 'texts' (the pairs themselves), or one of the types above."""


Request = RatingPrompt | LossRequest | EmbeddingRequest | JudgeRequest | RewardRequest
_SIGNALS: dict[type[Any], str] = {
    RatingPrompt: "ratings",
    LossRequest: "losses",
    EmbeddingRequest: "embeddings",
    JudgeRequest: "judgements",
    RewardRequest: "rewards",
}


SIGNALS = tuple(_SIGNALS.values())
"""Every signal, each a folder of the run."""


def signal_of(request: Request) -> str:
    """The signal: 'ratings', 'losses', 'embeddings', 'judgements' or 'rewards'."""
    return _SIGNALS[type(request)]


def folder_of(request: Request) -> str:
    """The work's folder in that of a model's signal."""
    if isinstance(request, RatingPrompt):
        return f"prompt-{request.fingerprint}"
    return f"text-{digest_of(about(request))[:12]}"


def about(request: Request) -> dict[str, Any]:
    """What the folder's manifest says."""
    if isinstance(request, RatingPrompt):
        return {"prompt": request.text, "template": request.template, "labels": list(request.labels)}
    return dataclasses.asdict(request)


def passes(request: Request) -> int:
    """Forward passes, or generations, that an answer to the work takes: losses are read given and alone, and noisy."""
    if isinstance(request, RatingPrompt):
        return int(request.sees_sample)  # else one text stands for all rows
    return (1 + request.both) * (1 + request.copies) if isinstance(request, LossRequest) else 1


def together(first: Request, second: Request) -> bool:
    """Whether two works about the same rows should go to the engine in one call: they share a reading of the sample."""
    return all(isinstance(request, RatingPrompt) and request.sample_first for request in (first, second))
