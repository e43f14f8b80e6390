"""What the program reads of an engine's package, and what engines that rate have in common."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from selectit.config.settings import Settings
from selectit.engines.fitting import FittedText
from selectit.errors import EngineError, SettingsError, install_extra
from selectit.models import resolve
from selectit.models.files import Model
from selectit.signals.arrays import FLAG_NO_ROOM, FLAG_TRUNCATED, Float32, Int64
from selectit.signals.base import Engine
from selectit.signals.ratings import RatingBatch

MAX_TOKENS = 4096
"""The limit of a rated text where the model's context is longer."""


SAME_ERROR_LIMIT = 20
"""So many rows in a row that fail with one error stop the run: the engine is broken, not the rows."""


@runtime_checkable
class CountsTokens(Protocol):
    """An engine (or its tokenizer alone) that counts tokens."""

    def count_tokens(self, texts: Sequence[str]) -> Int64:
        """(len(texts),) tokens of each text, special tokens not counted."""


class EngineLoader:
    """What an engine's package states, and how it loads: the package has a child of this, and an instance `ENGINE`.

    The package itself imports nothing that has to be installed for this engine. What does stands in its other files,
    which come in through `module` when a model is loaded.
    """

    name: ClassVar[str]
    """The package's name, which `--engine` takes."""
    noun: ClassVar[str]
    """What messages call it: 'a server'."""
    install: ClassVar[str] = ""
    """The command that installs what it needs."""
    signals: ClassVar[tuple[str, ...] | None] = None
    """The signals that it gives; None = the loaded model is asked."""
    holds_weights: ClassVar[bool] = True
    """Whether the model is loaded into this process, or into one that it starts."""
    made_up: ClassVar[bool] = False
    """Whether its numbers are made up: a run with some of them goes on with it."""
    options: ClassVar[tuple[str, ...]] = ()
    """Fields of `Settings` that it takes and others do not, unless they name them too."""
    refuses: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Fields of `Settings` that others have and this one does not: what to say of each, and what to do about it."""

    def check_options(self, settings: Settings) -> None:
        """Refuse options of its own that can't be; the engine may be named or left open. Raises SettingsError."""

    def check(self, settings: Settings, chat: bool) -> None:
        """Refuse options that can't be now that this is the engine; `chat`: of the prompts. Raises SettingsError."""

    def check_replies(self, settings: Settings) -> None:
        """Refuse options that have no effect where a model answers in words. Raises SettingsError."""

    def check_name(self, name: str) -> None:
        """Refuse a name that no model can have, before anything is read. Raises ModelError."""
        if type(self).model is EngineLoader.model:  # else the engine has its own names
            resolve.check_name(name)

    def model(self, name: str, settings: Settings) -> Model:
        """The model of that name: here, on the machine. Raises ModelError."""
        return resolve.resolve(name, accept_terms=settings.accept_terms)

    def load(self, model: Model, settings: Settings, stored: Mapping[str, Any], signal: str) -> Engine:
        """The engine with the model, to give one of its signals.

        Args:
            model: of `self.model`.
            settings: what they leave open, `stored` decides where it has it.
            stored: the settings of the engine that began, as it resolved them; empty = it is still to be begun.
            signal: one of `signals`.
        """
        raise NotImplementedError

    def check_model(self, model: Model, settings: Settings, signal: str) -> None:
        """Refuse a model that `load` would refuse, as far as it is seen without its weights. Raises ModelError."""

    def counter(self, model: Model, settings: Settings) -> CountsTokens:
        """What counts tokens as the model does; loads no weights."""
        if not model.path:
            raise SettingsError(f"{model.name} has no tokenizer here to count with", "Name it with --tokenizer.")
        texts = texts_module()
        counter: CountsTokens = texts.TokenCounter(texts.load_tokenizer(model.path, settings.trust_remote_code))
        return counter

    def module(self, name: str) -> Any:
        """A file of the package. Raises SettingsError where what it needs is not installed."""
        return import_or_explain(f"selectit.engines.{self.name}.{name}", self.name, self.install)


TEXTS_INSTALL = install_extra("hf")
"""What `texts` needs, and the engine hf."""


def texts_module() -> Any:
    """`texts`, which needs transformers. Raises SettingsError where that is not installed."""
    return import_or_explain("selectit.engines.texts", "hf", TEXTS_INSTALL)


def import_or_explain(module: str, engine: str, install: str) -> Any:
    """Import a module, or raise SettingsError that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SettingsError(f"the engine {engine} can't be loaded: {error}", f"Install it: {install}") from error


def max_tokens(model: Model, settings: Settings, stored: Mapping[str, Any], made: int = 0) -> int:
    """The token limit: what was asked for or stored, else the smaller of the model's context and MAX_TOKENS.

    `made` tokens of the context are for what the engine lets the model write.
    """
    asked: int | None = settings.max_tokens or stored.get("max_tokens")
    context: int = texts_module().context_length(model.path, settings.trust_remote_code) - made
    if asked is not None and asked > context:
        raise SettingsError(
            f"--max-tokens is {asked}, and {model.name} reads {context} tokens at most", "Give a smaller number."
        )
    return asked or min(context, MAX_TOKENS)


@dataclass(slots=True)
class Failures:
    """Counts failures in a row with the same error."""

    error: str = ""
    count: int = 0

    def reset(self) -> None:
        """Something went well: the next failure is the first."""
        self.count = 0

    def add(self, error: str) -> None:
        """Count one. Raises EngineError where it is the last of too many in a row."""
        self.count = self.count + 1 if error == self.error else 1
        self.error = error
        if self.count >= SAME_ERROR_LIMIT:
            raise EngineError(
                f"{self.count} rows in a row failed with the same error: {error}",
                "The model or the device is at fault, not the rows. Try --dtype fp32 or a smaller --batch-tokens.",
            )


@dataclass(slots=True)
class Rated:
    """The ratings of B samples under one prompt while they come in; indices are places in the samples."""

    ids: dict[int, list[int]]
    """The token ids of those that can be rated."""
    logprob: Float32
    tokens: Int64
    flags: NDArray[np.uint8]
    errors: list[str | None]
    failures: Failures

    @classmethod
    def of(cls, texts: Iterable[FittedText | str], labels: int) -> Rated:
        """Nothing rated yet, of fitted texts, or why there is none."""
        texts = list(texts)
        errors = [text if isinstance(text, str) else None for text in texts]
        flags = [FLAG_NO_ROOM if isinstance(text, str) else FLAG_TRUNCATED * text.truncated for text in texts]
        ids = {index: text.ids for index, text in enumerate(texts) if not isinstance(text, str)}
        tokens = [len(ids.get(index, ())) for index in range(len(texts))]
        logprob = np.full((len(texts), labels), np.nan, np.float32)
        return cls(ids, logprob, np.array(tokens, np.int64), np.array(flags, np.uint8), errors, Failures())

    def store(self, batch: Sequence[int], logprob: Float32) -> None:
        """Note the (len(batch), R) log-probabilities of the samples at those places."""
        for index, values in zip(batch, logprob, strict=True):
            if np.isfinite(values).all():
                self.logprob[index] = values
                self.failures.reset()
            else:
                self.fail(index, "non-finite logits")

    def fail(self, index: int, message: str) -> None:
        """Note the error of one sample. Raises EngineError where it is the last of too many in a row."""
        self.errors[index] = message
        self.failures.add(message)

    def result(self) -> RatingBatch:
        """What came in."""
        return RatingBatch(self.logprob, self.tokens, self.flags, tuple(self.errors))
