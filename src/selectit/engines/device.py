"""Which device and number format a model runs with."""

from __future__ import annotations

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def default_device() -> str:
    """'cuda', 'mps' or 'cpu': the best that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def prepared(threads: int | None) -> tuple[str, int]:
    """The device, and how many threads of the CPU are used: `threads`, or torch's own choice; 0 on another device."""
    device = default_device()
    if threads:
        torch.set_num_threads(threads)
    return device, torch.get_num_threads() if device == "cpu" else 0


def resolve_dtype(requested: str, device: str) -> str:
    """'fp32', 'bf16' or 'fp16' for 'auto' or one of these, on a `device` of `default_device`.

    bf16 on a CPU needs AMX or AVX512-BF16: emulated it is several times slower than fp32.
    """
    if requested != "auto":
        return requested
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "mps":
        return "fp16"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
