"""From a model's name to a folder that transformers loads.

A name is tried as a packaged model ('smollm2'), then as a local folder, then as a hub id ('owner/name' or
'owner/name@revision'). Naming a model that is already there imports none of torch, transformers or huggingface_hub.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from pathlib import Path

from selectit.atomic_files import replacing_folder
from selectit.errors import ModelError, nearest, nearest_path
from selectit.models import gguf
from selectit.models.files import (
    ALL_BUT_WEIGHTS,
    TOKENIZER,
    TOKENIZER_AND_TEMPLATE,
    WEIGHTS,
    Model,
    cache_dir,
    check_fetched,
    check_files,
    digest_files,
    digest_folder,
    read_object,
)
from selectit.models.packaged import EXTRA, NOTE, PACKAGED, fetch

log = logging.getLogger(__name__)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", re.ASCII)


def resolve(name: str, *, accept_terms: bool = False) -> Model:
    """The model of any name, on this machine. A packaged model or a hub id is downloaded where it is missing.

    Raises ModelError where there is no such model, it can't be fetched, or its terms must be accepted first.
    """
    if name in PACKAGED:
        return Model(name, str(fetch(name, accept_terms=accept_terms)), PACKAGED[name].digest, True)
    path = Path(os.path.expanduser(name))
    if path.suffix.lower() == ".gguf":
        return _from_gguf(name, path)
    if name and path.is_dir():
        return Model(name, str(path.resolve()), digest_folder(path.resolve()), False)
    check_name(name)
    return _from_hub(name)


def check_name(name: str) -> None:
    """Raise ModelError where no model can have that name: it is not packaged, not here, and no hub id."""
    path = Path(os.path.expanduser(name))
    if name in PACKAGED or (name and path.is_dir()):
        return
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"there is no file {name}", "Look for a typing error.")
        return
    if path.is_file() or name.startswith((".", "/", "~", "\\")) or name.partition("@")[0].count("/") > 1:
        hint = "Name the folder that holds the model's config.json; a hub id looks like owner/name."
        raise ModelError(f"there is no folder {name}", f"{nearest_path(Path(name))} {hint}".strip())
    if not _HUB_ID.fullmatch(name):
        hint = f"{nearest(name, PACKAGED)} Or give a hub id (owner/name) or a folder (./my-model)."
        raise ModelError(f"unknown model {name!r}", hint)


def resolve_tokenizer(name: str) -> Model:
    """As `resolve`, but of a folder or hub id the tokenizer and config.json alone: no weights are needed or downloaded.

    The digest changes with the tokenizer's files. Raises ModelError.
    """
    path = Path(os.path.expanduser(name))
    if name not in PACKAGED and path.is_dir():
        if not any(any(path.glob(pattern)) for pattern in TOKENIZER):
            raise ModelError(f"{name} has no tokenizer", "Name the folder that tokenizer.save_pretrained wrote.")
        check_fetched(path, TOKENIZER_AND_TEMPLATE)
        return Model(name, str(path.resolve()), digest_files(path.resolve(), TOKENIZER_AND_TEMPLATE), False)
    if name not in PACKAGED and not path.is_file() and _HUB_ID.fullmatch(name):
        folder = _snapshot(name, ["config.json", *TOKENIZER_AND_TEMPLATE])
        return Model(name, str(folder), digest_files(folder, TOKENIZER_AND_TEMPLATE), False)
    return resolve(name)


def _from_gguf(name: str, path: Path) -> Model:
    """A GGUF file, converted once into the cache under the digest of its bytes. Raises ModelError."""
    check_name(name)
    with path.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise ModelError(f"{name} is not a GGUF file", "Download it again; a page of HTML is a common cause.")
        handle.seek(0)
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    digest = hashlib.sha256(f"gguf:{sha256}:{gguf.CONVERSION}".encode()).hexdigest()
    folder = cache_dir() / "models" / f"gguf-{sha256[:16]}"
    if read_object(folder / NOTE).get("digest") != digest:
        log.info("converting %s to float32 safetensors, once; this takes minutes", name)
        try:
            with replacing_folder(folder) as made:
                gguf.convert(path.resolve(), made, adds_bos=gguf.adds_bos(path))
                (made / NOTE).write_text(json.dumps({"name": name, "digest": digest}) + "\n", encoding="utf-8")
        except (ValueError, NotImplementedError, ImportError) as error:
            hint = f"transformers reads some architectures only; name a folder or hub id instead. {EXTRA}"
            raise ModelError(f"can't convert {name}: {error}", hint) from error
    return Model(name, str(folder), digest, False)


def _from_hub(name: str) -> Model:
    """Download a snapshot, safetensors if there are any. The commit is the identity. Raises ModelError."""
    repo, _, revision = name.partition("@")
    for weights in WEIGHTS:
        folder = _snapshot(f"{repo}@{revision}", [*ALL_BUT_WEIGHTS, "generation_config.json", weights])
        revision = folder.name  # the commit: both downloads are of the same
        if any(folder.glob(weights)):
            break
    check_files(folder, f"{repo} on the hub")
    return Model(name, str(folder), hashlib.sha256(f"hub:{repo}@{folder.name}".encode()).hexdigest(), False)


def _snapshot(name: str, wanted: list[str]) -> Path:
    """The folder of the files of a hub id that match `wanted`, downloaded where they are missing. Raises ModelError."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError("models of the hub need huggingface_hub", EXTRA) from error
    repo, _, revision = name.partition("@")
    others = ["*/*", "consolidated*", "training_args.bin"]  # copies of the weights for other programs, or none
    try:
        return Path(snapshot_download(repo, revision=revision or None, allow_patterns=wanted, ignore_patterns=others))
    except Exception as error:  # which ones differs between the hub's releases: _hub_error knows them
        if (known := _hub_error(name.removesuffix("@"), error)) is None:
            raise
        raise known from error


def _hub_error(name: str, error: Exception) -> ModelError | None:
    """What an exception of the hub means to the user; None where it is a bug."""
    from huggingface_hub import errors

    repo, _, revision = name.partition("@")
    reason = str(error).strip().partition("\n")[0]
    transport = type(error).__module__.partition(".")[0] in {"requests", "httpx", "httpx2"}  # by the hub's release
    if isinstance(error, errors.GatedRepoError):
        hint = f"Accept the terms on https://huggingface.co/{repo}, then run: hf auth login"
        return ModelError(f"{repo} is gated, and you have no access to it yet", hint)
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        hint = "Look for a typing error. Where it is private, run: hf auth login"
        return ModelError(f"the hub has no model {repo}, or it is private", hint)
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"{repo} has no revision {revision!r}", "Look for a typing error in what follows the @.")
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError) or transport:
        hint = f"Run where the hub is reachable, or name a local folder or one of {', '.join(sorted(PACKAGED))}."
        return ModelError(f"{repo} isn't on this machine and the hub can't be reached: {reason}", hint)
    if isinstance(error, OSError):  # a refusal of the hub (HfHubHTTPError is one) or a full disk
        return ModelError(f"can't fetch {repo}: {reason}", "Try again later; make sure there is room on the disk.")
    return None
