"""Checkpoints of adapters (LoRA) as a training leaves them: which there are, and what they say. Loads no weights.

A checkpoint is a folder with PEFT's adapter_config.json and adapter_model.safetensors; transformers' Trainer puts the
optimiser's moments (optimizer.pt) and the learning rates so far (trainer_state.json) beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from selectit.errors import ModelError
from selectit.models.files import digest_files, read_object

FILES = ("adapter_config.json", "adapter_model.safetensors", "optimizer.pt")
TEMPLATE = "chat_template.jinja"
"""Of the texts that an adapter was tuned on, which transformers saves beside it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An adapter at some step of its training."""

    path: str = field(compare=False)
    """Its folder: no part of what it is."""
    digest: str
    """Over `FILES` and `TEMPLATE`: all that is read."""
    rate: float
    """Mean learning rate of the steps since the checkpoint before; 1 of one alone."""
    moments: bool
    """Whether the optimiser's moments are there."""


def find_checkpoints(folder: str) -> tuple[Checkpoint, ...]:
    """The checkpoints in a folder (checkpoint-10, checkpoint-20, …) by their steps, or the folder itself, if it is one.

    Raises:
        ModelError: there is none, or one of several says nothing of its learning rates.
    """
    if not Path(folder).is_dir():
        raise ModelError(f"there is no folder {folder}", "Name the folder that holds checkpoint-10, checkpoint-20, ….")
    paths = sorted(filter(_is_adapter, Path(folder).glob("checkpoint-*")), key=_step)
    if not paths and not _is_adapter(Path(folder)):
        raise ModelError(
            f"{folder} holds no checkpoint of an adapter",
            f"A checkpoint has {FILES[0]} and {FILES[1]}, as the Trainer of transformers saves it with LoRA.",
        )
    paths = paths or [Path(folder)]
    rates = _mean_rates(paths)
    return tuple(
        Checkpoint(str(path.resolve()), digest_files(path, (*FILES, TEMPLATE)), rate, (path / FILES[2]).is_file())
        for path, rate in zip(paths, rates, strict=True)
    )


def _is_adapter(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES[:2])


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _mean_rates(paths: list[Path]) -> list[float]:
    """The mean learning rate of the steps that led to each checkpoint from the one before; 1 of one alone."""
    if len(paths) == 1:
        return [1.0]
    entries = [
        (entry["step"], entry["learning_rate"])
        for entry in read_object(paths[-1] / "trainer_state.json").get("log_history", ())
        if "learning_rate" in entry
    ]
    found = mean_rates(entries, [_step(path) for path in paths])
    for path, rate in zip(paths, found, strict=True):
        if math.isnan(rate):
            raise ModelError(
                f"{path} has no learning rates, which weigh several checkpoints",
                "Keep trainer_state.json beside the adapters, or name one checkpoint.",
            )
    return found


def mean_rates(entries: Sequence[tuple[int, float]], ends: Sequence[int]) -> list[float]:
    """The mean learning rate of the steps that led to each of some steps from the one before; NaN without any.

    Args:
        entries: a step and its learning rate each.
        ends: the steps, rising.
    """
    steps, rates = np.array(entries, np.float64).reshape(-1, 2).T
    found = [rates[(steps > begin) & (steps <= end)] for begin, end in zip([0, *ends], ends, strict=False)]
    return [float(each.mean()) if len(each) else math.nan for each in found]
