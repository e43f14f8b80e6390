"""The types that rooms of the program hand to each other, and the columns they store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.errors import RunError, SettingsError, nearest

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is system, user, assistant, call or tool. Only assistants are rated."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the data set. `row` (its place in the source, from 0) is its identity everywhere.

    `digest` is 16 bytes over the turns: equal rows have equal digests. `raw` is the record's own JSON
    text, kept so that what is written is what was read, to the last digit; of a table it is the Arrow row.
    """

    row: int
    digest: bytes
    turns: tuple[Turn, ...]
    raw: Any
    words: int
    """Words (runs without white space) of the responses that are rated."""
    left_out: tuple[str, ...]
    """Kinds of content that are not text ('image') and are not rated."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One (instruction, response) pair to rate. `item` counts the rated answers of one row, from 0."""

    row: int
    item: int
    instruction: str
    response: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What every method may know about the rows without any model. All arrays have length N."""

    digest: NDArray[np.void]
    occurrence: Int64
    """How many earlier rows have the same digest."""
    response_words: Int64
    """Words (runs without white space) of the responses that are rated."""

    def __len__(self) -> int:
        return len(self.digest)


@dataclass(frozen=True, slots=True)
class Ratings:
    """The stored ratings of M models under K prompts with R labels, for I items of N rows."""

    logprob: Float32
    """(I, M, K, R) natural-log probability of each label, normalised over the whole vocabulary; NaN = missing."""
    row: Int64
    """(I,) the row that each item belongs to."""
    flags: NDArray[np.uint8]
    """(I, M, K) sums of the FLAG constants."""
    tokens: NDArray[np.int32]
    """(I, M, K) tokens of the rated text."""
    parameters: Int64
    """(M,) parameter count of each model."""
    models: tuple[str, ...]
    """(M,) their names."""


@dataclass(frozen=True, slots=True)
class LossText:
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
class Losses:
    """Losses of I responses of N rows under one model and one `LossText`, in nats.

    The T response tokens of all items lie one after the other; item i has [start[i], start[i + 1]). An item that has
    no losses (no room, empty response, failure) has no tokens.
    """

    row: Int64
    """(I,) the row that each item belongs to."""
    start: Int64
    """(I + 1,)."""
    given: Float32
    """(1 + C, T) -log p of each response token after its instruction; first the clean reading, then C noisy ones."""
    alone: Float32
    """(1 + C, T) the same without the instruction; NaN for a first token that nothing stands before, and throughout
    without `LossText.both`."""
    entropy: Float32
    """(T,) -sum p log p of the clean reading, given the instruction."""
    largest: Float32
    """(T,) the largest probability."""
    second: Float32
    """(T,) the second largest."""
    squares: Float32
    """(T,) the sum of the squared probabilities."""
    prompt_tokens: Int64
    """(I,) tokens before the response."""
    prompt_loss: Float32
    """(I,) mean -log p of those that have something before them; NaN where none has, and without `LossText.prompt`."""
    truncated: NDArray[np.bool_]
    """(I,) whether the response was cut to the token limit."""


@dataclass(frozen=True, slots=True)
class EmbeddedText:
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
class Embeddings:
    """Vectors of I items of N rows under one encoder."""

    row: Int64
    """(I,)."""
    vectors: Float32
    """(I, D), as the encoder gives them; NaN throughout where there is none."""


@dataclass(frozen=True, slots=True)
class Question:
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
class Judgements:
    """A judge's replies for I items of N rows."""

    row: Int64
    """(I,)."""
    replies: tuple[str | None, ...]
    """(I,) the answer's text; None where there is none."""
    judge: str = ""
    """The judge's name, as it is served or as --judge has it; '' = not known."""


@dataclass(frozen=True, slots=True)
class RewardText:
    """The pair as the reward model was trained on it: a method names it in its `needs`."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """A reward model's outputs for I items of N rows."""

    row: Int64
    """(I,)."""
    reward: Float64
    """(I,) higher is better; NaN where there is none."""


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
class Instead:
    """The ratings once more, with other text in the place of the sample's own: a method names one in its `needs`."""

    instruction: str | None = None
    """None = the sample's."""
    response: str | None = None


