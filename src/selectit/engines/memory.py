"""Memory of this process and of the accelerator that it uses: the peak of it, and giving it back."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Let the peaks begin anew from what is in use now."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")  # proc_pid_clear_refs(5): the high-water mark of resident memory
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def used() -> int | None:
    """Bytes of resident memory now; None where the system has no /proc (macOS)."""
    return _status("VmRSS")


def peak() -> int | None:
    """Most bytes of resident memory since `reset_peak`; None where the system has no /proc."""
    return _status("VmHWM")


def accelerator_peak() -> int | None:
    """Most bytes of CUDA memory that torch has held in this process since `reset_peak`; None without CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())


def release_cached() -> None:
    """Give unused memory back: the accelerator's, and to the system what glibc keeps.

    glibc returns only what lies above all that is in use: after tensors of many sizes gigabytes stay with the process.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def _status(name: str) -> int | None:
    if not _STATUS.exists():
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    return None if found is None else int(found[1]) * 1024
