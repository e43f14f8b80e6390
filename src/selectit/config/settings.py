"""`Settings`: all groups as one, checked, from keywords or a configuration file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from selectit.config.groups import (
    AmountOptions,
    CascadeOptions,
    CombinationOptions,
    DiversityOptions,
    EngineOptions,
    ExecutionOptions,
    FilterOptions,
    LoadingOptions,
    MethodOptions,
    ModelOptions,
    OptionGroup,
    OutputOptions,
    ParameterOptions,
    PlaceOptions,
    QuotaOptions,
    RatingOptions,
    ReadingOptions,
    ResumeOptions,
    SourceOptions,
    TargetOptions,
)
from selectit.config.options import check_values, flag, list_names, names
from selectit.errors import SettingsError, nearest, read_user_text
from selectit.jsonable import parse_toml

DEFAULT_MODEL = "smollm2"


@dataclass(frozen=True, kw_only=True)
class Settings(  # the fields of the last base come first
    OutputOptions, DiversityOptions, QuotaOptions, FilterOptions, AmountOptions, CombinationOptions, ParameterOptions,
    TargetOptions, MethodOptions, ExecutionOptions, ResumeOptions, LoadingOptions, EngineOptions, ModelOptions,
    CascadeOptions, RatingOptions, ReadingOptions, SourceOptions, PlaceOptions,
):  # fmt: skip
    """What to rate with, how to score and how much to keep: the options of all groups as keywords.

    They are the flags of the command and the keys of a configuration file. `selectit select --help` says what each
    does, `config.groups` where it belongs. None means the default that the help names.
    """

    def __post_init__(self) -> None:
        for name in list_names(type(self)):
            value = getattr(self, name)
            if isinstance(value, str | int | float):
                object.__setattr__(self, name, (value,))
            elif isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        check_values(self)
        self._check_together()
        self.share_numbers()

    def _check_together(self) -> None:
        if len(set(self.model)) != len(self.model):
            raise SettingsError(f"a model is named twice: {', '.join(self.model)}", "Name each model once.")
        if self.format is not None and self.map is not None:
            raise SettingsError("--format and --map both say what the layout is", "Give one of them.")
        for name in names(ExecutionOptions):
            if self.executor == "local" and name != "executor" and getattr(self, name) is not None:
                raise SettingsError(f"{flag(name)} does nothing without Ray", "Add --executor ray, or leave it out.")
        if self.worker_gpus is not None and not 0 <= self.worker_gpus < math.inf:
            raise SettingsError(f"--worker-gpus is {self.worker_gpus}", "It is a number of 0 or more.")
        if self.min_score is not None and math.isnan(self.min_score):
            raise SettingsError("--min-score is no number", "Give a number.")
        if self.target_by is not None and not self.target:
            raise SettingsError("--target-by groups the examples of a target, and there is none", "Add --target FILE.")
        self._check_cascade()
        self._check_filters()

    def _check_filters(self) -> None:
        needs = {
            "data_dir": (self.decontaminate, "--decontaminate"),
            "dedup_threshold": (self.dedup in ("near", "semantic"), "--dedup near or semantic"),
            "shares": (self.by, "--by"),
            "clusters": (self.by == "cluster", "--by cluster"),
            "pool": (self.diversity, "--diversity"),
        }
        for name, (there, what) in needs.items():
            if getattr(self, name) is not None and not there:
                raise SettingsError(f"{flag(name)} does nothing without {what}", f"Add {what}, or leave it out.")
        if self.dedup_threshold is not None and not 0 < self.dedup_threshold <= 1:
            raise SettingsError(f"--dedup-threshold is {self.dedup_threshold}", "It is above 0 and at most 1.")

    def _check_cascade(self) -> None:
        for name in names(CascadeOptions):
            if self.cascade is None and getattr(self, name) is not None:
                raise SettingsError(
                    f"{flag(name)} belongs to a cascade, and there is none", "Say how many rows go on, with --cascade."
                )
        if self.cascade is not None and self.share is not None:
            raise SettingsError(
                "--share can't be used with --cascade: which rows go on is known when all have their first rating",
                "Use --executor ray for several GPUs or machines, or leave --cascade out.",
            )
        if self.cascade_model is not None and self.tokenizer:
            raise SettingsError(
                "--tokenizer belongs to one model, and --cascade-model names a second one",
                "Use --cascade-k with one model, or leave out --tokenizer.",
            )

    def share_numbers(self) -> tuple[int, int]:
        """(i, n) of `share`, (0, 1) without one. Raises SettingsError."""
        if self.share is None:
            return 0, 1
        share = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", self.share)
        i, n = (int(part) for part in share.groups()) if share else (0, 0)
        if not i < n:
            raise SettingsError(f"--share is {self.share[:40]!r}", "Write i/n with i from 0 to n-1, for example 0/4.")
        return i, n


GROUPS = cast(tuple[type[OptionGroup], ...], Settings.__bases__[::-1])
"""All groups, in the order of --help."""


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings of a configuration file by field name; `-` and `_` are the same in its keys.

    Raises:
        SettingsError: the file can't be read, is not TOML, or has a key that is no setting.
    """
    table = toml_table(path, "configuration", "examples/selective-alpaca.toml")
    settings = {key.replace("-", "_"): value for key, value in table.items()}
    known = names(Settings)
    for key, value in settings.items():
        if key not in known:
            raise SettingsError(f"{path}: there is no setting {key!r}", nearest(key, known))
        if isinstance(value, dict):  # parameters by name
            settings[key] = {name.replace("-", "_"): each for name, each in value.items()}
    try:
        Settings(**settings)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}", error.hint) from error
    return settings


def toml_table(path: str | Path, what: str, example: str) -> dict[str, Any]:
    """The table of a TOML file that a user wrote, a `what`; an `example` shows one. Raises SettingsError."""
    text = read_user_text(Path(path), what, "Name a TOML file.")
    try:
        return parse_toml(text)
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}", f"See {example}.") from error
