"""Recipes: how a model is tuned. One frozen dataclass, TOML in and out, and the packaged presets."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from selectit.config.options import deciding, idle, matches_kind
from selectit.config.settings import toml_table
from selectit.errors import SettingsError, install, nearest
from selectit.jsonable import parse_toml

DTYPES = ("auto", "fp32", "bf16")
SCHEDULES = ("cosine", "linear", "constant")
TEMPLATES = ("model", "plain")
QUANTIZATIONS = ("", "nf4")
DEFAULT = "paper"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides a tuned model beside the base model and the rows. The defaults are the paper's."""

    name: str = "own"
    """The preset or the file's name without ending; decides nothing."""
    epochs: float = 3.0
    """How often each row is seen, where `steps` is None; a smaller subset then makes fewer steps."""
    steps: int | None = None
    """Optimiser steps, equal between subsets of all sizes; None = by epochs."""
    batch_size: int = 128
    """Rows of one optimiser step, over all devices."""
    micro_batch: int = idle(4)
    """Rows that one device reads at a time. It divides `batch_size` and changes the result by rounding only."""
    learning_rate: float = 2e-5
    """At its highest."""
    schedule: str = "cosine"
    """'cosine' or 'linear' to zero, or 'constant'; each after the warm-up."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the learning rate rises from zero."""
    weight_decay: float = 0.0
    betas: tuple[float, ...] = (0.9, 0.999)
    """Of AdamW."""
    dtype: str = "auto"
    """'bf16' (products in bf16, trained weights and optimiser in fp32), 'fp32', or 'auto': bf16 where the device is
    made for it."""
    max_tokens: int = 4096
    """Longer rows are cut from the right; never more than the model's context."""
    gradient_checkpointing: bool = idle(True)
    """Less memory, about a third more time, the same result."""
    lora: int = 0
    """Rank of the adapter; 0 = all weights are trained."""
    lora_alpha: float = 16.0
    lora_dropout: float = 0.05
    lora_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj")
    """Names of the layers that get an adapter."""
    quantize: str = ""
    """'nf4': the base model in 4 bits while the adapter is trained (QLoRA); needs bitsandbytes. '' = as it is."""
    template: str = "model"
    """'model': the model's own chat template, or 'plain': Human and Assistant, for models that have none."""
    seed: int = 0
    """Of the order of the rows and of the adapter's first weights."""
    accelerate: str | None = idle(None)
    """A configuration file of accelerate (several devices, FSDP, DeepSpeed); None = this process alone."""

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(Recipe).items():
            value = getattr(self, name)
            value = tuple(value) if isinstance(value, list) else value
            value = float(value) if kind is float and type(value) is int else value  # so that equal recipes are equal
            object.__setattr__(self, name, value)
            if not matches_kind(value, kind):
                raise SettingsError(f"{name} is {value!r}, a value of the wrong kind", "See docs/training.md.")
        choices = {"dtype": DTYPES, "schedule": SCHEDULES, "template": TEMPLATES, "quantize": QUANTIZATIONS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise SettingsError(f"there is no {name} {getattr(self, name)!r}", nearest(getattr(self, name), known))
        self._check_numbers()
        self._check_together()

    def _check_numbers(self) -> None:
        for name, least in {
            "batch_size": 1,
            "micro_batch": 1,
            "max_tokens": 2,
            "lora": 0,
            "seed": 0,
            "steps": 1,
        }.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingsError(f"{name} is {value}", f"It is a number of {least} or more.")
        for name in ("epochs", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} is {getattr(self, name)}", "It is a number above 0.")
        for name in ("warmup_ratio", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}", "It is a number from 0 to below 1.")
        if not 0 <= self.weight_decay < math.inf:
            raise SettingsError(f"weight_decay is {self.weight_decay}", "It is a number of 0 or more.")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise SettingsError(f"betas is {self.betas}", "It is two numbers from 0 to below 1.")

    def _check_together(self) -> None:
        if self.batch_size % self.micro_batch:
            raise SettingsError(
                f"batch_size is {self.batch_size} and micro_batch {self.micro_batch}",
                "A batch is made of whole micro-batches: choose a divisor.",
            )
        if self.lora and not self.lora_targets:
            raise SettingsError("lora_targets is empty", "Name the layers that get an adapter, for example q_proj.")
        if self.quantize and not self.lora:
            raise SettingsError("a quantised model can't be trained whole", "Give lora a rank, for example 16.")

    def table(self) -> dict[str, Any]:
        """What decides the result, as TOML and JSON have it: without the name, and without what is None."""
        table = {
            name: value for name, value in dataclasses.asdict(self).items() if value is not None and name != "name"
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in table.items()}

    def identity(self) -> dict[str, Any]:
        """The table without what decides only where and how the training is computed."""
        kept = deciding(self)
        return {name: value for name, value in self.table().items() if name in kept}


def names() -> list[str]:
    """The presets."""
    folder = resources.files("selectit.training") / "recipe_files"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """A preset by its name, or a TOML file (its name ends in .toml). Raises SettingsError."""
    if not name.endswith(".toml"):
        if name not in names():
            raise SettingsError(
                f"there is no recipe {name!r}", f"{nearest(name, names())} Your own file ends in .toml."
            )
        preset = resources.files("selectit.training") / "recipe_files" / f"{name}.toml"
        return from_table(tomllib.loads(preset.read_text("utf-8")), name, name)
    return from_table(toml_table(name, "recipe", "docs/training.md"), Path(name).stem, name)


def from_table(table: Mapping[str, Any], name: str, place: str) -> Recipe:
    """A recipe from a table of TOML; `-` and `_` are the same in its keys, and what is left out has its default.

    Raises:
        SettingsError: an unknown key, or a value that can't be; the message begins with `place`.
    """
    try:
        return change(Recipe(name=name), table)
    except SettingsError as error:
        raise SettingsError(f"{place}: {error.message}", error.hint) from error


def change(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with other values; a text is read as its field's kind. Raises SettingsError."""
    kinds = typing.get_type_hints(Recipe)
    known = [name for name in kinds if name != "name"]
    chosen = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise SettingsError(f"a recipe has no {key!r}", nearest(name, known))
        chosen[name] = _parse_value(value, kinds[name]) if isinstance(value, str) else value
    return dataclasses.replace(recipe, **chosen)


def _parse_value(text: str, kind: Any) -> Any:
    """A typed text read as TOML, where the field holds something else than text; what is not TOML stays a text."""
    if matches_kind(text, kind):
        return text
    if typing.get_origin(kind) is tuple and typing.get_args(kind)[0] is str:
        return [part.strip() for part in text.split(",") if part.strip()]
    body = f"[{text}]" if typing.get_origin(kind) is tuple else text
    try:
        return parse_toml(f"value = {body}")["value"]
    except ValueError:
        return text


def check_machine(recipe: Recipe) -> None:
    """Raise SettingsError where this machine lacks what the recipe needs."""
    if recipe.quantize and importlib.util.find_spec("bitsandbytes") is None:
        hint = f"Install it: {install('bitsandbytes')}"
        raise SettingsError("quantize needs bitsandbytes, which is not installed", hint)
    if recipe.accelerate is not None and not Path(recipe.accelerate).is_file():
        raise SettingsError(f"accelerate: there is no file {recipe.accelerate}", "Make one with `accelerate config`.")
