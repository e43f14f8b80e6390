"""What a signal is: all that the program knows of one stands in its request class, a child of `SignalRequest`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selectit.config.options import flag
from selectit.config.settings import Settings
from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.errors import SettingsError
from selectit.jsonable import digest_of, without_nan
from selectit.signals.arrays import Float32, Int64

OnBatch = Callable[[int, int], None]
"""Called after each batch with the number of answers done and the tokens of their texts."""


class Engine(Protocol):
    """A loaded model; what it can be asked is a Protocol beside each request class, as `RatesLabels`."""

    @property
    def settings(self) -> Mapping[str, str | int]:
        """What besides model, request and data decides the numbers, resolved: dtype, device, threads and so on."""

    @property
    def parameters(self) -> int:
        """Parameter count of the model; tied weights count once; 0 = not known."""

    def close(self) -> None:
        """Free the model's memory."""


class Arrays(Protocol):
    """The stored answers about I items as a method reads them."""

    @property
    def row(self) -> Int64:
        """(I,) the row that each item belongs to."""


A = TypeVar("A", bound=Arrays)
E = TypeVar("E", bound=Engine)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine said to one request about B samples."""

    columns: Mapping[str, Any]
    """The signal's own columns, by the names of `SignalRequest.columns`: B values each."""
    errors: Sequence[str | None]
    """Why a sample has no answer; None where it has one."""
    flags: Sequence[int] | NDArray[np.uint8] | None = None
    """Sums of the FLAG constants; None = 0 throughout."""
    tokens: Sequence[int] | NDArray[np.int32] | None = None
    """Tokens that were read; None = not counted, 0 throughout."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What an engine said to each of some requests, and how much it was: equal texts are asked and count once."""

    answers: Sequence[Answer]
    """One for each request."""
    asked: int
    """Samples that the engine answered for, summed over the requests."""
    tokens: int
    """Tokens that it read for them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a model's answers to one request about I items are in a run."""

    model: str
    parameters: int
    """Of the model; 0 = not known."""
    table: pa.Table
    """`row`, the columns of the request, `tokens` and `flags`."""

    def numbers(self, name: str, missing: float | None = None) -> NDArray[Any]:
        """(I,) numbers, with `missing` where there is none."""
        column = self.table[name] if missing is None else self.table[name].fill_null(missing)
        return np.from_dlpack(column.combine_chunks())

    def flat(self, name: str) -> NDArray[Any]:
        """All numbers of a column of lists, one list after another."""
        flat = self.table[name].combine_chunks().flatten()
        return np.zeros(0, np.float32) if not len(flat) else np.from_dlpack(flat)

    def floats(self, name: str) -> Float32:
        """The same as float32."""
        return np.asarray(self.flat(name), np.float32)

    def lengths(self, name: str) -> Int64:
        """(I,) length of each list, 0 where there is none."""
        lengths = self.table[name].combine_chunks().value_lengths().fill_null(0)
        return np.asarray(np.from_dlpack(lengths), np.int64)

    def texts(self, name: str) -> tuple[str | None, ...]:
        """(I,) texts, None where there is none."""
        return tuple(self.table[name].to_pylist())


