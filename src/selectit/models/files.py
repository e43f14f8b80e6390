"""The files in a model's folder: weights, tokenizer, digest, parameter count."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from selectit.atomic_files import replacing
from selectit.errors import ModelError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is on this machine."""

    name: str  # as the user wrote it: 'smollm2', 'Qwen/Qwen2.5-7B', './my-model'
    path: str  # the folder for from_pretrained
    digest: str  # 64 hexadecimal digits that change with the weights or the tokenizer
    packaged: bool  # from the package registry: for trying the program out only, too small to judge data
    tuned: bool = False  # made inside a run by a method that tunes on the way: nobody names it


WEIGHTS = ("*.safetensors", "*.bin")
TOKENIZER = ("tokenizer*", "*.model", "vocab*", "merges*", "added_tokens.json", "special_tokens_map.json")
TOKENIZER_AND_TEMPLATE = ("chat_template*", *TOKENIZER)
ALL_BUT_WEIGHTS = ("config.json", "chat_template*", "*.index.json", *TOKENIZER)


_LFS = b"version https://git-lfs.github.com/spec/"


def cache_dir() -> Path:
    """Where models and digests are kept: $SELECTIT_CACHE, $XDG_CACHE_HOME/selectit or ~/.cache/selectit.

    Raises ModelError where there is no home folder.
    """
    try:
        if own := os.environ.get("SELECTIT_CACHE"):
            return Path(own).expanduser()
        shared = os.environ.get("XDG_CACHE_HOME")
        return (Path(shared) if shared else Path.home() / ".cache") / "selectit"
    except RuntimeError as error:
        raise ModelError(
            "there is no home folder to keep models in", "Set SELECTIT_CACHE to a folder that you can write into."
        ) from error


def count_parameters(path: str | Path) -> int:
    """Parameters in the folder's safetensors by their headers; tied weights stored once count once.

    A model stored quantised counts its packed numbers. Raises ModelError where safetensors are missing or broken.
    Source of the layout: huggingface/safetensors README, "Format".
    """
    folder = Path(path)
    shapes: dict[str, list[int]] = {}
    # What transformers loads is named model*; beside it may lie a copy of the same weights under other names.
    for file in sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors")):
        try:
            with file.open("rb") as handle:
                header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
            shapes.update({name: entry["shape"] for name, entry in header.items() if name != "__metadata__"})
        except (OSError, ValueError, OverflowError, MemoryError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(f"can't read {file}: {error}", "It may be cut short; fetch or copy it again.") from error
    if not shapes:
        raise ModelError(f"{folder} has no safetensors to count", "Save the model with save_pretrained first.")
    return sum(math.prod(shape) for shape in shapes.values())


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is no such file or it is broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check_files(folder: Path, name: str) -> None:
    """Raise ModelError unless the folder has a config.json and weights, the files themselves, and no adapter."""
    if (folder / "adapter_config.json").is_file() or any(folder.glob("adapter_model.*")):
        raise ModelError(
            f"{name} holds an adapter, not a whole model",
            "Merge it into its base model (merge_and_unload of PEFT, then save_pretrained) and name that folder. "
            "Where its weights are merged already, move the adapter_* files elsewhere.",
        )
    if not (folder / "config.json").is_file():
        hint = "Name the folder that save_pretrained wrote; an adapter must be merged into its base model first."
        raise ModelError(f"{name} has no config.json, so it isn't a model that transformers loads", hint)
    if not any(any(folder.glob(pattern)) for pattern in WEIGHTS):
        raise ModelError(f"{name} has no weights (*.safetensors or *.bin)", "Fetch or copy the whole model.")
    if missing := find_missing_parts(folder):
        more = f" and {len(missing) - 4:,} more" if missing[4:] else ""
        raise ModelError(
            f"{name} lacks weights that its index names: {', '.join(missing[:4])}{more}",
            "Fetch or copy the whole model.",
        )
    check_fetched(folder, (*WEIGHTS, *ALL_BUT_WEIGHTS))


def find_missing_parts(folder: Path) -> list[str]:
    """The files of weights that the index of a checkpoint in several files names, and that are not in its folder."""
    for whole in ("model.safetensors", "pytorch_model.bin"):  # transformers looks in this order
        if (folder / whole).is_file():
            return []
        if (folder / f"{whole}.index.json").is_file():
            named = read_object(folder / f"{whole}.index.json").get("weight_map")
            parts = set(map(str, named.values())) if isinstance(named, dict) else set()
            return sorted(name for name in parts if not (folder / name).is_file())
    return []


def check_fetched(folder: Path, patterns: tuple[str, ...]) -> None:
    """Raise ModelError where a file of these names is what git-lfs puts in its place."""
    for file in sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file()):
        try:
            with file.open("rb") as handle:
                beginning = handle.read(len(_LFS))
        except OSError as error:
            raise ModelError(f"can't read {file}: {error}", "Copy or fetch it again.") from error
        if beginning == _LFS:
            raise ModelError(f"{file} is a git-lfs pointer, not the file itself", "Run `git lfs pull` in its folder.")


def digest_folder(folder: Path) -> str:
    """sha256 over the sorted (name, sha256 of content) of weights, config and tokenizer. Raises ModelError."""
    check_files(folder, str(folder))
    return digest_files(folder, (*WEIGHTS, *ALL_BUT_WEIGHTS))


def digest_files(folder: Path, patterns: tuple[str, ...]) -> str:
    """sha256 over the sorted (name, sha256 of content) of the files of these names. Raises ModelError."""
    cache = cache_dir() / "digests.json"
    remembered, fresh, pairs = read_object(cache), {}, []
    if cache.exists() and not remembered:
        log.info("%s is broken; the digests are computed anew", cache)
    try:
        for name in sorted(name for name in os.listdir(folder) if any(fnmatch(name, p) for p in patterns)):
            file = (folder / name).resolve()
            status = file.stat()
            digest = remembered.get(key := f"{file} {status.st_size} {status.st_mtime_ns}")
            if not isinstance(digest, str):
                with file.open("rb") as handle:
                    digest = hashlib.file_digest(handle, "sha256").hexdigest()
                # A younger file may change once more without a change of its time, whose steps can be coarse.
                if abs(time.time() - status.st_mtime) > 2.0:
                    fresh[key] = digest
            pairs.append((name, digest))
    except OSError as error:
        raise ModelError(f"can't read the model in {folder}: {error}", "Copy or fetch it again.") from error
    if fresh:
        _remember(cache, remembered | fresh)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def _remember(cache: Path, digests: dict[str, str]) -> None:
    """Store the digests. They only save time, so a failure is logged and ignored."""
    try:
        with replacing(cache) as file:
            file.write(json.dumps(digests, indent=1).encode())
    except OSError as error:
        log.info("can't remember digests in %s: %s", cache, error)
