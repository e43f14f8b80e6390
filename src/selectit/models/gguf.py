"""GGUF files: converted to a folder that transformers loads."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from selectit.models.checkpoints import load_checkpoint

CONVERSION = "float32-1"  # part of the digest: raise it when `convert` would write other weights or tokenizer files


def adds_bos(gguf: Path) -> bool:
    """Whether the file says that every text begins with a special token."""
    from gguf import GGUFReader

    field = GGUFReader(gguf).get_field("tokenizer.ggml.add_bos_token")
    return bool(field.contents()) if field is not None else False


def convert(gguf: Path, folder: Path, *, adds_bos: bool) -> None:
    """Write the GGUF file as a float32 folder (lower precision misses the golden probabilities) with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The GGUF reader shows bars that can't be switched off. The imports stay outside: their log handlers keep stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        loaded = load_checkpoint(AutoModelForCausalLM, str(gguf.parent), dtype=torch.float32, gguf_file=gguf.name)
        del loaded.config.quantization_config  # the loaded model counts as quantised and refuses save_pretrained
        with torch.device("meta"):  # no memory, no random weights
            plain = type(loaded)(loaded.config)
        plain.load_state_dict(loaded.state_dict(), assign=True)
        plain.tie_weights()
        plain.save_pretrained(folder)
        # The keyword is given only where it is meant: naming it makes transformers rebuild the post-processor.
        extra = {"add_bos_token": True} if adds_bos else {}
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, **extra).save_pretrained(folder)
