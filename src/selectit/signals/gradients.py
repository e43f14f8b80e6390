"""Gradients: which way, and how far, a row would move the weights that are tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pyarrow as pa

from selectit.data.examples import Example
from selectit.data.records import Sample
from selectit.jsonable import digest_of
from selectit.models.adapters import Checkpoint
from selectit.signals.arrays import FLAG_TRUNCATED, Float16, Float32, Gradients
from selectit.signals.base import Answer, Engine, OnBatch, SignalRequest, Stored
from selectit.signals.gains import check_answered
from selectit.signals.losses import LossRequest


@dataclass(frozen=True, slots=True)
class RowGradient:
    """What is kept of one row's gradients at C checkpoints; see `Gradients`."""

    norm: Float32
    """(C,)."""
    projected: Float16
    """(C, D)."""
    inner: Float32
    """(C, Q)."""
    tokens: int
    truncated: bool


@runtime_checkable
class GivesGradients(Engine, Protocol):
    """An engine with a loaded causal model that can be differentiated."""

    def gradients(self, what: GradientRequest, samples: Sequence[Sample], on_batch: OnBatch) -> list[RowGradient | str]:
        """What is asked for of each row's gradients, or why it has none.

        Raises:
            EngineError: `SAME_ERROR_LIMIT` samples in a row failed with the same error.
            ModelError: the model has none of the layers, or a checkpoint is not of this model.
        """


@dataclass(frozen=True)
class GradientRequest(SignalRequest[Gradients, GivesGradients]):
    """The gradient of the mean loss of the response's tokens: a method names one in its `needs`.

    With respect to which weights: all of the model's (`rank` 0), those of a fresh adapter (LoRA) on its last layers,
    or those of the adapter of each checkpoint (`at`). A fresh adapter changes nothing yet, since its B is zero; so
    A's gradient is zero and B's is that of the layer's own matrix, times the random A.

    What is kept of it: its norm, always; where they are asked for, a random projection and the inner products with the
    gradients of a target's examples.
    """

    text: LossRequest
    """What stands around an instruction."""
    rank: int = 4
    """Of a fresh adapter; 0 = the gradient of all weights, of which only the norm can be kept."""
    layers: int = 4
    """So many of the last layers have an adapter, or of a checkpoint's adapter count; 0 = all."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the matrices that get a fresh adapter."""
    dimensions: int = 0
    """D of the random projection; 0 = none is kept."""
    inner: bool = False
    """Whether the inner products with the examples' gradients are kept."""
    adam: bool = False
    """Whether a gradient g is turned into the optimiser's step, at checkpoints with moments m and v:
    (.9 m + .1 g) / sqrt(.999 v + .001 g² + 1e-8), before all that is done with it. That of an example stays g."""
    seed: int = 0
    """Of the fresh adapter and of the projection."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """See `at`; none = the model as it is, which counts as C = 1."""
    examples: tuple[Example, ...] = field(default=(), repr=False)
    """See `towards`."""

    signal = "gradients"
    doing = "reading gradients with"
    capability = GivesGradients
    columns = {
        "norm": pa.list_(pa.float32()),
        "projected": pa.list_(pa.float16()),
        "inner": pa.list_(pa.float32()),
    }
    pass_name = ("backward pass", "backward passes")
    operations = 6  # 2 forward and 4 backward

    @property
    def about(self) -> dict[str, Any]:
        """Checkpoints by their digests and rates, examples by theirs; of a checkpoint's adapter nothing is fresh."""
        own = {**vars(self), "targets": list(self.targets)}
        left_out = {"text", "checkpoints", "examples"} | ({"rank", "targets"} if self.checkpoints else set())
        left_out |= {"layers", "targets", "seed"} if self.whole else set()
        about = {**self.text.about, **{key: value for key, value in own.items() if key not in left_out}}
        about["checkpoints"] = [[each.digest[:16], each.rate] for each in self.checkpoints]
        if self.inner:
            pairs = [[each.instruction, each.response, each.input] for each in self.examples]
            about["examples"] = digest_of({"pairs": pairs})[:16]
        return about

    @property
    def whole(self) -> bool:
        """Whether the gradient is that of all weights."""
        return not self.rank and not self.checkpoints

    @property
    def passes(self) -> int:
        return max(len(self.checkpoints), 1)

    @property
    def of_examples(self) -> Self:
        """Their gradients are never turned into steps."""
        return replace(self, adam=False)

    def towards(self, examples: Sequence[Example]) -> Self:
        """With the examples, where inner products with their gradients are kept.

        Raises SettingsError where one has no answer: it has no gradient either.
        """
        check_answered(examples)
        return replace(self, examples=tuple(examples)) if self.inner else self

    def at(self, checkpoints: Sequence[Checkpoint]) -> Self:
        """The same at these checkpoints of adapters of the model."""
        return replace(self, checkpoints=tuple(checkpoints))

    def ask(self, engine: GivesGradients, samples: Sequence[Sample], on_batch: OnBatch) -> Answer:
        found = engine.gradients(self, samples, on_batch)
        read = [None if isinstance(each, str) else each for each in found]
        return Answer(
            {name: [None if each is None else getattr(each, name).ravel() for each in read] for name in self.columns},
            errors=[each if isinstance(each, str) else None for each in found],
            flags=[FLAG_TRUNCATED * (each is not None and each.truncated) for each in read],
            tokens=[0 if each is None else each.tokens for each in read],
        )

    def arrays(self, stored: Stored) -> Gradients:
        some = stored.lengths("norm") > 0

        def column(name: str, kind: Any) -> Any:
            width = int(stored.lengths(name).max(initial=0)) // self.passes
            values = np.full((len(some), self.passes, width), np.nan, kind)
            values[some] = stored.flat(name).reshape(some.sum(), self.passes, width)
            return values

        rates = np.array([each.rate for each in self.checkpoints] or [1.0])
        return Gradients(
            row=stored.numbers("row"),
            norm=column("norm", np.float32)[..., 0],
            projected=column("projected", np.float16),
            inner=column("inner", np.float32),
            rates=rates,
        )

    @classmethod
    def describe(cls, entry: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
        return {"norm": entry["norm"], "tokens": entry["tokens"]}

    @classmethod
    def tell(cls, described: Mapping[str, Any]) -> str:
        if described["norm"] is None:
            return "no gradient"
        return f"gradient of norm {', '.join(f'{norm:.4g}' for norm in described['norm'])}"
