"""What methods read: the answers of models as arrays, and all that was collected for one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.errors import RunError
from selectit.signals.rows import Rows

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

T = TypeVar("T")

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


class ItemArrays:
    """Answers about I items of N rows: a frozen dataclass whose fields have a value for each item."""

    __slots__ = ()

    shared: ClassVar[tuple[str, ...]] = ()
    """The fields that are not one value an item."""

    row: Int64
    """(I,) the row that each item belongs to."""

    def take(self, items: Int64, row: Int64) -> Self:
        """The answers about some of the items.

        Args:
            items: (J,) their places among the I.
            row: (J,) the rows that they belong to from now on.
        """
        names = [each.name for each in dataclasses.fields(self) if each.name not in self.shared]  # type: ignore[arg-type]
        cut = {name: _take(getattr(self, name), items) for name in names}
        return dataclasses.replace(self, **{**cut, "row": row})  # type: ignore[type-var]


def _take(values: Any, items: Int64) -> Any:
    return values[items] if isinstance(values, np.ndarray) else tuple(values[item] for item in items.tolist())


@dataclass(frozen=True, slots=True)
class Ratings(ItemArrays):
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
    labels: tuple[str, ...] = ()
    """(R,) the labels, worst first; () = not known."""

    shared = ("parameters", "models", "labels")


@dataclass(frozen=True, slots=True)
class Losses(ItemArrays):
    """Losses of I responses of N rows under one model and one `LossRequest`, in nats.

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
    """(1 + C, T) the same without the instruction; NaN for first tokens that have no loss since nothing stands before
    them, and throughout without `LossRequest.both`."""
    entropy: Float32
    """(T,) -sum p log p of the clean reading, given the instruction."""
    largest: Float32
    """(T,) the largest probability."""
    second: Float32
    """(T,) the second largest."""
    squares: Float32
    """(T,) the sum of the squared probabilities."""
    rank: Float32
    """(T,) 1 + the number of tokens that are more likely than the response's own, after its instruction."""
    prompt_tokens: Int64
    """(I,) tokens before the response."""
    prompt_loss: Float32
    """(I,) mean -log p of those that have something before them; NaN where none has,
    and without `LossRequest.prompt`."""
    truncated: NDArray[np.bool_]
    """(I,) whether the response was cut to the token limit."""

    shared = ("start", "given", "alone", "entropy", "largest", "second", "squares", "rank")

    def take(self, items: Int64, row: Int64) -> Losses:
        """The losses of some of the items; arguments as of `ItemArrays.take`."""
        begins, counts = self.start[items], np.diff(self.start)[items]
        start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        tokens = np.arange(start[-1]) + np.repeat(begins - start[:-1], counts)
        cut = {name: getattr(self, name)[..., tokens] for name in self.shared if name != "start"}
        return dataclasses.replace(ItemArrays.take(self, items, row), start=start, **cut)


@dataclass(frozen=True, slots=True)
class Embeddings(ItemArrays):
    """Vectors of I items of N rows under one encoder."""

    row: Int64
    """(I,)."""
    vectors: Float32
    """(I, D), as the encoder gives them; NaN throughout where there is none."""


@dataclass(frozen=True, slots=True)
class Judgements(ItemArrays):
    """A judge's replies for I items of N rows."""

    row: Int64
    """(I,)."""
    replies: tuple[str | None, ...]
    """(I,) the answer's text; None where there is none."""
    judge: str = ""
    """The judge's name, as it is served or as --judge has it; '' = not known."""

    shared = ("judge",)


@dataclass(frozen=True, slots=True)
class Rewards(ItemArrays):
    """A reward model's outputs for I items of N rows."""

    row: Int64
    """(I,)."""
    reward: Float64
    """(I,) higher is better; NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Gains:
    """How much I items of N rows, each read in front, lower the losses of Q examples of a target."""

    row: Int64
    """(I,)."""
    gains: Float32
    """(I, Q) nats a token, above 0 where the item helps; NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Gradients(ItemArrays):
    """What was kept of the gradients of I items of N rows at C checkpoints; NaN throughout where there is none.

    A gradient is of the mean loss of the response's tokens, in nats, with the optimiser's moments where
    `GradientRequest.adam` asks for that.
    """

    row: Int64
    """(I,)."""
    norm: Float32
    """(I, C) its length, 0 or more."""
    projected: Float16
    """(I, C, D) R g / (sqrt(D) |g|), the entries of R 1 or -1: g as a unit vector, of which the inner product with
    another is unbiased, with a standard deviation of at most sqrt(2 / D). D is 0 where it is not kept."""
    inner: Float32
    """(I, C, Q) its inner products with the gradients of Q examples; Q is 0 where they are not kept."""
    rates: Float64
    """(C,) the learning rate that led to each checkpoint."""

    shared = ("rates",)


