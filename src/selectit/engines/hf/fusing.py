"""The layers of a model compiled (torch.compile): what lies between their matrix products is done in few passes.

Where a processor multiplies bf16 in hardware, the element-wise operations between the products take more than half of
the time, and each rounds its result to bf16. Compiled they are fused: quicker, and nearer to fp32. Attention stays
outside, so that the compiled code depends on the number of tokens alone and not on how a batch is laid out.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.compiler import set_stance

log = logging.getLogger(__name__)


SMALLEST = 20_000_000
"""Parameters below which compiling (ten seconds once, then four at each start) is never won back."""


_IDS = 24


def can_compile() -> bool:
    """Whether this machine has a C++ compiler, and torch may use it."""
    switched_off = os.environ.get("TORCH_COMPILE_DISABLE", "0") == "1"  # torch's own switch
    return not switched_off and any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))


def fuse(model: Any) -> bool:
    """Compile the layers of a model on a CPU; False, and nothing is changed, where that can't be done or won't pay."""
    if not _layers(model) or model.num_parameters() < SMALLEST:
        return False
    for layer in _layers(model):
        layer.compile(dynamic=True)
    try:
        with torch.inference_mode():
            model(input_ids=torch.arange(_IDS)[None], use_cache=False)
    except RuntimeError as error:  # of the compiler, or of what torch makes of this architecture
        log.info("the layers are not compiled: %s", error)
        for layer in _layers(model):
            layer._compiled_call_impl = None  # the inverse of nn.Module.compile, for which there is no name
        return False
    return True


def unfused() -> AbstractContextManager[Any]:
    """Inside it layers run as they were written: a key-value cache is another program for every layer."""
    context: AbstractContextManager[Any] = set_stance("force_eager")
    return context


def _layers(model: Any) -> Any:
    return getattr(model.get_decoder(), "layers", None) or ()
