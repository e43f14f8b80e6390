"""The types that rooms of the program hand to each other, and the columns they store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.errors import RunError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


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
class Signals:
    """Everything collected for a method: the rows, and the signals it named in `needs`."""

    rows: Rows
    stored_ratings: Ratings | None = None
    stored_tokens: Int64 | None = None

    @property
    def ratings(self) -> Ratings:
        """The ratings. Raises RunError where none were collected."""
        if self.stored_ratings is None:
            raise RunError("this method needs ratings and none were collected")
        return self.stored_ratings

    @property
    def response_tokens(self) -> Int64:
        """(N,) tokens of the response under the tokenizer of the model that was named."""
        if self.stored_tokens is None:
            raise RunError("this method needs token counts and none were collected")
        return self.stored_tokens


@runtime_checkable
class ScoringMethod(Protocol):
    """A frozen dataclass whose fields are the method's parameters."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the signals that must be collected first: 'ratings', 'tokens'."""

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
    def needs(self) -> tuple[str, ...]:
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

TOKENS_SCHEMA = pa.schema([("row", pa.int64()), ("tokens", pa.int64())])
SELECTION_SCHEMA = pa.schema([("rank", pa.int64()), ("row", pa.int64()), ("score", pa.float64()), ("why", pa.string())])