Need = str | LossText | EmbeddedText | Question | RewardText | Field | ScoreOf | Instead
"""A signal that a method reads: 'ratings', 'tokens', 'texts' (the pairs themselves), or one of the types above."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything collected for a method: the rows, and the signals that it named in `needs`."""

    rows: Rows
    stored_ratings: Ratings | None = None
    stored_ratings_instead: Ratings | None = None
    stored_tokens: Int64 | None = None
    stored_texts: tuple[Sample, ...] | None = None
    stored_losses: Losses | None = None
    stored_embeddings: Embeddings | None = None
    stored_judgements: Judgements | None = None
    stored_rewards: Rewards | None = None
    stored_field: tuple[str, ...] | None = None
    stored_scores: Mapping[str, Float64] = dataclass_field(default_factory=dict)

    @property
    def ratings(self) -> Ratings:
        """The ratings. This and the following raise RunError where the signal was not collected."""
        return _collected(self.stored_ratings, "ratings")

    @property
    def ratings_instead(self) -> Ratings:
        """The ratings of the `Instead` of `needs`: the same models, prompts and items."""
        return _collected(self.stored_ratings_instead, "ratings of other text in the sample's place")

    @property
    def response_tokens(self) -> Int64:
        """(N,) tokens of the response under the tokenizer of the model that was named."""
        return _collected(self.stored_tokens, "token counts")

    @property
    def texts(self) -> tuple[Sample, ...]:
        """The rated pairs of all rows, in order."""
        return _collected(self.stored_texts, "texts")

    @property
    def losses(self) -> Losses:
        """The losses under the `LossText` of `needs`."""
        return _collected(self.stored_losses, "losses")

    @property
    def embeddings(self) -> Embeddings:
        """The vectors of the `EmbeddedText` of `needs`."""
        return _collected(self.stored_embeddings, "embeddings")

    @property
    def judgements(self) -> Judgements:
        """The replies to the `Question` of `needs`."""
        return _collected(self.stored_judgements, "judgements")

    @property
    def rewards(self) -> Rewards:
        """The outputs of the reward model."""
        return _collected(self.stored_rewards, "rewards")

    @property
    def field(self) -> tuple[str, ...]:
        """(N,) the values of the `Field` of `needs` as text; '' where a record has none."""
        return _collected(self.stored_field, "a field")

    def score_of(self, method: str) -> Float64:
        """(N,) the scores of a `ScoreOf` of `needs`, by its text; NaN = could not be scored."""
        return _collected(self.stored_scores.get(method), f"the scores of {method!r}")


def _collected(signal: T | None, name: str) -> T:
    if signal is None:
        raise RunError(f"this method needs {name} and none were collected")
    return signal


@runtime_checkable
class ScoringMethod(Protocol):
    """A frozen dataclass whose fields are the method's parameters."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """The signals that must be collected first, at most one of each kind but `ScoreOf`."""

    @property
    def label(self) -> str:
        """The method with its telling parameters, fit for a file name: 'selectit-sentence-paper-k5-a0.2'."""

    def score(self, signals: Signals) -> Float64:
        """(N,) float64; higher = keep; NaN = could not be scored."""


@runtime_checkable
class ExplainsScores(Protocol):
    """A scoring method that can say what each score was made of."""

    def parts(self, signals: Signals) -> dict[str, NDArray[Any]]:
        """Named columns of length N."""


@runtime_checkable
class SetMethod(Protocol):
    """A method that chooses a set rather than scoring rows one by one."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """As of a scoring method."""

    @property
    def label(self) -> str:
        """As of a scoring method."""

    def select(self, signals: Signals, budget: int) -> Int64:
        """At most `budget` distinct row numbers, in the order in which they were chosen."""


Method = ScoringMethod | SetMethod


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen rows in order. All arrays have the same length."""

    rows: Int64
    scores: Float64
    """NaN throughout for a method that chooses a set."""
    why: tuple[str, ...]
    cut: float
    """The lowest score that was kept; NaN without scores."""


TURNS_TYPE = pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())]))


def source_schema(table: pa.Schema | None) -> pa.Schema:
    """Columns of the source. `raw` is the JSON text, or the row of a table with that schema."""
    return pa.schema(
        [
            ("row", pa.int64()),
            ("digest", pa.binary(16)),
            ("words", pa.int64()),
            ("turns", TURNS_TYPE),
            ("left_out", pa.list_(pa.string())),
            ("raw", pa.string() if table is None else pa.struct(list(table))),
        ]
    )


def ratings_schema(labels: int) -> pa.Schema:
    """Columns of one unit of ratings; `labels` is R. `flags` is a sum of the FLAG constants."""
    return pa.schema(
        [
            ("row", pa.int64()),
            ("item", pa.int32()),
            ("logprob", pa.list_(pa.float32(), labels)),
            ("mass", pa.float32()),
            ("tokens", pa.int32()),
            ("flags", pa.uint8()),
            ("error", pa.string()),
        ]
    )


FLAG_TRUNCATED = 1
"""The response was cut from the right so that the answer line stayed whole."""
FLAG_EMPTY = 2
"""The response is empty."""
FLAG_SMALLER_BATCH = 4
"""The batch was split because the engine failed on it whole."""

FLAG_NO_ROOM = 8
"""The text does not fit the token limit and could not, or was not allowed to, be cut."""
FLAG_FLOOR = 16
"""A label that the server did not return has the smallest log-probability that it did return."""
FLAG_UNFINISHED = 32
"""The answer reached the limit of new tokens before its end."""

TOKENS_SCHEMA = pa.schema([("row", pa.int64()), ("tokens", pa.int64())])
SELECTION_SCHEMA = pa.schema([("rank", pa.int64()), ("row", pa.int64()), ("score", pa.float64()), ("why", pa.string())])