@dataclass(frozen=True, slots=True)
class Target:
    """The Q examples of what the model should become good at, and what was collected of them."""

    signals: Signals
    """What the method needs of the rows, of the examples: row q is example q."""
    group: Int64
    """(Q,) the group of each, a place in `groups`."""
    groups: tuple[str, ...]
    """Their names, in the order of the files."""
    examples: tuple[Example, ...] = ()
    """They themselves: what a model is asked about that is tuned on the way."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything collected for a method: the rows, and the signals that it named in `needs`."""

    rows: Rows
    stored: Mapping[str, Any] = dataclass_field(default_factory=dict)
    """What models answered, by the name of the signal: 'ratings' -> `Ratings`, 'losses' -> `Losses` and so on."""
    stored_tokens: Int64 | None = None
    stored_texts: tuple[Sample, ...] | None = None
    stored_field: tuple[str, ...] | None = None
    stored_scores: Mapping[str, Float64] = dataclass_field(default_factory=dict)
    stored_target: Target | None = None

    def take(self, rows: Int64) -> Signals:
        """The signals of some of the rows as if there were no others: what was row `rows[i]` is row i."""
        place = np.full(len(self.rows), -1)
        place[rows] = np.arange(len(rows))

        def cut(arrays: ItemArrays) -> ItemArrays:
            items = np.flatnonzero(place[arrays.row] >= 0)
            items = items[np.argsort(place[arrays.row[items]], kind="stable")]
            return arrays.take(items, place[arrays.row[items]])

        return dataclasses.replace(
            self,
            rows=self.rows.take(rows),
            stored={name: cut(arrays) for name, arrays in self.stored.items()},
            stored_tokens=None if self.stored_tokens is None else self.stored_tokens[rows],
            stored_texts=None if self.stored_texts is None else _take_samples(self.stored_texts, place),
            stored_field=None if self.stored_field is None else _take(self.stored_field, rows),
            stored_scores={name: scores[rows] for name, scores in self.stored_scores.items()},
        )

    def of(self, signal: str) -> Any:
        """What models answered for a signal. This and the following raise RunError where it was not collected."""
        return _collected(self.stored.get(signal), signal)

    @property
    def ratings(self) -> Ratings:
        """The ratings."""
        return cast(Ratings, self.of("ratings"))

    @property
    def ratings_instead(self) -> Ratings:
        """The ratings of the `Substitution` of `needs`: the same models, prompts and items."""
        return cast(Ratings, self.of(INSTEAD))

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
        """The losses under the `LossRequest` of `needs`."""
        return cast(Losses, self.of("losses"))

    @property
    def embeddings(self) -> Embeddings:
        """The vectors of the `EmbeddingRequest` of `needs`."""
        return cast(Embeddings, self.of("embeddings"))

    @property
    def judgements(self) -> Judgements:
        """The replies to the `JudgeRequest` of `needs`."""
        return cast(Judgements, self.of("judgements"))

    @property
    def rewards(self) -> Rewards:
        """The outputs of the reward model."""
        return cast(Rewards, self.of("rewards"))

    @property
    def states(self) -> Embeddings:
        """The pooled hidden states of the `StateRequest` of `needs`."""
        return cast(Embeddings, self.of("states"))

    @property
    def gains(self) -> Gains:
        """What the rows do to the losses of the target's examples."""
        return cast(Gains, self.of("gains"))

    @property
    def gradients(self) -> Gradients:
        """What was kept of the gradients under the `GradientRequest` of `needs`."""
        return cast(Gradients, self.of("gradients"))

    @property
    def target(self) -> Target:
        """The examples of a method that chooses towards them."""
        return _collected(self.stored_target, "a target")

    @property
    def field(self) -> tuple[str, ...]:
        """(N,) the values of the `Field` of `needs` as text; '' where a record has none."""
        return _collected(self.stored_field, "a field")

    def score_of(self, method: str) -> Float64:
        """(N,) the scores of a `ScoreOf` of `needs`, by its text; NaN = could not be scored."""
        return _collected(self.stored_scores.get(method), f"the scores of {method!r}")


def _take_samples(samples: tuple[Sample, ...], place: Int64) -> tuple[Sample, ...]:
    """The pairs of the rows that have a place of 0 or more, in the order of the places."""
    moved = [dataclasses.replace(each, row=int(place[each.row])) for each in samples if place[each.row] >= 0]
    return tuple(sorted(moved, key=lambda each: each.row))


INSTEAD = "ratings of other text in the sample's place"
"""The key in `Signals.stored` of the ratings of a `Substitution`."""


def _collected(signal: T | None, name: str) -> T:
    if signal is None:
        raise RunError(f"this method needs {name} and none were collected")
    return signal
