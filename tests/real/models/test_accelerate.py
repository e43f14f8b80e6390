"""A training in processes of its own: what accelerate starts, killed and taken up again."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch
from safetensors.torch import load_file

import selectit
import tiny
from selectit.config.settings import Settings
from selectit.errors import SettingsError

CONFIG = "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nnum_processes: 1\nuse_cpu: true\n"


def equal(first, second):
    first, second = (load_file(Path(folder) / "model.safetensors") for folder in (first, second))
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def model(data, tmp_path):
    selectit.select(data, Settings(method="length", keep=6, run="run"))
    return tiny.build_chat(tmp_path / "chat")


def test_accelerate_starts_the_training(model):
    Path("one.yaml").write_text(CONFIG)
    selectit.train("run", model=model, recipe=tiny.QUICK, out="here")
    selectit.train("run", model=model, recipe=dataclasses.replace(tiny.QUICK, accelerate="one.yaml"), out="there")
    assert equal("here", "there")
    with pytest.raises(SettingsError, match="there is no file two.yaml"):
        selectit.train("run", model=model, recipe=dataclasses.replace(tiny.QUICK, accelerate="two.yaml"), out="gone")


def test_a_killed_training_goes_on_to_the_same_weights(model):
    typed = ["train", "run", "--model", model, "--recipe", "small", "--recipe-param", "steps=12", "--recipe-param"]
    command = [sys.executable, "-m", "selectit", *typed, "dtype=fp32", "--checkpoint-minutes", "0", "--out"]
    subprocess.run([*command, "whole"], check=True, capture_output=True)
    killed = subprocess.Popen([*command, "parts"], stderr=subprocess.DEVNULL)
    while not list(Path("parts").glob("work/checkpoints/checkpoint-*/trainer_state.json")):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not Path("parts/training.json").exists()
    again = subprocess.run([*command, "parts"], check=True, capture_output=True, text=True)
    assert "going on from step" in again.stderr
    assert equal("whole", "parts")
