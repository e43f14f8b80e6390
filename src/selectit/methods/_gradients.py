"""What methods that read gradients have in common: of which weights, and where."""

from __future__ import annotations

from dataclasses import replace

from selectit.errors import SettingsError, nearest
from selectit.jsonable import digest_of
from selectit.methods._base import check_count
from selectit.models.adapters import find_checkpoints
from selectit.signals.requests import GradientRequest

OPTIMIZERS = ("adam", "sgd")


def check_gradients(rank: int, layers: int, optimizer: str = "sgd") -> None:
    """Raise SettingsError for sizes that no adapter has, and for an unknown optimiser."""
    check_count("rank", rank, "rows of an adapter's matrix")
    if layers < 0:
        raise SettingsError(f"layers is {layers}", "It is a number of the last layers; 0 = all.")
    if optimizer not in OPTIMIZERS:
        raise SettingsError(f"there is no optimizer {optimizer!r}", nearest(optimizer, OPTIMIZERS))


def at_checkpoints(request: GradientRequest, folder: str, optimizer: str = "sgd") -> GradientRequest:
    """The request at the checkpoints in a folder, where 'adam' makes steps of gradients; '' = at the model itself.

    Raises ModelError where the folder holds none.
    """
    if not folder:
        return request
    return replace(request, adam=optimizer == "adam").at(find_checkpoints(folder))


def label_weights(rank: int, layers: int, folder: str) -> list[str]:
    """Which weights, for a method's label: 'r4', 'l4'; of checkpoints which they are instead of the rank."""
    if not folder:
        return [f"r{rank}", f"l{layers}"]
    found = find_checkpoints(folder)
    return [f"{len(found)}ckpt-{digest_of([each.digest for each in found])[:6]}", f"l{layers}"]