class SignalRequest(Generic[A, E]):
    """What a model is asked about each sample: a frozen dataclass whose fields are all that decides the answer.

    `A` is what a method reads of the answers, `E` the capability of an engine that gives them. A child has `signal`,
    `doing`, `capability`, `columns`, `ask` and `arrays`; the rest has defaults.
    """

    signal: ClassVar[str]
    """The signal's name: a folder of the run, and the key under which a method finds it in `Signals.stored`."""
    doing: ClassVar[str]
    """What goes on, before the model's name: 'reading losses with'."""
    capability: ClassVar[type[Any]]
    """The Protocol of an engine that can answer: `E`."""
    named_by: ClassVar[tuple[str, ...]] = ("model",)
    """The settings that name the model, the first that is given."""
    default: ClassVar[str | None] = None
    """The model where none is named; None = one must be."""
    heeds: ClassVar[tuple[str, ...] | None] = None
    """The settings that its models heed; None = all that a rating model does."""
    tokenized: ClassVar[bool] = True
    """Whether a served model's tokenizer has a part in the answers."""
    of_target: ClassVar[bool] = False
    """Whether it asks what a row does to the examples of a target, which are not asked about by themselves then."""
    pass_name: ClassVar[tuple[str, str]] = ("forward pass", "forward passes")
    """What `passes` counts: one, and several."""
    operations: ClassVar[int] = 2
    """Floating-point operations of a pass for each token and parameter: a product and a sum."""
    unfinished: ClassVar[tuple[str, str]] = (
        "{missing} of {wanted} units of {signal} by {model} are missing in {run}",
        "Collect them: selectit rate with this --run, --method and model.",
    )
    """What to say where units are missing, and what to do about it; {requests} is their number."""

    @property
    def columns(self) -> Mapping[str, pa.DataType]:
        """The stored columns beside `FRAME`, which every signal has."""
        raise NotImplementedError

    @property
    def passes(self) -> int:
        """Forward passes, or replies, that an answer about one sample takes."""
        return 1

    @property
    def about(self) -> dict[str, Any]:
        """What the manifest of the request's folder says."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    @property
    def folder(self) -> str:
        """The request's folder in that of a model's signal."""
        return f"text-{digest_of(self.about)[:12]}"

    @property
    def wider(self) -> tuple[Self, ...]:
        """Other requests whose answers hold all that this one's would."""
        return ()

    def towards(self, examples: Sequence[Example]) -> Self:
        """The request where these are the target's examples; most don't depend on them."""
        return self

    @property
    def of_examples(self) -> Self:
        """What the target's examples are asked where this is asked of the rows; most are asked the same."""
        return self

    def shares_reading(self, other: Self) -> bool:
        """Whether both should go to the engine in one call, since they share a reading of the sample."""
        return False

    def ask(self, engine: E, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        """What the engine says about the samples. Raises EngineError and ModelError as the engine does."""
        raise NotImplementedError

    @classmethod
    def ask_all(cls, engine: E, requests: Sequence[Self], samples: Sequence[Sample], on_batch: OnBatch) -> Answers:
        """What the engine says to each request about the samples."""
        found = [request.ask(engine, samples, on_batch) for request in requests]
        tokens = sum(int(np.sum(each.tokens)) for each in found if each.tokens is not None)
        return Answers(found, len(samples) * len(requests), tokens)

    def table(self, samples: Sequence[Sample], answer: Answer) -> pa.Table:
        """An answer as it is stored: `row`, `item`, the signal's columns, and what was read and went wrong."""
        none = [0] * len(samples)
        columns = {
            "row": [sample.row for sample in samples],
            "item": [sample.item for sample in samples],
            **answer.columns,
            "tokens": none if answer.tokens is None else answer.tokens,
            "flags": none if answer.flags is None else answer.flags,
            "error": list(answer.errors),
        }
        kinds = {**FRAME, **self.columns}
        return pa.table(columns, schema=pa.schema([(name, kinds[name]) for name in columns]))

    def arrays(self, stored: Stored) -> A:
        """What a method reads of one model's answers."""
        raise NotImplementedError

    @classmethod
    def stack(cls, requests: Sequence[Self], stored: Sequence[Sequence[Stored]]) -> A:
        """What a method reads of the answers of several models to several requests; most signals have one of each.

        Args:
            requests: K of one signal.
            stored: M models' K answers.
        """
        ((only,),) = stored
        return requests[0].arrays(only)

    @classmethod
    def model_named(cls, settings: Settings) -> str | None:
        """The model that the settings name, None where they name none. Raises SettingsError where they name several."""
        for name in cls.named_by:
            value: str | tuple[str, ...] = getattr(settings, name) or ()
            names = (value,) if isinstance(value, str) else value
            if len(names) > 1:
                raise SettingsError(f"this method reads {cls.signal} of one model", "Name one with --model.")
            if names:
                return names[0]
        return None

    @classmethod
    def model_asked(cls, settings: Settings) -> str:
        """The model that is asked: the one that is named, else the default. Raises SettingsError without either."""
        named = cls.model_named(settings) or cls.default
        if named is None:
            raise SettingsError(*cls.unnamed())
        return named

    @classmethod
    def unnamed(cls) -> tuple[str, str]:
        """What to say where no model is named, and what to do about it."""
        flags = " or ".join(map(flag, cls.named_by))
        return f"this method needs a model for its {cls.signal}", f"Name one with {flags}."

    @classmethod
    def describe(cls, entry: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        """What `show` has of a row's answer, as plain values, None for NaN; `about` is the folder's manifest."""
        return {name: without_nan(value) for name, value in entry.items() if name not in FRAME}

    @classmethod
    def tell(cls, described: Mapping[str, Any]) -> str:
        """The same on a line."""
        figures = {name: value for name, value in described.items() if name not in _HEAD}
        return ", ".join(f"{name} {value}" for name, value in figures.items())


FRAME = {"row": pa.int64(), "item": pa.int32(), "tokens": pa.int32(), "flags": pa.uint8(), "error": pa.string()}
"""The columns that every stored answer has; `flags` is a sum of the FLAG constants."""


_HEAD = ("signal", "model", "item", "flags", "error")
"""What `show` says of every answer."""
