"""What hints say: the nearest name, and the command that installs for this program and no other."""

import shutil
import subprocess
import sys

import pytest

from places import ROOT
from selectit import errors


@pytest.fixture
def python(folder, monkeypatch):
    """A function: from its call on, the interpreter is this one, its environment has pip, and the shell knows none."""
    monkeypatch.setattr(errors, "_has_pip", lambda: True)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return lambda path: monkeypatch.setattr(sys, "executable", str(folder / path))


def test_of_an_environment_inside_this_folder_the_short_path(python):
    python(".venv/bin/python")
    assert errors.install("rensa>=0.5") == ".venv/bin/python -m pip install 'rensa>=0.5'"


def test_the_pip_of_the_shell_where_it_is_the_right_one(python, folder, monkeypatch):
    python("bin/python")
    for pip, says in (("bin/pip", "pip install ray"), ("other/pip", "bin/python -m pip install ray")):
        monkeypatch.setattr(shutil, "which", lambda name, pip=pip: str(folder / pip))
        assert errors.install("ray") == says


def test_an_environment_without_pip(python, monkeypatch):
    python("my env/bin/python")
    monkeypatch.setattr(errors, "_has_pip", lambda: False)
    assert errors.install("ray") == "uv pip install --python 'my env/bin/python' ray"


def test_an_extra_of_the_checkout_that_runs_or_of_the_package(python, monkeypatch, folder):
    python("bin/python")
    assert errors.install_extra("hf") == f"bin/python -m pip install -e '{ROOT}[hf]'"
    monkeypatch.chdir(ROOT)
    assert errors.install_extra("hf").endswith("-m pip install -e '.[hf]'")
    monkeypatch.setattr(errors, "__file__", str(folder / "site-packages/selectit/errors.py"))
    assert "-m pip install 'selectit[hf]' (in a checkout" in errors.install_extra("hf")


@pytest.mark.skipif(not errors._has_pip(), reason="this environment has no pip")
def test_the_command_runs():
    assert subprocess.run(errors.install("--help"), shell=True, capture_output=True, check=False).returncode == 0


def test_setuptools_still_finds_its_own_distutils():
    """Torch's extensions, which vLLM imports, need it; a look for pip in the usual way would turn it off."""
    pytest.importorskip("setuptools")
    code = "from selectit import errors; errors.install('ray'); import setuptools, distutils; print(distutils.__file__)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "setuptools" in done.stdout
