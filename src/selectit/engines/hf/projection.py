"""Random projection of gradients: R g / sqrt(D) with entries 1 and -1 (Rademacher), made when they are needed.

Each entry is a bit of a hash of the seed, the matrix's name, and the entry's place, so that it is the same on every
device and in every process, and R (as many rows as there are weights) never stands in memory whole.

The hash is SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

_ENTRIES, _CUDA_ENTRIES = 2**22, 2**27
"""Entries of R that are made at once."""


_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def project(gradients: torch.Tensor, sizes: Mapping[str, int], dimensions: int, seed: int) -> torch.Tensor:
    """(B, dimensions) float32 projections, whose inner products are those of the gradients on average.

    Args:
        gradients: (B, P) float32.
        sizes: the numbers of P's columns that belong to each name, in their order; they add up to P.
        dimensions: D.
        seed: of R.
    """
    projected = torch.zeros(len(gradients), dimensions, device=gradients.device)
    step = max((_CUDA_ENTRIES if gradients.is_cuda else _ENTRIES) // dimensions, 1)
    begin = 0
    for name, size in sizes.items():
        for start in range(0, size, step):
            stop = min(start + step, size)
            entries = signs(name, start, stop, dimensions, seed, gradients.device)
            projected += gradients[:, begin + start : begin + stop] @ entries
        begin += size
    return projected / dimensions**0.5


def signs(name: str, start: int, stop: int, dimensions: int, seed: int, device: torch.device) -> torch.Tensor:
    """(stop - start, dimensions) float32 of 1 and -1: what R has for the weights [start, stop) of a matrix."""
    key = int.from_bytes(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest(), "little")
    words = -(-dimensions // 64)
    place = torch.arange(start * words, stop * words, device=device).view(-1, words)
    bits = _mix(place * _signed(_GOLDEN) + _signed(key))[..., None] >> torch.arange(64, device=device)
    return (bits & 1).view(stop - start, -1)[:, :dimensions].float().mul_(2).sub_(1)


def _mix(values: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finaliser of int64 that stand for uint64; products wrap around."""
    values = (values ^ _shifted(values, 30)) * _signed(_FIRST)
    values = (values ^ _shifted(values, 27)) * _signed(_SECOND)
    return values ^ _shifted(values, 31)


def _shifted(values: torch.Tensor, by: int) -> torch.Tensor:
    """Shifted right as if without a sign."""
    return (values >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
