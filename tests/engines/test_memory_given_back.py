"""Memory that is given back."""

import ctypes
import subprocess
import sys

import pytest

HOLD_AND_FREE = """
from selectit.engines import memory
held = [bytearray(100_000) for _ in range(2_000)]  # too small for glibc to map each apart
last = bytearray(100_000)
held.clear()
before = memory.used()
memory.release_cached()
print(before - memory.used())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library than glibc"
)
def test_what_was_freed_below_something_in_use_is_given_back():
    done = subprocess.run([sys.executable, "-c", HOLD_AND_FREE], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100_000_000
